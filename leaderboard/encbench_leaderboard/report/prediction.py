"""Does the spectrum predict quality? Rank correlations, and what may be concluded from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from encbench.errors import plural, with_minus
from encbench_leaderboard.board.cells import STATISTICS
from encbench_leaderboard.board.correlation import (
    TOO_FEW,
    Correlation,
    correlations,
    mean_rho,
)
from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.report.blocks import Block, Fold, Table, Text, Value
from encbench_leaderboard.report.columns import NO_VALUE, Source, described, fill, numbers, texts
from encbench_leaderboard.report.format import MISSING, code, plain

MOMENTS = ("start", "end")
SMALLEST = 0.05
"""Ranks off the line that are shown."""


def prediction(board: Board, most: int) -> list[Block]:
    """The blocks of the section; so many tasks, at most, have lines of their own."""
    several = len(board.tasks) > 1
    found = [{when: correlations(task, when) for when in MOMENTS} for task in board.tasks]
    shown = list(zip(board.tasks, found, strict=True))[:most]
    of_tasks = [block for task, of in shown for block in _of_task(task, of, several)]
    note = Text(
        "Positive ρ means that a larger statistic goes with better quality. The 95 % interval "
        "counts each encoding once, however many tasks and seeds; none is given for ρ = ±1, nor "
        f"for fewer than {TOO_FEW} encodings. An eigenvalue below its floor ranks below every "
        "resolved one; – where a statistic is the same in all cells, or was not recorded. "
        "*Predicted worst* is the encoding whose rank in quality is farthest from the line through "
        "the ranks at the end, and by how many ranks it is better (+) or worse (−)."
    )
    if len(board.tasks) == 1:
        return [*of_tasks, note]
    about = Text(
        "Spearman's rank correlation ρ between a statistic of the spectrum and quality, taken "
        f"within each task and averaged over the tasks with at least {TOO_FEW} cells of "
        f"{TOO_FEW} encodings."
    )
    mean = {when: mean_rho((of[when] for of in found), when) for when in MOMENTS}
    means = _table("mean ρ", mean, several=True)
    which = "Each task" if len(shown) == len(board.tasks) else f"The first {most:,} tasks"
    return [about, means, Fold(which, of_tasks), note]


def _of_task(
    task: TaskBoard, found: Mapping[str, Sequence[Correlation]], named: bool
) -> list[Block]:
    title = f"{code(task.label)}: " if named else ""
    cells = max(c.cells for of_moment in found.values() for c in of_moment)
    entries = max(c.entries for of_moment in found.values() for c in of_moment)
    if not cells:
        return [Text(f"{title}no cell finished with a spectrum.")]
    text = (
        f"{title}Spearman's rank correlation ρ with {plain(task.primary.title)} over "
        f"{plural(cells, 'cell')} of {plural(entries, 'encoding')}."
    )
    # "Too few" is about how much was measured, whatever ρ came out.
    if cells < TOO_FEW or entries < TOO_FEW:
        text += (
            f" **Too few to say anything: at least {TOO_FEW} cells of {TOO_FEW} encodings are "
            "needed.**"
        )
    if task.cells["end:size"].dropna().nunique() > 1:
        text += " **The kernels differ in size, and eigenvalues depend on it.**"
    by_name = {when: {c.statistic: c for c in of} for when, of in found.items()}
    return [Text(text), _table("ρ", by_name, several=False)]


def _table(rho: str, found: Mapping[str, Mapping[str, Correlation]], *, several: bool) -> Table:
    """ρ of each statistic, with its interval, and over how many cells or tasks, at each moment; and
    what it predicts worst."""
    number = "tasks" if several else "n"
    sources: list[Source[str]] = [texts("statistic", "statistic", STATISTICS.__getitem__)]
    for when, of in found.items():
        counts = {name: c.tasks if several else c.cells for name, c in of.items()}
        sources += [
            described(f"rho_{when}", f"{rho} at the {when}", partial(_rho, of)),
            numbers(f"n_{when}", f"{number} at the {when}", counts.get, str),
        ]
    sources.append(texts("worst", "predicted worst", partial(_worst, found["end"], several)))
    recorded = [name for name in STATISTICS if any(name in of for of in found.values())]
    return fill("correlation", sources, recorded)


def _rho(found: Mapping[str, Correlation], statistic: str) -> Value:
    c = found.get(statistic)
    if c is None or math.isnan(c.rho):
        return NO_VALUE
    low, high = c.interval
    interval = "" if math.isnan(low) else f" ({_signed(low)} to {_signed(high)})"
    return Value(f"{_signed(c.rho)}{interval}", c.rho)


def _worst(found: Mapping[str, Correlation], several: bool, statistic: str) -> str:
    c = found.get(statistic)
    if c is None or c.too_few or c.worst is None or abs(c.worst.ranks) < SMALLEST:
        return MISSING
    where = f" on {c.worst.task}" if several else ""
    return f"{c.worst.entry}{where}: {_signed(c.worst.ranks, 1)} of {c.worst.cells} ranks"


def _signed(value: float, digits: int = 2) -> str:
    return with_minus(f"{value:+.{digits}f}")
