"""The section that asks whether the spectrum predicts quality."""

from __future__ import annotations

import math

from encbench_leaderboard.board.correlation import STATISTICS, TOO_FEW, correlations, mean_rho
from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.render.markdown import ENTRY_COLUMNS, table
from encbench_leaderboard.report.format import MISSING, code, details, plain, plural

__all__ = ["correlation_table", "mean_correlation_table", "prediction"]


def prediction(board: Board) -> list[str]:
    """Paragraphs and tables of the section."""
    singles = [_task_prediction(task, named=len(board.tasks) > 1) for task in board.tasks]
    if len(singles) > 1:
        parts = [
            "Spearman's rank correlation ρ between a statistic of the spectrum and quality, taken "
            f"within each task and averaged over the tasks with at least {TOO_FEW} cells of "
            f"{TOO_FEW} encodings.",
            mean_correlation_table(board),
            details("Each task", "\n\n".join(singles)),
        ]
    else:
        parts = singles
    parts.append(
        "ρ is in [−1, 1]; positive means that more of the statistic goes with better quality. "
        "n counts cells; the seeds of one encoding are not independent. An eigenvalue under its "
        "floor ranks below every resolved one; – where a statistic is the same in all cells."
    )
    return parts


def _task_prediction(task: TaskBoard, *, named: bool) -> str:
    found, cells, entries = correlation_table(task)
    title = f"{code(task.label)}: " if named else ""
    if found is None:
        return f"{title}no cell finished with a spectrum, so nothing can be said."
    # "Too few" is about how much was measured, whatever ρ came out.
    verdict = (
        f" **Too few to say anything: at least {TOO_FEW} cells of {TOO_FEW} encodings are needed.**"
        if cells < TOO_FEW or entries < TOO_FEW
        else ""
    )
    sizes = task.cells["end:size"].dropna().unique()
    if len(sizes) > 1:
        verdict += " **The kernels differ in size, and eigenvalues depend on it.**"
    return (
        f"{title}Spearman's rank correlation ρ with {plain(task.primary.title)} over "
        f"{plural(cells, 'cell')} of {plural(entries, 'encoding')}.{verdict}\n\n{found}"
    )


def correlation_table(task: TaskBoard) -> tuple[str | None, int, int]:
    """ρ of each statistic at the start and end; number of cells and of entries at the end."""
    found = {when: correlations(task, when) for when in ("start", "end")}
    cells = max(c.cells for c in (*found["start"], *found["end"]))
    entries = max(c.entries for c in (*found["start"], *found["end"]))
    if not cells:
        return None, 0, 0
    rows = []
    for place, name in enumerate(STATISTICS):
        text = {"statistic": STATISTICS[name]}
        for when in ("start", "end"):
            one = found[when][place]
            text[f"ρ at the {when}"] = f"{one.rho:+.2f}" if not math.isnan(one.rho) else MISSING
            text[f"n at the {when}"] = str(one.cells)
        rows.append(text)
    return table(rows, ENTRY_COLUMNS), cells, entries


def mean_correlation_table(board: Board) -> str:
    """ρ averaged over tasks, and over how many."""
    rows = []
    found = {when: mean_rho(board.tasks, when) for when in ("start", "end")}
    for name, title in STATISTICS.items():
        text = {"statistic": title}
        for when in ("start", "end"):
            rho, tasks = found[when][name]
            text[f"mean ρ at the {when}"] = MISSING if math.isnan(rho) else f"{rho:+.2f}"
            text[f"tasks at the {when}"] = str(tasks)
        rows.append(text)
    return table(rows, ENTRY_COLUMNS)
