"""Numbers as text: with fixed decimals, or as fits a metric's unit and direction."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Protocol

from encbench.errors import with_minus

DIGITS = 4
"""Significant digits of errors and other values without a scale of their own."""


class Measured(Protocol):
    """A metric, or a value of one."""

    @property
    def unit(self) -> str: ...
    @property
    def direction(self) -> str: ...


def fixed(value: float, digits: int = 2, sign: str = "") -> str:
    """A number with a fixed number of decimals; "∞" if infinite, "–" if NaN. With "+" for ``sign``,
    positive numbers have one."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return f"{sign}∞" if value > 0 else "−∞"
    return with_minus(f"{value:{sign}.{digits}f}")


def value_text(value: float, metric: Measured, of: float | None = None, sign: str = "") -> str:
    """A metric's value without its unit: dB with two decimals, scores below 10 with four, and
    others, also a score that would be 0.0000, with four significant digits: "2.200e-5".

    Args:
        of: the number whose digits and power of ten are taken, such as the larger one of a mean
            and its interval; default: the value itself.
        sign: as in ``fixed``.
    """
    if metric.unit == "dB":
        return fixed(value, 2, sign)
    of = value if of is None or math.isinf(of) else of
    score = metric.direction == "higher" and not metric.unit
    if score and (of == 0 or 5e-5 <= abs(of) < 10):
        return fixed(value, 4, sign)
    rounded = f"{of:.{DIGITS - 1}e}"
    power = int(rounded.partition("e")[2]) if math.isfinite(of) else 0
    if not math.isfinite(value) or -5 < power < 6:
        return fixed(value, max(0, DIGITS - 1 - power), sign)
    mantissa = float(Decimal(value).scaleb(-power))  # 10.0**power can be 0 or infinite
    return f"{fixed(mantissa, DIGITS - 1, sign)}e{power}"


def round_text(value: float) -> str:
    """A round number as short as it is: "30", "0.002", "3.1e-5", "1.2e6"."""
    return with_minus(re.sub(r"e\+?(-?)0*", r"e\1", f"{value:g}"))


def quantity(value: float, metric: Measured, of: float | None = None) -> str:
    """A metric's value with its unit: "33.65 dB"."""
    return f"{value_text(value, metric, of)} {metric.unit}".rstrip()
