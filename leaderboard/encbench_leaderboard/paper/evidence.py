"""Numbers of records by encoding and target, and whether they agree with printed ones."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from encbench.results.kernel_summary import SpectrumSummary
from encbench.results.records import StoredRecord
from encbench.runs.tuning_report import TuneResult
from encbench_leaderboard.board.facts import gathered, metrics_of
from encbench_leaderboard.statistics.intervals import Interval, intervals

if TYPE_CHECKING:
    # at run time it would make the longest chain of imports longer
    from encbench_leaderboard.paper.equation13 import Equation13

READINGS = ("table3-literal", "table3-width", "table3-critical")
"""Readings of the learning rate 100: as printed; 1/√width in the first layer; or 1.5 · lr_crit."""
TUNED = ("tuned-fit", "tuned-held-out")
EQUATION = "equation13"
Answer = Literal["agrees", "disagrees", "not comparable"]
When = Literal["start", "middle", "end"]
PSNR_TOLERANCE = 1.5
"""[dB] A constant learning rate leaves this much noise at the last step."""
MS_SSIM_TOLERANCE = 0.02
ORDERS_TOLERANCE = 0.5
WITHIN = 3
"""Number of tolerances around a printed number within which an agreeing interval must lie."""


ONE_TARGET = "one target: no interval"


@dataclass(frozen=True)
class Evidence:
    """Results of the experiments, by their names."""

    records: Mapping[str, Sequence[StoredRecord]]
    tunings: Mapping[str, TuneResult] = field(default_factory=dict)
    kernels: Sequence[Equation13] = ()


@dataclass(frozen=True)
class Finding:
    """Result of checking a claim: ours in words, the number of targets, and whether it agrees."""

    ours: str
    units: int
    answer: Answer
    why: str = ""


NOTHING = Finding("–", 0, "not comparable", "no cell finished")


def reasons(*why: str) -> str:
    return "; ".join(filter(None, why))


Reader = Callable[[StoredRecord], float | None]


def by_target(records: Sequence[StoredRecord], label: str, read: Reader) -> dict[str, float]:
    """Return the mean over seeds of a number of an encoding's finished cells, by target."""
    found: dict[str, list[float]] = defaultdict(list)
    for stored in records:
        if stored.record.status == "ok" and plain_label(stored) == label:
            value = read(stored)
            if value is not None and not math.isnan(value):
                found[stored.record.task_label].append(value)
    return {target: math.fsum(values) / len(values) for target, values in found.items()}


def plain_label(stored: StoredRecord) -> str:
    """The encoding's label without what a tuning adds."""
    return stored.record.encoding_label.partition(" · ")[0]


def interval(values: Sequence[float]) -> Interval:
    """Mean over targets and its 95 % interval; NaN without values."""
    numbers = np.array(list(values) or [math.nan], dtype=np.float64)
    return intervals(numbers[None, :, None])[0]


def over_targets(records: Sequence[StoredRecord], label: str, read: Reader) -> Interval:
    return interval(list(by_target(records, label, read).values()))


def difference(records: Sequence[StoredRecord], a: str, b: str, read: Reader) -> Interval:
    """Mean difference a − b of two encodings' numbers on common targets, with its interval."""
    return on_common_targets(by_target(records, a, read), by_target(records, b, read))


def on_common_targets(a: Mapping[str, float], b: Mapping[str, float]) -> Interval:
    """Mean difference a − b of numbers by target, over those that both have, with its interval."""
    return interval([value - b[target] for target, value in a.items() if target in b])


def targets_of(records: Sequence[StoredRecord]) -> set[str]:
    """Return the targets of finished cells."""
    return {stored.record.task_label for stored in records if stored.record.status == "ok"}


def collapsed(stored: StoredRecord) -> bool:
    """Whether the first metric has its worst value, 0, such as the IoU of a network that predicts
    that nothing is inside."""
    first = metrics_of(gathered([stored]))[0]
    found = stored.record.metrics.get(first.name)
    return first.can_collapse and found is not None and found.value == 0


def metric(name: str) -> Reader:
    """Return a reader of a metric at the end of training."""

    def read(stored: StoredRecord) -> float | None:
        value = stored.record.metrics.get(name)
        return None if value is None else value.value

    return read


def spectrum_of(stored: StoredRecord, when: When) -> SpectrumSummary | None:
    return next((s for s in reversed(stored.record.spectra) if s.when == when), None)


def orders(statistic: str, when: When) -> Reader:
    """Return a reader of log10 of a spectrum's statistic, at least that of the floor; for "count",
    a reader of the number of eigenvalues above 1e-3 λ_max itself."""

    def read(stored: StoredRecord) -> float | None:
        summary = spectrum_of(stored, when)
        if summary is None:
            return None
        if statistic == "count":
            values = eigenvalues(stored, when)
            return None if values is None else float((values > 1e-3 * summary.maximum).sum())
        value = getattr(summary, statistic)
        return math.log10(max(summary.floor if value is None else value, summary.floor))

    return read


def eigenvalues(stored: StoredRecord, when: When, part: str = "") -> np.ndarray | None:
    """(N,) descending, of the kernel or, for part "mlp_", of its part without the encoding."""
    name = f"spectrum_{part}{when}"
    return stored.some_arrays(name).get(name)


def against_printed(found: Interval, printed: float, tolerance: float) -> tuple[Answer, str]:
    """Whether a mean is the printed number, up to a tolerance, and why that cannot be decided.

    It cannot for one target; if the mean is not the printed number but its interval reaches it; or
    if the mean is but its interval extends more than ``WITHIN`` tolerances from the printed number.
    """
    if (why := _too_few(found)) is not None:
        return "not comparable", why
    if abs(found.mean - printed) <= tolerance:
        if max(printed - found.low, found.high - printed) <= WITHIN * tolerance:
            return "agrees", ""
        return "not comparable", f"the interval over {found.units} targets is too wide to tell"
    if found.low - tolerance <= printed <= found.high + tolerance:
        return (
            "not comparable",
            f"the interval over {found.units} targets reaches the printed number",
        )
    return "disagrees", ""


def of_sign(*found: Interval) -> tuple[Answer, str]:
    """Whether all of the differences are positive, as is claimed."""
    if (why := next(filter(None, map(_too_few, found)), None)) is not None:
        return "not comparable", why
    if any(one.high <= 0 for one in found):
        return "disagrees", ""
    if any(one.low <= 0 for one in found):
        units = min(one.units for one in found)
        return "not comparable", f"an interval over {units} targets holds 0: too few to tell"
    return "agrees", ""


def _too_few(found: Interval) -> str | None:
    """Why there is no interval; None if there is one."""
    if math.isnan(found.mean):
        return "no cell finished"
    if found.units == 1:
        return ONE_TARGET
    return None if found.method else "a value is infinite"


def text(found: Interval, form: str = "+.1f", unit: str = "") -> str:
    """Format an interval: "+16.1 [12.0, 20.2] dB"."""
    if math.isnan(found.mean):
        return "–"
    end = f" {unit}" if unit else ""
    if not found.method:
        return f"{found.mean:{form}}{end}"
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]{end}"
