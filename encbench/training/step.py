"""One step of an optimizer on a batch of points: layer by layer, or by autograd."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from encbench.contracts.network import Network, in_encoding
from encbench.contracts.optimizer import Optimizer
from encbench.contracts.task import LossName
from encbench.network.mlp import CoordinateMLP
from encbench.training.features import AutogradFeatures, TableFeatures, why_not_tables
from encbench.training.layers import Layers, why_not_layerwise
from encbench.training.losses import LOSSES, OWN_LOSS, OwnLoss, value_and_gradient
from encbench.training.optimizers import make_optimizer

Rates = tuple[float, float]
"""Learning rates of the network and of the encoding."""
Parts = tuple[list[nn.Parameter], list[nn.Parameter]]
"""Parameters of the network and of the encoding."""


class Update:
    """What an optimizer does after each backward pass; it is made after the first one.

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

    def __call__(self, factor: float) -> None:
        """A step, at this factor of the learning rates."""
        if not any(self.parts):
            return
        if self._made is None:
            self._made = make_optimizer(self.optimizer, self.parts, self.rates)
        for group in self._made.param_groups:
            group["lr"] = group["highest_lr"] * factor
        self._made.step()

    def replace(self, old: nn.Parameter, new: nn.Parameter) -> None:
        """Take a parameter with more rows for another; of the new rows nothing is known yet."""
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
        how: in words, with the reason where it is not the fast way.
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
        """An epoch begins: points (N, d), values (N, O), and the order (N,) in which they come.

        The tensor x of the epoch before stands for the same points.
        """
        self._x, self._y = x[order], y[order]

    def __call__(self, start: int, stop: int, factor: float = 1.0) -> Tensor:
        """A step on the points from start to stop in this epoch's order; their mean loss.

        Args:
            factor: of the learning rates.
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
        """Bring the model's parameters up to date, before anybody looks at them."""


def _of_outputs(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    return lambda model, x, y: loss(model(x), y)


class LayerwiseStep:
    """A step of a ``CoordinateMLP`` with no autograd through its layers.

    Plain SGD changes a weight within the product that would compute its gradient. Other
    optimizers read gradients from buffers that are kept.
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

    def begin(self, x: Tensor, y: Tensor, order: Tensor) -> None:
        before = self.features.learned
        with torch.no_grad(), in_encoding():
            self.features.begin(x, order)
        self._y, self._order = y, order
        for old, new in zip(before, self.features.learned, strict=True):
            if old is not new:
                self._update.replace(old, new)

    @torch.no_grad()
    def __call__(self, start: int, stop: int, factor: float = 1.0) -> Tensor:
        with in_encoding():
            encoded = self.features.forward(start, stop)
        out = self.layers.forward(encoded)
        y = self._y.index_select(0, self._order[start:stop])
        loss, to_outputs = value_and_gradient(self.loss, out, y)
        lr, encoding_lr = (rate * factor for rate in self.rates)
        grad = self.layers.backward(
            to_outputs, lr if self._descends else None, to_features=self.features.learns
        )
        if grad is not None:
            with in_encoding():
                self.features.backward(grad, encoding_lr if self._descends else None)
        self._update(factor)
        return loss

    def settle(self) -> None:
        self.features.settle()


def make_step(
    model: nn.Module,
    loss: LossName | Callable[..., Tensor],
    optimizer: Optimizer,
    rates: Rates,
    x: Tensor,
    *,
    points: int,
    batch_size: int,
) -> AutogradStep | LayerwiseStep:
    """The fastest step that is right for a model.

    Args:
        loss: a name, or the method of a task.
        rates: learning rates of the network and of the encoding.
        x: points (N, d) of the first epoch.
        points: how many training takes in all, repeated ones counted.
        batch_size: of the largest batch.
    """
    if max(rates) > torch.finfo(torch.float32).max / 1e6:
        rates = (math.inf, math.inf)  # as their products with the gradients would be
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
    return LayerwiseStep(Layers(model), features, loss, optimizer, rates, how)
