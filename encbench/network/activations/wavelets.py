"""Complex wavelets: the layers behind the first have complex weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.activation import Activation
from encbench.errors import ParameterError
from encbench.network.activations.periodic import Omega, Scale


class Wavelet(Activation):
    """exp(jωu − |s u|²) of some u(z)."""

    periodic = True
    complex_weights = True

    def ntk_gains(self) -> tuple[float, float]:
        raise ParameterError(
            f"activation {str(self)!r} has complex weights, which the NTK parameterization does "
            "not know; use parameterization='standard'"
        )


@dataclass(frozen=True)
class ComplexGabor(Wavelet):
    """exp(jωz − |s z|²), WIRE's wavelet as published.

    The first layer is real, those behind it are complex, and the output is the real part of a
    complex layer's. Layers are initialized as in ``nn.Linear``, real and imaginary parts of weights
    and biases U(±1/√n). Both parts of a complex number count as parameters. The authors take
    1/√2 of a real network's width, and coordinates in [−1, 1] (the encoding ``symmetric``).
    """

    name = "complex_gabor"
    source = (
        'Saragadam et al., "WIRE: Wavelet Implicit Neural Representations", CVPR 2023, and '
        "vishwa91/wire at 0ac8cba, modules/wire.py; defaults as in FINER's and FINER++'s "
        "comparisons"
    )
    omega: Omega = 20.0
    scale: Scale = 10.0

    def __call__(self, z: Tensor) -> Tensor:
        return _wavelet(z, self.omega, self.scale)


@dataclass(frozen=True)
class FinerWavelet(Wavelet):
    """exp(jω_w u − |s u|²) of u = sin(ω z'), the wavelet of FINER++.

    z' has the real part (|x| + 1)x and the imaginary part (|y| + 1)y for z = x + jy; the sine is
    that of a complex number. Layers as for ``complex_gabor``, initialized as the authors do: parts
    of the weights of complex layers U(±√(6/n)/(ω ω_w)), of the real first one U(±1/n). The
    derivative is exact; the authors' code treats |x| + 1 and |y| + 1 as constants in the backward
    pass.
    """

    name = "finer_wavelet"
    source = (
        'Zhu et al., "FINER++: Building a Family of Variable-periodic Functions for '
        'Activating Implicit Neural Representation", 2024 (arXiv 2407.19434); equation and '
        "initialization of the authors' code, defaults of its run.sh "
        "(liuzhen0212/FINERplusplus at 2d77c48, class WF)"
    )
    omega: Omega = 5.0
    scale: Scale = 2.0
    omega_w: Annotated[float, Field(gt=0, description="ω_w, frequency of the wavelet")] = 4.0

    def __call__(self, z: Tensor) -> Tensor:
        if z.is_complex():
            faster = torch.complex((z.real.abs() + 1) * z.real, (z.imag.abs() + 1) * z.imag)
        else:
            faster = (z.abs() + 1) * z
        return _wavelet(torch.sin(self.omega * faster), self.omega_w, self.scale)

    def initialize(self, layer: nn.Linear) -> None:
        n = layer.in_features
        behind = layer.weight.is_complex()
        bound = math.sqrt(6 / n) / (self.omega * self.omega_w) if behind else 1 / n
        nn.init.uniform_(layer.weight, -bound, bound)


def _wavelet(u: Tensor, omega: float, scale: float) -> Tensor:
    # real parts of products, not abs(), whose gradient at 0 is not a number of use
    squared = (u * u.conj()).real if u.is_complex() else u.square()
    return torch.exp(1j * omega * u - scale**2 * squared)
