"""Under which conditions metrics were taken, and why one has no value."""

from __future__ import annotations

import pandas as pd

from encbench_leaderboard.board.cells import MetricInfo
from encbench_leaderboard.board.table import TaskBoard


def metric_conditions(task: TaskBoard) -> tuple[dict[str, str], list[str]]:
    """By metric the conditions that hold for the whole task, as the metric itself recorded them;
    and the metrics whose conditions differ, and must stand beside each number."""
    common: dict[str, str] = {}
    mixed = []
    for metric in task.metrics:
        seen = conditions_met(task.cells, metric)
        if len(seen) > 1:
            mixed.append(metric.name)
        elif seen and seen[0]:
            common[metric.name] = seen[0]
    return common, mixed


def conditions_met(cells: pd.DataFrame, metric: MetricInfo) -> list[str]:
    """The different conditions under which cells have values of a metric."""
    valued = cells[f"metric:{metric.name}"].notna()
    return [str(under) for under in cells[f"under:{metric.name}"][valued].unique()]


def missing_reasons(task: TaskBoard) -> dict[str, str]:
    """Metric to the reasons it recorded for having no value, of cells that finished."""
    found: dict[str, dict[str, None]] = {}
    for stored in task.records:
        for name, metric in stored.record.metrics.items():
            if metric.value is None and "reason" in metric.details:
                found.setdefault(name, {})[str(metric.details["reason"])] = None
    return {name: "; ".join(texts) for name, texts in found.items()}
