"""Methods without a network, applied to a task's training points and compared with its entries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encbench_leaderboard.board.standings import exact_fits_capped
from encbench_leaderboard.board.table import TaskBoard, metric_conditions
from encbench_leaderboard.statistics.holm import holm
from encbench_leaderboard.statistics.pairs import ALPHA, p_values
from encbench_leaderboard.statistics.sample import cube, unit_means


@dataclass(frozen=True)
class NoNetwork:
    """Result of a method without a network, such as interpolation, on the same training points."""

    name: str
    values: Mapping[str, float]
    """Values by metric; for a category, means over its targets."""
    above: int
    """Number of entries above it in the standings: those better or equal."""
    beaten_by: int
    """Number of ranked entries that are better, on the targets where both have a value."""


def without_network(task: TaskBoard) -> list[NoNetwork]:
    """The methods in the task's records, best first; for a category, the methods that all targets
    with any methods share."""
    primary = task.primary
    found = []
    for name, values in _values(task).items():
        leads = _mean_leads(_leads(task, name), values.get(primary.name, 0.0))
        # the method stands above the first entry that is worse
        worse = leads < 0
        above = int(worse.argmax()) if worse.any() else len(leads)
        found.append(NoNetwork(name, values, above, int((leads > 0).sum())))
    return sorted(found, key=lambda one: -primary.sign * one.values.get(primary.name, math.nan))


def surely_better(task: TaskBoard, method: NoNetwork) -> int | None:
    """Number of ranked entries that are significantly better than a method, by tests over targets
    (or seeds of one task) with Holm's correction over entries; None if nothing can be tested."""
    leads, value = _leads(task, method.name), method.values.get(task.primary.name, 0.0)
    p, _ = p_values(leads, np.full(len(leads), abs(value)))
    if np.isnan(p).all():
        return None
    with np.errstate(invalid="ignore"):
        return int(((holm(p) <= ALPHA) & (_mean_leads(leads, value) > 0)).sum())


def _mean_leads(leads: np.ndarray, value: float) -> np.ndarray:
    """(entries,) means over units; 0 up to rounding of the method's value."""
    with np.errstate(invalid="ignore"):
        means = unit_means(leads)
    return np.where(np.abs(means) < 1e-12 * abs(value), 0.0, means)


def _leads(task: TaskBoard, method: str) -> np.ndarray:
    """(entries, units) by how much each ranked entry is better than a method, on each target (or
    with each seed of one task); NaN where one of them has no value, and on targets where the method
    is exact if it is not on all.
    """
    name = task.primary.name
    here = {each.label: _values(each).get(method, {}) for each in task.targets or (task,)}
    baseline = task.cells["target"].map({label: of.get(name) for label, of in here.items()})
    baseline = baseline.astype(float)
    exact = baseline == task.primary.sign * np.inf
    if not exact.all():
        baseline = baseline.mask(exact)
    gaps = task.cells.assign(gap=exact_fits_capped(task.cells, task.primary) - baseline)
    ranked = task.standings["rank"].notna()
    leads = unit_means(cube(gaps, "gap", list(task.standings["entry"][ranked])).values)
    return task.primary.sign * leads


def _values(task: TaskBoard) -> dict[str, dict[str, float]]:
    """Values by method and metric, from the first record with any: they depend only on the task."""
    if not task.targets:
        given = next((one.baselines for one in task.facts if one.baselines), {})
        return {
            name: {metric: m.value for metric, m in metrics.items() if m.value is not None}
            for name, metrics in given.items()
        }
    each = [values for values in map(_values, task.targets) if values]
    mixed = metric_conditions(task)[1]
    return {
        name: {
            metric: sum(values[name][metric] for values in each) / len(each)
            for metric in each[0][name]
            if metric not in mixed and all(metric in values[name] for values in each)
        }
        for name in (each[0] if each else ())
        if all(name in values for values in each)
    }
