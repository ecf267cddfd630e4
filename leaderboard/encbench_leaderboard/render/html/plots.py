"""A figure as traces and layout of Plotly."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from encbench_leaderboard.render.html.data import Entries
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series

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
"""Plotly's names of the markers of ``render.style``."""
ENDS = {"stopped": "x-thin-open", "cut": "line-ns-open"}

GREY = "rgba(128,136,150,{})"
"""Seen on light and on dark ground."""
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
    # Nothing is to leave the page, which Plotly's button for sharing offers.
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["toImage", "select2d", "lasso2d"],
}
AXIS: dict[str, Any] = {
    "gridcolor": GREY.format(0.25),
    "linecolor": GREY.format(0.6),
    "zeroline": False,
    "minorloglabels": "none",
    # Plotly raises powers with a style attribute, and makes text bold with one: both are
    # forbidden by the page's policy.
    "exponentformat": "e",
    "minexponent": 5,
    "separatethousands": True,
}


class _Arrays:
    """Arrays of a figure, each once, as base64 of little-endian float64."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def number(self, values: np.ndarray) -> int:
        content = np.ascontiguousarray(values, dtype="<f8").tobytes()
        text = base64.b64encode(content).decode("ascii")
        return self.texts.setdefault(text, len(self.texts))


def plot_data(figure: Figure, entries: Entries) -> dict[str, Any]:
    """What Plotly draws of a figure.

    In ``traces`` numbers stand for the ``arrays``; a trace's ``meta`` says what the script needs
    to colour, hide, find and save it.
    """
    arrays = _Arrays()
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {**LAYOUT, "shapes": [], "annotations": []}
    for place, panel in enumerate(figure.panels):
        suffix = "" if place == 0 else str(place + 1)
        for trace in _panel_traces(panel, figure, arrays, entries):
            meta = trace["meta"]
            number = meta["entry"]
            # What hides it: a click on its entry, or on its style of line.
            meta["lists"] = [
                {"list": "hide", "name": meta["name"]},
                {"list": f"{figure.name}.hide", "name": meta.pop("style")},
            ]
            # In a downloaded picture an entry is named once; the script finds a trace by its uid.
            new = number not in {t["meta"]["entry"] for t in traces}
            traces.append(
                trace
                | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "legendgroup": str(number)}
                | {"uid": f"e{number}s{len(traces)}", "showlegend": new and "fill" not in trace}
            )
        layout[f"xaxis{suffix}"] = _axis(panel.x)
        layout[f"yaxis{suffix}"] = _axis(panel.y)
        if panel.title:
            layout["annotations"].append(_title(panel.title, suffix))
        if panel.floor:
            low, high = _heights(panel)
            layout["shapes"] += _floor(panel.floor, low, suffix)
            if panel.y.limits is None and panel.y.scale == "log":
                layout[f"yaxis{suffix}"]["range"] = [np.log10(low), np.log10(high)]
    texts = list(arrays.texts)
    return {"traces": traces, "layout": layout, "config": CONFIG, "arrays": texts}


def escaped(text: str) -> str:
    """Text that Plotly shows as it is: no markup, no template of its hover labels."""
    return re.sub(r"[&<>{]", lambda found: f"&#{ord(found[0])};", text)


def _axis(axis: Axis) -> dict[str, Any]:
    title = {"text": escaped(axis.title), "standoff": 8, "font": {"size": 12}}
    made = AXIS | {"title": title, "type": axis.scale}
    if axis.limits:
        made["range"] = [float(v) for v in axis.limits]
        if axis.scale == "log":
            made["range"] = [float(np.log10(v)) for v in axis.limits]
    return made


def _title(text: str, suffix: str) -> dict[str, Any]:
    return {
        "text": escaped(text),
        "xref": f"x{suffix} domain",
        "yref": f"y{suffix} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
    }


def _heights(panel: Panel) -> tuple[float, float]:
    """Bottom and top of a logarithmic axis that shows the floor and all positive values."""
    values = np.concatenate([s.y for s in panel.series] or [np.empty(0)])
    seen = np.append(values[np.isfinite(values) & (values > 0)], panel.floor or ())
    return float(seen.min()) / 5, float(seen.max()) * 2


def _floor(floor: tuple[float, float], bottom: float, suffix: str) -> list[dict[str, Any]]:
    """Shaded what lies under all floors, more lightly what lies under some."""
    spans = [(bottom * 1e-9, floor[0], 0.25), (floor[0], floor[1], 0.12)]
    return [
        {
            "type": "rect",
            "xref": f"x{suffix} domain",
            "yref": f"y{suffix}",
            "x0": 0,
            "x1": 1,
            "y0": low,
            "y1": high,
            "layer": "below",
            "line": {"width": 0},
            "fillcolor": GREY.format(opacity),
        }
        for low, high, opacity in spans
        if high > low
    ]


def _panel_traces(
    panel: Panel, figure: Figure, arrays: _Arrays, entries: Entries
) -> list[dict[str, Any]]:
    """The traces of a panel, the best entry's on top; unnamed points are one grey trace."""

    def unnamed(series: Series) -> bool:
        return series.entry != "" and series.entry not in figure.legend

    crowd = [s for s in panel.series if s.kind == "points" and unnamed(s)]
    order = {entry: place for place, entry in enumerate(figure.legend)}
    drawn = sorted(panel.series, key=lambda s: -order.get(s.entry, len(order)))
    traces = []
    if crowd:
        x, y = (np.concatenate([getattr(s, axis) for s in crowd]) for axis in "xy")
        whole = Series("", x, y, "points", label=f"{len(crowd):,} others", faint=True)
        trace = _series_traces(whole, panel, arrays, entries)[0]
        names = [escaped(s.entry) for s in crowd for _ in s.x]
        hover = trace["hovertemplate"].replace("%{data.name}", "%{text}")
        traces.append(trace | {"text": names, "hovertemplate": hover})
    for series in drawn:
        if not (series.kind == "points" and unnamed(series)):
            made = _series_traces(series, panel, arrays, entries)
            for trace in made:
                trace["meta"]["named"] = not unnamed(series)
            traces += made
    return traces


def _series_traces(
    series: Series, panel: Panel, arrays: _Arrays, entries: Entries
) -> list[dict[str, Any]]:
    """The series itself, and the band and the mark at its end that belong to it."""

    def points(x: Callable[[np.ndarray], np.ndarray], y: np.ndarray) -> dict[str, Any]:
        """A trace through y (m,) at what ``x`` makes of the series' x (n,), in all units."""
        return {
            "type": "scatter",
            "name": escaped(series.entry or series.label),
            "x": arrays.number(x(series.x)),
            "y": arrays.number(y),
            "meta": {
                "entry": entries.number(series.entry),
                "colours": entries.colours(series.entry),
                "name": series.entry,
                "label": series.label,
                "style": series.style,
                "named": True,
                "panel": panel.title or panel.y.title,
                "other": {t: arrays.number(x(values)) for t, values in series.other_x.items()},
            },
        }

    made = []
    line: dict[str, Any] = {"dash": DASHES[series.style]}
    line["width"] = 0.9 if series.style == "thin" else 1.8
    if series.kind == "steps":
        line["shape"] = "hv"
    if series.kind != "points" and series.low is not None and series.high is not None:
        around = points(_there_and_back, np.concatenate([series.high, series.low[::-1]]))
        made.append(around | {"mode": "none", "fill": "toself", "hoverinfo": "skip"})
    about = f"<br>{escaped(series.label)}" if series.entry and series.label else ""
    main = points(np.asarray, series.y) | {
        "mode": "markers" if series.kind == "points" else "lines",
        "opacity": 0.4 if series.faint else 1,
        "line": line,
        "hovertemplate": f"%{{data.name}}{about}<br>%{{xaxis.title.text}}: %{{x:,.6~r}}"
        f"<br>{escaped(panel.y.title)}: %{{y:.5~g}}<extra></extra>",
    }
    if series.kind == "points":
        size = 9 if series.entry else 5
        main["marker"] = {"symbol": SYMBOLS[entries.marker(series.entry)], "size": size}
        main |= _bars("y", series.y, series.low, series.high)
        main |= _bars("x", series.x, series.x_low, series.x_high)
    made.append(main)
    if series.end and len(series.x):
        marker = {"symbol": ENDS[series.end], "size": 9, "line": {"width": 2}}
        at_end = points(lambda x: x[-1:], series.y[-1:])
        made.append(at_end | {"mode": "markers", "marker": marker, "hoverinfo": "skip"})
    return made


def _there_and_back(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, x[::-1]])


def _bars(
    axis: str, value: np.ndarray, low: np.ndarray | None, high: np.ndarray | None
) -> dict[str, Any]:
    """Error bars of points; none where a bound is not finite."""
    if low is None or high is None:
        return {}
    array, under = (np.nan_to_num(length).tolist() for length in (high - value, value - low))
    looks = {"type": "data", "symmetric": False, "thickness": 1, "width": 3}
    return {f"error_{axis}": looks | {"array": array, "arrayminus": under}}
