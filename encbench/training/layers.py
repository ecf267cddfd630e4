"""The layers of a coordinate MLP as matrix products into reused buffers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from encbench.contracts.activation import Elementwise
from encbench.contracts.network import check_kind
from encbench.network.linear import NTKLinear
from encbench.network.mlp import CoordinateMLP
from encbench.training.features import has_hooks


@dataclass(frozen=True)
class Linear:
    """x ↦ scale · W x + beta · b."""

    weight: nn.Parameter
    bias: nn.Parameter
    scale: float
    beta: float

    def descend(self, grad: Tensor, x: Tensor, lr: float) -> None:
        """Take a step of gradient descent, given the gradient (n, n_out) at the output for x.

        The gradient of the weight is added to it as it is computed, without being stored.
        """
        self.weight.addmm_(grad.t(), x, alpha=-lr * self.scale)
        self.bias.add_(grad.sum(0), alpha=-lr * self.beta)

    def differentiate(self, grad: Tensor, x: Tensor) -> None:
        """Write the gradients of weight and bias to their ``grad``, for an optimizer."""
        for parameter in (self.weight, self.bias):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        assert self.weight.grad is not None
        assert self.bias.grad is not None
        self.weight.grad.addmm_(grad.t(), x, beta=0, alpha=self.scale)
        torch.sum(grad, 0, out=self.bias.grad).mul_(self.beta)


def _linear(module: nn.Module) -> Linear:
    assert isinstance(module, nn.Linear | NTKLinear), "checked by why_not_layerwise"
    scale, beta = (module.scale, module.beta) if isinstance(module, NTKLinear) else (1.0, 1.0)
    weight, bias = module.parameters()
    return Linear(weight, bias, scale, beta)


class Layers:
    """Forward and backward pass of ``CoordinateMLP.layers``.

    Eager PyTorch allocates memory for each activation and each gradient, and scales inputs and
    biases in separate passes. Here a layer is one product that scales, adds the bias and writes to
    a buffer. A returned tensor is valid until the next call.
    """

    def __init__(self, model: CoordinateMLP) -> None:
        self._encoding = model.encoding
        modules = list(model.layers)
        self.linears = [_linear(module) for module in modules[::2]]
        self.activations = modules[1::2]
        self._kept: dict[str, dict[int, list[Tensor]]] = {}

    def forward(self, features: Tensor, *, train: bool = True) -> Tensor:
        """Outputs (n, O) for features (n, d_e); with ``train``, ``backward`` can follow.

        Raises:
            PluginError: the features have another dtype or device than the weights.
        """
        # torch's own error would only mention mat1 and mat2
        check_kind(self._encoding, features, self.linears[0].weight)
        outputs = self._buffers("outputs", [len(each.weight) for each in self.linears], features)
        self._inputs: list[Tensor] = [features]
        self._activated: list[tuple[Tensor, Tensor]] = []
        for index, (linear, z) in enumerate(zip(self.linears, outputs, strict=True)):
            x, weight = self._inputs[-1], linear.weight.t()
            torch.addmm(linear.bias, x, weight, beta=linear.beta, alpha=linear.scale, out=z)
            if index < len(self.activations):
                self._inputs.append(self._activate(index, z, train))
        return outputs[-1]

    def backward(self, grad: Tensor, lr: float | None, *, to_features: bool) -> Tensor | None:
        """Propagate the gradient (n, O) at the last outputs back through the layers.

        Args:
            lr: learning rate of gradient descent; None leaves gradients to an optimizer.
            to_features: whether to return the gradient (n, d_e) at the features.
        """
        widths = [each.weight.shape[1] for each in self.linears]
        gradients = self._buffers("gradients", widths, grad)
        for index in range(len(self.linears) - 1, -1, -1):
            linear, x = self.linears[index], self._inputs[index]
            below = gradients[index]
            if index or to_features:
                below.addmm_(grad, linear.weight, beta=0, alpha=linear.scale)
            if lr is None:
                linear.differentiate(grad, x)
            else:
                linear.descend(grad, x, lr)
            if index:
                grad = self._through_activation(index - 1, below)
        return below if to_features else None

    def _activate(self, index: int, z: Tensor, train: bool) -> Tensor:
        activation = self.activations[index]
        if type(activation) is nn.ReLU:
            self._activated.append((z, z))
            return z.relu_()
        if not train:
            return activation(z)  # type: ignore[no-any-return] # what a module returns is untyped
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            a: Tensor = activation(z)
        self._activated.append((z, a))
        return a.detach()

    def _through_activation(self, index: int, grad: Tensor) -> Tensor:
        """The gradient at an activation's input, given that at its output."""
        z, a = self._activated[index]
        if z is not a:
            return torch.autograd.grad(a, z, grad)[0]
        torch.ops.aten.threshold_backward.grad_input(grad, a, 0, grad_input=grad)
        return grad

    def _buffers(self, kind: str, widths: list[int], like: Tensor) -> list[Tensor]:
        """One (n, width) tensor per width; those for fewer points are views of larger ones."""
        count = len(like)
        kept = self._kept.setdefault(kind, {})
        if count not in kept:
            largest = max(kept, default=0)
            kept[count] = (
                [buffer[:count] for buffer in kept[largest]]
                if count < largest
                else [like.new_empty(count, width) for width in widths]
            )
        return kept[count]


def why_not_layerwise(model: nn.Module) -> str | None:
    """The reason to leave the layers of a model to autograd; None if there is none."""
    if type(model) is not CoordinateMLP:
        return "the network is no CoordinateMLP"
    kinds = [type(module) for module in model.layers]
    if not {*kinds[::2]} <= {nn.Linear, NTKLinear} or not {*kinds[1::2]} <= {nn.ReLU, Elementwise}:
        return "the network has layers of its own"
    if any(has_hooks(module) for module in (model, *model.layers.modules())):
        return "the network has hooks"
    if not all(parameter.requires_grad for parameter in model.layers.parameters()):
        return "a weight is frozen"
    if len(list(model.parameters())) < len(list(model.named_parameters(remove_duplicate=False))):
        return "a parameter is used twice"
    return None
