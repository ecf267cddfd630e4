"""Draw all figures of the paper that a results folder has records for, with captions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from encbench.errors import EncbenchError, UsageError, check_writable, did_you_mean
from encbench.results.palette import Look, colours
from encbench.results.record_places import check_results_folder
from encbench.results.store import load_records
from encbench_leaderboard.board.table import Board, TaskBoard, boards
from encbench_leaderboard.paper_figures.described import Described, Lacking
from encbench_leaderboard.paper_figures.line_plots import (
    at_start,
    epoch_curves,
    level_shares,
    means,
    three_panels,
    with_and_without,
)
from encbench_leaderboard.paper_figures.network_maps import learned_values, region_maps
from encbench_leaderboard.paper_figures.picture_sheets import depths, side_by_side
from encbench_leaderboard.render import style
from encbench_leaderboard.render.pictures import FORMATS
from encbench_leaderboard.render.writing import replace_text, writing
from encbench_leaderboard.report.format import plain

CAPTIONS = "captions.md"
TASKS = 4
"""Maximum number of tasks that are drawn if none is chosen."""
DPI = 200
SIDE = 1024
MEANS = "5"
REGIONS = "13"

OfTask = Callable[[TaskBoard, Mapping[str, Look]], Described]
FIGURES: dict[str, tuple[str, OfTask | None]] = {
    "2": ("Spectrum with and without the grid's term", with_and_without),
    "3": ("Regressed images", side_by_side),
    "4": ("Spectra in the middle and at the end of training", three_panels),
    MEANS: ("Mean spectra over targets", None),
    "6": ("Loss and quality over training", epoch_curves),
    "11": ("Spectra at the start", at_start),
    "12": ("Learned values of the grids", learned_values),
    REGIONS: ("Activation regions", None),
    "14": ("Depth of the 0.5 level set", depths),
    "levels": ("Shares of the levels in the eigenvalues", level_shares),
}
"""By number in the paper, or by name: title, and the function that describes it for a task."""
SAME = {"7": "3", "9": "3", "8": "6", "10": "6"}
"""Figures of the paper that show the same as another one for other targets."""


@dataclass(frozen=True)
class PaperFigure:
    """A figure of one task, or the reason why there is none."""

    number: str
    """Number in the paper, the first if several show the same; "levels" is not in the paper."""
    title: str
    task: str
    """Label of the task, "" if the figure is over several."""
    files: Sequence[Path]
    """Empty if the folder has nothing to draw it from."""
    caption: str
    """What is drawn, and from which records."""
    missing: str
    """What is not drawn, and why; if there are no files, what to run."""

    @property
    def heading(self) -> str:
        name = f"Figure {self.number}" if self.number.isdigit() else self.number.capitalize()
        return f"{name}: {self.title}" + (f", {self.task}" if self.task else "")


def draw_figures(
    results: Path,
    only: Sequence[str] = (),
    out: Path | None = None,
    *,
    formats: Sequence[str] = ("png",),
    dpi: int = DPI,
    task: str = "",
    side: int = SIDE,
    watch: Callable[[PaperFigure], None] = lambda figure: None,
) -> list[PaperFigure]:
    """Draw the paper's figures from the records of a results folder.

    Args:
        results: the folder that ``encbench run -o`` wrote.
        only: numbers of figures in the paper, "2" or "figure2"; none: all.
        out: folder for the files, made if need be; default: ``results / "figures"``.
        formats: of "png", "svg" and "pdf".
        dpi: pixels per inch of PNGs, and of bitmaps within the other formats.
        task: only tasks whose label contains this; "": the first four.
        side: pixels per side of the maps of activation regions.
        watch: called with each figure, once its files are written or known to be impossible.

    Returns:
        A figure for each number and task, in the paper's order. One that cannot be drawn has no
        files, and ``missing`` says what to run. If none can, only existing captions are updated.

    Raises:
        UsageError: no such figure, format or task.
        StoreError: there are no records, or the files cannot be written.
    """
    numbers = _numbers(only)
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"no pictures of format {name!r}, expected {', '.join(FORMATS)}")
    if out is None:
        check_results_folder(results)
    folder = results / "figures" if out is None else out
    check_writable(folder / CAPTIONS)
    board = boards(load_records(results, check_files=True))
    tasks = [one for one in board.tasks if task in one.label]
    if not tasks:
        labels = ", ".join(one.label for one in board.tasks[:5])
        raise UsageError(f"no task's label contains {task!r}; there are {labels}")
    looks = colours(board.entries)
    found: list[PaperFigure] = []
    with style.quiet():
        for number in numbers:
            for one in [None] if number == MEANS else tasks if task else tasks[:TASKS]:
                describe = _describe(number, board, one, looks, side)
                figure = _drawn(number, one, describe, folder, formats, dpi)
                found.append(figure)
                watch(figure)
    if any(figure.files for figure in found) or (folder / CAPTIONS).exists():
        with writing(folder / CAPTIONS):
            _write_captions(folder / CAPTIONS, found)
    return found


def _numbers(only: Sequence[str]) -> list[str]:
    """Return the requested figures in the paper's order; a text can list several, with commas."""
    asked = {
        text.strip().lower().removeprefix("figure").strip(" -")
        for each in only
        for text in each.split(",")
    }
    known = sorted([*FIGURES, *SAME], key=lambda name: _number(f"Figure {name}"))
    for number in asked:
        if number not in known:
            hint = did_you_mean(number, known, f"there are {', '.join(known)}")
            raise UsageError(f"there is no figure {number!r} to draw{hint}")
    chosen = {SAME.get(number, number) for number in asked}
    return [number for number in FIGURES if number in chosen or not asked]


def _describe(
    number: str, board: Board, task: TaskBoard | None, looks: Mapping[str, Look], side: int
) -> Callable[[], Described]:
    if task is None:
        return partial(means, board, looks)
    if number == REGIONS:
        return partial(region_maps, task, looks, side)
    of_task = FIGURES[number][1]
    assert of_task is not None, "the others are above"
    return partial(of_task, task, looks)


def _drawn(
    number: str,
    task: TaskBoard | None,
    describe: Callable[[], Described],
    folder: Path,
    formats: Sequence[str],
    dpi: int,
) -> PaperFigure:
    label, slug = ("", "") if task is None else (task.label, f"-{task.slug}")
    title = FIGURES[number][0]
    try:
        described = describe()
        drawn = described.draw()
        assert drawn is not None, "what is described can be drawn"
    except (EncbenchError, Lacking) as error:
        # such as a damaged record, which other figures may not need
        return PaperFigure(number, title, label, [], "", str(error))
    drawn.set_dpi(dpi)
    files = [folder / f"figure-{number}{slug}.{suffix}" for suffix in formats]
    with writing(files[0]):
        style.save(drawn, files)
    missing = " ".join(described.missing)
    return PaperFigure(number, title, label, files, described.caption, missing)


def _write_captions(file: Path, figures: Sequence[PaperFigure]) -> None:
    """Write the captions, and keep those of other figures that an earlier call has drawn."""
    sections: dict[str, str] = {}
    if file.exists():
        earlier = re.split(r"(?m)^## ", file.read_text(encoding="utf-8", errors="replace"))[1:]
        sections = {text.partition("\n")[0]: text.partition("\n")[2].strip() for text in earlier}
    for figure in figures:
        parts = [plain(text) for text in (figure.caption, figure.missing) if text]
        if figure.files:
            parts.insert(0, f"![{plain(figure.title)}]({figure.files[0].name})")
        sections[plain(figure.heading)] = "\n\n".join(parts)
    ordered = sorted(sections.items(), key=lambda item: _number(item[0]))
    text = "\n\n".join(f"## {heading}\n\n{body}" for heading, body in ordered)
    replace_text(file, f"# Figures\n\n{text}\n")


def _number(heading: str) -> int:
    """Sort key: the number of a figure of the paper; others come after them."""
    found = re.match(r"Figure (\d+)", heading)
    return int(found[1]) if found else 1000
