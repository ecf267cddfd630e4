"""A number of each cell against a setting: means over seeds and targets, with intervals."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from encbench.errors import UsageError, did_you_mean, plural
from encbench.results.palette import natural
from encbench.results.records import StoredRecord
from encbench.suite.config import differing, sorted_json
from encbench.suite.labels import settings_text, unique_labels
from encbench_leaderboard.board.abscissa import (
    FOLLOWS,
    names_of_x,
    settings_without,
    varies,
    without,
    x_value,
)
from encbench_leaderboard.board.budget import FAILED, Until
from encbench_leaderboard.board.comparable import (
    POINT,
    LeftOut,
    Number,
    comparable,
    sentences,
)
from encbench_leaderboard.board.facts import (
    WHENS,
    MetricInfo,
    cell_settings,
    curve_metrics,
    identity,
    machine,
)
from encbench_leaderboard.board.standings import OVER_DECADES
from encbench_leaderboard.board.table import (
    Board,
    TaskBoard,
    boards,
    conditions_met,
    text_series,
)
from encbench_leaderboard.statistics.intervals import intervals
from encbench_leaderboard.statistics.sample import cube

EIGENVALUES = {
    "lambda_maximum": ("maximum", "λ_max"),
    "lambda_median": ("median", "λ median"),
    "lambda_quantile_10": ("quantile_10", "λ 10th percentile"),
    "lambda_minimum": ("minimum", "λ_min"),
    "floor": ("floor", "floor of the eigenvalues"),
    "resolved_rank": ("resolved_rank", "resolved rank"),
    "effective_rank": ("effective_rank", "effective rank"),
    "alignment": ("alignment_centred", "centred alignment"),
    "energy_tenth": ("energy_tenth", "share of the target's energy in the leading tenth"),
    "drift": ("drift", "drift of the kernel"),
}
NUMBERS = {
    "best": ("best", "best {}"),
    "best_step": ("best_step", "step of the best {}"),
    "seconds": ("training", "training [s]"),
    "ntk_seconds": ("ntk", "spectra [s]"),
    "memory": ("peak_memory", "peak memory [MiB]"),
    "steps": ("steps", "steps"),
    "learning_rate": ("lr", "learning rate"),
    "lr_ratio": ("lr_ratio", "lr / lr_crit"),
    "parameters": ("params_mlp+params_encoding", "parameters"),
    "parameters_mlp": ("params_mlp", "parameters of the MLP"),
    "parameters_encoding": ("params_encoding", "parameters of the encoding"),
    **{
        name if when == "end" else f"{when}.{name}": (f"{when}:{column}", f"{title} at the {when}")
        for when in reversed(WHENS)
        for name, (column, title) in EIGENVALUES.items()
    },
}
"""Recorded numbers by the name that a user gives: columns of ``TaskBoard.cells`` to add up, and the
title of the axis, in which "{}" is the title of the curve's metric."""
RECORDED = [name for name in NUMBERS if "." not in name]
PANELS = 8
"""Maximum number of tasks drawn."""
LISTED = 20
"""Maximum number of tasks that a message names."""


@dataclass(frozen=True)
class Line:
    """One encoding with all settings except x constant, x ascending; arrays (n,)."""

    encoding: str  # its label, without the parameter that x names
    settings: str  # those that differ from other lines of the encoding, such as "epochs=45"
    x: np.ndarray  # means over cells, or indices into ``Relation.places``
    y: np.ndarray  # means over units; geometric means for eigenvalues
    low: np.ndarray
    high: np.ndarray  # 95 % interval of the mean; NaN if there is none
    units: np.ndarray  # number of seeds, or of targets of a category


@dataclass(frozen=True)
class Relation:
    """A number against a setting, on one task or category."""

    task: str
    title: str  # title of the number, with its unit
    lines: Sequence[Line]
    places: Sequence[str]  # values of an x that is not a number, in order; else empty
    left_out: LeftOut
    notes: Sequence[str]  # sentences on the cells over which its means are


@dataclass(frozen=True)
class Against:
    """The relations that ``encbench plot`` draws."""

    relations: Sequence[Relation]
    notes: Sequence[str]  # sentences on what is left out, and what must not be compared


def against(records: Sequence[StoredRecord], x: str, y: str, task: str | None = None) -> Against:
    """How y depends on x on each task; a category counts as one task.

    Args:
        records: those of a results folder.
        x: as for ``x_value``.
        y: a metric, a name in ``NUMBERS``, or a cost (see ``Until``).
        task: only tasks and categories with this label, or whose label contains this.

    Raises:
        UsageError: these records have no such x, y or task, or values of y must not be compared.
    """
    y = y.removeprefix("end.")
    values = [x_value(stored.record, x) for stored in records]
    if all(value is None for value in values):
        known = names_of_x(records)
        differ = ", ".join(name for name in known if varies(records, name)) or "nothing"
        hint = did_you_mean(x, known, f"what differs between these cells: {differ}")
        raise UsageError(f"no cell has {x!r} for x{hint}")
    alike = [without(stored, x) for stored in records]
    groups = _chosen(boards(alike), task)
    metrics = dict.fromkeys(metric.name for group in groups for metric in group.metrics)
    if y not in metrics and y not in NUMBERS and Until.of(y) is None:
        raise UsageError(
            f"no cell has {y!r} for y"
            + did_you_mean(
                y,
                [*metrics, *NUMBERS],
                f"metrics here: {', '.join(metrics)}; recorded numbers: {', '.join(RECORDED)}; "
                "costs of a quality: steps_to_VALUE, seconds_to_VALUE",
            )
        )
    cells = {
        id(copy): _Cell(copy, stored, value)
        for copy, stored, value in zip(alike, records, values, strict=True)
    }
    names = unique_labels(
        {identity(c.encoding): c.encoding for c in (s.record.cell for s in alike)}
    )
    shown = [[cells[id(stored)] for stored in group.records] for group in groups]
    found = [
        _relation(group, group_cells, names, x, y)
        for group, group_cells in zip(groups, shown, strict=True)
        if y in NUMBERS or Until.of(y) or y in [metric.name for metric in group.metrics]
    ]
    drawn = [relation for relation in found if relation.lines]
    left_out = sentences(sum((relation.left_out for relation in found), LeftOut()))
    if not drawn:
        why = "".join(f"; {sentence[:-1]}" for sentence in left_out)
        raise UsageError(f"nothing to draw: no cell that finished has both {x} and {y}{why}")
    notes = _notes([cell for group in shown for cell in group], x, y) + left_out
    notes += [note for relation in drawn for note in relation.notes]
    return Against(drawn, notes)


@dataclass(frozen=True)
class _Cell:
    alike: StoredRecord
    """The record without x, so that cells of a line have equal encodings and tasks."""
    stored: StoredRecord
    value: Any
    """Value of x; None if the cell has none."""

    def settings(self, x: str) -> dict[str, Any]:
        """Settings that x does not determine."""
        return settings_without(self.stored.record, x)


def _chosen(board: Board, task: str | None) -> list[TaskBoard]:
    if task is None:
        found = board.groups
    else:
        every = [*board.categories, *board.tasks]
        found = [one for one in every if one.label == task]
        found = found or [group for group in board.groups if task in group.label]
        found = found or [one for one in every if task in one.label]
    labels = ", ".join(group.label for group in (found or board.groups)[:LISTED])
    if not found:
        names = [group.label for group in board.groups]
        hint = did_you_mean(task, names, f"tasks here: {labels}")
        raise UsageError(f"no task {task!r}{hint}")
    if len(found) > PANELS:
        raise UsageError(
            f"{len(found)} tasks, but at most {PANELS} can be drawn; choose with --task: {labels}"
            f"{', …' if len(found) > LISTED else ''}"
        )
    return found


def _relation(
    group: TaskBoard, cells: Sequence[_Cell], names: Mapping[str, str], x: str, y: str
) -> Relation:
    number = _number(group, y)
    geometric = _geometric(y)
    values = [cell.value for cell in cells]
    places = _places(values)
    table = group.cells[["status", "unit", "repeat", "seed", "target"]].assign(
        encoding=text_series(names[identity(cell.alike.record.cell.encoding)] for cell in cells),
        settings=text_series(sorted_json(cell.settings(x)) for cell in cells),
        entry=text_series(_point(cell, x) for cell in cells),
        x=[_place(value, places) for value in values],
        number=number.values,
        below=number.below,
    )
    selected = comparable(table, number, group.label, category=bool(group.targets))
    table = selected.cells
    if geometric:
        table = table.assign(number=np.log(table["number"]))
    keys = dict.fromkeys(
        key
        for _, texts in table.groupby("encoding")["settings"].unique().items()
        for key in differing(map(json.loads, texts))
    )
    lines = []
    for (encoding, settings), cells_of_line in table.groupby(POINT[:2], sort=False):
        of_point = cells_of_line.groupby("entry", sort=False)["x"]
        # a mean of equal numbers may differ from them in the last digit
        of_point_x = of_point.mean() if x in FOLLOWS else of_point.first()
        points = of_point_x.sort_values(kind="stable")
        found = intervals(cube(cells_of_line, "number", list(points.index)).values)
        means = np.array([[one.mean, one.low, one.high] for one in found])
        drawn = np.isfinite(means[:, 0])
        y_low_high = (np.exp(means) if geometric else means)[drawn]
        units = np.array([one.units for one in found])[drawn]
        chosen = json.loads(str(settings))
        name = str(encoding), settings_text(chosen, [key for key in chosen if key in keys])
        y_mean, low, high = y_low_high.T
        lines.append(Line(*name, points.to_numpy()[drawn], y_mean, low, high, units))
    lines.sort(key=lambda line: (natural(line.encoding), natural(line.settings)))
    drawn_lines = [line for line in lines if len(line.x)]
    return Relation(
        group.label, number.title, drawn_lines, places, selected.left_out, selected.notes
    )


def _geometric(y: str) -> bool:
    return y in NUMBERS and NUMBERS[y][0].rpartition(":")[2] in OVER_DECADES


def _number(group: TaskBoard, y: str) -> Number:
    if until := Until.of(y):
        title = until.heading(group.primary)
        return Number(until.costs(group), title, title, cost=True)
    metric = next((metric for metric in group.metrics if metric.name == y), None)
    if metric is None:
        return _recorded(group, y)
    met = conditions_met(group.cells, metric)
    if len(met) > 1:
        raise UsageError(
            f"values of {y} on {group.label} were taken under different conditions, "
            f"{' and '.join(sorted(met))}, and must not be compared; choose another y"
        )
    values = group.cells[f"metric:{y}"].to_numpy(dtype=np.float64)
    exact = " (exact fit)" if metric.higher else ""
    return Number(values, metric.heading, metric.title, infinite=exact)


def _recorded(group: TaskBoard, y: str) -> Number:
    """The number of that name in ``NUMBERS``."""
    columns, title = NUMBERS[y]
    curve = group.primary
    if y in ("best", "best_step"):
        curve = _one_curve(group, curve)
    title = title.format(curve.title)
    values = np.asarray(sum(group.cells[name] for name in columns.split("+")), dtype=np.float64)
    if y == "memory":
        values = values / 2**20
    below: np.ndarray | bool = False
    if _geometric(y):
        # the logarithm needs values above 0
        values = np.where(values > 0, values, np.nan)
        taken = group.cells[f"{columns.partition(':')[0]}:size"].notna().to_numpy()
        below = taken & np.isnan(values)
    exact = " (exact fit)" if y == "best" and curve.higher else ""
    return Number(values, title, title, below, infinite=exact)


def _one_curve(group: TaskBoard, default: MetricInfo) -> MetricInfo:
    """The metric of the curves; the default if there is no curve."""
    found = curve_metrics(group.facts, group.metrics)
    if len(found) > 1:
        raise UsageError(
            f"curves on {group.label} are of different metrics, "
            f"{' and '.join(sorted(metric.name for metric in found))}, and must not be compared; "
            "choose another y"
        )
    return found[0] if found else default


def _point(cell: _Cell, x: str) -> str:
    """Key of a cell's point, equal for cells that differ only in seed and target."""
    if x not in FOLLOWS:
        return sorted_json(cell.value)
    record = cell.stored.record
    return f"{identity(record.cell.encoding)}{sorted_json(cell_settings(record))}"


def _places(values: Sequence[Any]) -> list[str]:
    """The distinct values in order if some are not numbers; else an empty list."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return []
    return sorted({_text(value) for value in known}, key=natural)


def _place(value: Any, places: Sequence[str]) -> float:
    if value is None:
        return math.nan
    return float(places.index(_text(value)) if places else value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else sorted_json(value)


def _notes(cells: Sequence[_Cell], x: str, y: str) -> list[str]:
    """Sentences on what is left out, and on what must not be compared."""
    counted = ("ok", *FAILED) if Until.of(y) else ("ok",)  # a failed cell's cost is infinite
    statuses = Counter(cell.stored.record.status for cell in cells)
    notes = [
        f"{plural(count, 'cell')} left out: {status.replace('_', ' ')}."
        for status, count in statuses.most_common()
        if status not in counted
    ]
    if without := sum(c.value is None and c.stored.record.status in counted for c in cells):
        notes.append(f"{plural(without, 'cell')} left out: no {x}.")
    rates = [cell.stored.record.learning_rate for cell in cells]
    if halved := sum(bool(rate and rate.halvings) for rate in rates):
        notes.append(
            f"{plural(halved, 'cell')} trained at a lower rate than set, because training diverged."
        )
    ran_on = {machine(cell.stored.record.provenance) for cell in cells}
    timed = y in ("seconds", "ntk_seconds", "memory") or y.startswith("seconds_to_")
    if timed and len(ran_on) > 1:
        notes.append(f"Times and memory of {len(ran_on)} machines must not be compared.")
    return notes
