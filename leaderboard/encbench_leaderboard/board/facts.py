"""The values that tables need from each record, extracted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from functools import partial
from itertools import starmap
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from encbench.contracts.metric import MetricValue
from encbench.errors import plural
from encbench.results.kernel_summary import LinearizedTraining, SpectrumSummary
from encbench.results.provenance import Provenance
from encbench.results.records import LearningRate, Record, Status, StoredRecord
from encbench.runs.forked import in_processes
from encbench.suite.config import CellConfig, PluginRef, settings_of, sorted_json

WHENS = ("start", "middle", "end")
TITLES = {"psnr": "PSNR", "ms_ssim": "MS-SSIM", "iou": "IoU"}
"""Titles of metrics whose records have none, and of curves of cells that failed early."""
CELL_NUMBERS = (
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
"""Titles of the statistics that are correlated with quality."""
NUMBERS = (*CELL_NUMBERS, *(f"{when}:{number}" for when in WHENS for number in SPECTRUM_NUMBERS))
"""Names of the items of ``Facts.numbers``."""
NO_SPECTRUM = (None,) * len(SPECTRUM_NUMBERS)
_spectrum_numbers = attrgetter(*SPECTRUM_NUMBERS)
ORIGIN = (
    *("encbench", "python", "machine", "processor", "device", "threads", "os"),
    *("git_commit", "suite"),
)
"""Fields of a provenance that determine an ``Origin``, in addition to its libraries."""
MANY_RECORDS = 4_000
"""Read records in several processes from this many on."""
MAX_READERS = 8
"""Maximum number of these processes."""
RECORDS_AT_ONCE = 1_000
"""Number of records whose facts a process returns at a time."""
Made = TypeVar("Made")


@dataclass(frozen=True)
class MetricInfo:
    """Name, unit, direction and title of a metric."""

    name: str
    unit: str
    direction: Literal["higher", "lower"]
    given: str = ""  # title in the record; "" if it has none

    @property
    def title(self) -> str:
        return self.given or TITLES.get(self.name, self.name.replace("_", " "))

    @property
    def higher(self) -> bool:
        """Whether higher values are better."""
        return self.direction == "higher"

    @property
    def sign(self) -> float:
        """Factor with which higher values are better."""
        return 1.0 if self.higher else -1.0

    @property
    def can_collapse(self) -> bool:
        """Whether 0 is the worst value, such as the IoU of a network that predicts no solid."""
        return self.higher and not self.unit

    @property
    def heading(self) -> str:
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.title}{unit} {'↑' if self.higher else '↓'}"


class Measure(NamedTuple):
    """A metric of a record, and what was recorded with its value."""

    info: MetricInfo
    under: str
    """Whole-number details: "scales = 3, window = 11"."""
    reason: str | None
    """Recorded reason for a missing value, if any."""

    @classmethod
    def of(cls, name: str, value: MetricValue) -> Measure:
        info = MetricInfo(name, value.unit, value.direction, value.title)
        details = value.details
        whole = [f"{key} = {item}" for key, item in details.items() if type(item) is int]
        reason = str(details["reason"]) if "reason" in details else None
        return cls(info, ", ".join(whole), reason)


class Kernel(NamedTuple):
    """Properties of a kernel that are counted over cells."""

    when: str
    outputs: str
    points: int
    size: int
    energy_points: int | None
    weyl: bool | None
    """Whether Weyl's inequality held; None if it was not checked, or if the encoding has no
    learnable parameters: then K is K_MLP, and nothing is checked."""
    split: bool | None
    """Whether shares per level were computed; None if not requested."""
    not_split: str
    """Why they were not computed."""

    @classmethod
    def of(cls, summary: SpectrumSummary, *, learned: bool) -> Kernel:
        """``learned``: whether the encoding has learnable parameters."""
        fit, weyl, split = summary.target, summary.weyl, summary.split
        return cls(
            summary.when,
            summary.outputs,
            summary.points,
            summary.size,
            fit.energy_points if fit else None,
            weyl.ok if weyl and learned else None,
            bool(split.parts) if split else None,
            split.not_computed if split else "",
        )


class Origin(NamedTuple):
    """Software, machine and suite that cells were run with."""

    encbench: str
    python: str
    libraries: tuple[str, ...]  # names with versions
    machine: str  # see ``machine``
    device: str
    git_commit: str | None
    suite: str | None

    @classmethod
    def of(cls, p: Provenance) -> Origin:
        libraries = tuple(f"{name} {version}" for name, version in p.libraries.items())
        suite, commit = p.suite, p.git_commit
        return cls(p.encbench, p.python, libraries, machine(p), p.device, commit, suite)


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """The values that tables need from one record. A field with the name of a record's field has
    its value; values that are equal in many records are one object."""

    stored: StoredRecord
    numbers: np.ndarray
    """Values of ``NUMBERS``; NaN if missing."""
    # equal in many records
    encoding: str
    task: str
    """``identity`` of the encoding and of the task."""
    settings: Mapping[str, Any]
    """Network, training and NTK settings, see ``settings_of``."""
    learning_rate: LearningRate | None
    baselines: Mapping[str, Mapping[str, MetricValue]]
    linearized: LinearizedTraining | None
    metrics: tuple[Measure, ...]
    kernels: tuple[Kernel, ...]
    source: Origin
    # specific to each record
    cell: CellConfig
    status: Status
    curve: str
    activation: str | None
    steps: int
    batch_size: int | None
    training_points: int | None
    values_to_fit: int | None
    """Training points × outputs; None if unknown, or if the loss does not compare the outputs with
    values at the points."""
    own_loss: bool
    splittable: bool
    parameters: int
    values: tuple[float | None, ...]
    """Values of the metrics."""
    started: str
    finished: str

    def number(self, name: str) -> float:
        """Value of a number in ``NUMBERS``; NaN if missing."""
        return float(self.numbers[NUMBERS.index(name)])

    def value(self, metric: str) -> float | None:
        """Value of a metric; None if missing."""
        for measure, value in zip(self.metrics, self.values, strict=True):
            if measure.info.name == metric:
                return value
        return None

    def measure(self, metric: str) -> Measure | None:
        """``Measure`` of a metric; None if the record does not have it."""
        return next((measure for measure in self.metrics if measure.info.name == metric), None)


PARTS = tuple(field.name for field in fields(Facts))[2:]
EQUAL = PARTS[: PARTS.index("cell")]
SECTIONS = ("encoding", "task", "network", "training", "ntk")
"""Sections of a cell that are equal in many records."""
_parts_of = attrgetter(*PARTS)


def gathered(records: Sequence[StoredRecord]) -> list[Facts]:
    """Extract the facts of each record, in order; data read for this are dropped from memory."""
    many = sum(not stored.is_read for stored in records) >= MANY_RECORDS
    starts = range(0, len(records), RECORDS_AT_ONCE)
    pieces = [records[start : start + RECORDS_AT_ONCE] for start in starts]
    known: dict[tuple[str, str], Any] = {}
    with closing(in_processes(_extract, pieces, MAX_READERS if many else 1)) as found:
        pairs = zip(pieces, found, strict=True)
        return [one for piece, extracted in pairs for one in _facts(piece, *extracted, known)]


def _facts(
    records: Sequence[StoredRecord],
    parts: Sequence[tuple[Any, ...]],
    numbers: np.ndarray,
    known: dict[tuple[str, str], Any],
) -> Iterator[Facts]:
    """Facts of records from the results of ``_extract``; equal parts become one object, which
    ``known`` holds by name and content."""
    same: dict[int, Any] = {}  # by id of a part, valid while ``parts`` exists

    def shared(name: str, part: Any) -> Any:
        if id(part) not in same:
            content = name, repr(getattr(part, "__dict__", part))
            same[id(part)] = known.setdefault(content, part)
        return same[id(part)]

    for stored, row, own in zip(records, numbers, parts, strict=True):
        cell = own[len(EQUAL)].__dict__
        for name in SECTIONS:
            cell[name] = shared(name, cell[name])
        yield Facts(stored, row, *map(shared, EQUAL, own), *own[len(EQUAL) :])


def _extract(records: Sequence[StoredRecord]) -> tuple[list[tuple[Any, ...]], np.ndarray]:
    """The ``PARTS`` of each record's facts, and the numbers (records, ``NUMBERS``), in a form that
    can be sent between processes."""
    # parts of cells are identified by id: the facts keep them alive, and records of a store share
    # equal ones
    known: dict[tuple[str, Hashable], Any] = {}

    def once(kind: str, key: Hashable, make: Callable[[], Made]) -> Made:
        if (kind, key) not in known:
            known[kind, key] = make()
        made: Made = known[kind, key]
        return made

    def facts(stored: StoredRecord) -> Facts:
        record = stored.record
        cell, source, linearized = record.cell, record.provenance, record.linearized
        encoding, task, rate = cell.encoding, cell.task, record.learning_rate
        sections = cell.network, cell.training, cell.ntk
        learned = record.parameters.get("encoding", 0) > 0
        points, outputs, to_fit = record.training_points, record.out_dim, None
        if points is not None and outputs is not None and not record.own_loss:
            to_fit = points * outputs
        named = tuple(
            (name, v.unit, v.direction, v.title, repr(v.details))
            for name, v in record.metrics.items()
        )
        kernels = tuple(Kernel.of(summary, learned=learned) for summary in record.spectra)
        environment = tuple(map(source.__dict__.__getitem__, ORIGIN))
        libraries = tuple(source.libraries.items())
        stored.forget()
        return Facts(
            stored=stored,
            numbers=np.array(_numbers(record), dtype=np.float64),
            encoding=once("encoding", id(encoding), partial(identity, encoding)),
            task=once("task", id(task), partial(identity, task)),
            settings=once("settings", tuple(map(id, sections)), partial(settings_of, *sections)),
            learning_rate=rate and once("rate", tuple(rate.__dict__.items()), lambda: rate),
            baselines=record.baselines
            and once("baselines", repr(record.baselines), lambda: record.baselines),
            linearized=linearized
            and once("linearized", tuple(linearized.__dict__.items()), lambda: linearized),
            metrics=once(
                "metrics", named, lambda: tuple(starmap(Measure.of, record.metrics.items()))
            ),
            kernels=once("kernels", kernels, lambda: kernels),
            source=once("source", (environment, libraries), partial(Origin.of, source)),
            cell=cell,
            status=record.status,
            curve=record.curve,
            activation=record.activation,
            steps=record.steps,
            batch_size=record.batch_size,
            training_points=points,
            values_to_fit=to_fit,
            own_loss=record.own_loss,
            splittable=record.splittable,
            parameters=sum(record.parameters.values()),
            values=tuple(value.value for value in record.metrics.values()),
            started=source.started,
            finished=source.finished or source.started,
        )

    found = [facts(stored) for stored in records]
    return list(map(_parts_of, found)), np.array([one.numbers for one in found])


def metrics_of(facts: Sequence[Facts]) -> list[MetricInfo]:
    """The task's metrics; the one measured during training is first."""
    # A cell that failed early has no metrics, and may not know the one of its curve.
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


def curve_metrics(facts: Sequence[Facts], metrics: Sequence[MetricInfo]) -> list[MetricInfo]:
    """The metrics of the curves that have a best value; a curve's metric may be none of
    ``metrics``, those measured at the end."""
    known = {metric.name: metric for metric in metrics}
    best = NUMBERS.index("best")
    names = dict.fromkeys(one.curve for one in facts if not np.isnan(one.numbers[best]))
    return [known.get(name, MetricInfo(name, "", "higher")) for name in names]


def _numbers(record: Record) -> list[float | None]:
    rate = record.learning_rate
    # lr_crit is a bound for gradient descent; it does not apply to Adam.
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
    summaries = {summary.when: summary for summary in record.spectra}
    for when in WHENS:
        row += _spectrum_numbers(summaries[when]) if when in summaries else NO_SPECTRUM
    return row


def machine(source: Provenance) -> str:
    """Description of the machine, device, threads and system that times depend on."""
    parts = [
        source.machine,
        "" if source.processor == source.machine else source.processor,
        source.device if source.device == "cpu" else f"device {source.device}",
        plural(source.threads, "thread"),
        source.os,
    ]
    return ", ".join(filter(None, parts))


def machines(facts: Sequence[Facts]) -> list[str]:
    """The distinct machines, sorted."""
    return sorted({one.source.machine for one in facts})


def identity(ref: PluginRef) -> str:
    """Key of a plug-in and its parameters, equal however it was requested."""
    return sorted_json([ref.distribution, ref.name, ref.version, ref.parameters])


def cell_settings(record: Record) -> Mapping[str, Any]:
    """Network, training and NTK settings of a cell, keys joined by dots."""
    return settings_of(record.cell.network, record.cell.training, record.cell.ntk)
