"""Activations with parameters that are trained with the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.activation import PlainLayers
from encbench.network.activations.periodic import Omega


@dataclass(frozen=True)
class Staf(PlainLayers):
    """Σ_i C_i sin(Ω_i z + Φ_i), i = 1 … τ, with trained C, Ω, Φ that a layer's units share.

    Initial values: Ω ~ ω U(0, 1), Φ ~ U(−π, π), C = ±√|X| with X ~ Laplace(0, 1/(2τ)), as in the
    authors' code; the variance at a layer's output is then about 1/4 (with 2/τ it would be 1 as
    in the paper). Layers are initialized as in ``nn.Linear``. The optional skip connection of
    their code is not implemented. Calling the object directly draws new parameters each time.
    """

    name = "staf"
    source = (
        'Morsali et al., "STAF: Sinusoidal Trainable Activation Functions for Implicit Neural '
        'Representation", 2025 (arXiv 2502.00869); AlirezaMorsali/STAF at 05d75cf, '
        "modules/staf.py"
    )
    periodic = True
    tau: Annotated[int, Field(ge=1, le=65536, description="τ, number of sines")] = 5
    omega: Omega = 30.0

    def __call__(self, z: Tensor) -> Tensor:
        value: Tensor = self.module().to(z)(z)
        return value

    def module(self) -> nn.Module:
        return TrainedSines(self)


class TrainedSines(nn.Module):
    """The module of ``Staf``.

    Attributes:
        amplitudes, frequencies, phases: (τ,) parameters.
    """

    def __init__(self, activation: Staf) -> None:
        super().__init__()
        tau = activation.tau
        self.activation = activation
        self.frequencies = nn.Parameter(activation.omega * torch.rand(tau))
        self.phases = nn.Parameter(math.pi * (2 * torch.rand(tau) - 1))
        size = torch.empty(tau).exponential_(2 * tau)  # |X|
        self.amplitudes = nn.Parameter(torch.randn(tau).sign() * size.sqrt())

    def forward(self, z: Tensor) -> Tensor:
        parts = zip(self.amplitudes, self.frequencies, self.phases, strict=True)
        first, *others = [c * torch.sin(w * z + p) for c, w, p in parts]
        total: Tensor = sum(others, first)
        return total

    def extra_repr(self) -> str:
        return str(self.activation)
