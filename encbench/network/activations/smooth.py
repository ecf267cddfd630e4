"""Activations that grow like ReLU, and tanh."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encbench.contracts.activation import Activation


@dataclass(frozen=True)
class Relu(Activation):
    """max(z, 0)."""

    name = "relu"

    def __call__(self, z: Tensor) -> Tensor:
        return F.relu(z)

    def module(self) -> nn.Module:
        # the diagnosis of kernels recognizes activation regions by this type
        return nn.ReLU()


@dataclass(frozen=True)
class Gelu(Activation):
    """z Φ(z), with Φ the normal distribution function."""

    name = "gelu"
    source = 'Hendrycks, Gimpel, "Gaussian Error Linear Units (GELUs)", 2016 (arXiv 1606.08415)'

    def __call__(self, z: Tensor) -> Tensor:
        return F.gelu(z)


@dataclass(frozen=True)
class Silu(Activation):
    """z / (1 + exp(−z))."""

    name = "silu"
    source = (
        'Elfwing, Uchibe, Doya, "Sigmoid-weighted linear units for neural network function '
        'approximation in reinforcement learning", Neural Networks 107, 2018'
    )

    def __call__(self, z: Tensor) -> Tensor:
        return F.silu(z)


@dataclass(frozen=True)
class Tanh(Activation):
    """tanh z."""

    name = "tanh"

    def __call__(self, z: Tensor) -> Tensor:
        return torch.tanh(z)
