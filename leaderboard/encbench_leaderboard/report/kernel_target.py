"""What a task's kernels have to do with its target, and what they predict of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Literal

import numpy as np

from encbench.results.kernel_summary import LinearizedTraining
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Block, Figure, Fold, Panel, Series, Text, Value
from encbench_leaderboard.report.columns import (
    Source,
    Standing,
    codes,
    described,
    fill,
    mean_of_reached,
    numbers,
)
from encbench_leaderboard.report.figures.selection import (
    SHOWN,
    best_note,
    first_cells,
    has_arrays,
    thinned,
)
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
CENTRED = 2
"""Column of ``energy_*`` arrays of the target less its mean."""
LOSS_POINTS = 150
"""Most points of a line."""


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


def energy_figure(task: TaskBoard) -> Figure | None:
    """Cumulative energy, and the predicted loss beside the measured one where there is one, of the
    first cell of each entry; None of a category, or where neither was recorded."""
    if task.targets:
        return None
    cells = first_cells(task, _recorded)
    if not cells:
        return None
    predicted = any(_predicts(stored) for stored in cells.values())
    loss = (
        " Right: the mean squared error that the kernel at the start predicts for gradient flow, "
        "dashed, and the training loss, solid."
    )
    return Figure(
        "energy",
        "cumulative energy of the target in the leading eigenvectors of the kernel",
        "Share of the energy of the target minus its mean in the leading k of M eigenvectors, at "
        "the start (dotted) and at the end (solid), first seed."
        f"{loss * predicted}{best_note(task)}",
        lambda: list(_energy_panels(cells)),
        {entry: entry for entry in list(cells)[:SHOWN]},
        {"dotted": "start", "solid": "end, measured", "dashed": "predicted"}
        if predicted
        else {"dotted": "start", "solid": "end"},
    )


def _recorded(stored: StoredRecord) -> bool:
    energies = [summary.energy_tenth for summary in stored.record.spectra]
    known = _predicts(stored) or any(energy is not None for energy in energies)
    return known and has_arrays(stored)


def _predicts(stored: StoredRecord) -> bool:
    linearized = stored.record.linearized
    return linearized is not None and not linearized.not_predicted


def _energy_panels(cells: dict[str, StoredRecord]) -> Iterator[Panel]:
    energies = [line for entry, stored in cells.items() for line in _energies(entry, stored)]
    x = Axis("k / M, leading eigenvectors", "log")
    if energies:
        yield Panel(x, Axis("share of the energy", limits=(-0.02, 1.02)), energies)
    losses = [line for entry, stored in cells.items() for line in _losses(entry, stored)]
    if losses:
        # a predicted loss can fall to rounding, which would leave no room for the measured ones
        least = min(float(line.y.min(initial=1)) for line in losses if line.label == "measured")
        limits = 0.1 * least, 2 * max(float(line.y.max(initial=0)) for line in losses)
        loss = Axis("mean squared error", "log", limits)
        yield Panel(Axis("optimizer step", "log"), loss, losses)


def _energies(entry: str, stored: StoredRecord) -> Iterator[Series]:
    found = stored.some_arrays("energy_start", "energy_end")
    for name, energy in found.items():
        k, share = energy[:, 0], energy[:, CENTRED]
        known = np.isfinite(share)
        when = name.removeprefix("energy_")
        style: Literal["dotted", "solid"] = "dotted" if when == "start" else "solid"
        yield Series(entry, k[known] / k[-1], share[known], style=style, label=when)


def _losses(entry: str, stored: StoredRecord) -> Iterator[Series]:
    if not _predicts(stored):
        return
    names = ("linearized_step", "linearized_loss", "loss_step", "loss")
    found = stored.some_arrays(*names)
    if found.keys() != set(names):  # training did not begin
        return
    step, loss = found["linearized_step"][1:], found["linearized_loss"][1:]
    yield Series(entry, step, loss, style="dashed", label="predicted")
    measured = np.isfinite(found["loss"]) & (found["loss"] > 0)
    step, loss = thinned(found["loss_step"][measured], found["loss"][measured], LOSS_POINTS)
    yield Series(entry, step, loss, label="measured")
