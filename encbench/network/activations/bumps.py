"""Activations with a maximum at 0 that decrease to both sides.

Ramasinghe, Lucey, "Beyond Periodicity: Towards a Unifying Framework for Activations in
Coordinate-MLPs", ECCV 2022, Table 1, written as in kwea123/Coordinate-MLPs at 08f1c38 (models.py).
Layers are initialized as in ``nn.Linear``. The paper tunes a for each signal; the defaults are this
project's, for coordinates in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from encbench.contracts.activation import PlainLayers
from encbench.contracts.search import Search
from encbench.plugins.parameters import Positive

Width = Annotated[Positive, Field(description="a, width"), Search(0.03, 0.5, log=True)]
Steepness = Annotated[Positive, Field(description="a, inverse width"), Search(3, 50, log=True)]


class Bump(PlainLayers):
    """Base class: φ(0) = 1, φ(−z) = φ(z), decreasing in |z|."""

    source = (
        'Ramasinghe, Lucey, "Beyond Periodicity: Towards a Unifying Framework for Activations in '
        'Coordinate-MLPs", ECCV 2022, Table 1'
    )


@dataclass(frozen=True)
class Gaussian(Bump):
    """exp(−z²/(2 a²))."""

    name = "gaussian"
    a: Width = 0.1

    def __call__(self, z: Tensor) -> Tensor:
        return torch.exp(-(z / self.a).square() / 2)


@dataclass(frozen=True)
class SuperGaussian(Bump):
    """exp(−z²/(2 a²))^b."""

    name = "super_gaussian"
    a: Width = 0.1
    b: Annotated[Positive, Field(description="b, exponent"), Search(0.5, 4, log=True)] = 2.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.exp(-self.b * (z / self.a).square() / 2)


@dataclass(frozen=True)
class Laplacian(Bump):
    """exp(−|z|/a)."""

    name = "laplacian"
    a: Width = 0.1

    def __call__(self, z: Tensor) -> Tensor:
        return torch.exp(-z.abs() / self.a)


@dataclass(frozen=True)
class Quadratic(Bump):
    """1 / (1 + (a z)²)."""

    name = "quadratic"
    a: Steepness = 10.0

    def __call__(self, z: Tensor) -> Tensor:
        return 1 / (1 + (self.a * z).square())


@dataclass(frozen=True)
class MultiQuadratic(Bump):
    """1 / √(1 + (a z)²)."""

    name = "multi_quadratic"
    a: Steepness = 20.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.rsqrt(1 + (self.a * z).square())
