"""The evaluation of a trained network: input for metrics, and pictures and arrays to store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from encbench.errors import bounded

RESERVED = ("file", "allow_pickle")
"""Names that arrays cannot have: they are parameters of ``numpy.savez``."""

NUMBERS = "biufc"
"""Kinds of NumPy's types that arrays may have."""


@dataclass(frozen=True)
class Outcome:
    """What a task's ``evaluate`` returns: input for metrics, and pictures and arrays to store."""

    comparisons: Mapping[str, tuple[Any, Any]]
    """Maps a kind ("image", "occupancy", …) to (prediction, truth) for all metrics of that kind, or
    the name of a metric, such as "psnr", to (prediction, truth) for that metric alone."""
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Maps a name to (H, W), (H, W, 3) or (H, W, 4) uint8, saved as PNG with the record."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Maps a name to an array saved with the record, such as the vertices of a surface."""
    baselines: Mapping[str, Mapping[str, tuple[Any, Any]]] = field(default_factory=dict)
    """Maps the name of a method without a network ("bilinear interpolation"), applied to the same
    training points, to its comparisons. Their metrics are recorded; they must depend only on the
    task."""
    lines: Mapping[str, tuple[Any, Any, Any]] = field(default_factory=dict)
    """Maps a name to (x, prediction, truth) of a function of one variable: (N,), (N, O), (N, O).
    The record stores them; the leaderboard draws a panel per name and channel. A truth of NaN is
    not drawn, for example if the line is a measure of quality."""
    line_titles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Maps the name of a line to its axis titles, with units: ("time [s]", "amplitude"); default:
    "x" and the name."""

    def __post_init__(self) -> None:
        """Check here that everything can be measured and saved, so that an error names the task.

        Raises:
            TypeError: a comparison, a picture, an array or a line has another type, dtype or shape.
            ValueError: a name is not a valid file name.
        """
        for part in fields(self):
            if not isinstance(value := getattr(self, part.name), Mapping):
                raise TypeError(f"{part.name} is {kind_of(value)}; expected a dict")
        _check_comparisons("comparisons", self.comparisons)
        for name, comparisons in self.baselines.items():
            _check_comparisons(f"baselines[{name!r}]", comparisons)
        if both := self.line_arrays().keys() & self.arrays.keys():
            raise ValueError(f"array {min(both)!r} has the name under which a line is stored")
        for name, titles in self.line_titles.items():
            two = isinstance(titles, tuple | list) and len(titles) == 2
            if name not in self.lines or not two or not all(isinstance(t, str) for t in titles):
                raise ValueError(
                    f"line_titles[{name!r}] is {titles!r}; expected a line's name to two texts"
                )
        for name, picture in self.pictures.items():
            _check_name("picture", name)
            if not isinstance(picture, np.ndarray) or not is_picture(picture):
                raise TypeError(
                    f"picture {name!r} is {kind_of(picture)}; expected uint8 (H, W), (H, W, 3) "
                    "or (H, W, 4)"
                )
        for name, array in self.arrays.items():
            _check_name("array", name)
            if not isinstance(array, np.ndarray) or array.dtype.kind not in NUMBERS:
                raise TypeError(
                    f"array {name!r} is {kind_of(array)}; expected a NumPy array of numbers"
                )

    def line_arrays(self) -> dict[str, np.ndarray]:
        """The lines as a record stores them: "line.NAME" to (N, 1 + 2·O) float64, with columns x,
        O predictions and O true values."""
        return {f"line.{name}": _columns(name, parts) for name, parts in self.lines.items()}


def _check_comparisons(name: str, comparisons: Any) -> None:
    pairs = comparisons.values() if isinstance(comparisons, Mapping) else [comparisons]
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"{name} holds {kind_of(pair)}; expected a dict of pairs (prediction, truth)"
            )


def _columns(name: str, parts: Any) -> np.ndarray:
    _check_name("line", name)
    if not isinstance(parts, tuple) or len(parts) != 3 or any(map(np.iscomplexobj, parts)):
        raise TypeError(
            f"line {name!r} is {kind_of(parts)}; expected (x, prediction, truth), real numbers"
        )
    x, prediction, truth = (np.asarray(part, dtype=np.float64) for part in parts)
    if not (x.ndim == 1 and prediction.ndim == 2 and len(x) == len(prediction) > 0) or (
        prediction.shape != truth.shape
    ):
        shapes = ", ".join(str(part.shape) for part in (x, prediction, truth))
        raise TypeError(f"line {name!r} has shapes {shapes}; expected (N,), (N, O), (N, O)")
    return np.column_stack([x, prediction, truth])


def _check_name(kind: str, name: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]{,59}", name) or name in RESERVED:
        raise ValueError(
            f"{kind} {bounded(repr(name), 100)}: expected a name of at most 60 letters, digits, "
            f"'_', '-' and '.', other than {', '.join(RESERVED)}"
        )


def is_picture(array: np.ndarray) -> bool:
    """Whether an array is a non-empty (H, W), (H, W, 3) or (H, W, 4) of uint8."""
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    return shaped and array.size > 0 and array.dtype == np.uint8


def kind_of(thing: object) -> str:
    if isinstance(thing, np.ndarray):
        return f"an array {thing.shape} of {thing.dtype}"
    return f"a {type(thing).__name__}"
