"""Quality against what it costs: parameters, seconds of training and peak memory."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from encbench_leaderboard.board.pareto import CostPoints as Panel
from encbench_leaderboard.board.pareto import Tradeoffs
from encbench_leaderboard.render.plots.placing import Label, label_marks
from encbench_leaderboard.render.plots.selection import SHOWN
from encbench_leaderboard.render.style import figure, lay_out, legends
from encbench_leaderboard.report.format import plural

__all__ = ["cost_caption", "draw_cost"]

COLUMNS = 2
NAME_WIDTH = 24
QUIET = "#6b6b6b"
"""Of dominated entries' names: grey, and still read on white (5.3 : 1)."""


def draw_cost(found: Tradeoffs, colours: Mapping[str, tuple[str, str]]) -> Figure | None:
    """A panel a cost with the Pareto front as a stair; what is dominated is pale.

    Bars are the quality's interval, and the cost's smallest and largest unit. The entries on
    fronts and the best others are named, beside their marks where there is room and else in the
    legend; the rest are grey dots.
    """
    if not found.panels:
        return None
    named = _named(found)
    rows = math.ceil(len(found.panels) / COLUMNS)
    free = len(found.panels) % COLUMNS
    drawn = figure(3.1 * rows + (0.0 if free else 0.35 + 0.3 * math.ceil(len(named) / 3)))
    grid = drawn.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    places = list(grid.flat)
    for place, panel in zip(places, found.panels, strict=False):
        _draw_panel(place, panel, found, named, colours)
        if place in grid[:, 0]:
            place.set_ylabel(found.metric.heading)
    _scale_quality(places[0], found)
    for place in places[len(found.panels) :]:
        place.set_axis_off()
    # With the final positions, but before the legend, which then tells what found no room.
    if not free:
        _legend(drawn, None, named, found, colours)
    lay_out(drawn)
    labelled = set(named)
    for place, panel in zip(places, found.panels, strict=False):
        labelled &= _name_marks(drawn, place, panel, named, colours)
    if free:
        unlabelled = [entry for entry in named if entry not in labelled]
        _legend(drawn, places[-1], unlabelled, found, colours)
    return drawn


def cost_caption(found: Tradeoffs) -> str:
    """What marks and bars of the picture are."""
    points = [panel.points for panel in found.panels]
    text = "A mark is an encoding's mean."
    if any(np.isfinite(p["quality_low"]).any() for p in points):
        text += (
            f" An upright bar is the 95 % interval of the mean {found.metric.title}, as in the "
            "standings, and may leave the picture."
        )
    if any((p["cost_low"] < p["cost_high"]).any() for p in points):
        text += " A level bar spans the smallest to the largest cost met."
    return text


def _scale_quality(axes: Axes, found: Tradeoffs) -> None:
    """Room for the means, and for bars up to half as much again: of two cells they are huge.

    An error that spans decades gets a log axis; dB and shares are on a scale of their own.
    """
    points = pd.concat([panel.points for panel in found.panels])
    values = points[["quality", "quality_low", "quality_high"]].to_numpy(dtype=np.float64)
    means = values[:, 0]
    log = found.metric.direction == "lower" and means.min() > 0 and means.max() > 8 * means.min()
    if log:
        axes.set_yscale("log")
        # An interval may reach below zero, which no log axis shows.
        values = np.log(np.where(values > 0, values, np.nan))
        means = values[:, 0]
    low, high = float(means.min()), float(means.max())
    reach = 0.5 * (high - low) if high > low else math.inf
    low = max(float(np.nanmin(values)), low - reach)
    high = min(float(np.nanmax(values)), high + reach)
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    limits = (low - margin, high + margin)
    axes.set_ylim((math.exp(limits[0]), math.exp(limits[1])) if log else limits)


def _named(found: Tradeoffs) -> list[str]:
    """Entries on a front, then the best others: as many as there are colours."""
    points = [panel.points for panel in found.panels]
    on_front = {entry for p in points for entry in p.loc[p["front"], "entry"]}
    order = dict.fromkeys(entry for p in points for entry in p["entry"])
    ranked = [entry for entry in order if entry in on_front]
    if len(ranked) > SHOWN:
        # A long front is named all along, from the best to the cheapest.
        chosen = np.linspace(0, len(ranked) - 1, SHOWN).round().astype(int)
        return [ranked[place] for place in chosen]
    return [*ranked, *(entry for entry in order if entry not in on_front)][:SHOWN]


def _draw_panel(
    axes: Axes,
    panel: Panel,
    found: Tradeoffs,
    named: list[str],
    colours: Mapping[str, tuple[str, str]],
) -> None:
    points = panel.points
    crowd = points[~points["entry"].isin(named)]
    axes.plot(crowd["cost"], crowd["quality"], linestyle="none", **_CROWD)
    # The best is drawn last, on top.
    for _, point in points[points["entry"].isin(named)][::-1].iterrows():
        colour, marker = colours[point["entry"]]
        alpha = 1.0 if point["front"] else 0.4
        for axis, across, at in (("quality", "cost", "y"), ("cost", "quality", "x")):
            ends = [point[f"{axis}_low"], point[f"{axis}_high"]]
            if np.isfinite(ends).all() and ends[0] < ends[1]:
                line = ([point[across]] * 2, ends) if at == "y" else (ends, [point[across]] * 2)
                axes.plot(*line, color=colour, linewidth=0.9, alpha=0.6 * alpha, zorder=1)
        axes.plot(
            point["cost"],
            point["quality"],
            linestyle="none",
            marker=marker,
            markersize=8 if point["front"] else 6,
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.7,
            alpha=alpha,
            zorder=4,
        )
    _axes(axes, panel)
    axes.plot(*_stair(axes, panel), zorder=2, scalex=False, scaley=False, **_FRONT)


def _stair(axes: Axes, panel: Panel) -> tuple[list[float], list[float]]:
    """Corners of the front's stair, on to the right edge of the panel."""
    points = panel.points[panel.points["front"]].sort_values("cost")
    cost, quality = list(points["cost"]), list(points["quality"])
    right = [*cost[1:], axes.get_xlim()[1]]
    across = [x for pair in zip(cost, right, strict=True) for x in pair]
    return across, [y for y in quality for _ in range(2)]


def _lines(axes: Axes, panel: Panel, named: list[str]) -> list[tuple[float, float, float, float]]:
    """The stair's steps and the named entries' bars, which names must not cover."""
    across, up = _stair(axes, panel)
    corners = list(zip(across, up, strict=True))
    lines = [(*start, *end) for start, end in itertools.pairwise(corners)]
    points = panel.points[panel.points["entry"].isin(named)]
    for p in points.to_dict("records"):
        lines.append((p["cost_low"], p["quality"], p["cost_high"], p["quality"]))
        if math.isfinite(p["quality_low"] + p["quality_high"]):
            lines.append((p["cost"], p["quality_low"], p["cost"], p["quality_high"]))
    return lines


_FRONT: dict[str, Any] = {"color": "#555555", "linewidth": 1.2}
_CROWD: dict[str, Any] = {
    "marker": "o",
    "markersize": 3.5,
    "color": "#9a9a9a",
    "markeredgewidth": 0,
    "alpha": 0.5,
}


def _axes(axes: Axes, panel: Panel) -> None:
    # Room for the names.
    axes.margins(0.12, 0.1)
    axes.set_xlabel(f"{panel.label} ↓")
    if panel.where:
        axes.set_title("\n".join(textwrap.wrap(panel.where, 70)), fontsize=8)
    lowest, highest = panel.points["cost_low"].min(), panel.points["cost_high"].max()
    if highest / lowest > 8:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.locator_params(axis="x", nbins=7)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _name_marks(
    drawn: Figure,
    axes: Axes,
    panel: Panel,
    named: list[str],
    colours: Mapping[str, tuple[str, str]],
) -> set[str]:
    """Name the marks of a panel; those not in it count as named."""
    rows = {row["entry"]: row for row in panel.points.to_dict("records")}
    here = [entry for entry in named if entry in rows]
    here.sort(key=lambda entry: not rows[entry]["front"])
    texts = legends(here, NAME_WIDTH, 2)
    labels = []
    for entry in here:
        row = rows[entry]
        colour = "#111111" if row["front"] else QUIET
        labels.append(Label(row["cost"], row["quality"], texts[entry], colour))
    others = [(row["cost"], row["quality"]) for entry, row in rows.items() if entry not in named]
    done = label_marks(drawn, axes, labels, others, _lines(axes, panel, named), size=7)
    missing = {entry for entry, placed in zip(here, done, strict=True) if not placed}
    return set(named) - missing


def _legend(
    drawn: Figure,
    place: Axes | None,
    entries: list[str],
    found: Tradeoffs,
    colours: Mapping[str, tuple[str, str]],
) -> None:
    """Names of the marks, and what line and dots are: in a free place, or below all panels."""
    names = legends(entries, 38, 2)
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            color=colours[e][0],
            marker=colours[e][1],
            markersize=7,
            markeredgecolor="white",
            label=names[e],
        )
        for e in entries
    ]
    handles.append(Line2D([], [], label="Pareto front; what is dominated is pale", **_FRONT))
    most = max(len(panel.points) for panel in found.panels)
    if most > SHOWN:
        label = plural(most - SHOWN, "other")
        handles.append(Line2D([], [], linestyle="none", label=label, **_CROWD))
    if place is None:
        drawn.legend(handles=handles, loc="outside lower center", ncols=3)
    else:
        place.legend(handles=handles, loc="center", ncols=1, borderaxespad=0)
