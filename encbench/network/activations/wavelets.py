"""Complex wavelets: all layers but the first have complex weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.activation import Activation
from encbench.contracts.search import Search
from encbench.errors import ParameterError
from encbench.network.activations.periodic import Omega, Scale
from encbench.plugins.parameters import Positive

LARGEST_RATIO = 16
"""Maximum of ω/s: |exp(jωu − |s u|²)| reaches exp(ω²/(4 s²)), which overflows float32 above 18."""
LARGEST_PHASE = 40.0
"""Maximum imaginary part of a sine's argument: the square of the sine is then finite in float32,
and its wavelet is 0."""


class Wavelet(Activation):
    """Base class: exp(jωu − |s u|²) of a function u(z)."""

    periodic = True
    complex_weights = True

    def ntk_gains(self) -> tuple[float, float]:
        raise ParameterError(
            f"activation {str(self)!r} has complex weights, which the NTK parameterization does "
            "not support; use parameterization='standard'"
        )


@dataclass(frozen=True)
class ComplexGabor(Wavelet):
    """exp(jωz − |s z|²), WIRE's wavelet as published.

    The first layer is real, the others are complex, and the network's output is the real part of
    the last one's. Layers are initialized as in ``nn.Linear``: real and imaginary parts of weights
    and biases are U(±1/√n). A complex parameter counts as two. The authors divide the width of a
    real network by √2 and use coordinates in [−1, 1] (the encoding ``symmetric``).
    """

    name = "complex_gabor"
    source = (
        'Saragadam et al., "WIRE: Wavelet Implicit Neural Representations", CVPR 2023, and '
        "vishwa91/wire at 0ac8cba, modules/wire.py; defaults as in FINER's and FINER++'s "
        "comparisons"
    )
    omega: Omega = 20.0
    scale: Scale = 10.0

    def __post_init__(self) -> None:
        _check_ratio(self, self.omega, self.scale)

    def __call__(self, z: Tensor) -> Tensor:
        return _wavelet(z, self.omega, self.scale)


@dataclass(frozen=True)
class FinerWavelet(Wavelet):
    """exp(jω_w u − |s u|²) of u = sin(ω z'), the wavelet of FINER++.

    For z = x + jy, z' has the real part (|x| + 1)x and the imaginary part (|y| + 1)y; the sine is
    complex. Layers are those of ``complex_gabor``, initialized as in the authors' code: real and
    imaginary parts of complex weights are U(±√(6/n)/(ω ω_w)), weights of the real first layer
    U(±1/n). The derivative is exact; the authors' code treats |x| + 1 and |y| + 1 as constants in
    the backward pass.
    """

    name = "finer_wavelet"
    source = (
        'Zhu et al., "FINER++: Building a Family of Variable-periodic Functions for '
        'Activating Implicit Neural Representation", 2024 (arXiv 2407.19434); equation and '
        "initialization of the authors' code, defaults of its run.sh "
        "(liuzhen0212/FINERplusplus at 2d77c48, class WF)"
    )
    omega: Annotated[Omega, Search(2, 10)] = 5.0
    scale: Annotated[Scale, Search(1, 10, log=True)] = 2.0
    omega_w: Annotated[
        Positive, Field(description="ω_w, frequency of the wavelet"), Search(2, 10)
    ] = 4.0

    def __post_init__(self) -> None:
        _check_ratio(self, self.omega_w, self.scale)

    def __call__(self, z: Tensor) -> Tensor:
        if z.is_complex():
            real, imag = (self.omega * ((part.abs() + 1) * part) for part in (z.real, z.imag))
            phase = torch.complex(real, imag.clamp(-LARGEST_PHASE, LARGEST_PHASE))
        else:
            phase = self.omega * ((z.abs() + 1) * z)
        return _wavelet(torch.sin(phase), self.omega_w, self.scale)

    def initialize(self, layer: nn.Linear) -> None:
        n = layer.in_features
        behind = layer.weight.is_complex()
        bound = math.sqrt(6 / n) / (self.omega * self.omega_w) if behind else 1 / n
        nn.init.uniform_(layer.weight, -bound, bound)


def _check_ratio(activation: Wavelet, omega: float, scale: float) -> None:
    if omega > LARGEST_RATIO * scale:
        raise ParameterError(
            f"activation {str(activation)!r}: a wavelet of frequency {omega:g} and scale {scale:g} "
            f"grows beyond float32; give a scale of at least {omega / LARGEST_RATIO:g}, a "
            f"{LARGEST_RATIO}th of the frequency"
        )


def _wavelet(u: Tensor, omega: float, scale: float) -> Tensor:
    # the real part of a product, not abs(), which has no useful gradient at 0
    squared = (u * u.conj()).real if u.is_complex() else u.square()
    # an infinite decay makes the exponential NaN in torch 2.6
    decay = (scale**2 * squared).clamp(max=torch.finfo(squared.dtype).max)
    return torch.exp(1j * omega * u - decay)
