"""What a task's kernels have to do with its target, and what they predict of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter

from encbench.results.kernel_summary import LinearizedTraining
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Block, Fold, Text, Value
from encbench_leaderboard.report.columns import (
    Source,
    Standing,
    codes,
    described,
    fill,
    mean_of_reached,
    numbers,
)
from encbench_leaderboard.report.figures.energy import energy_figure
from encbench_leaderboard.report.format import count, plain, significant
from encbench_leaderboard.report.tables import by_moment

LEVELS = (25, 30, 35)
ABOUT = (
    "*Alignment* is the cosine between kernel and target, ⟨K, Y Yᵀ⟩ / (‖K‖ ‖Y Yᵀ‖), both minus "
    "their means. Gradient descent learns the target's component along an eigenvector at a speed "
    "proportional to the eigenvalue: energy in the leading eigenvectors is learned first. *Drift* "
    "is ‖K − K_start‖ / ‖K_start‖. *lr / lr_crit*: below 1, full-batch gradient descent on the "
    "network linearized there is stable."
)
PREDICTED = (
    "Steps until the mean squared error is that of so many dB (data range 1): predicted by the "
    "kernel at the start for gradient flow with these learning rates, and measured on the training "
    "loss; means over cells. The prediction is made at {points} of the training points: with fewer "
    "points there is less detail to learn, and it is too early."
)


def kernel_fold(task: TaskBoard) -> Fold | None:
    """Alignment, energies, drift and rates of each entry, and predicted beside measured training;
    None where none was recorded."""
    table = by_moment("kernel", _columns, task.rows)
    predicted = _predicted(task)
    if table is None and not predicted:
        return None
    fits = (summary.target for row in task.records for summary in row.record.spectra)
    some = {fit.energy_points for fit in fits if fit is not None and fit.energy_points}
    at = f" Energies are those at {min(some):,} of the kernel's points." if some else ""
    blocks: list[Block] = [Text(ABOUT + at), table] if table else []
    if figure := energy_figure(task):
        blocks.append(figure)
    return Fold("Kernel and target", [*blocks, *predicted])


def _columns(when: str) -> list[Source[Standing]]:
    of = f"{when}:{{}}".format
    return [
        numbers("alignment", "alignment", itemgetter(of("alignment_centred")), "{:.3f}".format),
        numbers(
            "energy_90",
            "eigenvectors with 90 % of the energy",
            itemgetter(of("energy_90")),
            "{:.1%}".format,
        ),
        numbers(
            "energy_tenth",
            "energy in the leading tenth",
            itemgetter(of("energy_tenth")),
            "{:.1%}".format,
        ),
        numbers("drift", "drift", itemgetter(of("drift")), significant),
        numbers("lr_ratio", "lr / lr_crit", itemgetter(of("lr_ratio")), significant),
    ]


def _predicted(task: TaskBoard) -> list[Block]:
    found = {
        entry: [r.record.linearized for r in task.of_entry(entry) if r.record.linearized]
        for entry in task.standings["entry"]
    }
    reasons = sorted({one.not_predicted for of in found.values() for one in of} - {""})
    made = {e: kept for e, of in found.items() if (kept := [o for o in of if not o.not_predicted])}
    why = f"Not predicted: {plain('; '.join(reasons))}." if reasons else ""
    if not made:
        return [Text(why)] if why else []
    points = sorted({one.points or 0 for of in made.values() for one in of})
    text = PREDICTED.format(points=" to ".join(f"{n:,}" for n in {points[0]: 0, points[-1]: 0}))
    sources: list[Source[str]] = [codes("encoding", "encoding", str)]
    for level in LEVELS:
        for kind in ("predicted", "measured"):
            of = partial(_steps, made, f"{kind}_{level}")
            sources.append(described(f"{kind}_{level}", f"{level} dB, {kind}", of))
    return [Text(f"{text} {why}".strip()), fill("predicted", sources, made, str)]


def _steps(found: Mapping[str, Sequence[LinearizedTraining]], field: str, entry: str) -> Value:
    return mean_of_reached([getattr(one, field) for one in found[entry]], count)
