"""What a task makes of a trained network: the input of metrics, and what is stored and shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from encbench.errors import bounded

RESERVED = ("file", "allow_pickle")
"""Names that arrays cannot have: they are parameters of ``numpy.savez``."""


@dataclass(frozen=True)
class Outcome:
    """The evaluation of a trained network: input of metrics, and pictures and arrays to store."""

    comparisons: Mapping[str, tuple[Any, Any]]
    """Kind ("image", "occupancy", …) to (prediction, truth), for the metrics of that kind. The name
    of a metric, such as "psnr", instead of a kind: for that metric alone."""
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Name to (H, W), (H, W, 3) or (H, W, 4) uint8, saved as PNG with the record."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Name to an array saved with the record, such as the vertices of a surface."""
    baselines: Mapping[str, Mapping[str, tuple[Any, Any]]] = field(default_factory=dict)
    """Name of a method without a network ("bilinear interpolation") on the same training points to
    its comparisons. Their metrics are recorded; they must depend on the task alone."""
    lines: Mapping[str, tuple[Any, Any, Any]] = field(default_factory=dict)
    """Name to (x, prediction, truth) of a function of one variable: arrays (N,), (N, O), (N, O).
    The record keeps them, and the leaderboard draws them, a panel for each name and channel. A
    truth of NaN is not drawn, for example if the line is a measure of quality."""
    line_titles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Name of a line to what its x and its values are, with units: ("time [s]", "amplitude");
    "x" and the name unless given."""

    def __post_init__(self) -> None:
        """Check that all of it can be measured and saved, so that the error names the task.

        Raises:
            TypeError: a comparison, a picture, an array or a line has another type, dtype or shape.
            ValueError: a name cannot be the name of a file.
        """
        for part in fields(self):
            if not isinstance(value := getattr(self, part.name), Mapping):
                raise TypeError(f"{part.name} is {kind_of(value)}; expected a dict")
        _check_comparisons("comparisons", self.comparisons)
        for name, comparisons in self.baselines.items():
            _check_comparisons(f"baselines[{name!r}]", comparisons)
        if both := self.line_arrays().keys() & self.arrays.keys():
            raise ValueError(f"array {min(both)!r} has the name that a line is kept under")
        for name, titles in self.line_titles.items():
            two = isinstance(titles, tuple | list) and len(titles) == 2
            if name not in self.lines or not two or not all(isinstance(t, str) for t in titles):
                raise ValueError(
                    f"line_titles[{name!r}] is {titles!r}; expected two texts, of a line"
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
            if not isinstance(array, np.ndarray) or array.dtype.hasobject:
                raise TypeError(
                    f"array {name!r} is {kind_of(array)}; expected a NumPy array of numbers"
                )

    def line_arrays(self) -> dict[str, np.ndarray]:
        """The lines as a record keeps them: "line.NAME" to (N, 1 + 2·O), columns x, O predictions
        and O true values, float64."""
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
    """Whether an array is (H, W), (H, W, 3) or (H, W, 4) uint8, and not empty."""
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    return shaped and array.size > 0 and array.dtype == np.uint8


def kind_of(thing: object) -> str:
    if isinstance(thing, np.ndarray):
        return f"an array {thing.shape} of {thing.dtype}"
    return f"a {type(thing).__name__}"
