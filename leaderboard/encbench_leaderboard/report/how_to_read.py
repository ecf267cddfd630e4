"""What every column of the page means, in words."""

from __future__ import annotations

from encbench_leaderboard.board.table import Board
from encbench_leaderboard.report.format import plain

__all__ = ["how_to_read"]

KERNELS = {
    "trace": '"trace": the N × N mean over outputs of the kernel\'s diagonal blocks',
    "full": '"full": the NO × NO kernel of all N points and O outputs',
}


def how_to_read(board: Board) -> str:
    """A bullet a column, for the columns that the board has."""
    lines = []
    for task in board.tasks:
        for place, metric in enumerate(task.metrics):
            better = "higher" if metric.direction == "higher" else "lower"
            text = f"**{plain(metric.title)}** {metric.arrow}: {better} is better"
            if metric.unit:
                text += f"; in {plain(metric.unit)}"
            if place == 0:
                text += (
                    "; *last* at the end of training, *best* the best value met during training "
                    "(a constant learning rate leaves noise on the last one). Entries are "
                    "ranked by the mean of *last*"
                )
            lines.append(f"{text}.")
    lines += _statistics(board)
    spectra = [s for task in board.tasks for r in task.records for s in r.record.spectra]
    lines += [
        "**parameters**: of the network's layers (MLP) and of the encoding, all of them trained.",
    ]
    if spectra:
        kernels = sorted({s.outputs for s in spectra})
        points = sorted({s.points for s in spectra})
        lines += [
            "**λ_max, λ median, λ_min**: largest, middle and smallest eigenvalue of the "
            "empirical neural tangent kernel (NTK) over all parameters, at the end of training, "
            f"at N = {_listed(points)} training points; "
            f"{'; and '.join(KERNELS[kernel] for kernel in kernels)}. They depend on N: spectra "
            "of different N or of different kernels must not be compared. Over several cells the "
            "geometric mean is shown: eigenvalues span decades, and an arithmetic mean would be "
            "that of the largest alone.",
            "**floor**: eigenvalues under it are rounding noise of the computation. They are "
            "counted, never shown as values: “≤ 1.0e-12” says that the eigenvalue is not told "
            "from zero by a floor of 1.0e-12. The floor is recorded with each spectrum: the "
            "larger of 8 ε λ_max (ε the spacing of the kernel's floating-point numbers at 1) "
            "and ten times the size of the most negative eigenvalue, for a kernel has none.",
            "**resolved rank**: how many eigenvalues are above the floor, out of the kernel's "
            "size. **Effective rank**: exp of the entropy of the normalized eigenvalues "
            "(Roy & Vetterli, 2007).",
        ]
    lines += [
        "**training [s]** ↓: wall-clock seconds of training alone. Times from different "
        "machines, devices or numbers of threads must not be compared.",
        "**lr / lr_crit**: the learning rate over the largest one for which full-batch gradient "
        "descent on the network linearized at initialization is stable.",
        "**status**: *ok*; *diverged* (the loss became infinite or no number, at that step); "
        "*out of memory*, *timeout*, *interrupted* or *failed* with the reason. Only *ok* cells "
        "are ranked and averaged.",
    ]
    return "\n".join(f"- {line}" for line in dict.fromkeys(lines))


def _statistics(board: Board) -> list[str]:
    """What intervals, ranges of ranks and ties mean, as far as the board has them."""
    lines = []
    groups = (*board.categories, *board.tasks)
    if any((group.standings["units"] > 1).any() for group in groups):
        lines.append(
            "**95 % interval** of a mean: over many such samples, 19 of 20 hold the true mean. Of "
            "2 to 5 values Student's t interval (±), from 6 on a bootstrap interval in brackets, "
            "widened as t is (Hesterberg, 2015); one value has none."
        )
    if any(group.pairs is not None for group in groups):
        lines.append(
            "**#**, the range of ranks: 1 plus the number of entries that are significantly "
            "better, to the last rank less the number that are significantly worse. Tests are of "
            "paired differences: sign flips where enough pairs are there for them to show "
            "anything after correction, else Student's t; Holm's correction over all pairs of the "
            "table bounds the chance of any false finding in it by 5 %."
        )
    if board.categories:
        lines.append(
            "**category**: tasks that differ in their target (the image) alone, told by a text "
            "parameter that goes with different data. Its unit is the target; seeds are averaged "
            "within."
        )
    return lines


def _listed(numbers: list[int]) -> str:
    if len(numbers) <= 3:
        return " or ".join(f"{n:,}" for n in numbers)
    return f"{numbers[0]:,} to {numbers[-1]:,}"
