"""The contract of a task: the function that a network is trained on, and its evaluation."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from encbench.contracts.outcome import Outcome, kind_of
from encbench.contracts.regular_grid import RegularGrid
from encbench.errors import bounded, did_you_mean

IN_TASK = "raised because of what the task returned"
"""Note added to an exception; from it a record determines which plug-in failed."""
LossName = Literal["mse", "bce", "l1", "huber", "relative_l2", "mape"]
"""Names of the losses in ``encbench.training.losses``."""
CURVATURE: dict[str, float] = {"mse": 2.0, "bce": 0.25, "huber": 1.0}
"""Loss to an upper bound of its second derivative per element with respect to the output; lr_crit
is known for these losses."""
Predict = Callable[[Tensor], Tensor]
"""Maps x (N, d) float64 in [0, 1] to outputs (N, O) float32 on the CPU, after any sigmoid."""


@dataclass(frozen=True)
class NetworkDefaults:
    """Default network of a task."""

    width: int
    """Units of each hidden layer."""
    depth: int
    """Number of hidden layers."""
    activation: str | None = None
    """Activation for encodings that do not name one; None: ReLU. A task that differentiates the
    network twice needs a smooth activation, such as "tanh"."""
    parameterization: Literal["ntk", "standard"] = "ntk"


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
    sampling: ClassVar[tuple[str, ...]] = ()
    """Parameters that say how densely a target is sampled, such as "side". Targets that differ only
    in these are one target: settings tuned on it are not reported on it with the same seed."""
    loss: LossName | Callable[..., Tensor] = "mse"
    """The training loss: a name, or a method of the task.

    Formulas of the named losses are in ``encbench.training.losses``. "mse", "l1", "huber",
    "relative_l2" and "mape" compare the output with y; with "bce" the output is a logit, the
    prediction is its sigmoid, and the loss is binary cross entropy.

    A method ``loss(self, model, x, y)`` returns a scalar tensor. ``model`` maps (N, in_dim) to
    (N, out_dim) and is differentiable as often as its activation is, also with respect to its
    input; x (n, in_dim) and y (n, out_dim), float32, are a batch of what ``epoch`` returns, on the
    model's device. The prediction is the model's output itself. Each step then uses autograd,
    ``lr = "auto"`` needs an optimizer with a default rate, such as adam, and a loss with second
    derivatives needs an activation that has them, see ``network``."""
    curve: str = "psnr"
    """Name of the metric recorded during training, by which entries are also ranked; see
    ``progress_metric``."""
    curve_points: int | None = None
    """Number of points of ``progress_metric``; shown with the curve if given."""

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """The parameters of each single target, if the given parameters name several targets.

        A folder of images becomes one set of parameters per image. Must be fast.

        Raises:
            DataError: the data cannot be found.
            ParameterError: a parameter is out of its range, or has no effect.
        """
        return [parameters]

    @classmethod
    def planned_dimension(cls, **parameters: Any) -> int | None:
        """d for these parameters, or None if it is unknown before data are read. Must be fast.

        Encodings that do not support d are rejected when a run is planned. The default is the
        class's ``in_dim``, if it has one.
        """
        known = getattr(cls, "in_dim", None)
        return known if isinstance(known, int) else None

    @classmethod
    def planned_loss(cls, **parameters: Any) -> LossName | Callable[..., Tensor]:
        """``loss`` for these parameters; override it if it depends on them. Must be fast."""
        return cls.loss

    @classmethod
    def derivatives(cls, **parameters: Any) -> int:
        """How often ``loss`` differentiates the network with respect to its input, 0 to 2.

        Encodings and activations without these derivatives are rejected when a run is planned.
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
        """Number of points in one epoch: a class attribute or a property, not set in __init__."""

    @abstractmethod
    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points x (N, in_dim) float64 in [0, 1] and values y (N, out_dim) float32 of one epoch.

        May return the same tensors each time (an image) or draw new points with ``generator`` (a
        surface). The order does not matter: the trainer shuffles them.
        """

    @abstractmethod
    def progress_metric(self, predict: Predict) -> float:
        """The metric named by ``curve``, at the same points each time.

        Called about 30 times during training. It should take only a few per cent of the training
        time; a thousand points are enough.
        """

    @abstractmethod
    def evaluate(self, predict: Predict) -> Outcome:
        """The trained network's outputs and the true values, for metrics and pictures."""

    def render(self, predict: Predict, scale: float) -> np.ndarray:
        """The picture for ``encbench render``, (H, W), (H, W, 3) or (H, W, 4) uint8, with
        ``scale`` times as many pixels per side as the picture of ``evaluate``.

        Predict large pictures in parts. Not needed if ``in_dim`` is 1: then a curve is drawn.

        Raises:
            NotImplementedError: the task has no such picture.
            ParameterError: at this scale the picture has no pixels, or too many.
        """
        raise NotImplementedError

    def ntk_points(self, count: int, generator: torch.Generator) -> Tensor:
        """At most ``count`` distinct random training points (M, in_dim) float64."""
        x, _ = epoch_of(self, generator)
        chosen = torch.randperm(len(x), generator=generator)[:count]
        return x[chosen.sort().values]

    def regular_grid(self) -> RegularGrid | None:
        """The regular grid on which the target is known, with the true value at every point,
        including points not trained on; None if there is none.

        The error per band of spatial frequency is then recorded during training. Return the same
        tensor of points each time: predictions that ``progress_metric`` makes at it are reused.
        """
        return None

    def values_at(self, x: Tensor) -> Tensor | None:
        """The training values y (N, out_dim) at any points x (N, in_dim) float64.

        None if they are known only at the points of an epoch. Override it if you override
        ``ntk_points``, so that the kernel can be compared with the target.
        """
        return None

    def held_out(self) -> tuple[Tensor, Tensor] | None:
        """Points x (M, in_dim) float64 that are never trained on, and their true values
        y (M, out_dim) float32; None if all points are trained on."""
        return None


def content_hash(task: type[Task], parameters: Mapping[str, Any]) -> str:
    """The checked result of ``data_hash``.

    Raises:
        TypeError: it is not printable ASCII of 1 to 200 characters. Errors that ``data_hash``
            raises pass through.
    """
    found: Any = task.data_hash(**deepcopy(dict(parameters)))
    if not isinstance(found, str) or not re.fullmatch("[ -~]{1,200}", found):
        raise TypeError(
            f"data_hash returned {bounded(repr(found), 100)}; return "
            "hashlib.sha256(data).hexdigest()"
        )
    return found


def checked_task(task: Task) -> Task:
    """Check a task's sizes and curve before anything is computed from them, and return it.

    Raises:
        TypeError: one is invalid; marked as the task's error. Errors in properties pass through.
    """
    names = ("in_dim", "out_dim", "points_per_epoch")
    whole: dict[str, Any] = {name: getattr(task, name) for name in names}
    if task.curve_points is not None:
        whole["curve_points"] = task.curve_points
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise _invalid(f"{name} is {bounded(repr(value), 100)}; expected a whole number")
    if not isinstance(task.curve, str) or not task.curve.isprintable() or len(task.curve) > 100:
        raise _invalid(
            f"curve is {bounded(repr(task.curve), 100)}; expected the name of a metric, one line"
        )
    return task


def epoch_of(task: Task, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The checked result of ``epoch``, detached; integer points become float64.

    Integer or boolean labels are accepted, although ``encbench check`` rejects them; so are
    additional columns of y if the loss is a method of the task.

    Raises:
        TypeError: it is invalid; marked as the task's error. Errors of ``epoch`` pass through.
    """
    drawn: Any = task.epoch(generator)
    columns = None if loss_name(task) is None else task.out_dim
    valid = isinstance(drawn, tuple | list) and len(drawn) == 2
    valid = valid and all(map(_is_columns, drawn, (task.in_dim, columns)))
    if not valid or len(drawn[0]) != len(drawn[1]):
        raise _invalid(
            f"epoch returned {_described(drawn)}; expected a pair of tensors, x (N, {task.in_dim}) "
            f"and y (N, {columns or 'any'})"
        )
    return _points(drawn[0]), drawn[1].detach()


def check_values(task: Task, x: Tensor, y: Tensor) -> None:
    """Check that a named loss is defined at the points and values of an epoch.

    A loss that is a method of the task may accept other points, such as angles, and NaN values.

    Raises:
        TypeError: it is not; marked as the task's error.
    """
    if (loss := loss_name(task)) is None:
        return
    _check_range("epoch", "x", x, unit=True)
    _check_range("epoch", "y", y, unit=loss == "bce")


def check_count(task: Task, points: int) -> None:
    """Check the length of an epoch against ``points_per_epoch``, from which the number of
    steps was planned.

    Raises:
        TypeError: they differ; marked as the task's error.
    """
    if points != task.points_per_epoch:
        raise _invalid(
            f"epoch returned {points} points; expected points_per_epoch, {task.points_per_epoch}"
        )


def _check_range(source: str, name: str, values: Tensor, *, unit: bool) -> None:
    low, high = (float(end) for end in torch.aminmax(values.detach().to(torch.float32)))
    if not (low >= 0 and high <= 1) if unit else not math.isfinite(high - low):
        got = f"from {low:g} to {high:g}" if low <= high else "with NaN"
        expected = "[0, 1]" if unit else "finite float32 numbers"
        raise _invalid(f"{source} returned {name} {got}; expected {expected}")


def outcome_of(task: Task, predict: Predict) -> Outcome:
    """The checked result of ``evaluate``.

    Raises:
        TypeError: it is no ``Outcome``; marked as the task's error. Errors of ``evaluate`` pass
            through.
    """
    found: Any = task.evaluate(predict)
    if not isinstance(found, Outcome):
        raise _invalid(f"evaluate returned {_described(found)}; expected an encbench.Outcome")
    return found


def check_predicted(task: Task, x: Any) -> None:
    """Check that points passed to ``predict`` are a matrix (N, in_dim), before the network runs.

    Raises:
        TypeError: they are not; marked as the task's error.
    """
    if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[1] != task.in_dim:
        raise _invalid(f"predict was given {_described(x)}; expected (N, {task.in_dim})")


def regular_grid_of(task: Task) -> RegularGrid | None:
    """The checked result of ``regular_grid``.

    Raises:
        TypeError: as ``epoch_of``.
    """
    grid: Any = task.regular_grid()
    if grid is None:
        return None
    if not isinstance(grid, RegularGrid) or (grid.truth.ndim - 1, grid.truth.shape[-1]) != (
        task.in_dim,
        task.out_dim,
    ):
        got = kind_of(grid.truth if isinstance(grid, RegularGrid) else grid)
        raise _invalid(
            f"regular_grid returned {got}; expected an encbench.RegularGrid with {task.in_dim} "
            f"axes of cells, and {task.out_dim} channels"
        )
    _check_range("regular_grid", "x", grid.x, unit=True)
    # torch rejects arrays with negative strides or foreign byte order, and warns of read-only ones
    ends = np.array([grid.truth.min(), grid.truth.max()], np.float64)
    _check_range("regular_grid", "truth", torch.from_numpy(ends), unit=False)
    return grid


def values_at_of(task: Task, x: Tensor) -> Tensor | None:
    """The checked result of ``values_at``, detached.

    Raises:
        TypeError: as ``epoch_of``.
    """
    y: Any = task.values_at(x)
    if y is None:
        return None
    if not _is_columns(y, task.out_dim) or len(y) != len(x):
        raise _invalid(
            f"values_at returned {_described(y)} for {len(x)} points; expected a tensor "
            f"({len(x)}, {task.out_dim})"
        )
    values: Tensor = y.detach()
    return values


def held_out_of(task: Task) -> tuple[Tensor, Tensor] | None:
    """The checked result of ``held_out``, detached.

    Raises:
        TypeError: as ``epoch_of``.
    """
    found: Any = task.held_out()
    if found is None:
        return None
    valid = isinstance(found, tuple | list) and len(found) == 2
    valid = valid and all(map(_is_columns, found, (task.in_dim, task.out_dim)))
    if not valid or len(found[0]) != len(found[1]):
        raise _invalid(
            f"held_out returned {_described(found)}; expected None, or a pair of tensors, "
            f"x (M, {task.in_dim}) and y (M, {task.out_dim})"
        )
    _check_range("held_out", "x", found[0], unit=True)
    _check_range("held_out", "y", found[1], unit=False)
    return _points(found[0]), found[1].detach()


def ntk_points_of(task: Task, count: int, generator: torch.Generator) -> Tensor:
    """The checked result of ``ntk_points``.

    Raises:
        TypeError: as ``epoch_of``.
    """
    x: Any = task.ntk_points(count, generator)
    if not _is_columns(x, task.in_dim) or len(x) > count:
        raise _invalid(
            f"ntk_points returned {_described(x)}; expected a tensor of points (M, {task.in_dim}), "
            f"M at most {count}"
        )
    _check_range("ntk_points", "x", x, unit=True)
    return _points(x)


def _points(x: Tensor) -> Tensor:
    return x.detach() if x.is_floating_point() else x.double()


def _is_columns(found: Any, columns: int | None) -> bool:
    """Whether it is a non-empty dense matrix of real numbers with ``columns`` columns, if given."""
    if not isinstance(found, Tensor) or found.ndim != 2 or not len(found):
        return False
    real = not found.is_complex() and found.layout == torch.strided and not found.is_meta
    real = real and not found.is_quantized
    return real and columns in (None, found.shape[1])


def _described(found: object) -> str:
    if isinstance(found, Tensor):
        kind = "meta" if found.is_meta else str(found.layout).removeprefix("torch.")
        kind = "" if kind == "strided" else f"{kind} "
        return f"a {kind}tensor {tuple(found.shape)} of {found.dtype}"
    if isinstance(found, tuple | list) and len(found) == 2:
        return f"{_described(found[0])} and {_described(found[1])}"
    return "None" if found is None else f"a {type(found).__name__}"


def _invalid(message: str) -> TypeError:
    error = TypeError(message)
    error.add_note(IN_TASK)
    return error


def loss_name(task: Task | type[Task]) -> LossName | None:
    """The name of a task's loss; None if it is a method.

    Raises:
        TypeError: it is neither a known name nor a method.
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
