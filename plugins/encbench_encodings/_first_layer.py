"""First layers of networks with an activation of their own: SIREN, FINER, WIRE."""

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
    """φ(z) of z = W(2x − 1) + b, learned; ω is the frequency within φ.

    In a network of standard parameterization W and b are the parameters, as in the publications.
    ω > 1 then makes this layer's share of the kernel some ω² times what that of the coordinates
    would be. Behind it, a network in NTK parameterization, whose layers have a share of order
    one each, would hardly learn: at ω = 30 the critical learning rate falls by a factor of 500.
    There the parameters are ωW and ωb, the phases that hidden layers have too when ω cancels (see
    ``encbench.network.activations``). Features are the same either way.
    """

    max_dim = 4

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
