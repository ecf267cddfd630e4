"""The coordinate MLP: an encoding, hidden layers with an activation, and a linear output."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from encbench.contracts.activation import Activation
from encbench.contracts.encoding import Encoding
from encbench.errors import ParameterError
from encbench.network.activations import activation_of
from encbench.network.linear import NTKLinear, RealPart

Parameterization = Literal["ntk", "standard"]
IN_ENCODING = "raised by the encoding's forward"
"""Note added to an exception, by which a record names the plug-in that failed."""


@contextmanager
def in_encoding() -> Iterator[None]:
    """Inside, exceptions are the encoding's."""
    try:
        yield
    except Exception as error:
        error.add_note(IN_ENCODING)
        raise


class CoordinateMLP(nn.Module):
    """f(x) = W_D ⋯ φ(W_0 γ(x) + b_0) ⋯ + b_D, for x (N, d) in [0, 1]^d.

    Args:
        encoding: γ, from (N, d) to (N, d_e).
        out_dim: O, channels of the output (3 for RGB, 1 for occupancy).
        width: units of each hidden layer.
        depth: number of *hidden* layers, at least 1.
        parameterization: ``"ntk"`` (W x/√n_in + β b, all entries N(0, 1)) or ``"standard"``
            (``nn.Linear`` with its own initialization). Learning rates of the two differ by
            orders of magnitude and are not comparable.
        beta: β of the bias in NTK parameterization; unused in standard parameterization.
        first_layer_scale: ``"fan_in"`` divides the first layer by √d_e, ``"width"`` by √width,
            the reading of the paper's Eq. 8 for which its learning rate of 100 is stable. Only
            used in NTK parameterization.
        activation: φ, by name ("relu", "sine:omega=10") or as an object; "auto" is the one that
            the encoding asks for, else ReLU. It determines the initialization of the layers, see
            ``encbench.network.activations``. ``self.activation`` is the object.

    Raises:
        ParameterError: no ``Encoding``, width or depth below 1, an unknown parameterization or
            activation, or a parameter of the activation that has no effect in this
            parameterization.
    """

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
        super().__init__()
        for name, value in {"out_dim": out_dim, "width": width, "depth": depth}.items():
            if value < 1:
                raise ParameterError(f"CoordinateMLP: {name} must be at least 1, got {value}")
        if parameterization not in ("ntk", "standard"):
            raise ParameterError(
                "CoordinateMLP: parameterization must be 'ntk' or 'standard', "
                f"got {parameterization!r}"
            )
        if not isinstance(encoding, Encoding):
            raise ParameterError(
                f"CoordinateMLP: the encoding is a {type(encoding).__name__}, expected a subclass "
                "of encbench.Encoding: derive its class from that and call "
                "super().__init__(in_dim, out_dim)"
            )
        encoding.parameterize(parameterization)
        self.encoding = encoding
        self.in_dim = encoding.in_dim
        self.out_dim = out_dim
        self.parameterization: Parameterization = parameterization
        if activation == "auto":
            activation = "relu" if encoding.activation is None else encoding.activation
        self.activation = activation_of(activation)
        gain, bias_gain = self.activation.ntk_gains() if parameterization == "ntk" else (1.0, 1.0)
        # complex behind the first layer, whose inputs are real
        complex_weights = self.activation.complex_weights
        dtype = torch.get_default_dtype().to_complex() if complex_weights else None
        sizes = [encoding.out_dim, *[width] * depth, out_dim]
        layers: list[nn.Module] = []
        for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            if index > 0:
                layers.append(self.activation.module())
            if parameterization == "standard":
                layer = nn.Linear(n_in, n_out, dtype=dtype if index else None)
                self.activation.initialize(layer)
                layers.append(layer)
            elif index == depth:
                layers.append(NTKLinear(n_in, n_out, beta))
            else:
                widened = index == 0 and first_layer_scale == "width"
                scale = gain / math.sqrt(width if widened else n_in)
                layers.append(NTKLinear(n_in, n_out, beta * bias_gain, scale))
        if complex_weights:
            layers.append(RealPart())
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, O)
        with in_encoding():
            features = self.encoding(x)
        out: Tensor = self.layers(features)
        return out

    def parameter_counts(self) -> dict[str, int]:
        """Number of parameters by part, ``{"mlp": …, "encoding": …}``; complex ones count twice."""
        parts = {"mlp": self.layers, "encoding": self.encoding}
        return {
            name: sum(p.numel() * (1 + p.is_complex()) for p in part.parameters())
            for name, part in parts.items()
        }
