"""Base class of first layers of networks with special activations: SIREN, FINER, WIRE, Gaussian."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Encoding
from encbench.contracts.activation import Activation
from encbench.plugins.parameters import Positive

Features = Annotated[int, Field(ge=1, description="m, units of the layer")]
Omega0 = Annotated[Positive, Field(description="ω0, frequency of this layer")]


class FirstLayer(Encoding):
    """φ(z) with z = W(2x − 1) + b, W and b learned; ω is the frequency in φ.

    With standard parameterization of the network, W and b are the parameters, as in the
    publications. ω > 1 then multiplies this layer's part of the kernel by about ω². In NTK
    parameterization, where each layer's part of the kernel is of order one, the network would
    then hardly learn: at ω = 30 the critical learning rate decreases by a factor of 500. With that
    parameterization, the parameters are therefore ωW and ωb, as in hidden layers, where ω cancels
    (see ``encbench.network.activations``). The features are the same in both cases.
    """

    max_dim = 4
    width_parameter = "features"

    def __init__(self, in_dim: int, features: int, first: Activation, omega: float) -> None:
        super().__init__(in_dim, out_dim=features)
        self.first = first
        self.omega = omega
        self.linear = nn.Linear(in_dim, features)
        self._divisor = 1.0

    def parameterize(self, parameterization: Literal["ntk", "standard"]) -> None:
        divisor = self.omega if parameterization == "ntk" else 1.0
        with torch.no_grad():
            for parameter in self.linear.parameters():
                parameter.mul_(divisor / self._divisor)
        self._divisor = divisor

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, m)
        return self.first(self.linear(2 * x - 1) / self._divisor)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.first}"
