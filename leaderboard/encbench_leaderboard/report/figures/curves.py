"""Loss and quality during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series
from encbench_leaderboard.report.figures.selection import (
    SHOWN,
    best_entries,
    best_note,
    has_arrays,
    thinned,
)

POINTS = {"loss": 150, "curve": 300}
"""Most points of a line: more of a loss show the noise of batches and hide the other lines."""
SEEDS = 5
"""Lines an entry: more of them hide one another."""


def curves_figure(task: TaskBoard) -> Figure | None:
    """Training loss (log) and the followed metric against the step; a line for each first seed,
    averaged over neighbouring intervals down to ``POINTS``. A curve that stops early ends in a
    cross. None of a category: its targets differ, and so do their steps."""
    if task.targets:
        return None
    entries = dict(
        best_entries(task, lambda entry: list(filter(has_arrays, task.of_entry(entry)))[:SEEDS])
    )
    if not entries:
        return None
    seeds = f" (the first {SEEDS})" if (task.standings["cells"] > SEEDS).any() else ""
    return Figure(
        "curves",
        f"training loss and {task.primary.title} against the step",
        f"A line per seed{seeds}, the loss averaged over adjacent steps; × marks where "
        f"training stopped early, which may lie outside the picture.{best_note(task)}",
        lambda: _panels(task, entries),
        {entry: entry for entry in list(entries)[:SHOWN]},
    )


def _panels(task: TaskBoard, entries: Mapping[str, Sequence[StoredRecord]]) -> list[Panel]:
    kept = {
        entry: [stored for stored in records if len(_points(stored, "loss")[0])]
        for entry, records in entries.items()
    }
    curves = [stored.record.curve for records in kept.values() for stored in records]
    if not curves:
        return []
    metric = next((m for m in task.metrics if m.name == curves[0]), None)
    counts = {stored.record.curve_points for records in kept.values() for stored in records}
    points = counts.pop() if len(counts) == 1 else None
    at_points = "" if points is None else f" at {points:,} points"
    axes = {
        "loss": Axis("training loss", "log"),
        "curve": Axis((metric.heading if metric else curves[0]) + at_points),
    }
    panels = []
    for name, axis in axes.items():
        series = [
            line
            for entry, records in kept.items()
            for stored in records
            if (line := _line(entry, stored, name, many=len(records) > 1)) is not None
        ]
        if series:
            axis = replace(axis, limits=_limits(series, axis.scale))
            panels.append(Panel(Axis("optimizer step"), axis, series))
    return panels


def _limits(series: Sequence[Series], scale: str) -> tuple[float, float] | None:
    """Room for what finished, and for the beginning of what diverged; None where all finished."""
    finished = [line.y for line in series if not line.end]
    if not finished or len(finished) == len(series):
        return None
    low, high = (float(edge(np.concatenate(finished))) for edge in (np.min, np.max))
    if scale == "log":
        return low / 2, high * 10
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin


def _points(stored: StoredRecord, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Finite points (n,), (n,) of a curve; of the loss only positive ones, for a log axis."""
    nothing = np.empty(0)
    step = stored.arrays.get(f"{name}_step", nothing)
    value = stored.arrays.get(name, nothing)
    if len(step) != len(value):
        return nothing, nothing
    drawable = np.isfinite(value) & ((value > 0) if name == "loss" else True)
    return step[drawable], value[drawable]


def _line(entry: str, stored: StoredRecord, name: str, *, many: bool) -> Series | None:
    step, value = thinned(*_points(stored, name), POINTS[name])
    if not len(step):
        return None
    record = stored.record
    totals = {"epoch": record.epochs, "training time [s]": record.durations.get("training", 0.0)}
    return Series(
        entry,
        step,
        value,
        style="thin" if many else "solid",
        label=f"seed {record.cell.seed}",
        # Where the record says what all its steps took.
        other_x={
            title: step * (total / record.steps)
            for title, total in totals.items()
            if record.steps and total
        },
        end="" if record.status == "ok" else "stopped",
    )
