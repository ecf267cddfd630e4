"""Does the spectrum predict quality? Rank correlations, and what may be concluded from them."""

from __future__ import annotations

from collections.abc import Mapping

from encbench_leaderboard.board.correlation import STATISTICS, TOO_FEW, correlations, mean_rho
from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.report.blocks import Block, Fold, Table, Text
from encbench_leaderboard.report.columns import Source, fill, numbers, texts
from encbench_leaderboard.report.format import code, plain, plural

MOMENTS = ("start", "end")


def prediction(board: Board, most: int) -> list[Block]:
    """The blocks of the section; so many tasks, at most, have lines of their own."""
    shown, several = board.tasks[:most], len(board.tasks) > 1
    of_tasks = [block for task in shown for block in _of_task(task, several)]
    note = Text(
        "ρ is in [−1, 1]; positive means that more of the statistic goes with better quality. "
        "n counts cells; the seeds of one encoding are not independent. An eigenvalue below its "
        "floor ranks below every resolved one; – where a statistic is the same in all cells."
    )
    if len(board.tasks) == 1:
        return [*of_tasks, note]
    about = Text(
        "Spearman's rank correlation ρ between a statistic of the spectrum and quality, taken "
        f"within each task and averaged over the tasks with at least {TOO_FEW} cells of "
        f"{TOO_FEW} encodings."
    )
    means = _table("mean ρ", "tasks", {when: mean_rho(board.tasks, when) for when in MOMENTS})
    which = "Each task" if len(shown) == len(board.tasks) else f"The first {most:,} tasks"
    return [about, means, Fold(which, of_tasks), note]


def _of_task(task: TaskBoard, named: bool) -> list[Block]:
    title = f"{code(task.label)}: " if named else ""
    found = {when: correlations(task, when) for when in MOMENTS}
    cells = max(c.cells for of_moment in found.values() for c in of_moment)
    entries = max(c.entries for of_moment in found.values() for c in of_moment)
    if not cells:
        return [Text(f"{title}no cell finished with a spectrum, so nothing can be said.")]
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
    by_name = {when: {c.statistic: (c.rho, c.cells) for c in found[when]} for when in MOMENTS}
    return [Text(text), _table("ρ", "n", by_name)]


def _table(rho: str, number: str, found: Mapping[str, Mapping[str, tuple[float, int]]]) -> Table:
    """ρ of each statistic, and over how many cells or tasks, at each moment."""
    sources: list[Source[str]] = [texts("statistic", "statistic", STATISTICS.__getitem__)]
    for when, of in found.items():
        rhos = {statistic: value for statistic, (value, _) in of.items()}
        counts = {statistic: count for statistic, (_, count) in of.items()}
        sources += [
            numbers(f"rho_{when}", f"{rho} at the {when}", rhos.__getitem__, "{:+.2f}".format),
            numbers(f"n_{when}", f"{number} at the {when}", counts.__getitem__, str),
        ]
    return fill("correlation", sources, STATISTICS)
