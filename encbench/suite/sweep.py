"""Sweeps: ``{ sweep = [0.5, 1, 2] }`` instead of a value stands for each of these values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from encbench.errors import printable

SWEEP = "sweep"


def sweeps_of(table: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The keys of a table whose value is a sweep, each with the sweep's values.

    Raises:
        ValueError: a sweep has no values, a repeated value, a nested sweep, or other keys.
    """
    found = {key: value for key, value in table.items() if is_sweep(value)}
    for key, value in found.items():
        values = value[SWEEP]
        if len(value) > 1:
            others = ", ".join(map(str, value.keys() - {SWEEP}))
            problem = f"takes no other keys, got {others}"
        elif not isinstance(values, list):
            problem = f"needs a list of values, got {values!r}"
        elif not values:
            problem = "needs at least one value"
        elif any(map(is_sweep, values)):
            problem = "cannot hold another one; write all values in one list"
        elif twice := [one for place, one in enumerate(values) if _holds(values[:place], one)]:
            problem = f"takes each value once, got {twice[0]!r} twice"
        else:
            continue
        raise ValueError(printable(f"{key}: a sweep {problem}"))
    return {key: value[SWEEP] for key, value in found.items()}


def _holds(values: list[Any], one: Any) -> bool:
    """Whether a value is in the list; true is not 1."""
    return any(
        one == value and isinstance(one, bool) == isinstance(value, bool) for value in values
    )


def is_sweep(value: Any) -> bool:
    """Whether a value is meant as a sweep, valid or not."""
    return isinstance(value, Mapping) and SWEEP in value


def each_choice(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the table with each combination of the values of its sweeps, the last one varying
    fastest; without sweeps, the table itself."""
    sweeps = sweeps_of(table)
    for values in itertools.product(*sweeps.values()):
        yield {**table, **dict(zip(sweeps, values, strict=True))}
