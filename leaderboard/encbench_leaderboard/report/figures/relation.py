"""A number against a setting, a line per encoding."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from encbench.errors import UsageError
from encbench.results.tabular import Chunk, ExportColumn
from encbench_leaderboard.board.against import Against, Line, Relation, against
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series, Style
from encbench_leaderboard.report.format import plain

STYLES: tuple[Style, ...] = get_args(Style)
RATE = "learning_rate"
FEWEST_RATES = 3
TICKS = 12
"""Maximum number of ticks of a log axis, and of distinct values of x that can have one each."""


def relation_figure(found: Against, x: str, *, log_x: bool = False, log_y: bool = False) -> Figure:
    """A panel per task and a colour per encoding. Other settings differ in line style or, if there
    are too many, in colour.

    Raises:
        UsageError: a value cannot be drawn on a log axis.
    """
    lines = [line for relation in found.relations for line in relation.lines]
    settings = list(dict.fromkeys(line.settings for line in lines))
    few = len(settings) <= len(STYLES)
    styles: dict[str, Style] = dict(zip(settings, STYLES, strict=False)) if few else {}
    names = list(dict.fromkeys(_name(line, styles) for line in lines))
    panels = [_panel(relation, x, styles, log_x, log_y) for relation in found.relations]
    if len(panels) == 1:
        panels = [Panel(panels[0].x, panels[0].y, panels[0].series)]
    return Figure(
        "relation",
        f"{found.relations[0].title} against {x}",
        f"Mean and 95 % interval over seeds or targets. {plain(' '.join(found.notes))}".strip(),
        lambda: panels,
        {name: name for name in names},
        {style: text for text, style in styles.items()} if len(styles) > 1 else {},
    )


def rates_figure(task: TaskBoard) -> Figure | None:
    """The primary metric against the learning rate; None if no encoding was trained at
    ``FEWEST_RATES`` or more rates."""
    rates: dict[str, set[object]] = defaultdict(set)
    for one in task.facts:
        training = one.cell.training
        rate = training.lr_factor if training.lr == "auto" else training.lr
        rates[one.encoding].add((training.optimizer, rate))
    if max(map(len, rates.values())) < FEWEST_RATES:
        return None
    try:
        found = against(task.records, RATE, task.primary.name)
        figure = relation_figure(found, RATE, log_x=True)
    except UsageError:
        return None  # no two rates of cells that finished
    return replace(figure, name="rates")


def relation_table(found: Against, x: str, y: str) -> tuple[list[ExportColumn], Iterator[Chunk]]:
    """The numbers drawn, for ``encbench.results.tabular.write_table``: one row per point."""
    texts = any(relation.places for relation in found.relations)
    columns = [
        *(ExportColumn(name, "text") for name in ("task", "encoding", "settings")),
        ExportColumn(x, "text" if texts else "number"),
        *(ExportColumn(name, "number") for name in (y, f"{y}.low", f"{y}.high")),
        ExportColumn("n", "integer"),
    ]
    return columns, (
        [
            *([text] * len(line.x) for text in (relation.task, line.encoding, line.settings)),
            [relation.places[int(place)] for place in line.x]
            if relation.places
            else line.x.tolist(),
            *(_missing(values) for values in (line.y, line.low, line.high)),
            line.units.tolist(),
        ]
        for relation in found.relations
        for line in relation.lines
    )


def _missing(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _apart(values: Sequence[float]) -> list[float]:
    """Of ascending values, those whose labels have room beside one another on a log axis."""
    kept = list(values[:1])
    for value in values[1:]:
        if kept[0] > 0 and value / kept[-1] >= (values[-1] / kept[0]) ** (1 / TICKS):
            kept.append(value)
    return kept


def _limits(series: Sequence[Series], *, log: bool) -> tuple[float, float] | None:
    """Limits of y: the range of the means, extended for intervals by at most half of it."""
    means = np.concatenate([line.y for line in series] or [np.empty(0)])
    ends = [end for line in series for end in (line.low, line.high) if end is not None]
    if not len(means) or not np.isfinite(means).all():
        return None
    known = np.concatenate([means, *ends])
    known = known[~np.isnan(known)]
    if log:
        with np.errstate(divide="ignore"):
            means, known = np.log(means), np.log(np.maximum(known, 0))
    low, high = float(means.min()), float(means.max())
    reach = 0.5 * (high - low) or 0.05 * abs(high) or 1.0
    margin = 0.05 * (high - low) or 0.1 * reach
    bottom = max(float(known.min()), low - reach) - margin
    top = min(float(known.max()), high + reach) + margin
    return (math.exp(bottom), math.exp(top)) if log else (bottom, top)


def _name(line: Line, styles: Mapping[str, Style]) -> str:
    separate = line.settings and not styles
    return f"{line.encoding} · {line.settings}" if separate else line.encoding


def _panel(
    relation: Relation, x: str, styles: Mapping[str, Style], log_x: bool, log_y: bool
) -> Panel:
    series = [
        Series(
            _name(line, styles),
            line.x,
            line.y,
            style=styles.get(line.settings, "solid"),
            label=line.settings,
            low=line.low,
            high=line.high,
            marks=True,
        )
        for line in relation.lines
    ]
    values = np.unique(np.concatenate([line.x for line in relation.lines] or [np.empty(0)]))
    ticks: Sequence[tuple[float, str]] = list(enumerate(relation.places))
    if log_x and not ticks and len(values) <= TICKS:
        ticks = [(v, f"{v:,.0f}" if v >= 1000 else f"{v:g}") for v in _apart(values.tolist())]
    if log_x and relation.places:
        raise UsageError(f"{x} is not a number ({', '.join(relation.places)}): leave out --logx")
    for name, log, drawn in (("x", log_x, values), ("y", log_y, [v for s in series for v in s.y])):
        if log and min(drawn, default=1) <= 0:
            raise UsageError(
                f"a logarithmic {name} axis needs values above 0, got {min(drawn):g}; "
                f"leave out --log{name}"
            )
    title = x.replace("learning_rate", "learning rate")
    across = Axis(title, "log" if log_x else "linear", ticks=tuple(ticks))
    up = Axis(relation.title, "log" if log_y else "linear", _limits(series, log=log_y))
    return Panel(across, up, series, relation.task)
