"""Under which conditions metrics were taken, and why one has no value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.cells import conditions_of, listed
from encbench_leaderboard.board.table import TaskBoard


def metric_conditions(task: TaskBoard) -> tuple[dict[str, str], list[str]]:
    """By metric the conditions that hold for the whole task, as the metric itself recorded them;
    and the metrics whose conditions differ, and must stand beside each number."""
    common: dict[str, str] = {}
    mixed = []
    for metric in task.metrics:
        found = (conditions_of(stored, metric.name) for stored in task.records)
        seen = _distinct(conditions for conditions in found if conditions is not None)
        if len(seen) > 1:
            mixed.append(metric.name)
        elif seen and seen[0]:
            common[metric.name] = listed(seen[0])
    return common, mixed


def of_entry(records: Sequence[StoredRecord], metric: str) -> str:
    """The conditions of one entry's cells, in brackets, to stand behind its number."""
    found = (conditions_of(stored, metric) for stored in records)
    seen = _distinct(conditions for conditions in found if conditions)
    return f" ({' or '.join(map(listed, seen))})" if seen else ""


def _distinct(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({frozenset(conditions.items()): conditions for conditions in found}.values())


def missing_reasons(task: TaskBoard) -> dict[str, str]:
    """Metric to the reasons it recorded for having no value, of cells that finished."""
    found: dict[str, dict[str, None]] = {}
    for stored in task.records:
        for name, metric in stored.record.metrics.items():
            if metric.value is None and "reason" in metric.details:
                found.setdefault(name, {})[str(metric.details["reason"])] = None
    return {name: "; ".join(texts) for name, texts in found.items()}
