"""Loss, quality and error during training, and the time to reach a value."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from encbench.errors import plural
from encbench.results.records import Record, StoredRecord
from encbench.results.value_text import round_text
from encbench_leaderboard.board.budget import Course, on_common_units, slowdowns, values_of
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, HeatMap, Panel, Series
from encbench_leaderboard.report.figures.selection import (
    SHOWN,
    best_entries,
    best_note,
    common_note,
    finished_with_arrays,
    first_cells,
    has_arrays,
    thinned,
)
from encbench_leaderboard.report.format import plain

POINTS = {"loss": 150, "curve": 300}
"""Maximum number of points of a line: with more, the noise of a loss hides the other lines."""
SEEDS = 5
"""Maximum number of lines per entry: more would hide one another."""
ARRAYS = ("band_upper", "band_target", "band_step", "band_error")
MAPS = 6
FEWEST = 3
"""Minimum number of steps with a recorded error for a map."""
LIMITS = (1e-6, 1.0)
"""Relative errors of the first and last colour, the same in every figure."""
NOTHING = 1e-12
"""Share of the target's energy below which a band holds only rounding errors."""
WIDEST = 100.0
"""Maximum ratio to the fastest time that a panel shows."""


def curves_figure(task: TaskBoard) -> Figure | None:
    """Training loss (log) and the metric measured during training against the step; a line for each
    of the first ``SEEDS`` seeds, averaged over adjacent steps to ``POINTS`` points. A curve that
    stops early ends in a cross. None for a category: targets and their steps differ."""
    if task.targets:
        return None
    entries = dict(best_entries(task, lambda entry: _with_arrays(task.facts_of_entry(entry))))
    if not entries:
        return None
    seeds = f" (the first {SEEDS})" if (task.standings["cells"] > SEEDS).any() else ""
    return Figure(
        "curves",
        f"training loss and {task.primary.title} against the step",
        f"A line per seed{seeds}, the loss averaged over adjacent steps; × marks where "
        f"training stopped early, which may lie outside the picture.{best_note(task)}",
        lambda: _curve_panels(task, entries),
        {entry: entry for entry in list(entries)[:SHOWN]},
    )


def _with_arrays(facts: Sequence[Facts]) -> list[Facts]:
    return list(itertools.islice((one for one in facts if has_arrays(one.stored)), SEEDS))


def _curve_panels(task: TaskBoard, entries: Mapping[str, Sequence[Facts]]) -> list[Panel]:
    drawn = [
        (entry, one.stored.record, points)
        for entry, facts in entries.items()
        for one in facts
        if len((points := _points(one.stored))["loss"][0])
    ]
    if not drawn:
        return []
    lines = Counter(entry for entry, _, _ in drawn)
    curve = drawn[0][1].curve
    metric = next((m for m in task.metrics if m.name == curve), None)
    counts = {record.curve_points for _, record, _ in drawn}
    count = counts.pop() if len(counts) == 1 else None
    at_points = "" if count is None else f" at {count:,} points"
    axes = {
        "loss": Axis("training loss", "log"),
        "curve": Axis((metric.heading if metric else curve) + at_points),
    }
    panels = []
    for name, axis in axes.items():
        series = [
            line
            for entry, record, points in drawn
            if (line := _curve(entry, record, name, points[name], many=lines[entry] > 1))
        ]
        if series:
            axis = replace(axis, limits=_curve_limits(series, axis.scale))
            panels.append(Panel(Axis("optimizer step"), axis, series))
    return panels


def _curve_limits(series: Sequence[Series], scale: str) -> tuple[float, float] | None:
    """Limits that show finished curves and the beginning of diverged ones; None if all or none
    finished."""
    finished = [line.y for line in series if not line.end]
    if not finished or len(finished) == len(series):
        return None
    low, high = (float(edge(np.concatenate(finished))) for edge in (np.min, np.max))
    if scale == "log":
        return low / 2, high * 10
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin


Curve = tuple[np.ndarray, np.ndarray]
"""Steps (n,) and values (n,), finite."""


def _points(stored: StoredRecord) -> dict[str, Curve]:
    """The curves by name; of the loss, only positive values, for a log axis."""
    arrays = stored.some_arrays(*(array for name in POINTS for array in (f"{name}_step", name)))
    found = {}
    for name in POINTS:
        step, value = (arrays.get(array, np.empty(0)) for array in (f"{name}_step", name))
        if len(step) != len(value):
            step, value = np.empty((2, 0))
        drawable = np.isfinite(value) & ((value > 0) if name == "loss" else True)
        found[name] = step[drawable], value[drawable]
    return found


def _curve(entry: str, record: Record, name: str, points: Curve, *, many: bool) -> Series | None:
    step, value = thinned(*points, POINTS[name])
    if not len(step):
        return None
    totals = {"epoch": record.epochs, "training time [s]": record.durations.get("training", 0.0)}
    return Series(
        entry,
        step,
        value,
        style="thin" if many else "solid",
        label=f"seed {record.cell.seed}",
        # if the record has the total of all its steps
        other_x={t: step * (n / record.steps) for t, n in totals.items() if record.steps and n},
        end="" if record.status == "ok" else "stopped",
    )


def bands_figure(task: TaskBoard) -> Figure | None:
    """A map of the relative error over frequency and step for each of the best entries, from the
    first seed that finished. It has no panels if no record has the error by band; None for a
    category, whose targets differ."""
    if task.targets:
        return None
    entries = first_cells(task, finished_with_arrays)
    return Figure(
        "bands",
        "error by spatial frequency during training",
        "Energy of the error in each octave of spatial frequency, relative to the target's energy "
        "there: 1 means nothing learned. A column shows the error at the end of its steps; no "
        "colour: the target has no energy in this octave. First finished seed.",
        lambda: _band_panels(entries),
    )


def _band_panels(entries: Mapping[str, StoredRecord]) -> list[Panel]:
    maps: dict[str, HeatMap] = {}
    for entry, stored in entries.items():
        if len(maps) < MAPS and (found := _map(stored)) is not None:
            maps[entry] = found
    if not maps:
        return []
    # for a band-limited target, the empty rows above its band are left out
    highest = max(
        float(found.y[1:][np.isfinite(found.values).any(axis=1)].max()) for found in maps.values()
    )
    panels = []
    for entry, found in maps.items():
        ticks = tuple((value, f"{value:g}") for value in found.y[1:].tolist() if value <= highest)
        x = Axis("optimizer step", "log", (float(found.x[0]), float(found.x[-1])))
        y_limits = float(found.y[0]), highest
        y = Axis("frequency [cycles per unit]", "log", y_limits, ticks)
        panels.append(Panel(x, y, [], entry, heat=found))
    return panels


def _map(stored: StoredRecord) -> HeatMap | None:
    """Map of one record, without band 0 (the mean) and step 0; None if too little was recorded."""
    found = stored.some_arrays(*ARRAYS)
    if found.keys() != set(ARRAYS):
        return None
    upper, target, step, error = (found[name] for name in ARRAYS)
    if error.shape != (len(step), len(upper)) or len(target) != len(upper) or len(upper) < 2:
        return None
    later = step > 0
    known = target > NOTHING * target.sum()
    known[0] = False
    values = np.where(known, error / np.where(known, target, 1), np.nan)[later, 1:].T
    if later.sum() < FEWEST or not np.isfinite(values).any():
        return None
    steps = step[later]
    # a column ends at its step, a row at its frequency; log axes cannot begin at 0
    return HeatMap(
        np.concatenate([[min(1.0, steps[0] / 2)], steps]),
        np.concatenate([[upper[1] / 2], upper[1:]]),
        np.clip(values, *LIMITS),
        "energy of error / energy of target",
        LIMITS,
    )


def profile_figure(task: TaskBoard, found: Mapping[str, Sequence[Course]]) -> Figure | None:
    """Performance profiles: a panel for each value that an encoding reaches; None for fewer than
    two units, whose profile would be a single step, for one encoding, or if no value is reached."""
    kept = on_common_units(found)
    units = {course.unit for of_entry in kept.values() for course in of_entry}
    reached = {value: slowdowns(found, value) for value in values_of(task.primary, found)}
    panels = [(value, ratios) for value, ratios in reached.items() if ratios]
    if len(units) < 2 or len(kept) < 2 or not panels:
        return None
    unit, with_all = task.unit, " with all its seeds" if task.targets else ""
    what = plain(task.primary.title)
    return Figure(
        "profile",
        f"share of the {unit}s on which {task.primary.title} reached a value, against the time",
        f"Performance profiles (Dolan & Moré, 2002): of the {unit}s on which any encoding reached "
        f"that {what}, the share on which this one did within τ times the training time of the "
        "fastest. At τ = 1: how often an encoding was the fastest; at the right end of a line: how "
        f"often it reached the value at all{with_all}.{common_note(found, unit)}",
        lambda: [_profile(task, value, ratios, unit) for value, ratios in panels],
        {entry: entry for entry in list(kept)[:SHOWN]},
    )


def _profile(task: TaskBoard, value: float, ratios: Mapping[str, np.ndarray], unit: str) -> Panel:
    finite = [r[np.isfinite(r)] for r in ratios.values()]
    widest = min(WIDEST, max((float(r.max()) for r in finite if len(r)), default=1.0) * 1.2)
    series = []
    for entry, of_entry in ratios.items():
        inside = np.sort(of_entry[of_entry <= widest])
        share = np.arange(1, len(inside) + 1) / len(of_entry)
        x = np.concatenate([[1.0], inside, [max(widest, 1.01)]])
        y = np.concatenate([[np.mean(inside <= 1.0)] if len(inside) else [0.0], share])
        y = np.append(y, y[-1])
        series.append(Series(entry, x, y, "steps"))
    of = plural(len(next(iter(ratios.values()))), unit)
    share_of = Axis(f"share of {of}", limits=(-0.02, 1.02))
    sides = f"{task.primary.title} {'≥' if task.primary.higher else '≤'}"
    title = f"{sides} {round_text(value)} {task.primary.unit}".rstrip()
    return Panel(Axis("τ, times the fastest", "log"), share_of, series, title)
