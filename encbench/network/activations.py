"""Activations of the coordinate MLP, each with the initialization that it was made for.

An activation is written ``name`` or ``name:parameter=value``, as encodings are: ``"relu"``,
``"sine:omega=10"``. ``"auto"`` stands for what the encoding expects.

How the layers around an activation start depends on the parameterization; pre-activations have
the same variance in both:

- standard: ``nn.Linear``, its weights drawn as the activation's source says.
- NTK: W and b are N(0, 1), as everywhere in that parameterization, and a hidden layer is
  g · W a/√n + g_b · β b, where g²/n is the variance of a weight in the standard initialization.
  (ReLU, GELU, SiLU, tanh: g = 1, Jacot et al.'s layer.) The output layer stays W a/√n + β b.

So a frequency ω that divides the standard weights becomes a part of the layer's factor. With it
goes the speed that it lends them: a standard layer inside sin(ω ·) learns ω² times as fast as one
outside, while in NTK parameterization every layer's share of the kernel is of order one. Belbute-
Peres and Kolter ("Simple initialization and parametrization of sinusoidal networks via their
kernel bandwidth", ICLR 2023) likewise start from normal weights of SIREN's variance.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from encbench.errors import ParameterError, did_you_mean
from encbench.plugins.parameters import validate_parameters
from encbench.plugins.selector import format_selector, parse_selector

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Elementwise",
    "Finer",
    "Gabor",
    "Gelu",
    "Relu",
    "Silu",
    "Sine",
    "Tanh",
    "activation_of",
]

Omega = Annotated[float, Field(gt=0, description="ω, frequency")]
Scale = Annotated[float, Field(ge=0, description="s, inverse width of the Gaussian")]


@dataclass(frozen=True)
class Activation(ABC):
    """An elementwise function φ, and how the linear layers around it start.

    Dataclass fields are its parameters; two activations are equal if name and parameters are.
    """

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, z: Tensor) -> Tensor:
        """φ(z), of z's shape and dtype."""

    def module(self) -> nn.Module:
        """A module that computes φ."""
        return Elementwise(self)

    def initialize(self, layer: nn.Linear) -> None:  # noqa: B027 # a default, not a gap
        """Start a layer of standard parameterization in place, hidden or last.

        The default leaves ``nn.Linear``'s own start, weights and biases U(±1/√n).
        """

    def ntk_gains(self) -> tuple[float, float]:
        """g and g_b of a hidden layer in NTK parameterization.

        Raises:
            ParameterError: a parameter was given that has no effect there.
        """
        return 1.0, 1.0

    def __str__(self) -> str:
        """The text that ``activation_of`` reads, every parameter written out."""
        return format_selector(self.name, vars(self))


class Elementwise(nn.Module):
    """φ as a module."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, z: Tensor) -> Tensor:
        return self.activation(z)

    def extra_repr(self) -> str:
        return str(self.activation)


@dataclass(frozen=True)
class Relu(Activation):
    """max(z, 0)."""

    name = "relu"

    def __call__(self, z: Tensor) -> Tensor:
        return F.relu(z)

    def module(self) -> nn.Module:
        # the kernel's diagnosis knows activation regions by this type
        return nn.ReLU()


@dataclass(frozen=True)
class Gelu(Activation):
    """z Φ(z), with Φ the normal distribution function (Hendrycks, Gimpel, 2016)."""

    name = "gelu"

    def __call__(self, z: Tensor) -> Tensor:
        return F.gelu(z)


@dataclass(frozen=True)
class Silu(Activation):
    """z / (1 + exp(−z)) (Elfwing, Uchibe, Doya, Neural Networks 107, 2018)."""

    name = "silu"

    def __call__(self, z: Tensor) -> Tensor:
        return F.silu(z)


@dataclass(frozen=True)
class Tanh(Activation):
    """tanh z."""

    name = "tanh"

    def __call__(self, z: Tensor) -> Tensor:
        return torch.tanh(z)


@dataclass(frozen=True)
class Sine(Activation):
    """sin(ω z) of SIREN; weights start as U(±√(6/n)/ω), the output layer's too.

    Behind sines of all phases, whose mean square is 1/2, ω z is then a unit normal; its variance
    v falls slowly with depth, to 1 − exp(−2v) from layer to layer. In NTK parameterization the
    layer is (√2 W a/√n + β b)/ω, and ω cancels: another than the default is refused there.

    Source: Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions",
    NeurIPS 2020, section 3.2; default ω and the output layer as in the authors' code.
    """

    name = "sine"
    omega: Omega = 30.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.sin(self.omega * z)

    def initialize(self, layer: nn.Linear) -> None:
        _periodic_start(layer, self.omega)

    def ntk_gains(self) -> tuple[float, float]:
        if self.omega != Sine.omega:
            raise ParameterError(
                f"activation {str(self)!r}: omega of hidden layers cancels in NTK "
                "parameterization; leave it out, or use parameterization='standard'"
            )
        return math.sqrt(2) / self.omega, 1 / self.omega


@dataclass(frozen=True)
class Finer(Activation):
    """sin(ω (|z| + 1) z) of FINER: the larger |z|, the higher the frequency.

    Layers start as for ``sine``. Differentiated as it stands, dφ/dz with 2|z| + 1; the authors'
    code holds |z| + 1 fixed in the backward pass unless told otherwise.

    Source: Liu et al., "FINER: Flexible Spectral-bias Tuning in Implicit NEural Representation by
    Variable-periodic Activation Functions", CVPR 2024, Eq. 4.
    """

    name = "finer"
    omega: Omega = 30.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.sin(self.omega * (z.abs() + 1) * z)

    def initialize(self, layer: nn.Linear) -> None:
        _periodic_start(layer, self.omega)

    def ntk_gains(self) -> tuple[float, float]:
        return math.sqrt(2) / self.omega, 1 / self.omega


@dataclass(frozen=True)
class Gabor(Activation):
    """cos(ω z) exp(−(s z)²), the real part of WIRE's wavelet at a real z.

    Layers start as ``nn.Linear``'s, with weights of variance 1/(3n). WIRE itself is complex from
    its first layer on; and the real layer in its authors' code takes frequency and width from
    two linear maps, where here one serves both, as in the complex wavelet.

    Source: Saragadam et al., "WIRE: Wavelet Implicit Neural Representations", CVPR 2023.
    """

    name = "gabor"
    omega: Omega = 20.0
    scale: Scale = 10.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.cos(self.omega * z) * torch.exp(-(self.scale * z).square())

    def ntk_gains(self) -> tuple[float, float]:
        return 1 / math.sqrt(3), 1.0


def _periodic_start(layer: nn.Linear, omega: float) -> None:
    bound = math.sqrt(6 / layer.in_features) / omega
    nn.init.uniform_(layer.weight, -bound, bound)


ACTIVATIONS: dict[str, type[Activation]] = {
    cls.name: cls for cls in (Finer, Gabor, Gelu, Relu, Silu, Sine, Tanh)
}
"""Every activation by its name."""


def activation_of(text: str | Activation) -> Activation:
    """The activation that a text names; an activation is returned as it is.

    Raises:
        ParameterError: an unknown name or parameter, or a value out of range.
    """
    if isinstance(text, Activation):
        return text
    if not isinstance(text, str):
        raise ParameterError(
            f"an activation is a text such as 'relu' or 'sine:omega=10', got {text!r}"
        )
    name, parameters = parse_selector(text)
    if name not in ACTIVATIONS:
        raise ParameterError(
            f"there is no activation {name!r}; {did_you_mean(name, ACTIVATIONS)}There are: "
            f"{', '.join(ACTIVATIONS)}, and 'auto' for what the encoding expects"
        )
    cls = ACTIVATIONS[name]
    return cls(**validate_parameters("activation", name, cls, parameters))
