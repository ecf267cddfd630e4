"""The range of values of a parameter that ``encbench tune`` searches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DIGITS = 4
"""Significant digits of values drawn from a range. The last digits of ``exp`` differ between
machines, and a trial must have the same key on all of them."""


@dataclass(frozen=True)
class Search:
    """The range of a parameter for ``encbench tune``, written beside its type.

    For example ``levels: Annotated[int, Search(2, 12)] = 8``, or
    ``Annotated[float, Search(2, 20, log=True)]``, or ``Search(choices=("relu", "sine"))``. It
    does not restrict what a user may set; ``Field(ge=…, le=…)`` does.

    Args:
        low: smallest value.
        high: largest value, included.
        log: whether values are uniform in their logarithm.
        choices: the possible values, instead of a range.

    Raises:
        ValueError: the range is empty, reversed or not finite, ``log`` with low <= 0, fewer than
            two choices, or two equal choices.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        low, high = self.low, self.high
        if self.choices is not None:
            if low is not None or high is not None or self.log:
                raise ValueError(f"{self}: give either choices or a range")
            if len(self.choices) < 2:
                raise ValueError(f"{self}: at least two choices are needed to search")
            if any(choice in self.choices[:place] for place, choice in enumerate(self.choices)):
                raise ValueError(f"{self}: a choice is given more than once")
            return
        if low is None or high is None:
            raise ValueError("Search needs low and high, or choices")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{self} is an empty range: the lower end must be below the upper end")
        if self.log and low <= 0:
            raise ValueError(f"{self}: a logarithmic range must begin above 0")

    @property
    def ends(self) -> list[Any]:
        """The values to validate: both ends, or all choices."""
        return [self.low, self.high] if self.choices is None else list(self.choices)

    def value(self, share: float, *, whole: bool) -> Any:
        """The quantile of the range at ``share``; of choices, the one at that share of the list.

        Args:
            share: in [0, 1).
            whole: whether to round to an integer. All are equally likely; with ``log``, the
                probability is proportional to log((n + ½)/(n − ½)).
        """
        if self.choices is not None:
            return self.choices[int(share * len(self.choices))]
        assert self.low is not None, "checked above"
        assert self.high is not None, "checked above"
        half = 0.5 if whole else 0.0
        low, high = self.low - half, self.high + half
        if self.log:
            found = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            found = low + share * (high - low)
        found = round(found) if whole else float(f"{found:.{DIGITS}g}")
        return min(max(found, self.low), self.high)

    def times(self, factor: float) -> Search:
        """The range with both ends multiplied, rounded as values are."""
        assert self.low is not None, "choices have no ends"
        assert self.high is not None, "choices have no ends"
        low, high = (float(f"{end * factor:.{DIGITS}g}") for end in (self.low, self.high))
        return Search(low, high, self.log)

    def __str__(self) -> str:
        """The syntax of ``--space`` for simple choices: "4..12", "2..20:log", "64|256"."""
        if self.choices is not None:
            return "|".join(map(str, self.choices))
        return f"{self.low:g}..{self.high:g}{':log' if self.log else ''}"
