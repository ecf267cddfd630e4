"""Orthogonal polynomials of each coordinate, by their three-term recurrences."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from encbench import Encoding, Search
from encbench_encodings._constants import at_least_float32

Degree = Annotated[int, Field(ge=1, le=1024, description="K, highest degree")]
SearchedDegree = Annotated[Degree, Search(4, 32, log=True)]


def chebyshev(v: Tensor, degree: int) -> Tensor:
    """T_0 to T_K at v (N, d): (N, d, K + 1). T_k(v) = cos(k arccos v) in [−1, 1]."""
    values = [torch.ones_like(v), v]
    for _ in range(degree - 1):
        values.append(2 * v * values[-1] - values[-2])
    return torch.stack(values, dim=2)


def legendre(v: Tensor, degree: int) -> Tensor:
    """P_0 to P_K at v (N, d), with P_k(1) = 1: (N, d, K + 1)."""
    values = [torch.ones_like(v), v]
    for k in range(1, degree):
        values.append(((2 * k + 1) * v * values[-1] - k * values[-2]) / (k + 1))
    return torch.stack(values, dim=2)


class PolynomialFeatures(Encoding):
    """Polynomials of degrees 0 to K of each coordinate, scaled to [−1, 1]."""

    max_dim = 4

    def __init__(self, in_dim: int, degree: int) -> None:
        super().__init__(in_dim, out_dim=in_dim * (degree + 1))
        self.degree = degree

    @abstractmethod
    def polynomials(self, v: Tensor) -> Tensor:
        """The polynomials (N, d, K + 1) at v (N, d) in [−1, 1]."""

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d * (K + 1))
        return self.polynomials(2 * at_least_float32(x) - 1).flatten(1).to(x.dtype)
