"""Loss and quality during training."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.render.plots.selection import best_entries
from encbench_leaderboard.render.style import figure, legends

__all__ = ["SEEDS", "draw_curves", "thinned"]

LOSS_POINTS = 150
"""Points of a loss curve: more of them show the noise of batches and hide the other curves."""

SEEDS = 5
"""Lines an entry: more of them hide one another."""


def draw_curves(task: TaskBoard, colours: Mapping[str, tuple[str, str]]) -> Figure | None:
    """Training loss (log) and the followed metric against the step; a line for each first seed.

    The loss is averaged over neighbouring intervals down to ``LOSS_POINTS`` points.
    A curve that stops early ends in a cross: training diverged or was cut there.
    """
    entries = {}
    for entry, found in best_entries(task, _may_have_curves).items():
        records = [stored for stored in found[:SEEDS] if len(_curve(stored, "loss")[0])]
        if records:
            entries[entry] = records
    if not entries:
        return None
    drawn = figure(3.4 + 0.42 * math.ceil(len(entries) / 3))
    loss, quality = drawn.subplots(1, 2)
    # The best entry is drawn last, on top.
    for entry, records in reversed(list(entries.items())):
        for stored in records:
            for panel, name in ((loss, "loss"), (quality, "curve")):
                _line(panel, stored, name, colours[entry][0], many=len(records) > 1)
    loss.set_yscale("log")
    loss.set_title("Training loss")
    followed = next(iter(entries.values()))[0].record.curve
    metric = next((m for m in task.metrics if m.name == followed), None)
    quality.set_title(metric.heading if metric else followed)
    for panel in (loss, quality):
        panel.set_xlabel("optimizer step")
        panel.margins(x=0.02)
    names = legends(list(entries), 38, 2)
    drawn.legend(
        handles=[
            Line2D([], [], color=colours[e][0], linewidth=2.2, label=names[e]) for e in entries
        ],
        loc="outside lower center",
        ncols=3,
    )
    return drawn


def _may_have_curves(stored: StoredRecord) -> bool:
    """Whether there are arrays at all, which need not be read for that."""
    return "arrays.npz" in stored.files or (stored.path / "arrays.npz").exists()


def _curve(stored: StoredRecord, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Finite points (n,), (n,) of a curve; of the loss only positive ones, for a log axis."""
    nothing = np.empty(0)
    step = stored.arrays.get(f"{name}_step", nothing)
    value = stored.arrays.get(name, nothing)
    if len(step) != len(value):
        return nothing, nothing
    drawable = np.isfinite(value) & ((value > 0) if name == "loss" else True)
    return step[drawable], value[drawable]


def thinned(step: np.ndarray, value: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """A curve (n,), (n,) as at most so many means of neighbours, each at its last step.

    The first value stands for itself: what training starts from is no noise.
    """
    if len(step) <= points:
        return step, value
    edges = np.linspace(1, len(step), points).round().astype(int)
    starts = np.concatenate([[0], edges[:-1]])
    sums = np.add.reduceat(value, starts)
    return step[edges - 1], sums / np.diff(np.append(starts, len(value)))


def _line(panel: Axes, stored: StoredRecord, name: str, colour: str, *, many: bool) -> None:
    step, value = _curve(stored, name)
    if not len(step):
        return
    if name == "loss":
        step, value = thinned(step, value, LOSS_POINTS)
    width, alpha = (0.9, 0.7) if many else (1.5, 1.0)
    panel.plot(step, value, color=colour, linewidth=width, alpha=alpha)
    if stored.record.status != "ok":
        panel.plot(step[-1], value[-1], marker="x", color=colour, markersize=7, clip_on=False)
