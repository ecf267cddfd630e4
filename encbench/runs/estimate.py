"""Estimate how long a plan takes, from a rehearsal of some of its cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from encbench.plugins.registry import Registry
from encbench.results.records import Record
from encbench.runs.cell import run_cell
from encbench.runs.interface import RunOptions
from encbench.runs.parts import failed_metrics_counted
from encbench.suite.config import CellConfig

REHEARSED = 12
"""Maximum number of cells that are rehearsed."""
STEPS = 40
"""Training steps of a rehearsed cell: enough for all points of the quality curve."""


@dataclass(frozen=True)
class Estimate:
    """Estimated time of cells that run one after another."""

    seconds: float
    rehearsed: int
    """Number of cells run for ``STEPS`` steps, with their spectra and evaluation."""
    problems: Sequence[str]
    """One line per rehearsed cell that failed."""


def estimate(
    cells: Sequence[CellConfig],
    registry: Registry,
    options: RunOptions | None = None,
    *,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Estimate:
    """Rehearse some cells that differ in more than their seed, and scale up their time.

    Args:
        cells: the cells of the plan.
        registry: registry of encodings and tasks.
        options: as in ``run_cell``.
        watch: called with the number of cells rehearsed so far and their total.
    """
    alike: dict[str, list[CellConfig]] = {}
    for cell in cells:
        alike.setdefault(cell.model_copy(update={"seed": 0}).model_dump_json(), []).append(cell)
    groups = list(alike.values())
    chosen = groups[:: math.ceil(len(groups) / REHEARSED)] if groups else []
    seconds, counted, problems = 0.0, 0, []
    with failed_metrics_counted():
        for done, (first, *others) in enumerate(chosen):
            watch(done, len(chosen))
            record = run_cell(first.shortened(STEPS), registry, options).record
            if record.status == "ok":
                seconds += _whole(first, record) * (1 + len(others))
                counted += 1 + len(others)
            elif record.error is not None:
                said = " ".join(record.error.message.split())
                problems.append(f"{first.label}: {record.status}, {said}")
    total = seconds * len(cells) / counted if counted else math.nan
    return Estimate(total, len(chosen), problems)


def _whole(cell: CellConfig, record: Record) -> float:
    """Time of a cell, scaled up from that of its rehearsal [s]."""
    steps = cell.training.steps
    if steps is None:
        assert record.steps, "it trained"
        assert record.epochs, "it trained"
        steps = math.ceil((cell.training.epochs or 0) * record.steps / record.epochs)
    others = sum(s for phase, s in record.durations.items() if phase != "training")
    return others + record.durations["training"] * steps / STEPS
