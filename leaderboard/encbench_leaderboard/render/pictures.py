"""Which pictures a page has, drawn beside it."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from matplotlib.figure import Figure

from encbench_leaderboard.board.pareto import tradeoffs
from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.render import style
from encbench_leaderboard.render.plots.contact_sheet import draw_contact_sheet
from encbench_leaderboard.render.plots.cost import draw_cost
from encbench_leaderboard.render.plots.curves import draw_curves
from encbench_leaderboard.render.plots.spectra import draw_spectra

__all__ = ["EVERY", "FEW", "Pictures", "chosen", "draw"]

EVERY = 8
"""Tasks and categories up to which all are drawn; a picture takes half a second."""
FEW = 2
"""Tasks and categories that are drawn where there are more."""
KEPT = 8
"""Figures that wait to be collected, of some 20 MB each."""

Drawer = Callable[[TaskBoard], Figure | None]


@dataclass(frozen=True)
class Pictures:
    """Links from the page to what was drawn."""

    links: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(slug of a task or category, kind) to the link."""
    left: int = 0
    """Tasks whose pictures were left out because there are many."""


def chosen(board: Board, *, every: bool = False) -> list[TaskBoard]:
    """The tasks and categories to draw: all where they are few, or else the first.

    Categories come first, for they speak for their tasks, then tasks that are in none, then the
    first target of each category, the second and so on.
    """
    inside = {id(task) for category in board.categories for task in category.targets}
    alone = [task for task in board.tasks if id(task) not in inside]
    turns = itertools.zip_longest(*(category.targets for category in board.categories))
    targets = [task for turn in turns for task in turn if task is not None]
    found = [*board.categories, *alone, *targets]
    return found if every or len(found) <= EVERY else found[:FEW]


def draw(board: Board, folder: Path, *, every: bool = False) -> Pictures:
    """Draw what is chosen into a folder, and remove pictures of an earlier page.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(exist_ok=True)
    colours = style.colours(board.entries)
    of_task: dict[str, Drawer] = {
        "sheet": draw_contact_sheet,
        "spectra": lambda task: draw_spectra(task, colours),
        "curves": lambda task: draw_curves(task, colours),
        "cost": lambda task: draw_cost(tradeoffs(task), colours),
    }
    # Targets differ, and so do their pictures and steps: only these can be put together.
    of_category = {kind: of_task[kind] for kind in ("spectra", "cost")}
    drawn = chosen(board, every=every)
    links = {}
    with style.quiet():
        for task in drawn:
            for kind, make in (of_category if task.targets else of_task).items():
                figure = make(task)
                if figure is not None:
                    file = style.save(figure, folder / f"{task.slug}-{kind}.png")
                    links[task.slug, kind] = quote(f"{folder.name}/{file.name}")
                    # A figure's parts hold one another, and nobody collects them meanwhile.
                    if len(links) % KEPT == 0:
                        del figure
                        gc.collect()
    _remove_others(board, folder, links)
    return Pictures(links, len(board.tasks) + len(board.categories) - len(drawn))


def _remove_others(board: Board, folder: Path, links: Mapping[tuple[str, str], str]) -> None:
    """An earlier page's picture of what was not drawn now would seem to belong to this one."""
    for task in (*board.tasks, *board.categories):
        for kind in ("sheet", "spectra", "curves", "cost"):
            if (task.slug, kind) not in links:
                (folder / f"{task.slug}-{kind}.png").unlink(missing_ok=True)
