"""One step of an optimizer on a batch of points: layer by layer, or by autograd."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from encbench.contracts.network import Network, in_encoding
from encbench.contracts.optimizer import Optimizer
from encbench.contracts.task import LossName
from encbench.device import Recording, can_record, lacks_memory
from encbench.errors import bounded
from encbench.network.mlp import CoordinateMLP
from encbench.training.features import (
    CHANGES,
    HOOKED,
    AutogradFeatures,
    State,
    TableFeatures,
    why_not_tables,
)
from encbench.training.layers import Layers, why_not_layerwise
from encbench.training.losses import LOSSES, OWN_LOSS, OwnLoss, value_and_gradient
from encbench.training.optimizers import can_be_recorded, make_optimizer, take_step

Rates = tuple[float, float]
"""Learning rates of the network and of the encoding."""


class Update:
    """Applies an optimizer after each backward pass; creates it after the first one.

    Args:
        parts: the parameters of the network, and those of the encoding.
        rates: their learning rates.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        parts: tuple[list[nn.Parameter], list[nn.Parameter]],
        rates: Rates,
    ) -> None:
        self.optimizer = optimizer
        self.parts = parts
        self.rates = rates
        self._made: torch.optim.Optimizer | None = None

    def __call__(self, factor: float | Tensor) -> None:
        """Take a step with the learning rates times ``factor``, a tensor if a GPU records it."""
        if not any(self.parts):
            return
        if self._made is None:
            recorded = isinstance(factor, Tensor)
            self._made = make_optimizer(self.optimizer, self.parts, self.rates, recorded=recorded)
        for group in self._made.param_groups:
            if isinstance(factor, Tensor) and isinstance(group["lr"], Tensor):
                torch.mul(factor, group["highest_lr"], out=group["lr"])
            else:
                group["lr"] = group["highest_lr"] * float(factor)
        take_step(self._made)

    @property
    def can_be_recorded(self) -> bool:
        """Whether every step launches the same kernels; known after the first one."""
        return self._made is None or can_be_recorded(self._made)

    def replace(self, old: nn.Parameter, new: nn.Parameter) -> None:
        """Replace a parameter by one with more rows; the state of the new rows is zero."""
        for part in self.parts:
            part[:] = [new if parameter is old else parameter for parameter in part]
        if self._made is None:
            return
        for group in self._made.param_groups:
            group["params"] = [new if each is old else each for each in group["params"]]
        for name, value in self._made.state.pop(old, {}).items():
            if isinstance(value, Tensor) and value.shape == old.shape:
                value = torch.cat((value, value.new_zeros(len(new) - len(old), *old.shape[1:])))
            self._made.state[new][name] = value


class AutogradStep:
    """A step of any model with any loss; the reference of ``LayerwiseStep``.

    Args:
        loss: a name, or the method of a task.

    Attributes:
        how: method of computing a step, with the reason if it is not the fast one.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: LossName | Callable[..., Tensor],
        optimizer: Optimizer,
        rates: Rates,
        how: str = "autograd",
    ) -> None:
        self.model = model
        self.loss = OwnLoss(loss) if callable(loss) else _of_outputs(LOSSES[loss])
        self.how = how
        encoding = list(model.encoding.parameters()) if isinstance(model, Network) else []
        others = [p for p in model.parameters() if all(p is not each for each in encoding)]
        learned = ([p for p in part if p.requires_grad] for part in (others, encoding))
        self._update = Update(optimizer, (next(learned), next(learned)), rates)

    def begin(self, x: Tensor, y: Tensor, order: Tensor) -> None:
        """Begin an epoch with points x (N, d) and values y (N, O), taken in this order (N,).

        If x is the tensor of the epoch before, the points are the same.
        """
        self._x, self._y = x[order], y[order]

    def __call__(self, start: int, stop: int, factor: float = 1.0) -> Tensor:
        """Take a step on the points from start to stop in this epoch's order; return their loss.

        Args:
            factor: multiplies the learning rates.
        """
        self.model.zero_grad()
        x, y = self._x[start:stop], self._y[start:stop]
        if isinstance(self.model, Network):
            loss = self.model.objective(self.loss, x, y)
        else:
            loss = self.loss(self.model, x, y)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self._update(factor)
        return loss.detach()

    def settle(self) -> None:
        """Bring the model's parameters up to date; must be called before they are read."""


def _of_outputs(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    return lambda model, x, y: loss(model(x), y)


class LayerwiseStep:
    """A step of a ``CoordinateMLP`` with no autograd through its linear layers.

    Plain SGD updates a weight in the matrix product that would compute its gradient. Other
    optimizers read gradients from buffers that are reused.
    """

    def __init__(
        self,
        layers: Layers,
        features: AutogradFeatures | TableFeatures,
        loss: LossName,
        optimizer: Optimizer,
        rates: Rates,
        how: str,
    ) -> None:
        self.layers = layers
        self.features = features
        self.loss = loss
        self.rates = rates
        self.how = how
        self._descends = optimizer.plain
        weights = [p for linear in layers.linears for p in (linear.weight, linear.bias)]
        left = [] if self._descends else weights
        self._update = Update(optimizer, (left, list(features.learned)), rates)
        self._one = torch.ones((), device=layers.linears[0].weight.device)

    def begin(self, x: Tensor, y: Tensor, order: Tensor) -> None:
        before = self.features.learned
        with torch.no_grad(), in_encoding():
            self.features.begin(x, order)
        self._y, self._order = y, order
        for old, new in zip(before, self.features.learned, strict=True):
            if old is not new:
                self._update.replace(old, new)

    @torch.no_grad()
    def __call__(self, start: int, stop: int, factor: float | Tensor = 1.0) -> Tensor:
        with in_encoding():
            encoded = self.features.forward(start, stop)
        out = self.layers.forward(encoded)
        y = self._y.index_select(0, self._order[start:stop])
        loss, to_outputs = value_and_gradient(self.loss, out, y)
        lr: float | None = None
        encoding_lr: float | None = None
        if self._descends and isinstance(factor, Tensor):
            to_outputs.mul_(factor)  # every gradient is linear in this one
            lr, encoding_lr = self.rates
            factor = self._one
        elif self._descends:
            lr, encoding_lr = self.rates[0] * float(factor), self.rates[1] * float(factor)
        grad = self.layers.backward(to_outputs, lr, to_features=self.features.learns)
        if grad is not None:
            with in_encoding():
                self.features.backward(grad, encoding_lr)
        self._update(factor)
        if not self._descends:
            self.features.clear()
        return loss

    @property
    def can_be_recorded(self) -> bool:
        """Whether every step launches the same kernels; known after the first one."""
        return self._update.can_be_recorded

    def tensors(self) -> list[Tensor]:
        """Tensors that a step uses and that could be freed elsewhere: gradients, caches."""
        parameters = [parameter for part in self._update.parts for parameter in part]
        gradients = [each.grad for each in parameters if each.grad is not None]
        return gradients + State(self.features.encoding).tensors

    def settle(self) -> None:
        self.features.settle()


class RecordedStep:
    """A layerwise step on a GPU whose kernels are launched together, as a CUDA graph.

    A GPU computes a step of a small batch faster than Python launches its twenty or more kernels
    one by one. They are recorded once per batch size, and read the indices of the points and the
    factor of the learning rates from tensors that are filled before each replay. If recording
    fails, kernels are still launched one by one, and ``how`` says why.
    """

    EAGER = 8
    """Number of steps before recording, in which buffers are created; as many again after an epoch
    with new points begins."""

    def __init__(self, step: LayerwiseStep, device: torch.device) -> None:
        self.step = step
        self.how = step.how
        self._device = device
        self._factor = torch.ones((), device=device)
        self._last = 1.0
        self._points: tuple[Tensor, Tensor] | None = None
        self._recordings: dict[int, tuple[Tensor, Recording]] = {}
        self._held: list[Tensor] = []
        self._left: float = self.EAGER

    def begin(self, x: Tensor, y: Tensor, order: Tensor) -> None:
        if self._points is None or x is not self._points[0] or y is not self._points[1]:
            self._recordings.clear()
            self._held.clear()
            self._left = max(self._left, self.EAGER)
        self._points, self._order = (x, y), order
        self.step.begin(x, y, order)

    def __call__(self, start: int, stop: int, factor: float = 1.0) -> Tensor:
        if factor != self._last:
            self._factor.fill_(factor)
            self._last = factor
        size = stop - start
        if self._left == 0 and size not in self._recordings:
            self._record(size)
        if self._left:
            self._left -= 1
            # an optimizer that needs a number would wait for the device to read the tensor
            given = self._factor if self.step.can_be_recorded else factor
            return self.step(start, stop, given)
        numbers, recording = self._recordings[size]
        numbers.copy_(self._order[start:stop])
        return recording()

    def _record(self, size: int) -> None:
        assert self._points is not None, "begin comes first"
        x, y = self._points
        numbers = self._order[:size].clone()

        def step() -> Tensor:
            self.step.begin(x, y, numbers)
            return self.step(0, size, self._factor)

        reason = None
        if not self.step.can_be_recorded:
            reason = "the optimizer's kernels differ from step to step"
        else:
            self._held += self.step.tensors()
            try:
                self._recordings[size] = numbers, Recording(step, self._device)
            except RuntimeError as error:
                # torch's own error says only that recording failed; its context says why
                cause = error.__context__ or error
                if lacks_memory(cause):
                    raise cause from None
                # further lines are advice on debugging torch
                reason = bounded(str(cause).partition("\n")[0], 200)
            finally:
                self.step.begin(x, y, self._order)
        if reason is None:
            self.how = f"{self.step.how}, recorded"
        else:
            self.how = f"{self.step.how}, not recorded: {reason}"
            self._left = math.inf

    def settle(self) -> None:
        self.step.settle()


def make_step(
    model: nn.Module,
    loss: LossName | Callable[..., Tensor],
    optimizer: Optimizer,
    rates: Rates,
    x: Tensor,
    *,
    points: int,
    batch_size: int,
) -> AutogradStep | LayerwiseStep | RecordedStep:
    """Create the fastest step that is correct for a model.

    Args:
        loss: a name, or the method of a task.
        rates: learning rates of the network and of the encoding.
        x: points (N, d) of the first epoch.
        points: total number of points of all steps, repeated ones included.
        batch_size: number of points of the largest batch.
    """
    if max(rates) > torch.finfo(torch.float32).max / 1e6:
        rates = (math.inf, math.inf)  # their products with gradients would overflow
    reason = OWN_LOSS if callable(loss) else why_not_layerwise(model)
    if callable(loss) or reason is not None or not isinstance(model, CoordinateMLP):
        return AutogradStep(model, loss, optimizer, rates, f"autograd: {reason}")
    with in_encoding():
        reason = why_not_tables(model.encoding, x)
    features: AutogradFeatures | TableFeatures
    if reason is None:
        features = TableFeatures(model.encoding, optimizer, points, batch_size)
    else:
        features = AutogradFeatures(model.encoding)
    how = "layerwise" if reason is None else f"layerwise, encoding by autograd: {reason}"
    step = LayerwiseStep(Layers(model), features, loss, optimizer, rates, how)
    recorded = can_record(x.device) and reason not in (CHANGES, HOOKED)
    return RecordedStep(step, x.device) if recorded else step
