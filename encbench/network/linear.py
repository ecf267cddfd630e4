"""The linear layer of the NTK parameterization, and the last module of complex networks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RealPart(nn.Module):
    """The real part of a complex tensor."""

    def forward(self, z: Tensor) -> Tensor:
        return z.real


class NTKLinear(nn.Module):
    """Linear layer in NTK parameterization: W x · scale + β b, with W, b ~ N(0, 1).

    ``scale`` defaults to 1/√in_features (Jacot, Gabriel, Hongler, "Neural Tangent Kernel",
    NeurIPS 2018, section 2.1). The stored weight is not scaled: its gradient contains the factor
    once, and the kernel the factor squared.
    """

    def __init__(
        self, in_features: int, out_features: int, beta: float = 0.1, scale: float | None = None
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.beta = beta
        self.scale = 1.0 / math.sqrt(in_features) if scale is None else scale
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.randn(out_features))

    def forward(self, x: Tensor) -> Tensor:  # (N, in_features) -> (N, out_features)
        # scaling x instead of the weight avoids a weight-sized product in the backward pass
        return F.linear(x * self.scale, self.weight, self.bias * self.beta)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"scale={self.scale:.4g}, beta={self.beta}"
        )
