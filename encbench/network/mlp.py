"""The coordinate MLP: an encoding, hidden layers with an activation, and a linear output."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from encbench.contracts.activation import Activation
from encbench.contracts.encoding import Encoding
from encbench.contracts.network import Network
from encbench.errors import ParameterError
from encbench.network.activations import activation_of
from encbench.network.linear import NTKLinear, RealPart

Parameterization = Literal["ntk", "standard"]


class CoordinateMLP(Network):
    """The coordinate MLP: hidden layers with an activation, and a linear output.

    f(x) = W_D ⋯ φ(W_0 γ(x) + b_0) ⋯ + b_D, for x (N, d) in [0, 1]^d.

    Args:
        encoding: γ, from (N, d) to (N, d_e).
        out_dim: O, channels of the output (3 for RGB, 1 for occupancy).
        width: units of each hidden layer.
        depth: number of *hidden* layers, at least 1.
        parameterization: ``"ntk"`` (W x/√n_in + β b, all entries N(0, 1)) or ``"standard"``
            (``nn.Linear`` with its own initialization). Learning rates of the two differ by
            orders of magnitude and are not comparable.
        beta: β of the bias in NTK parameterization; unused in standard parameterization.
        first_layer_scale: ``"fan_in"`` divides the first layer by √d_e, ``"width"`` by √width, the
            interpretation of the paper's Eq. 8 with which its learning rate of 100 is stable.
            Used only in NTK parameterization.
        activation: φ, a name ("relu", "sine:omega=10") or an object; "auto" is the encoding's
            default, else ReLU. It determines the initialization of the layers, see
            ``encbench.network.activations``. ``self.activation`` is the object.

    Raises:
        ParameterError: ``encoding`` is not an ``Encoding``, width or depth is below 1, the
            parameterization or activation is unknown, or a parameter of the activation has no
            effect in this parameterization.
    """

    equation = "f(x) = W_D φ(⋯ φ(W_0 γ(x) + b_0) ⋯) + b_D"
    source = (
        'Tancik et al., "Fourier Features Let Networks Learn High '
        'Frequency Functions in Low Dimensional Domains", NeurIPS 2020'
    )

    def __init__(
        self,
        encoding: Encoding,
        out_dim: int,
        width: int = 512,
        depth: int = 2,
        parameterization: Parameterization = "ntk",
        beta: float = 0.1,
        first_layer_scale: Literal["fan_in", "width"] = "fan_in",
        activation: str | Activation = "auto",
    ) -> None:
        check_sizes("CoordinateMLP", out_dim, width, depth, parameterization)
        super().__init__(encoding, out_dim, parameterization)
        self.parameterization: Parameterization = parameterization
        self.activation = activation_for(encoding, activation)
        sizes = itertools.pairwise([encoding.out_dim, *[width] * depth, out_dim])
        scale_of = None if first_layer_scale == "fan_in" else width
        self.layers = dense_layers(sizes, parameterization, beta, scale_of, self.activation)

    def from_features(self, features: Tensor) -> Tensor:  # (N, d_e) -> (N, O)
        out: Tensor = self.layers(features)
        return out


def check_sizes(name: str, out_dim: int, width: int, depth: int, parameterization: str) -> None:
    """Raise ParameterError if a size is below 1 or the parameterization is unknown."""
    for size, value in {"out_dim": out_dim, "width": width, "depth": depth}.items():
        if value < 1:
            raise ParameterError(f"{name}: {size} must be at least 1, got {value}")
    if parameterization not in ("ntk", "standard"):
        raise ParameterError(
            f"{name}: parameterization must be 'ntk' or 'standard', got {parameterization!r}"
        )


def activation_for(encoding: Encoding, asked: str | Activation) -> Activation:
    """The requested activation; "auto" is the encoding's default, or ReLU if it has none."""
    if asked == "auto":
        asked = "relu" if encoding.activation is None else encoding.activation
    return activation_of(asked)


def dense_layers(
    sizes: Iterable[tuple[int, int]],
    parameterization: Parameterization,
    beta: float,
    first_scale_of: int | None,
    activation: Activation,
) -> nn.Sequential:
    """Linear layers with activations between them, which determine their initialization; complex
    layers are followed by the real part.

    Args:
        sizes: number of inputs and outputs of each layer.
        beta: β of the bias in NTK parameterization.
        first_scale_of: n of the first layer's factor 1/√n in NTK parameterization; None: the
            number of its inputs.
    """
    # all layers but the first are complex: its inputs are real
    dtype = torch.get_default_dtype().to_complex() if activation.complex_weights else None
    gain, bias_gain = activation.ntk_gains() if parameterization == "ntk" else (1.0, 1.0)
    ends = list(sizes)
    layers: list[nn.Module] = []
    for index, (n_in, n_out) in enumerate(ends):
        if index > 0:
            layers.append(activation.module())
        if parameterization == "standard":
            layer = nn.Linear(n_in, n_out, dtype=dtype if index else None)
            activation.initialize(layer)
            layers.append(layer)
        elif index == len(ends) - 1:
            layers.append(NTKLinear(n_in, n_out, beta))
        else:
            divided = first_scale_of if index == 0 and first_scale_of else n_in
            layers.append(NTKLinear(n_in, n_out, beta * bias_gain, gain / math.sqrt(divided)))
    if activation.complex_weights:
        layers.append(RealPart())
    return nn.Sequential(*layers)
