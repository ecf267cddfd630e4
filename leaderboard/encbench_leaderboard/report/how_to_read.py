"""What the columns of a page mean, in words."""

from __future__ import annotations

from collections.abc import Iterable

from encbench_leaderboard.board.table import Board
from encbench_leaderboard.report.blocks import Table
from encbench_leaderboard.report.format import plain

KERNELS = {
    "trace": '"trace": the N × N mean over outputs of the kernel\'s diagonal blocks',
    "full": '"full": the NO × NO kernel of all N points and O outputs',
}


def how_to_read(board: Board, tables: Iterable[Table]) -> str:
    """A bullet for each column of the tables, then for what the columns share."""
    lines = [
        f"**{plain(column.title)}**: {plain(column.help)}."
        for table in tables
        for column in table.columns
        if column.help
    ]
    lines += [*_statistics(board), *_spectra(board)]
    return "\n".join(f"- {line}" for line in dict.fromkeys(lines))


def _spectra(board: Board) -> list[str]:
    spectra = [s for task in board.tasks for r in task.records for s in r.record.spectra]
    if not spectra:
        return []
    kernels = sorted({s.outputs for s in spectra})
    points = sorted({s.points for s in spectra})
    return [
        "**λ_max, λ median, λ_min**: largest, middle and smallest eigenvalue of the "
        "empirical neural tangent kernel (NTK) over all parameters, at the end of training, "
        f"at N = {_listed(points)} training points; "
        f"{'; and '.join(KERNELS[kernel] for kernel in kernels)}. They depend on N: spectra "
        "of different N or of different kernels must not be compared. Over several cells the "
        "geometric mean is shown, because eigenvalues span decades and the largest would decide "
        "an arithmetic mean.",
        "**floor**: eigenvalues below it are rounding noise. They are counted but not shown: "
        "“≤ 1.0e-12” is an eigenvalue that cannot be told from zero at a floor of 1.0e-12. The "
        "floor is recorded with each spectrum: the larger of 8 ε λ_max (ε is the machine epsilon "
        "of the kernel's precision) and ten times the size of the most negative eigenvalue, "
        "since a kernel has none.",
        "**effective rank**: exp of the entropy of the normalized eigenvalues "
        "(Roy & Vetterli, 2007).",
    ]


def _statistics(board: Board) -> list[str]:
    """What intervals, ranges of ranks and ties mean, as far as the board has them."""
    lines = []
    groups = (*board.categories, *board.tasks)
    if any((group.standings["units"] > 1).any() for group in groups):
        lines.append(
            "**95 % interval** of a mean: 19 of 20 such intervals contain the true mean. It is "
            "Student's t interval (±); one value has none."
        )
    if any(group.pairs is not None for group in groups):
        lines.append(
            "**range of ranks**: from 1 plus the number of entries that are significantly "
            "better to the last rank less the number that are significantly worse. Tests are of "
            "paired differences: sign flips, or Student's t with too few pairs for a sign-flip "
            "test to reach significance; with Holm's correction over all pairs of the table the "
            "chance of any false finding in it is at most 5 %."
        )
    if board.categories:
        lines.append(
            "**category**: tasks that differ only in their target (the image), recognized by a "
            "text parameter that goes with different data. Its unit is the target; seeds are "
            "averaged within."
        )
    return lines


def _listed(numbers: list[int]) -> str:
    if len(numbers) <= 3:
        return " or ".join(f"{n:,}" for n in numbers)
    return f"{numbers[0]:,} to {numbers[-1]:,}"
