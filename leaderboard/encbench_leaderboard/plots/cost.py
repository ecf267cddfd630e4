"""Quality against what it costs: parameters and seconds of training."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from encbench_leaderboard.plots.selection import SHOWN
from encbench_leaderboard.style import figure, legends
from encbench_leaderboard.table import TaskBoard

__all__ = ["draw_cost"]


def draw_cost(task: TaskBoard, colours: Mapping[str, tuple[str, str]]) -> Figure | None:
    """The primary metric of each cell that finished, against parameters and seconds."""
    cells = task.cells[task.cells["status"] == "ok"].copy()
    cells["parameters"] = cells["params_mlp"].fillna(0) + cells["params_encoding"].fillna(0)
    cells["quality"] = cells[f"metric:{task.primary.name}"]
    cells = cells[np.isfinite(cells["quality"])]
    best = [entry for entry in task.standings["entry"] if entry in set(cells["entry"])][:SHOWN]
    if not best:
        return None
    drawn = figure(3.4 + 0.42 * math.ceil(len(best) / 3))
    panels = drawn.subplots(1, 2, sharey=True)
    for panel, column, name in (
        (panels[0], "parameters", "parameters"),
        (panels[1], "training", "training [s]"),
    ):
        for entry in reversed(best):
            seeds = cells[(cells["entry"] == entry) & (cells[column] > 0)]
            colour, marker = colours[entry]
            panel.plot(
                seeds[column],
                seeds["quality"],
                linestyle="none",
                marker=marker,
                markersize=9,
                color=colour,
                markeredgecolor="white",
                markeredgewidth=0.8,
                alpha=0.9,
            )
        panel.set_xlabel(name)
        panel.margins(0.08)
        positive = cells.loc[cells[column] > 0, column]
        if len(positive) and positive.max() / positive.min() > 8:
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
            panel.xaxis.set_minor_formatter(NullFormatter())
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panels[0].set_ylabel(task.primary.heading)
    names = legends(best, 38, 2)
    drawn.legend(
        handles=[
            Line2D(
                [],
                [],
                linestyle="none",
                color=colours[e][0],
                marker=colours[e][1],
                markersize=8,
                markeredgecolor="white",
                label=names[e],
            )
            for e in best
        ],
        loc="outside lower center",
        ncols=3,
    )
    return drawn
