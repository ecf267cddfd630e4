"""A results folder becomes one Markdown page with its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from encbench.errors import StoreError, UsageError
from encbench.results.records import StoredRecord
from encbench.results.store import Store
from encbench_leaderboard.board.overview import overview
from encbench_leaderboard.board.table import Board, boards
from encbench_leaderboard.render import markdown
from encbench_leaderboard.render.pictures import Pictures, draw
from encbench_leaderboard.render.writing import replace_text, writing
from encbench_leaderboard.report import footer
from encbench_leaderboard.report.format import code, details, folded, plain, plural
from encbench_leaderboard.report.how_to_read import how_to_read
from encbench_leaderboard.report.prediction import prediction
from encbench_leaderboard.report.sections import section
from encbench_leaderboard.report.wording import over_tasks_text

__all__ = ["Loaded", "load", "render"]


class Loaded(NamedTuple):
    """What was read of a results folder."""

    board: Board
    records: list[StoredRecord]
    store: Store


def load(directory: Path) -> Loaded:
    """The board of a results folder.

    Raises:
        StoreError: no such folder, or no record in it.
    """
    store = Store(directory)
    records = store.records()
    if not records:
        raise StoreError(
            f"{directory} holds no records, expected records/*/record.json; "
            f"`encbench run -o {directory}` writes them"
        )
    return Loaded(boards(records), records, store)


def render(
    directory: Path,
    out: Path | None = None,
    *,
    pictures: bool = True,
    every: bool = False,
    loaded: Loaded | None = None,
) -> Path:
    """Write the leaderboard of a results folder.

    Args:
        directory: the folder of a run.
        out: the Markdown file, ``directory/leaderboard.md`` unless given. Pictures lie beside
            it in a folder of its name without the suffix.
        pictures: draw pictures and link to them.
        every: draw those of every task, however many there are.
        loaded: what ``load`` read of the folder, where that was done before.

    Returns:
        ``out``.

    Raises:
        StoreError: no folder, no records, or the page cannot be written.
        UsageError: ``out`` has no suffix, so its pictures' folder would take its name.
    """
    directory = Path(directory)
    board, records, store = load(directory) if loaded is None else loaded
    out = directory / "leaderboard.md" if out is None else Path(out)
    if out.suffix == "":
        raise UsageError(f"{out} has no suffix, expected a Markdown file, for example {out}.md")
    with writing(out):
        shown = draw(board, out.with_suffix(""), every=every) if pictures else Pictures()
        replace_text(out, _page(board, records, store, shown))
    return out


def _page(
    board: Board,
    records: Sequence[StoredRecord],
    store: Store,
    pictures: Pictures,
) -> str:
    suite = store.suite_name()
    parts = [f"# Leaderboard{f': {plain(suite)}' if suite else ''}", _summary(board, records)]
    if pictures.left:
        parts.append(
            f"Pictures of {plural(pictures.left, 'task')} are left out, for there are many; "
            f"`encbench leaderboard {footer.shell(store.directory)} --all-pictures` draws all."
        )
    if len(board.groups) > 1:
        parts += ["## Overview", _overview(board)]
    for group in board.groups:
        parts += section(group, pictures)
    parts += ["## Does the spectrum predict quality?", *prediction(board)]
    parts += ["## How to read this page", how_to_read(board)]
    parts += [
        "## Provenance",
        footer.provenance(records, suite),
        details(
            "How to run this again",
            footer.reproduction(records, store.suite(), store.directory.resolve().name),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(board: Board, records: Sequence[StoredRecord]) -> str:
    tally = Counter(stored.record.status for stored in records)
    seeds = len({stored.record.cell.seed for stored in records})
    ended = ", ".join(f"{n:,} {kind.replace('_', ' ')}" for kind, n in tally.most_common())
    text = (
        f"{plural(len(board.entries), 'encoding')}, {plural(len(board.tasks), 'task')}, "
        f"{plural(seeds, 'seed')}: {plural(len(records), 'cell')}, {ended}."
    )
    found = footer.machines(records)
    if len(found) > 1:
        text += (
            f"\n\n**These cells ran on {len(found)} different machines or settings of threads: "
            "their times must not be compared.**"
        )
    return text


def _overview(board: Board) -> str:
    found = overview(board)
    tasks = "\n".join(f"{i}. {code(group.label)}" for i, group in enumerate(found.groups, 1))
    return (
        f"{folded(markdown.overview_table(found))}\n\nTasks:\n\n{tasks}\n\n"
        f"The value is the mean over what finished. {over_tasks_text(found)}"
    )
