"""Records become rows of numbers, one a cell; and what entries, tasks and machines are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

import numpy as np
import pandas as pd

from encbench.errors import plural
from encbench.results.records import Record, StoredRecord
from encbench.suite.config import PluginRef, differing, settings_of, sorted_json

WHENS = ("start", "middle", "end")
TITLES = {"psnr": "PSNR", "ms_ssim": "MS-SSIM", "iou": "IoU"}
"""Of metrics in records that do not say their title, and of curves of cells that never got far."""
DISTRIBUTED = {"distribution", "version"}
SPECTRUM_NUMBERS = (
    "size",
    "points",
    "floor",
    "maximum",
    "median",
    "quantile_10",
    "minimum",
    "resolved_rank",
    "effective_rank",
    "median_ratio",
    "alignment_centred",
    "energy_tenth",
    "energy_90",
    "lr_ratio",
    "drift",
)
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
SPECTRUM_COLUMNS = {when: [f"{when}:{number}" for number in SPECTRUM_NUMBERS] for when in WHENS}
NO_SPECTRUM = (None,) * len(SPECTRUM_NUMBERS)
_spectrum_numbers = attrgetter(*SPECTRUM_NUMBERS)


@dataclass(frozen=True)
class MetricInfo:
    """How a metric's numbers are to be read."""

    name: str
    unit: str
    direction: Literal["higher", "lower"]
    given: str = ""  # title in the record, "" where it has none

    @property
    def title(self) -> str:
        return self.given or TITLES.get(self.name, self.name.replace("_", " "))

    @property
    def can_collapse(self) -> bool:
        """Whether 0 is the worst value, as of a network that fills nothing (IoU)."""
        return self.direction == "higher" and not self.unit

    @property
    def heading(self) -> str:
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.title}{unit} {'↑' if self.direction == 'higher' else '↓'}"


def measured(records: Sequence[StoredRecord], metrics: Sequence[MetricInfo]) -> pd.DataFrame:
    """A row per record, in their order: its encoding, status, seed and every number; "under:METRIC"
    says under which conditions it was taken."""
    columns = [*CELL_COLUMNS, *(f"metric:{metric.name}" for metric in metrics)]
    columns += [name for when in WHENS for name in SPECTRUM_COLUMNS[when]]
    # One type for all: a column of None alone would otherwise not be a column of numbers.
    rows = np.array([_cell(stored.record, metrics) for stored in records], dtype=np.float64)
    cells = pd.DataFrame(rows, columns=columns)
    cells.insert(0, "encoding", text_series(s.record.cell.encoding.name for s in records))
    cells.insert(2, "status", text_series(s.record.status for s in records))
    for metric in metrics:
        cells[f"under:{metric.name}"] = text_series(_under(s.record, metric) for s in records)
    return cells


def _under(record: Record, metric: MetricInfo) -> str:
    """Whole-number details of a value: "scales = 3, window = 11"."""
    value = record.metrics.get(metric.name)
    details = value.details if value else {}
    return ", ".join(f"{key} = {item}" for key, item in details.items() if type(item) is int)


def text_series(values: Iterable[str]) -> pd.Series[Any]:
    """A column of text as plain objects: of few rows pandas' own kind of text is the slower."""
    return pd.Series(list(values), dtype=object)


def cell_settings(record: Record) -> Mapping[str, Any]:
    """Network, training and NTK settings of a cell, keys joined by dots."""
    return settings_of(record.cell.network, record.cell.training, record.cell.ntk)


def metrics_of(records: Sequence[StoredRecord]) -> list[MetricInfo]:
    """The task's metrics, the one followed during training first."""
    # A cell that failed early does not know its task's metric yet.
    known = [r for r in records if r.record.metrics] or records
    primary = Counter(r.record.curve for r in known).most_common(1)[0][0]
    found: dict[str, MetricInfo] = {}
    for stored in records:
        for name, value in stored.record.metrics.items():
            if name not in found:
                found[name] = MetricInfo(name, value.unit, value.direction, value.title)
    if primary not in found and found:
        primary = next(iter(found))
    first = found.pop(primary, MetricInfo(primary, "", "higher"))
    return [first, *found.values()]


CELL_COLUMNS = (
    "seed",
    "params_mlp",
    "params_encoding",
    "best",
    "best_step",
    "steps",
    "training",
    "ntk",
    "peak_memory",
    "lr",
    "lr_ratio",
)


def _cell(record: Record, metrics: Sequence[MetricInfo]) -> list[float | None]:
    """``CELL_COLUMNS``, the metrics, and ``SPECTRUM_COLUMNS`` of each moment."""
    rate = record.learning_rate
    # lr_crit is a bound for gradient descent; it says nothing of Adam's steps.
    descends = record.cell.training.optimizer.partition(":")[0] == "sgd"
    row = [
        record.cell.seed,
        record.parameters.get("mlp"),
        record.parameters.get("encoding"),
        record.best,
        record.best_step,
        record.steps,
        record.durations.get("training"),
        record.durations.get("ntk"),
        record.peak_memory_bytes,
        rate.value if rate else None,
        rate.value / rate.critical if descends and rate and rate.critical else None,
    ]
    values = (record.metrics.get(metric.name) for metric in metrics)
    row += [value.value if value else None for value in values]
    summaries = {summary.when: summary for summary in record.spectra}
    for when in WHENS:
        row += _spectrum_numbers(summaries[when]) if when in summaries else NO_SPECTRUM
    return row


def machine(stored: StoredRecord) -> str:
    """Where a cell ran, as far as it decides how long something takes."""
    p = stored.record.provenance
    return _machine(p.machine, p.processor, p.device, p.threads, p.os)


# Ten thousand cells ran on few machines.
@lru_cache(maxsize=1024)
def _machine(name: str, processor: str, device: str, threads: int, system: str) -> str:
    parts = [
        name,
        "" if processor == name else processor,
        device if device == "cpu" else f"device {device}",
        plural(threads, "thread"),
        system,
    ]
    return ", ".join(filter(None, parts))


def machines(records: Sequence[StoredRecord]) -> list[str]:
    """Each distinct machine."""
    return sorted({machine(stored) for stored in records})


def identity(ref: PluginRef) -> str:
    """Equal for the same plug-in under the same parameters, whatever it was asked for as."""
    return sorted_json([ref.distribution, ref.name, ref.version, ref.parameters])


def identities(refs: Iterable[PluginRef]) -> dict[int, str]:
    """By id of the references, which thousands of records share, the identity of each."""
    distinct = {id(ref): ref for ref in refs}
    return {number: identity(ref) for number, ref in distinct.items()}


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
