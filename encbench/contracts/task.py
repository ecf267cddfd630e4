"""The contract of a task: what a network is trained to reproduce, and how well it did."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["NetworkDefaults", "Outcome", "Predict", "Task"]

RESERVED = ("file", "allow_pickle")
"""Parameters of ``numpy.savez``, which takes the arrays by name beside them."""

Predict = Callable[[Tensor], Tensor]
"""x (N, d) float64 in [0, 1] to outputs (N, O) float32 on the CPU, after the output activation."""


@dataclass(frozen=True)
class NetworkDefaults:
    """The network that the paper uses for this kind of task."""

    width: int
    depth: int
    activation: str | None = None
    """For encodings that expect none of their own; None: ReLU. A task that differentiates the
    network twice needs a smooth one, such as "tanh"."""


@dataclass(frozen=True)
class Outcome:
    """What a trained network gave, ready for metrics and pictures."""

    comparisons: Mapping[str, tuple[Any, Any]]
    """Kind ("image", "occupancy", …) to (prediction, truth); metrics of that kind apply."""
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Name to (H, W), (H, W, 3) or (H, W, 4) uint8, written as PNG beside the record."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Name to an array kept in the record, such as the vertices of a surface."""

    def __post_init__(self) -> None:
        """Refuse here, where the cell fails and its task is named, what no record can hold.

        Raises:
            TypeError: a picture or an array is something else.
            ValueError: a name is no file's.
        """
        for name, picture in self.pictures.items():
            _check_name("picture", name)
            if not isinstance(picture, np.ndarray) or not _is_picture(picture):
                raise TypeError(
                    f"picture {name!r} is {_what(picture)}; expected uint8 (H, W), (H, W, 3) "
                    "or (H, W, 4)"
                )
        for name, array in self.arrays.items():
            _check_name("array", name)
            if not isinstance(array, np.ndarray) or array.dtype.hasobject:
                raise TypeError(
                    f"array {name!r} is {_what(array)}; expected a NumPy array of numbers"
                )


def _check_name(kind: str, name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name) or name in RESERVED:
        raise ValueError(
            f"{kind} {name!r}: expected a name of letters, digits, '_', '-' and '.', other than "
            f"{', '.join(RESERVED)}"
        )


def _is_picture(array: np.ndarray) -> bool:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    return shaped and array.size > 0 and array.dtype == np.uint8


def _what(thing: object) -> str:
    if isinstance(thing, np.ndarray):
        return f"an array {thing.shape} of {thing.dtype}"
    return f"a {type(thing).__name__}"


class Task(ABC):
    """A function on [0, 1]^in_dim with out_dim channels, known at some points.

    A subclass takes its parameters as typed keywords, as encodings do. Building it loads the
    data; anything wrong with the data raises ``encbench.DataError``.
    """

    in_dim: int
    out_dim: int
    network: ClassVar[NetworkDefaults] = NetworkDefaults(width=512, depth=2)
    training: ClassVar[Mapping[str, Any]] = {}
    """Training settings that suit this task, where the suite says nothing of them."""
    loss: ClassVar[Literal["mse", "bce"]] = "mse"
    """"mse": linear output, mean squared error over points and channels. "bce": the network's
    output is a logit, the prediction its sigmoid, and binary cross entropy the loss."""
    curve: ClassVar[str] = "psnr"
    """The metric followed during training; see ``progress_metric``."""

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """Parameters of each single target, where one request names several.

        A folder of images becomes one set of parameters an image. Must be quick.
        """
        return [parameters]

    @classmethod
    @abstractmethod
    def data_hash(cls, **parameters: Any) -> str:
        """SHA-256 of the data that these parameters name (its content, not its path).

        Raises:
            DataError: the data cannot be read.
        """

    @property
    @abstractmethod
    def points_per_epoch(self) -> int:
        """Points in one epoch."""

    @abstractmethod
    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """x (N, in_dim) float64 in [0, 1] and y (N, out_dim) float32 of one epoch, in any order.

        May return the same tensors each time (an image) or draw new points (a surface). The
        trainer shuffles them.
        """

    @abstractmethod
    def progress_metric(self, predict: Predict) -> float:
        """The metric named by ``curve``, quick enough to be followed during training."""

    @abstractmethod
    def evaluate(self, predict: Predict) -> Outcome:
        """The trained network's output beside the truth."""

    def ntk_points(self, count: int, generator: torch.Generator) -> Tensor:
        """At most ``count`` distinct training points (M, in_dim) float64, at random."""
        x, _ = self.epoch(generator)
        chosen = torch.randperm(len(x), generator=generator)[:count]
        return x[chosen.sort().values]
