"""Facts become rows of numbers, one a cell; and what entries and tasks are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from encbench.results.records import Record
from encbench.suite.config import PluginRef, differing, settings_of
from encbench_leaderboard.board.facts import CELL_NUMBERS, NUMBERS, Facts, MetricInfo

DISTRIBUTED = {"distribution", "version"}
STATISTICS = {
    "maximum": "λ_max",
    "median": "λ median",
    "median_ratio": "λ median / λ_max",
    "quantile_10": "λ 10th percentile",
    "minimum": "λ_min",
    "resolved_rank": "resolved rank",
    "effective_rank": "effective rank",
    "alignment_centred": "centred alignment with the target",
    "energy_tenth": "target's energy in the leading tenth of eigenvectors",
}
"""Titles of those that may have to do with quality."""


def measured(facts: Sequence[Facts], metrics: Sequence[MetricInfo]) -> pd.DataFrame:
    """A row per record, in their order: its encoding, status, seed and every number; "under:METRIC"
    says under which conditions it was taken."""
    own = len(CELL_NUMBERS)
    numbers = np.array([one.numbers for one in facts])
    # One type for all: a column of None alone would otherwise not be a column of numbers.
    values = np.array([[one.value(m.name) for m in metrics] for one in facts], dtype=np.float64)
    columns = [*CELL_NUMBERS, *(f"metric:{metric.name}" for metric in metrics), *NUMBERS[own:]]
    cells = pd.DataFrame(
        np.hstack([numbers[:, :own], values, numbers[:, own:]]),
        columns=columns,
    )
    cells.insert(0, "encoding", text_series(one.cell.encoding.name for one in facts))
    cells.insert(2, "status", text_series(one.status for one in facts))
    for metric in metrics:
        taken = (one.measure(metric.name) for one in facts)
        cells[f"under:{metric.name}"] = text_series(m.under if m else "" for m in taken)
    return cells


def text_series(values: Iterable[str]) -> pd.Series[Any]:
    """A column of text as plain objects: of few rows pandas' own kind of text is the slower."""
    return pd.Series(list(values), dtype=object)


def cell_settings(record: Record) -> Mapping[str, Any]:
    """Network, training and NTK settings of a cell, keys joined by dots."""
    return settings_of(record.cell.network, record.cell.training, record.cell.ntk)


def metrics_of(facts: Sequence[Facts]) -> list[MetricInfo]:
    """The task's metrics, the one followed during training first."""
    # A cell that failed early does not know its task's metric yet.
    known = [one for one in facts if one.metrics] or facts
    primary = Counter(one.curve for one in known).most_common(1)[0][0]
    found: dict[str, MetricInfo] = {}
    for measures in dict.fromkeys(one.metrics for one in facts):
        for measure in measures:
            found.setdefault(measure.info.name, measure.info)
    if primary not in found and found:
        primary = next(iter(found))
    first = found.pop(primary, MetricInfo(primary, "", "higher"))
    return [first, *found.values()]


def label(ref: PluginRef) -> str:
    """The user's own text where there is one, else the name with every parameter."""
    if ref.label:
        return ref.label
    given = [f"{key}={value}" for key, value in ref.parameters.items() if value is not None]
    return f"{ref.name}({', '.join(given)})" if given else ref.name


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def unique_labels(refs: Mapping[str, PluginRef]) -> dict[str, str]:
    """A label for each identity, with parameters that differ where two would read the same."""
    labels = {key: label(ref) for key, ref in refs.items()}
    for text in {text for text in labels.values() if list(labels.values()).count(text) > 1}:
        same = [key for key, other in labels.items() if other == text]
        facts = {
            key: flatten(refs[key].parameters) | refs[key].model_dump(include=DISTRIBUTED)
            for key in same
        }
        keys = differing(facts.values())
        for key in same:
            named = ", ".join(f"{k}={facts[key][k]}" for k in keys if k in facts[key])
            labels[key] = f"{text} ({named})" if named else text
    return labels
