"""A figure as Plotly traces and layout."""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np
from plotly.colors import sample_colorscale

from encbench.cli.console import label_lines
from encbench_leaderboard.render.html.data import NEUTRAL, Entries
from encbench_leaderboard.report.blocks import Axis, Figure, HeatMap, Panel, Series

DASHES = {"solid": "solid", "dashed": "dash", "dotted": "dot", "thin": "solid"}
SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
}
"""Plotly's names of the markers of ``encbench.results.palette``."""
COLOURS = "Viridis"
"""Colour scale of heat maps: perceptually uniform, also for colour-blind readers."""
TITLE = 48
"""Maximum length of a line of a panel's title; a panel is at least 320 px wide [characters]."""
ENDS = {"stopped": "x-thin-open", "cut": "line-ns-open"}

GREY = "rgba(128,136,150,{})"
"""Visible on light and on dark backgrounds."""
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
LAYOUT: dict[str, Any] = {
    "margin": {"l": 64, "r": 12, "t": 30, "b": 52},
    "font": {"family": FONT, "size": 12},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "hovermode": "closest",
    "hoverlabel": {"bgcolor": "#1a1d23", "bordercolor": "#848c9a", "font": {"color": "#ffffff"}},
    "dragmode": "zoom",
    "showlegend": False,
    "grid": {"pattern": "independent", "xgap": 0.16, "ygap": 0.24},
}
CONFIG = {
    "displaylogo": False,
    # Plotly's button for sharing would send data away from the page.
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["toImage", "select2d", "lasso2d"],
}
AXIS: dict[str, Any] = {
    "gridcolor": GREY.format(0.25),
    "linecolor": GREY.format(0.6),
    "zeroline": False,
    "minorloglabels": "none",
    # Plotly sets exponents and bold text with style attributes, which the page's policy forbids.
    "exponentformat": "e",
    "minexponent": 5,
    "separatethousands": True,
}


def plot_data(figure: Figure, entries: Entries) -> dict[str, Any]:
    """Return what Plotly draws of a figure.

    ``traces`` refer to ``arrays`` by number; a trace's ``meta`` has what the script needs to
    colour, hide, find and save it.
    """
    drawing = _Drawing(figure, entries)
    layout: dict[str, Any] = {**LAYOUT, "shapes": [], "annotations": []}
    for place, panel in enumerate(figure.panels):
        suffix = "" if place == 0 else str(place + 1)
        drawing.add(panel, suffix)
        x, y = _axis(panel.x), _axis(panel.y)
        layout |= {f"xaxis{suffix}": x, f"yaxis{suffix}": y}
        inside = {"xref": f"x{suffix} domain", "yref": f"y{suffix}"}
        if panel.title:
            above = {"x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "showarrow": False}
            above["align"] = "left"
            where = inside | {"yref": f"y{suffix} domain"}
            lines = [escaped(line) for line in label_lines(panel.title, TITLE)]
            layout["annotations"].append({"text": "<br>".join(lines)} | where | above)
        if panel.floor:
            low, high = _heights(panel)
            layout["shapes"] += [inside | shape for shape in _floor(panel.floor, low)]
            if panel.y.limits is None and panel.y.scale == "log":
                y["range"] = [np.log10(low), np.log10(high)]
    arrays = list(drawing.arrays)
    return {"traces": drawing.traces, "layout": layout, "config": CONFIG, "arrays": arrays}


def colour_scale(heat: HeatMap) -> list[tuple[str, str]]:
    """Colour and text of each power of ten on a heat map's scale."""
    low, high = np.log10(heat.limits)
    decades = np.arange(np.ceil(low), high + 0.5)
    shares = ((decades - low) / (high - low)).tolist()
    colours = sample_colorscale(COLOURS, shares)
    return list(zip(colours, (f"{10.0**decade:g}" for decade in decades), strict=True))


def shade_colour(shade: float) -> str:
    """Colour at a position from 0 to 1 on the scale of heat maps."""
    ((red, green, blue),) = sample_colorscale(COLOURS, [shade], colortype="tuple")
    return "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue))


SHADES = [
    (NEUTRAL[0], "network"),
    (shade_colour(0), "coarsest level"),
    (shade_colour(0.5), "in between"),
    (shade_colour(1), "finest level"),
]
"""What the colours of areas mean."""


def escaped(text: str) -> str:
    """Escape text so that Plotly shows it as it is: no markup, no template of hover labels."""
    return re.sub(r"[&<>{]", lambda found: f"&#{ord(found[0])};", text)


def _axis(axis: Axis) -> dict[str, Any]:
    title = {"text": escaped(axis.title), "standoff": 8, "font": {"size": 12}}
    made = AXIS | {"title": title, "type": axis.scale}
    if axis.limits:
        limits = np.log10(axis.limits) if axis.scale == "log" else np.array(axis.limits)
        made["range"] = [float(limit) for limit in limits]
    if axis.ticks:
        places, texts = zip(*axis.ticks, strict=True)
        made |= {"tickvals": list(places), "ticktext": [escaped(text) for text in texts]}
    return made


def _heights(panel: Panel) -> tuple[float, float]:
    """Bottom and top of a logarithmic axis that shows the floor and all positive values."""
    values = np.concatenate([s.y for s in panel.series] or [np.empty(0)])
    seen = np.append(values[np.isfinite(values) & (values > 0)], panel.floor or ())
    return float(seen.min()) / 5, float(seen.max()) * 2


def _floor(floor: tuple[float, float], bottom: float) -> list[dict[str, Any]]:
    """Shade the range under all floors, and more lightly the range under some."""
    spans = [(bottom * 1e-9, floor[0], 0.25), (floor[0], floor[1], 0.12)]
    looks = {"type": "rect", "x0": 0, "x1": 1, "layer": "below", "line": {"width": 0}}
    return [
        looks | {"y0": low, "y1": high, "fillcolor": GREY.format(opacity)}
        for low, high, opacity in spans
        if high > low
    ]


class _Drawing:
    """Traces of one figure, panel by panel."""

    def __init__(self, figure: Figure, entries: Entries) -> None:
        self.traces: list[dict[str, Any]] = []
        self.arrays: dict[str, int] = {}
        """Numbers of the distinct arrays, by their base64 of little-endian float64."""
        self._figure, self._entries = figure, entries
        self._order = {entry: place for place, entry in enumerate(figure.legend)}

    def add(self, panel: Panel, suffix: str) -> None:
        """Add a panel's traces, the best entry's on top; unnamed points are one grey trace."""
        if panel.heat:
            self._map(panel, panel.heat, suffix)
        crowd = [s for s in panel.series if s.kind == "points" and self._unnamed(s)]
        if crowd:
            x, y = (np.concatenate([getattr(s, axis) for s in crowd]) for axis in "xy")
            whole = Series("", x, y, "points", label=f"{len(crowd):,} others", faint=True)
            self._series(whole, panel, suffix)
            trace = self.traces[-1]
            trace["text"] = [escaped(s.entry) for s in crowd for _ in s.x]
            trace["hovertemplate"] = trace["hovertemplate"].replace("%{data.name}", "%{text}")
        last = len(self._order)
        for series in sorted(panel.series, key=lambda s: -self._order.get(s.entry, last)):
            if not (series.kind == "points" and self._unnamed(series)):
                self._series(series, panel, suffix)

    def _map(self, panel: Panel, heat: HeatMap, suffix: str) -> None:
        """Add a heat map; the trace's "z" refers to rows of log10 of its values."""
        low, high = np.log10(heat.limits).tolist()
        looks: dict[str, Any] = {"type": "heatmap", "xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        # Plotly's own colour bar has style attributes, which the page's policy forbids
        looks |= {"zmin": low, "zmax": high, "colorscale": COLOURS, "showscale": False}
        looks |= {"hoverongaps": False}
        hover = "up to step %{x:,}<br>up to %{y:g} cycles per unit<br>10^%{z:.2f}<extra></extra>"
        rows = [self._number(row) for row in np.log10(heat.values)]
        colours = self._entries.colours(panel.title)
        about = {"entry": -1, "colours": colours, "name": panel.title, "label": heat.title}
        about |= {"named": True, "panel": panel.y.title, "lists": [], "other": {}}
        places = {"x": self._number(heat.x), "y": self._number(heat.y), "z": rows}
        uid = f"m{len(self.traces)}"
        self.traces.append(looks | places | {"hovertemplate": hover, "meta": about, "uid": uid})

    def _unnamed(self, series: Series) -> bool:
        return series.entry != "" and series.entry not in self._order

    def _number(self, values: np.ndarray) -> int:
        content = np.ascontiguousarray(values, dtype="<f8").tobytes()
        text = base64.b64encode(content).decode("ascii")
        return self.arrays.setdefault(text, len(self.arrays))

    def _series(self, series: Series, panel: Panel, suffix: str) -> None:
        """Add a series, with its band and the mark at its end."""
        number = self._entries.number(series.entry)
        common = {
            "type": "scatter",
            "name": escaped(series.entry or series.label),
            "xaxis": f"x{suffix}",
            "yaxis": f"y{suffix}",
            "legendgroup": str(number),
        }
        meta = {
            "entry": number,
            "colours": self._entries.colours(series.entry)
            if series.shade is None
            else (shade_colour(series.shade),) * 2,
            "alpha": "ff" if series.kind == "area" else "2e",
            "name": series.entry,
            "label": series.label,
            "named": not self._unnamed(series),
            "panel": panel.title or panel.y.title,
            # Clicks that hide it: on its entry, or on its line style.
            "lists": [
                {"list": "hide", "name": series.entry},
                {"list": f"{self._figure.name}.hide", "name": series.style},
            ],
        }

        def trace(at: Any, y: np.ndarray, looks: dict[str, Any]) -> None:
            """Add a trace of y (m,) at indices ``at`` (m,) of the series' x (n,), in all units."""
            other = {title: self._number(x[at]) for title, x in series.other_x.items()}
            # A downloaded picture names an entry once; the script finds a trace by its uid.
            new = number not in {t["meta"]["entry"] for t in self.traces}
            made: dict[str, Any] = {"x": self._number(series.x[at]), "y": self._number(y)}
            made |= {"uid": f"e{number}s{len(self.traces)}", "meta": meta | {"other": other}}
            self.traces.append(common | made | {"showlegend": new and "fill" not in looks} | looks)

        places = np.arange(len(series.x))
        points = series.kind == "points"
        if not points and series.low is not None and series.high is not None:
            around = np.concatenate([series.high, series.low[::-1]])
            band = {"mode": "none", "fill": "toself", "hoverinfo": "skip"}
            trace(np.concatenate([places, places[::-1]]), around, band)
        about = f"<br>{escaped(series.label)}" if series.entry and series.label else ""
        looks: dict[str, Any] = {
            "mode": "markers" if points else "lines+markers" if series.marks else "lines",
            "opacity": 0.4 if series.faint else 1,
            "line": {
                "dash": DASHES[series.style],
                "width": 0.9 if series.style == "thin" else 1.8,
                "shape": "hv" if series.kind == "steps" else "linear",
            },
            "hovertemplate": f"%{{data.name}}{about}<br>%{{xaxis.title.text}}: %{{x:,.6~r}}"
            f"<br>{escaped(panel.y.title)}: %{{y:.5~g}}<extra></extra>",
        }
        if points:
            size = 9 if series.entry else 5
            symbol = SYMBOLS[self._entries.marker(series.entry)]
            looks["marker"] = {"symbol": symbol, "size": size}
            looks |= _bars("y", series.y, series.low, series.high)
            looks |= _bars("x", series.x, series.x_low, series.x_high)
        trace(places, series.y, looks)
        if series.end and len(series.x):
            marker = {"symbol": ENDS[series.end], "size": 9, "line": {"width": 2}}
            mark = {"mode": "markers", "marker": marker, "hoverinfo": "skip"}
            trace(places[-1:], series.y[-1:], mark)


def _bars(
    axis: str, value: np.ndarray, low: np.ndarray | None, high: np.ndarray | None
) -> dict[str, Any]:
    """Error bars of points; of length 0 if a bound is NaN."""
    if low is None or high is None:
        return {}
    array, under = (np.nan_to_num(length).tolist() for length in (high - value, value - low))
    looks = {"type": "data", "symmetric": False, "thickness": 1, "width": 3}
    return {f"error_{axis}": looks | {"array": array, "arrayminus": under}}
