"""Activations that oscillate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.activation import Activation, PlainLayers
from encbench.contracts.search import Search
from encbench.errors import ParameterError
from encbench.plugins.parameters import NotNegative, Positive

Omega = Annotated[Positive, Field(description="ω, frequency"), Search(5, 30)]
Scale = Annotated[
    NotNegative,
    Field(description="s, inverse width of the Gaussian"),
    Search(3, 30, log=True),
]


class SirenLayers(Activation):
    """Base class with SIREN's initialization of layers: weights U(±√(6/n)/ω).

    A subclass of functions of ω z sets ``omega_cancels``: in NTK parameterization the layer is
    (√2 W a/√n + β b)/ω, ω has no effect, and only the default is allowed.
    """

    omega: float
    omega_cancels: ClassVar[bool] = False

    def initialize(self, layer: nn.Linear) -> None:
        bound = math.sqrt(6 / layer.in_features) / self.omega
        nn.init.uniform_(layer.weight, -bound, bound)

    def ntk_gains(self) -> tuple[float, float]:
        if self.omega_cancels and self.omega != type(self).omega:
            raise ParameterError(
                f"activation {str(self)!r}: omega of hidden layers cancels in NTK "
                "parameterization; leave it out, or use parameterization='standard'"
            )
        return math.sqrt(2) / self.omega, 1 / self.omega


@dataclass(frozen=True)
class Sine(SirenLayers):
    """sin(ω z) of SIREN; initial weights are U(±√(6/n)/ω), also in the output layer.

    If the inputs are sines with random phases (mean square 1/2), ω z is a standard normal; its
    variance v decreases slowly with depth: the next layer's is 1 − exp(−2v). In NTK
    parameterization ω cancels.
    """

    name = "sine"
    omega_cancels = True
    source = (
        'Sitzmann et al., "Implicit Neural Representations with Periodic Activation '
        'Functions", NeurIPS 2020, section 3.2; default ω and the output layer as in the '
        "authors' code"
    )
    periodic = True
    omega: Omega = 30.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.sin(self.omega * z)


@dataclass(frozen=True)
class Finer(SirenLayers):
    """sin(ω (|z| + 1) z) of FINER: the larger |z|, the higher the frequency.

    Layers are initialized as for ``sine``. The derivative is exact, with the factor 2|z| + 1; the
    authors' code by default treats |z| + 1 as a constant in the backward pass.
    """

    name = "finer"
    source = (
        'Liu et al., "FINER: Flexible Spectral-bias Tuning in Implicit NEural Representation '
        'by Variable-periodic Activation Functions", CVPR 2024, Eq. 4'
    )
    periodic = True
    omega: Omega = 30.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.sin(self.omega * (z.abs() + 1) * z)


@dataclass(frozen=True)
class Gabor(PlainLayers):
    """cos(ω z) exp(−(s z)²), the real part of WIRE's wavelet for real z.

    Layers are initialized as in ``nn.Linear``, weights with variance 1/(3n). WIRE itself is complex
    from its first layer on. The real layer in its authors' code uses two linear maps, for frequency
    and width; here one map serves both, as in the complex wavelet.
    """

    name = "gabor"
    source = 'Saragadam et al., "WIRE: Wavelet Implicit Neural Representations", CVPR 2023'
    periodic = True
    omega: Omega = 20.0
    scale: Scale = 10.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.cos(self.omega * z) * torch.exp(-(self.scale * z).square())


@dataclass(frozen=True)
class FinerGauss(PlainLayers):
    """exp(−(s sin(ω (|z| + 1) z))²), the Gaussian of FINER++.

    Layers are initialized as in ``nn.Linear``. The derivative is exact; the authors' code treats
    |z| + 1 as a constant in the backward pass.
    """

    name = "finer_gauss"
    source = (
        'Zhu et al., "FINER++: Building a Family of Variable-periodic Functions for '
        'Activating Implicit Neural Representation", 2024 (arXiv 2407.19434); defaults of the '
        "authors' code (liuzhen0212/FINERplusplus at 2d77c48, models.py, class GF)"
    )
    periodic = True
    omega: Annotated[Omega, Search(0.5, 5, log=True)] = 1.0
    scale: Annotated[Scale, Search(1, 10, log=True)] = 3.0

    def __call__(self, z: Tensor) -> Tensor:
        wave = torch.sin(self.omega * (z.abs() + 1) * z)
        return torch.exp(-(self.scale * wave).square())


@dataclass(frozen=True)
class Sinc(PlainLayers):
    """sin(ω z) / (ω z), 1 at 0. Layers are initialized as in nn.Linear."""

    name = "sinc"
    source = (
        'Saratchandran, Ramasinghe, Shevchenko, Long, Lucey, "A sampling theory perspective '
        "on activations for implicit neural representations\", ICML 2024; ω is the project's"
    )
    periodic = True
    omega: Omega = 20.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.sinc(self.omega / math.pi * z)


@dataclass(frozen=True)
class Hosc(SirenLayers):
    """tanh(β sin(ω z)): the larger β, the closer to a square wave.

    Layers are initialized as for ``sine``, and in NTK parameterization ω cancels, too. In the
    paper, ω is part of the layer's weights.
    """

    name = "hosc"
    omega_cancels = True
    source = (
        'Serrano, Szymkowiak, Musialski, "HOSC: A Periodic Activation Function for Preserving '
        'Sharp Features in Implicit Neural Representations", 2024 (arXiv 2401.10967)'
    )
    periodic = True
    beta: Annotated[Positive, Field(description="β, sharpness"), Search(1, 16, log=True)] = 8.0
    omega: Omega = 30.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.tanh(self.beta * torch.sin(self.omega * z))


@dataclass(frozen=True)
class ExpSin(PlainLayers):
    """exp(−sin(a z)). Layers are initialized as in nn.Linear."""

    name = "exp_sin"
    source = (
        'Ramasinghe, Lucey, "Beyond Periodicity: Towards a Unifying Framework for Activations '
        'in Coordinate-MLPs", ECCV 2022, Table 1; the sign as in kwea123/Coordinate-MLPs at '
        "08f1c38"
    )
    periodic = True
    a: Annotated[Positive, Field(description="a, frequency"), Search(3, 30, log=True)] = 10.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.exp(-torch.sin(self.a * z))
