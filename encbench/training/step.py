"""One step of an optimizer on a batch of points: layer by layer, or by autograd."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encbench.network.mlp import CoordinateMLP, in_encoding
from encbench.training.features import AutogradFeatures, TableFeatures, why_not_tables
from encbench.training.layers import Layers, why_not_layerwise
from encbench.training.optimizers import Rule, make_optimizer

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy_with_logits,
}
"""Mean over points and outputs: squared error, or binary cross entropy from logits."""


class AutogradStep:
    """A step of any model; the reference of ``LayerwiseStep``.

    Attributes:
        how: in words, with the reason where it is not the fast way.
    """

    def __init__(
        self, model: nn.Module, loss: str, rule: Rule, lr: float, how: str = "autograd"
    ) -> None:
        self.model = model
        self.loss = LOSSES[loss]
        self.rule = rule
        self.lr = lr
        self.how = how
        self.optimizer: torch.optim.Optimizer | None = None

    def begin(self, x: Tensor, y: Tensor, order: Tensor) -> None:
        """An epoch begins: points (N, d), values (N, O), and the order (N,) in which they come."""
        self._x, self._y = x[order], y[order]

    def __call__(self, start: int, stop: int) -> Tensor:
        """A step on the points from start to stop in this epoch's order; their mean loss."""
        self.model.zero_grad()
        loss = self.loss(self.model(self._x[start:stop]), self._y[start:stop])
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.model.parameters(), self.rule, self.lr)
        self.optimizer.step()
        return loss.detach()

    def settle(self) -> None:
        """Bring the model's parameters up to date, before anybody looks at them."""


class LayerwiseStep:
    """A step of a ``CoordinateMLP`` with no autograd through its layers.

    Plain SGD changes a weight within the product that would compute its gradient. Other
    optimizers read gradients from buffers that are kept.
    """

    def __init__(
        self,
        layers: Layers,
        features: AutogradFeatures | TableFeatures,
        loss: str,
        rule: Rule,
        lr: float,
        how: str,
    ) -> None:
        self.how = how
        self.layers = layers
        self.features = features
        self.loss = loss
        self.rule = rule
        self.lr = lr
        self.optimizer: torch.optim.Optimizer | None = None
        self._learned: list[nn.Parameter] = []

    def begin(self, x: Tensor, y: Tensor, order: Tensor) -> None:
        before = self.features.learned
        with torch.no_grad(), in_encoding():
            self.features.begin(x, order)
        self._y, self._order = y, order
        if self.optimizer is not None:
            for old, new in zip(before, self.features.learned, strict=True):
                if old is not new:
                    _replace(self.optimizer, old, new)

    @torch.no_grad()
    def __call__(self, start: int, stop: int) -> Tensor:
        with in_encoding():
            encoded = self.features.forward(start, stop)
        out = self.layers.forward(encoded)
        loss = self._loss(out, self._y.index_select(0, self._order[start:stop]))
        rate = self.lr if self.rule.plain else None
        grad = self.layers.backward(out, rate, to_features=self.features.learns)
        if grad is not None:
            with in_encoding():
                self.features.backward(grad)
        if self.optimizer is None:
            learned = list(self.features.learned)
            if not self.rule.plain:
                learned += [
                    p for linear in self.layers.linears for p in (linear.weight, linear.bias)
                ]
            if learned:
                self.optimizer = make_optimizer(learned, self.rule, self.lr)
        if self.optimizer is not None:
            self.optimizer.step()
        return loss

    def settle(self) -> None:
        self.features.settle()

    def _loss(self, out: Tensor, y: Tensor) -> Tensor:
        """The loss; ``out`` becomes its gradient with respect to out."""
        if self.loss == "mse":
            difference = out.sub_(y).view(-1)
            loss = torch.dot(difference, difference).div_(len(difference))
            difference.mul_(2 / len(difference))
        else:
            loss = LOSSES[self.loss](out, y)
            out.sigmoid_().sub_(y).div_(out.numel())
        return loss


def _replace(optimizer: torch.optim.Optimizer, old: nn.Parameter, new: nn.Parameter) -> None:
    """Put a parameter with more rows in an optimizer; what is known of the new rows is 0."""
    for group in optimizer.param_groups:
        group["params"] = [new if parameter is old else parameter for parameter in group["params"]]
    for name, value in optimizer.state.pop(old, {}).items():
        if isinstance(value, Tensor) and value.shape == old.shape:
            value = torch.cat((value, value.new_zeros(len(new) - len(old), *old.shape[1:])))
        optimizer.state[new][name] = value


def make_step(
    model: nn.Module,
    loss: str,
    rule: Rule,
    lr: float,
    x: Tensor,
    *,
    points: int,
    batch_size: int,
) -> AutogradStep | LayerwiseStep:
    """The fastest step that is right for a model.

    Args:
        loss: "mse" or "bce".
        x: points (N, d) of the first epoch.
        points: how many training takes in all, repeated ones counted.
        batch_size: of the largest batch.
    """
    if lr > torch.finfo(torch.float32).max / 1e6:
        lr = math.inf  # as its products with the gradients would be
    reason = why_not_layerwise(model)
    if reason is not None or not isinstance(model, CoordinateMLP):
        return AutogradStep(model, loss, rule, lr, f"autograd: {reason}")
    with in_encoding():
        reason = why_not_tables(model.encoding, x)
    features: AutogradFeatures | TableFeatures
    if reason is None:
        rate = lr if rule.plain else None
        few_rows = rule.leaves_rows_without_gradient
        features = TableFeatures(model.encoding, rate, few_rows, points, batch_size)
    else:
        features = AutogradFeatures(model.encoding)
    how = "layerwise" if reason is None else f"layerwise, encoding by autograd: {reason}"
    return LayerwiseStep(Layers(model), features, loss, rule, lr, how)
