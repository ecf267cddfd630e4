"""The contract of a task: the function that a network is trained on, and its evaluation."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from encbench.contracts.regular_grid import RegularGrid
from encbench.errors import did_you_mean

IN_TASK = "raised because of what the task returned"
"""Note added to an exception, by which a record names the plug-in that failed."""
RESERVED = ("file", "allow_pickle")
"""Names that arrays cannot have: they are parameters of ``numpy.savez``."""

LossName = Literal["mse", "bce", "l1", "huber", "relative_l2", "mape"]
"""Losses that ``encbench.training.losses`` defines."""
CURVATURE: dict[str, float] = {"mse": 2.0, "bce": 0.25, "huber": 1.0}
"""Upper bound of the second derivative of an element's loss with respect to the output; lr_crit is
known for these losses."""
Predict = Callable[[Tensor], Tensor]
"""x (N, d) float64 in [0, 1] to outputs (N, O) float32 on the CPU, after the sigmoid if any."""


@dataclass(frozen=True)
class NetworkDefaults:
    """Default network of a task."""

    width: int
    """Units of each hidden layer."""
    depth: int
    """Number of hidden layers."""
    activation: str | None = None
    """For encodings that do not name one; None: ReLU. A task that differentiates the network twice
    needs a smooth activation, such as "tanh"."""
    parameterization: Literal["ntk", "standard"] = "ntk"


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
        """Check that all of it can be saved, so that the error names the task.

        Raises:
            TypeError: a picture, an array or a line has another type, dtype or shape.
            ValueError: a name cannot be the name of a file.
        """
        if both := self.line_arrays().keys() & self.arrays.keys():
            raise ValueError(f"array {min(both)!r} has the name that a line is kept under")
        for name, titles in self.line_titles.items():
            if name not in self.lines or len(titles) != 2 or isinstance(titles, str):
                raise ValueError(f"line_titles[{name!r}] is {titles!r}; expected two, of a line")
        for name, picture in self.pictures.items():
            _check_name("picture", name)
            if not isinstance(picture, np.ndarray) or not is_picture(picture):
                raise TypeError(
                    f"picture {name!r} is {_described(picture)}; expected uint8 (H, W), (H, W, 3) "
                    "or (H, W, 4)"
                )
        for name, array in self.arrays.items():
            _check_name("array", name)
            if not isinstance(array, np.ndarray) or array.dtype.hasobject:
                raise TypeError(
                    f"array {name!r} is {_described(array)}; expected a NumPy array of numbers"
                )

    def line_arrays(self) -> dict[str, np.ndarray]:
        """The lines as a record keeps them: "line.NAME" to (N, 1 + 2·O), columns x, O predictions
        and O true values, float64."""
        return {f"line.{name}": _columns(name, parts) for name, parts in self.lines.items()}


def _columns(name: str, parts: Any) -> np.ndarray:
    _check_name("line", name)
    if not isinstance(parts, tuple) or len(parts) != 3:
        raise TypeError(f"line {name!r} is {_described(parts)}; expected (x, prediction, truth)")
    x, prediction, truth = (np.asarray(part, dtype=np.float64) for part in parts)
    if not (x.ndim == 1 and prediction.ndim == 2 and len(x) == len(prediction) > 0) or (
        prediction.shape != truth.shape
    ):
        shapes = ", ".join(str(part.shape) for part in (x, prediction, truth))
        raise TypeError(f"line {name!r} has shapes {shapes}; expected (N,), (N, O), (N, O)")
    return np.column_stack([x, prediction, truth])


def _check_name(kind: str, name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name) or name in RESERVED:
        raise ValueError(
            f"{kind} {name!r}: expected a name of letters, digits, '_', '-' and '.', other than "
            f"{', '.join(RESERVED)}"
        )


def is_picture(array: np.ndarray) -> bool:
    """Whether an array is (H, W), (H, W, 3) or (H, W, 4) uint8, and not empty."""
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    return shaped and array.size > 0 and array.dtype == np.uint8


def _described(thing: object) -> str:
    if isinstance(thing, np.ndarray):
        return f"an array {thing.shape} of {thing.dtype}"
    return f"a {type(thing).__name__}"


class Task(ABC):
    """A function on [0, 1]^in_dim with out_dim channels, known at some points.

    A subclass takes its parameters as typed keywords, as encodings do. The constructor loads the
    data, and raises ``encbench.DataError`` if anything is wrong with it.
    """

    in_dim: int
    """d, coordinates of a point."""
    out_dim: int
    """O, channels of the function."""
    network: ClassVar[NetworkDefaults] = NetworkDefaults(width=512, depth=2)
    training: ClassVar[Mapping[str, Any]] = {}
    """Default training settings of this task."""
    loss: LossName | Callable[..., Tensor] = "mse"
    """What training minimizes: a name, or a method of the task.

    A name is one of ``encbench.training.losses``, which has their formulas: "mse", "l1", "huber",
    "relative_l2" and "mape" compare the output with y; with "bce" the output is a logit, the
    prediction is its sigmoid, and the loss is binary cross entropy.

    A method ``loss(self, model, x, y)`` returns a scalar tensor. ``model`` maps (N, in_dim) to
    (N, out_dim) and is differentiable as often as its activation is, also with respect to its
    input; x (n, in_dim) and y (n, out_dim), float32, are a batch of what ``epoch`` returns, on the
    model's device. The prediction is the model's output itself. Each step then uses autograd,
    ``lr = "auto"`` needs an optimizer with a usual rate, such as adam, and a loss with second
    derivatives needs an activation that has them, see ``network``."""
    curve: str = "psnr"
    """Name of the metric recorded during training, by which entries are also ranked; see
    ``progress_metric``."""
    curve_points: int | None = None
    """Number of points of ``progress_metric``; shown with the curve if given."""

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """The parameters of each single target, if these parameters name several.

        A folder of images becomes one set of parameters per image. Must be fast.

        Raises:
            DataError: the data cannot be found.
            ParameterError: a parameter is out of its range, or has no effect.
        """
        return [parameters]

    @classmethod
    def planned_dimension(cls, **parameters: Any) -> int | None:
        """d with these parameters, if it is known without reading data, else None. Must be fast.

        Encodings that do not take it are refused when a run is planned. The default is the class's
        ``in_dim``, if it has one.
        """
        known = getattr(cls, "in_dim", None)
        return known if isinstance(known, int) else None

    @classmethod
    def planned_loss(cls, **parameters: Any) -> LossName | Callable[..., Tensor]:
        """``loss`` with these parameters, if it depends on them. Must be fast."""
        return cls.loss

    @classmethod
    def derivatives(cls, **parameters: Any) -> int:
        """How often ``loss`` differentiates the network with respect to its input, 0 to 2.

        Encodings and activations without these derivatives are refused when a run is planned.
        """
        return 0

    @classmethod
    @abstractmethod
    def data_hash(cls, **parameters: Any) -> str:
        """SHA-256 of the content (not the path) of the data that these parameters name.

        Raises:
            DataError: the data cannot be read.
        """

    @property
    @abstractmethod
    def points_per_epoch(self) -> int:
        """Number of points in one epoch."""

    @abstractmethod
    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points x (N, in_dim) float64 in [0, 1] and values y (N, out_dim) float32 of one epoch.

        May return the same tensors each time (an image) or draw new points with ``generator`` (a
        surface). The order does not matter: the trainer shuffles them.
        """

    @abstractmethod
    def progress_metric(self, predict: Predict) -> float:
        """The metric named by ``curve``, at the same points each time.

        Called some 30 times during training, of which it should take a few per cent: a thousand
        points are enough.
        """

    @abstractmethod
    def evaluate(self, predict: Predict) -> Outcome:
        """The trained network's output and the truth, for metrics and pictures."""

    def render(self, predict: Predict, scale: float) -> np.ndarray:
        """What ``encbench render`` draws: the network's picture, (H, W), (H, W, 3) or (H, W, 4)
        uint8, with ``scale`` times as many pixels per side as the one of ``evaluate``.

        Large pictures should be predicted in parts. Not needed if ``in_dim`` is 1, which is drawn
        as a curve.

        Raises:
            NotImplementedError: the task has no such picture.
            ParameterError: at this scale it has no pixel, or too many.
        """
        raise NotImplementedError

    def ntk_points(self, count: int, generator: torch.Generator) -> Tensor:
        """Random distinct training points (M, in_dim) float64, at most ``count``."""
        x, _ = epoch_of(self, generator)
        chosen = torch.randperm(len(x), generator=generator)[:count]
        return x[chosen.sort().values]

    def regular_grid(self) -> RegularGrid | None:
        """The regular grid on which the target is known, with the true value of every point,
        trained on or not; the same tensor of points each time. None if there is none.

        The error by band of spatial frequency is then recorded during training. Predictions of
        ``progress_metric`` are reused for it if they are at this very tensor.
        """
        return None

    def values_at(self, x: Tensor) -> Tensor | None:
        """The training values y (N, out_dim) at any points x (N, in_dim) float64.

        None if they are known only at the points of an epoch. Override it together with
        ``ntk_points``, so that the kernel can be compared with the target.
        """
        return None

    def held_out(self) -> tuple[Tensor, Tensor] | None:
        """Points x (M, in_dim) float64 that are never trained on, and their true values
        y (M, out_dim) float32; None if all points are trained on."""
        return None


def content_hash(task: type[Task], parameters: Mapping[str, Any]) -> str:
    """What ``data_hash`` returns.

    Raises:
        TypeError: it is no text; ``data_hash`` may raise anything else.
    """
    found: Any = task.data_hash(**parameters)
    if not isinstance(found, str):
        raise TypeError(f"data_hash returned {found!r}; return hashlib.sha256(data).hexdigest()")
    return found


def epoch_of(task: Task, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What ``epoch`` returns, without gradients; points of whole numbers as float64.

    Also taken, although ``encbench check`` refuses them, are labels that are whole numbers or
    truth values, and further columns of y for a loss of the task's own.

    Raises:
        TypeError: it is not as agreed; noted as the task's. ``epoch`` may raise anything else.
    """
    drawn: Any = task.epoch(generator)
    columns = None if loss_name(task) is None else task.out_dim
    agreed = isinstance(drawn, tuple | list) and len(drawn) == 2
    agreed = agreed and all(map(_is_columns, drawn, (task.in_dim, columns)))
    if not agreed or len(drawn[0]) != len(drawn[1]):
        raise _not_agreed(
            f"epoch returned {_in_words(drawn)}; expected a pair of tensors, x (N, {task.in_dim}) "
            f"and y (N, {columns or 'any'})"
        )
    return _points(drawn[0]), drawn[1].detach()


def ntk_points_of(task: Task, count: int, generator: torch.Generator) -> Tensor:
    """What ``ntk_points`` returns.

    Raises:
        TypeError: as ``epoch_of``.
    """
    x: Any = task.ntk_points(count, generator)
    if not _is_columns(x, task.in_dim) or len(x) > count:
        raise _not_agreed(
            f"ntk_points returned {_in_words(x)}; expected a tensor of points (M, {task.in_dim}), "
            f"M at most {count}"
        )
    return _points(x)


def _points(x: Tensor) -> Tensor:
    return x.detach() if x.is_floating_point() else x.double()


def _is_columns(found: Any, columns: int | None) -> bool:
    """Whether it is a matrix of real numbers, of so many columns."""
    if not isinstance(found, Tensor) or found.ndim != 2 or not len(found):
        return False
    real = not found.is_complex() and found.layout == torch.strided and not found.is_meta
    return real and columns in (None, found.shape[1])


def _in_words(found: object) -> str:
    if isinstance(found, Tensor):
        kind = "meta" if found.is_meta else str(found.layout).removeprefix("torch.")
        kind = "" if kind == "strided" else f"{kind} "
        return f"a {kind}tensor {tuple(found.shape)} of {found.dtype}"
    if isinstance(found, tuple | list) and len(found) == 2:
        return f"{_in_words(found[0])} and {_in_words(found[1])}"
    return "None" if found is None else f"a {type(found).__name__}"


def _not_agreed(message: str) -> TypeError:
    error = TypeError(message)
    error.add_note(IN_TASK)
    return error


def loss_name(task: Task | type[Task]) -> LossName | None:
    """The name of a task's loss; None where it is a method.

    Raises:
        TypeError: it is neither.
    """
    loss: Any = task.loss
    names = get_args(LossName)
    if callable(loss):
        return None
    if loss not in names:
        raise TypeError(
            f"loss is {loss!r}"
            + did_you_mean(
                loss,
                names,
                f"expected one of {', '.join(map(repr, names))}, or a method "
                "loss(self, model, x, y)",
            )
        )
    return loss  # type: ignore[no-any-return] # just checked
