"""Where the target's energy lies among the kernel's eigenvectors, and the loss that follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series
from encbench_leaderboard.report.figures.selection import (
    SHOWN,
    best_note,
    first_cells,
    has_arrays,
    thinned,
)

CENTRED = 2
"""Column of ``energy_*`` arrays of the target less its mean."""
LOSS_POINTS = 150
"""Most points of a line."""


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
        lambda: list(_panels(cells)),
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


def _panels(cells: dict[str, StoredRecord]) -> Iterator[Panel]:
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
