"""A figure of a page, drawn by matplotlib."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullFormatter, NullLocator

from encbench.cli.console import label_lines
from encbench.errors import plural
from encbench.results.level_areas import NAMED, legend_of
from encbench.results.palette import Look
from encbench_leaderboard.render.style import figure, legends
from encbench_leaderboard.report.blocks import Figure, Panel, Series

COLUMNS = 2
LEGEND = 3
"""Columns of a legend below the panels."""
HEIGHT = {1: 3.9, 2: 3.1}
"""Height of a row of panels if there is one row, and if there are more [inch]."""
LINES: dict[str, dict[str, Any]] = {
    "dotted": {"linestyle": (0, (1, 1.6)), "linewidth": 1.2, "alpha": 0.8},
    "dashed": {"linestyle": (0, (4, 2)), "linewidth": 1.2, "alpha": 0.8},
    "solid": {"linestyle": "-", "linewidth": 1.7},
    "thin": {"linestyle": "-", "linewidth": 0.8, "alpha": 0.8},
}
ENDS: dict[str, dict[str, Any]] = {
    "cut": {"marker": "|", "markersize": 8, "markeredgewidth": 1.8},
    "stopped": {"marker": "x", "markersize": 7},
}
BEYOND: dict[str, Any] = {"linestyle": "none", "markersize": 5}
"""Look of the arrow where an error bar leaves the axes."""
COMMON: dict[str, Any] = {"color": "#555555", "linewidth": 1.2}
"""Look of lines that belong to no entry."""
CROWD: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 3.5,
    "color": "#9a9a9a",
    "markeredgewidth": 0,
    "alpha": 0.5,
}
"""Look of the points of entries that the legend does not name."""
GREY = "#444444"
"""Colour of legend samples that stand for all colours."""
UNDER_FLOOR, BETWEEN_FLOORS = "#e4e4e4", "#f3f3f3"
COLOURS = "viridis"
"""Colour map of heat maps: perceptually uniform, also for colour-blind readers."""
MAP_HEIGHT = 2.5
"""Height of a row of heat maps [inch]."""


def plot(block: Figure, looks: Mapping[str, Look], columns: int = COLUMNS) -> Drawing | None:
    """Draw a figure's panels in at most ``columns`` columns; None if it has none. The legend goes
    into a place that panels leave free, if it fits there, or else below. Call this inside
    ``style.quiet()``."""
    panels = block.panels
    if not panels:
        return None
    if panels[0].heat is not None:
        return _plot_maps(panels)
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    handles = _handles(block, looks)
    marked = any(series.marks for panel in panels for series in panel.series)
    samples: list[Artist] = []
    for style, text in block.styles.items():
        mark = _mark("o", GREY, style) if marked else {}
        samples.append(Line2D([], [], label=text, **LINES[style] | {"color": GREY} | mark))
    if marked:  # inside the axes they could cover points and their bars
        handles += samples
    named = max(sum(s.kind == "area" for s in panel.series) for panel in panels)
    # room for a legend in two columns below each panel; each part of a kernel has two areas
    height = HEIGHT[min(rows, 2)] + 0.13 * math.ceil(min(named, 2 * NAMED) / 4)
    free = rows * columns > len(panels) and _legend_height(handles, 1) < height
    drawn = figure(rows * height + (0 if free else _legend_height(handles, LEGEND)))
    one_x, one_y = _shared(panels)
    grid = drawn.subplots(rows, columns, sharex=one_x, sharey=one_y, squeeze=False)
    places = list(grid.flat)
    for axes, panel in zip(places, panels, strict=False):
        _draw_panel(axes, panel, block.legend, looks)
        axes.tick_params(labelbottom=True)  # on upper panels, too, like the axis title
        # A shared title is shown in the first column only.
        if axes in grid[:, 0] or panel.y != panels[0].y:
            axes.set_ylabel(panel.y.title)
    if samples and not marked:
        ends = [line.y[[0, -1]] for line in panels[0].series if len(line.y)]
        rising = sum(last > first for first, last in ends) > len(ends) / 2
        corner = "lower right" if rising else "lower left"
        frame: dict[str, Any] = {"frameon": True, "framealpha": 0.9, "edgecolor": "none"}
        places[0].legend(handles=samples, loc=corner, **frame)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    if free:
        places[-1].legend(handles=handles, loc="center", ncols=1, borderaxespad=0)
    elif handles:
        drawn.legend(handles=handles, loc="outside lower center", ncols=LEGEND)
    return drawn


def _shared(panels: Sequence[Panel]) -> tuple[bool, bool]:
    """Whether all panels have the same x axis, and whether they have the same y axis."""
    return len({panel.x for panel in panels}) == 1, len({panel.y for panel in panels}) == 1


def _draw_panel(
    axes: Axes, panel: Panel, named: Mapping[str, str], looks: Mapping[str, Look]
) -> None:
    order = {entry: place for place, entry in enumerate(named)}
    # The best entry is drawn last, on top.
    for series in sorted(panel.series, key=lambda s: -order.get(s.entry, len(order))):
        if series.entry in named:
            colour, marker = looks[series.entry]
            if series.kind == "points":
                _draw_points(axes, series, colour, marker)
            else:
                _draw_line(axes, series, colour, marker)
            for arrow, edge, cut in _beyond(series, panel):
                x = series.x[cut]
                at_edge = BEYOND | {"marker": arrow, "color": colour, "in_layout": False}
                axes.plot(x, np.full(len(x), edge), clip_on=False, **at_edge)
        elif series.kind == "points":
            axes.plot(series.x, series.y, **CROWD)
    areas = [series for series in panel.series if series.kind == "area"]
    for area in areas:
        assert area.low is not None, "an area has a lower end"
        shade: Any = CROWD["color"] if area.shade is None else colormaps[COLOURS](area.shade)
        axes.fill_between(area.x, area.low, area.y, color=shade, label=area.label, linewidth=0)
    if areas:
        below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22), "ncols": 2}
        axes.legend(**legend_of(*axes.get_legend_handles_labels()) | below, fontsize=6.5)
    _scale(axes, panel)
    # Last, since steps go on to the edge of the axes, which depends on everything else.
    for series in panel.series:
        if not series.entry and series.kind != "area":
            steps = series.kind == "steps"
            x = np.append(series.x, axes.get_xlim()[1]) if steps else series.x
            y = np.append(series.y, series.y[-1]) if steps else series.y
            looks = COMMON | {"drawstyle": "steps-post" if steps else "default"}
            axes.plot(x, y, zorder=2, scalex=False, scaley=False, **looks)
    axes.set_xlabel(panel.x.title)
    if panel.title:
        long = bool(areas) or len(panel.title) > 50
        text = textwrap.fill(panel.title, 70).replace("$", r"\$")
        axes.set_title(text, fontsize=8 if long else None)
    if panel.floor is not None:
        _shade_floor(axes, *panel.floor)


def _draw_line(axes: Axes, series: Series, colour: str, marker: str) -> None:
    looks = LINES[series.style] | {"color": colour}
    if series.marks:
        yerr = _lengths(series.y, series.low, series.high)
        looks |= _mark(marker, colour, series.style)
        axes.errorbar(series.x, series.y, yerr=yerr, elinewidth=0.9, **looks)
        return
    stairs = "steps-post" if series.kind == "steps" else "default"
    axes.plot(series.x, series.y, drawstyle=stairs, **looks)
    if series.low is not None and series.high is not None:
        axes.fill_between(
            series.x, series.low, series.high, color=colour, alpha=0.15, linewidth=0, zorder=1.5
        )
    if series.end:
        axes.plot(series.x[-1], series.y[-1], color=colour, **ENDS[series.end])


def _beyond(series: Series, panel: Panel) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield for each end of the y axis an arrow, the end's value, and a mask (n,) of the points of
    a marked line whose interval goes beyond it."""
    if series.marks and panel.y.limits and series.low is not None and series.high is not None:
        bottom, top = panel.y.limits
        yield "v", bottom, series.low < bottom
        yield "^", top, series.high > top


def _mark(marker: str, colour: str, style: str) -> dict[str, Any]:
    """Look of the points of a line: filled if the line is solid, else hollow."""
    face = colour if style == "solid" else "white"
    return {"marker": marker, "markersize": 6, "markerfacecolor": face, "markeredgecolor": colour}


def _draw_points(axes: Axes, series: Series, colour: str, marker: str) -> None:
    alpha = 0.4 if series.faint else 1.0
    drawn = axes.errorbar(
        series.x,
        series.y,
        xerr=_lengths(series.x, series.x_low, series.x_high),
        yerr=_lengths(series.y, series.low, series.high),
        linestyle="none",
        marker=marker,
        markersize=6 if series.faint else 8,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.7,
        alpha=alpha,
        elinewidth=0.9,
        zorder=4,
    )
    for bar in drawn.lines[2]:
        bar.set(alpha=0.6 * alpha, zorder=1)


def _lengths(
    values: np.ndarray, low: np.ndarray | None, high: np.ndarray | None
) -> np.ndarray | None:
    """Lengths (2, n) of the error bars below and above values (n,); None without bounds."""
    return None if low is None or high is None else np.stack([values - low, high - values])


def _scale(axes: Axes, panel: Panel) -> None:
    points = any(series.kind == "points" for series in panel.series)
    axes.margins(*((0.06, 0.06) if points else (0.03, 0.05)))
    for axis, side in ((panel.x, "x"), (panel.y, "y")):
        if axis.scale == "log":
            axes.set(**{f"{side}scale": "log"})
        if axis.limits is not None:
            axes.set(**{f"{side}lim": axis.limits})
        if axis.ticks:
            places, texts = zip(*axis.ticks, strict=True)
            axes.set(**{f"{side}ticks": places, f"{side}ticklabels": texts})
            axes.minorticks_off()
    if points:
        # x is a cost: ticks at 1, 2 and 5 on a log axis; thousands as k.
        if panel.x.scale == "log":
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.locator_params(axis="x", nbins=7)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _shade_floor(axes: Axes, low: float, high: float) -> None:
    """Shade the range up to the lowest floor, and in a paler grey up to the highest one."""
    bottom = low / 30
    axes.axhspan(bottom, low, color=UNDER_FLOOR, linewidth=0, zorder=0)
    axes.axhspan(low, high, color=BETWEEN_FLOORS, linewidth=0, zorder=0)
    axes.axhline(low, color="#888888", linewidth=0.8, zorder=1)
    axes.set_ylim(bottom=bottom)


def _handles(block: Figure, looks: Mapping[str, Look]) -> list[Artist]:
    series = [series for panel in block.panels for series in panel.series]
    present = {s.entry for s in series}
    points = any(s.kind == "points" for s in series)
    marked = any(s.marks for s in series)
    handles: list[Artist] = []
    for entry, name in legends([e for e in block.legend if e in present], 38, 2).items():
        colour, marker = looks[entry]
        mark = (
            {"linestyle": "none", "marker": marker, "markersize": 7, "markeredgecolor": "white"}
            if points
            else {"linewidth": 2.2, "marker": marker if marked else None}
        )
        # The legend's text can have more lines after the name.
        label = name + block.legend[entry].removeprefix(entry)
        handles.append(Line2D([], [], color=colour, label=label, **mark))
    for text in dict.fromkeys(s.label for s in series if not s.entry and s.kind != "area"):
        pale = "; what is dominated is pale" if any(s.faint for s in series) else ""
        handles.append(Line2D([], [], label=f"{text}{pale}", **COMMON))
    if points and (crowd := len(present - set(block.legend) - {""})):
        handles.append(Line2D([], [], label=plural(crowd, "other"), **CROWD))
    if any(cut.any() for p in block.panels for s in p.series for _, _, cut in _beyond(s, p)):
        label = "the interval ends beyond the axes"
        handles.append(Line2D([], [], color=GREY, label=label, marker="^", **BEYOND))
    if any(panel.floor for panel in block.panels):
        handles.append(Patch(color=UNDER_FLOOR, label="under the floor: rounding noise"))
    return handles


def _legend_height(handles: Sequence[Artist], columns: int) -> float:
    """Height of a legend with this many columns [inch]; 0 if it is empty."""
    if not handles:
        return 0.0
    lines = [str(handle.get_label()).count("\n") + 1 for handle in handles]
    rows = math.ceil(len(lines) / columns)
    parts = [lines[start : start + rows] for start in range(0, len(lines), rows)]
    return 0.2 + max(sum(0.145 * n + 0.065 for n in part) for part in parts)


def _plot_maps(panels: Sequence[Panel]) -> Drawing:
    """Draw heat maps, with one colour bar beside them."""
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    drawn = figure(rows * MAP_HEIGHT)
    one_x, one_y = _shared(panels)
    grid = drawn.subplots(rows, columns, sharex=one_x, sharey=one_y, squeeze=False)
    norm = None
    for place, axes in enumerate(grid.flat):
        if place >= len(panels) or (heat := panels[place].heat) is None:
            axes.set_axis_off()
            continue
        panel, norm = panels[place], LogNorm(*heat.limits)
        axes.pcolormesh(heat.x, heat.y, heat.values, norm=norm, cmap=COLOURS, linewidth=0)
        axes.set(xscale=panel.x.scale, yscale=panel.y.scale)
        axes.set(xlim=panel.x.limits, ylim=panel.y.limits)
        axes.yaxis.set_major_locator(FixedLocator([at for at, _ in panel.y.ticks]))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.set_yticklabels([text for _, text in panel.y.ticks])
        axes.grid(visible=False)
        title = "\n".join(label_lines(panel.title, 36)).replace("$", r"\$")
        axes.set_title(title, fontsize=8)
        if place % columns == 0:
            axes.set_ylabel(panel.y.title)
        if place + columns >= len(panels):
            axes.set_xlabel(panel.x.title)
            axes.tick_params(labelbottom=True)  # also above an empty place
    assert panels[0].heat is not None
    mapped = ScalarMappable(norm, COLOURS)
    drawn.colorbar(mapped, ax=list(grid.flat), label=panels[0].heat.title, pad=0.01, aspect=30)
    return drawn
