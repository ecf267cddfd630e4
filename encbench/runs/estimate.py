"""How long a plan will take, from a rehearsal of some of its cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from encbench.plugins.registry import Registry
from encbench.results.records import Record
from encbench.runs.cell import run_cell
from encbench.runs.interface import RunOptions
from encbench.suite.config import CellConfig

REHEARSED = 12
"""Cells that are rehearsed, at most."""
STEPS = 40
"""Of the training of a rehearsed cell: enough for all points of the quality curve."""


@dataclass(frozen=True)
class Estimate:
    """The time that cells will take, one after another."""

    seconds: float
    rehearsed: int
    """Cells that were run for ``STEPS`` steps, with their spectra and evaluation."""
    problems: Sequence[str]
    """A line for each rehearsed cell that failed."""


def estimate(
    cells: Sequence[CellConfig],
    registry: Registry,
    options: RunOptions | None = None,
    *,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Estimate:
    """Rehearse some cells that differ in more than their seed, and scale their time up.

    Args:
        cells: what is to be run.
        registry: where encodings and tasks are found.
        options: as of ``run_cell``.
        watch: told how many of how many cells were rehearsed.
    """
    alike: dict[str, list[CellConfig]] = {}
    for cell in cells:
        alike.setdefault(cell.model_copy(update={"seed": 0}).model_dump_json(), []).append(cell)
    groups = list(alike.values())
    chosen = groups[:: math.ceil(len(groups) / REHEARSED)] if groups else []
    seconds, counted, problems = 0.0, 0, []
    for done, (first, *others) in enumerate(chosen):
        watch(done, len(chosen))
        record = run_cell(first.shortened(STEPS), registry, options).record
        if record.status == "ok":
            seconds += _whole(first, record) * (1 + len(others))
            counted += 1 + len(others)
        elif record.error is not None:
            problems.append(f"{first.label}: {record.status}, {record.error.message}")
    total = seconds * len(cells) / counted if counted else math.nan
    return Estimate(total, len(chosen), problems)


def _whole(cell: CellConfig, record: Record) -> float:
    """Seconds of a cell, by those of its rehearsal."""
    steps = cell.training.steps
    if steps is None:
        assert record.steps, "it trained"
        assert record.epochs, "it trained"
        steps = math.ceil((cell.training.epochs or 0) * record.steps / record.epochs)
    others = sum(s for phase, s in record.durations.items() if phase != "training")
    return others + record.durations["training"] * steps / STEPS
