"""The contract of a metric: maps prediction and truth to a number with unit and direction."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from encbench.contracts.number import number
from encbench.errors import bounded

ROUNDING = 1e-4
"""A value may be beyond an end of its range by this, times the end's magnitude if that is above 1:
the rounding of sums in float32."""
HELD_OUT = "_held_out"
"""Ends the names of metrics that are over held-out points."""


class MetricValue(BaseModel):
    """The value of a metric, with title, unit and direction.

    ``value`` is None if the metric is undefined for the input; ``details`` then has a "reason".
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    value: float | None
    title: str = ""
    """Column title, such as "PSNR"."""
    unit: str = ""
    direction: Literal["higher", "lower"] = "higher"
    details: dict[str, Any] = {}
    """Conditions that affect comparability: the number of MS-SSIM scales, of points, …"""


class Metric(ABC):
    """A measure of quality, computed for every task whose ``Outcome.comparisons`` contains its
    registered name or, failing that, its ``kind``."""

    kind: ClassVar[str]
    """"image": two (H, W, C) float32 arrays in [0, 1]. Tasks may define further kinds."""
    unit: ClassVar[str] = ""
    """Unit, such as "dB"; empty for a pure number."""
    range: ClassVar[tuple[float, float]]
    """Smallest and largest possible value; others are not recorded, see ``ROUNDING``."""
    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    """Which values are better."""
    title: ClassVar[str]
    """Column title, such as "PSNR"."""
    source: ClassVar[str] = ""
    """The publication that defines it: authors, title, venue, year, equation."""
    bibtex: ClassVar[str | None] = None
    """BibTeX entries for ``encbench cite``; None: one is generated from ``source``."""

    @abstractmethod
    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        """The value, and details to record with it.

        Returns:
            (value, details); (None, {"reason": ...}) if the metric is undefined for the input. NaN
            is recorded as None.

        Raises:
            PluginError: prediction and truth are not of this kind, an error of the task.
        """

    def __call__(self, prediction: Any, truth: Any) -> MetricValue:
        # Copies, since other metrics get the same objects, and the task keeps its truth. Read-only
        # arrays would not do: torch warns of them and writes into them all the same.
        with suppress(Exception):  # a generator, or a tensor with a gradient, cannot be copied
            prediction, truth = deepcopy((prediction, truth))
        computed = self.compute(prediction, truth)
        if not (isinstance(computed, tuple) and len(computed) == 2):
            raise TypeError(
                f"compute returned a {type(computed).__name__}, expected (value, details)"
            )
        value, details = computed
        if not isinstance(details, Mapping):
            raise TypeError(f"compute returned {_shown(details)} as details, expected a dictionary")
        value = None if value is None else _number(value)
        low, high = limits_of(self)
        if value is None or math.isnan(value):
            returned = "None without a reason" if value is None else "NaN"
            value, details = None, {"reason": f"the metric returned {returned}", **details}
        elif not in_range(value, (low, high)):
            raise ValueError(
                f"compute returned {value:.9g}, expected a value in its range "
                f"[{low:.9g}, {high:.9g}]; correct range or compute"
            )
        return MetricValue(
            value=value, title=self.title, unit=self.unit, direction=self.direction, details=details
        )


def limits_of(metric: Metric) -> tuple[float, float]:
    """The ends of a metric's range, infinite if it has none.

    Raises:
        TypeError: it is not two numbers.
    """
    given: Any = getattr(metric, "range", (-math.inf, math.inf))
    try:
        low, high = map(number, given)
    except (TypeError, ValueError):
        raise TypeError(
            f"range is {bounded(repr(given), 100)}, expected the smallest and the largest value, "
            "such as (0.0, math.inf)"
        ) from None
    return low, high


def in_range(value: float, limits: tuple[float, float], rounding: float = ROUNDING) -> bool:
    """Whether a value is between the limits, but for rounding; see ``ROUNDING``."""
    low, high = limits
    return low - rounding * max(1, abs(low)) <= value <= high + rounding * max(1, abs(high))


def _number(value: Any) -> float:
    try:
        return number(value)
    except TypeError:
        raise TypeError(
            f"compute returned {_shown(value)} as value, expected one number or None"
        ) from None


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    return f"a {name}" if shape is None else f"a {name} of shape {tuple(shape)}"
