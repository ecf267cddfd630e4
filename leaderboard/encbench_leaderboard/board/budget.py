"""Quality during training: after a fraction of the steps, and the cost of reaching a value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from encbench.results.value_text import round_text
from encbench_leaderboard.board.comparable import common_units
from encbench_leaderboard.board.facts import Facts, MetricInfo, machines

if TYPE_CHECKING:
    from encbench_leaderboard.board.table import TaskBoard

PARTS = (0.1, 0.3, 1.0)
"""Fractions of the steps after which quality is shown."""
VALUES = {"dB": (25.0, 30.0, 35.0), "": (0.8, 0.9, 0.95)}
"""Values to reach, by unit of a metric for which higher is better, easiest first."""
CELLS = 500
"""Maximum number of cells for which curves are read: each curve means opening a file."""
FAILED = ("diverged", "failed", "out_of_memory", "timeout")
"""Statuses of cells that count as never reaching a value; interrupted ones count as not run."""


@dataclass(frozen=True)
class Course:
    """One cell's quality curve."""

    unit: str
    step: np.ndarray  # (n,)
    seconds: np.ndarray  # (n,) training time; empty if not recorded, or on several machines
    value: np.ndarray  # (n,)
    finished: bool = True  # if not, the other arrays are empty
    sign: float = 1.0  # 1 if higher is better, -1 if lower is

    def after(self, part: float) -> float:
        """The last value within that fraction of the steps; NaN if nothing was evaluated after the
        start and within it, or if the cell did not finish."""
        within = (self.step > 0) & (self.step <= part * self.step.max(initial=0))
        return float(self.value[within][-1]) if within.any() else math.nan

    def best(self) -> float:
        """The best finite value after the start; NaN if there is none."""
        finite = self.sign * self.value[np.isfinite(self.value) & (self.step > 0)]
        return self.sign * float(finite.max()) if len(finite) else math.nan

    def steps_to(self, value: float) -> float:
        """Steps until the first point as good as the value; infinite if there is none."""
        return self._first(value, self.step)

    def seconds_to(self, value: float) -> float:
        """Training time until then [s]; infinite if never reached, NaN if not recorded."""
        known = len(self.seconds) or not self.finished
        return self._first(value, self.seconds) if known else math.nan

    def _first(self, value: float, cost: np.ndarray) -> float:
        reached = np.flatnonzero(self.sign * self.value >= self.sign * value)
        return float(cost[reached[0]]) if len(reached) else math.inf


@dataclass(frozen=True)
class Until:
    """The cost of reaching a value, which users write as "steps_to_30" or "seconds_to_0.95"."""

    cost: Literal["steps", "seconds"]
    value: float

    @classmethod
    def of(cls, name: str) -> Until | None:
        """Parse a name; None if it is not that of a cost."""
        found = re.fullmatch(r"(steps|seconds)_to_(-?(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?)", name)
        return cls(cast(Literal["steps", "seconds"], found[1]), float(found[2])) if found else None

    def heading(self, metric: MetricInfo) -> str:
        unit = f" {metric.unit}" if metric.unit else ""
        kind = "steps" if self.cost == "steps" else "training [s]"
        return f"{kind} until {metric.title} was {round_text(self.value)}{unit}"

    def costs(self, task: TaskBoard) -> np.ndarray:
        """Cost of each cell, (cells,): infinite if it never reached the value or failed, NaN if it
        has no curve of the primary metric or no times with it."""
        found = []
        for one in task.facts:
            course = _course(one, task.primary, "", True)
            if course is None:
                found.append(math.nan)
                continue
            reach = course.steps_to if self.cost == "steps" else course.seconds_to
            found.append(reach(self.value))
        return np.array(found)


def values_of(metric: MetricInfo, found: Mapping[str, Sequence[Course]]) -> Sequence[float]:
    """The values whose cost is shown, easiest first: ``VALUES``, if higher is better and a curve
    reaches any of them; else what the worst, the middle and the best entry reach in half of their
    finished cells, rounded to two significant digits that are no harder to reach. Values that all
    finished cells have before training are left out."""
    fixed = VALUES.get(metric.unit, ()) if metric.higher else ()
    every = [course for of in found.values() for course in of]
    if any(math.isfinite(course.steps_to(value)) for value in fixed[:1] for course in every):
        return [value for value in fixed if _learned(value, every)]
    best = [np.median(of) for of in map(_bests, found.values()) if len(of)]
    if not best:
        return ()
    easy_first = np.quantile(metric.sign * np.array(best), (0, 0.5, 1), method="lower")
    two_digits = Context(prec=2, rounding=ROUND_FLOOR).create_decimal
    rounded = dict.fromkeys(float(two_digits(repr(value))) for value in easy_first.tolist())
    values = (metric.sign * value + 0.0 for value in rounded)  # + 0.0: no "-0"
    return [value for value in values if _learned(value, every)]


def _learned(value: float, courses: Sequence[Course]) -> bool:
    """Whether a finished cell does not have the value before training."""
    return any(course.finished and course.steps_to(value) > 0 for course in courses)


def _bests(courses_of_entry: Sequence[Course]) -> list[float]:
    return [best for course in courses_of_entry if (best := course.best()) == best]


def courses(task: TaskBoard) -> dict[str, list[Course]]:
    """Curves of the finished and failed cells of entries with finished ones, best first; empty if
    there are more than ``CELLS`` cells, or if curves are not of the primary metric."""
    if len(task.records) > CELLS:
        return {}
    comparable = len(machines(task.facts)) == 1
    units = dict(zip(map(id, task.facts), task.cells["unit"], strict=True))
    found = {}
    for entry in task.standings["entry"]:
        of_entry = [
            _course(one, task.primary, units[id(one)], comparable)
            for one in task.facts_of_entry(entry)
        ]
        kept = [course for course in of_entry if course is not None]
        if any(course.finished for course in kept):
            found[entry] = kept
    return found


def on_common_units(found: Mapping[str, Sequence[Course]]) -> dict[str, list[Course]]:
    """The curves on the units that can be compared, see ``common_units``; entries that were not run
    on all of these are left out."""
    sets = {entry: frozenset(course.unit for course in of) for entry, of in found.items()}
    units = common_units(sets.values())
    return {
        entry: [course for course in of if course.unit in units]
        for entry, of in found.items()
        if units <= sets[entry]
    }


def on_common_finished(found: Mapping[str, Sequence[Course]]) -> dict[str, list[Course]]:
    """The curves of finished cells on the units that can be compared: a mean that leaves out the
    unit on which a cell failed, often a hard one, would be higher than the others."""
    kept = on_common_units(found)
    return on_common_units({e: [c for c in of if c.finished] for e, of in kept.items()})


def _course(one: Facts, metric: MetricInfo, unit: str, comparable: bool) -> Course | None:
    """None if the cell has no curve of that metric, or was interrupted."""
    if one.status in FAILED:
        return Course(unit, np.empty(0), np.empty(0), np.empty(0), finished=False, sign=metric.sign)
    if one.status != "ok" or one.curve != metric.name:
        return None
    stored = one.stored
    curve = stored.some_arrays("curve_step", "curve")
    step, value = curve.get("curve_step"), curve.get("curve")
    if step is None or value is None or len(step) != len(value) or not len(step):
        return None
    seconds = np.asarray(stored.record.curve_seconds, dtype=np.float64)
    known = comparable and len(seconds) == len(step)
    return Course(unit, step, seconds if known else np.empty(0), value, sign=metric.sign)


def slowdowns(found: Mapping[str, Sequence[Course]], value: float) -> dict[str, np.ndarray]:
    """Performance ratios of each entry, one per unit on which any entry reached the value: its time
    to the value divided by the fastest entry's, infinite if it did not reach the value.

    All are over the same units, see ``on_common_units``. A unit's time is the mean over its cells,
    infinite if one of them did not reach the value or failed. Source: Dolan and Moré, "Benchmarking
    Optimization Software with Performance Profiles", Mathematical Programming 91, 2002.
    """
    found = on_common_units(found)
    units = list(dict.fromkeys(course.unit for of in found.values() for course in of))
    times = np.full((len(found), len(units)), math.inf)
    for row, of_entry in enumerate(found.values()):
        for column, unit in enumerate(units):
            taken = [course.seconds_to(value) for course in of_entry if course.unit == unit]
            times[row, column] = np.mean(taken)
    times = np.where(np.isnan(times), math.inf, times)
    fastest = times.min(axis=0, initial=math.inf)
    solved = np.isfinite(fastest)
    if not solved.any():
        return {}
    ratios = times[:, solved] / np.maximum(fastest[solved], 1e-3)
    return {entry: np.maximum(ratio, 1.0) for entry, ratio in zip(found, ratios, strict=True)}
