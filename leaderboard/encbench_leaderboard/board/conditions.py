"""Under which conditions metrics were taken, and why they may have no value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.cached import remembered
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.format import plain

__all__ = ["conditions_of", "metric_conditions", "of_entry", "reasons"]


@remembered
def metric_conditions(task: TaskBoard) -> tuple[dict[str, str], list[str]]:
    """Under which conditions each metric was taken, as the metric itself recorded them.

    Returns:
        Conditions that hold for the whole task, by metric; and the metrics whose conditions
        differ between cells, which must therefore stand beside each number.
    """
    common: dict[str, str] = {}
    mixed = []
    for metric in task.metrics:
        seen = {
            frozenset(details.items()): details
            for stored in task.records
            if (details := conditions_of(stored, metric.name)) is not None
        }
        if len(seen) == 1 and (only := next(iter(seen.values()))):
            common[metric.name] = ", ".join(f"{k} = {v}" for k, v in only.items())
        elif len(seen) > 1:
            mixed.append(metric.name)
    return common, mixed


def conditions_of(stored: StoredRecord, metric: str) -> dict[str, Any] | None:
    """Whole-number details of a metric (scales, points), or None where it has no value."""
    value = stored.record.metrics.get(metric)
    if value is None or value.value is None:
        return None
    return {
        key: item
        for key, item in value.details.items()
        if isinstance(item, int) and not isinstance(item, bool)
    }


def of_entry(records: Sequence[StoredRecord], metric: str) -> str:
    """The conditions of one entry's cells, in brackets, to stand behind its number."""
    seen = {frozenset(d.items()): d for r in records if (d := conditions_of(r, metric))}
    told = " or ".join(", ".join(f"{k} = {v}" for k, v in d.items()) for d in seen.values())
    return f" ({plain(told)})" if told else ""


@remembered
def reasons(task: TaskBoard) -> dict[str, str]:
    """Why a metric has no value for some cell that finished, by metric, as it said itself."""
    found: dict[str, dict[str, None]] = {}
    for stored in task.records:
        for name, metric in stored.record.metrics.items():
            if metric.value is None and "reason" in metric.details:
                found.setdefault(name, {})[str(metric.details["reason"])] = None
    return {name: "; ".join(texts) for name, texts in found.items()}
