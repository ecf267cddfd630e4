"""Activations of the coordinate MLP, each with its own initialization of the layers around it.

An activation is written ``name`` or ``name:parameter=value``, as encodings are: ``"relu"``,
``"sine:omega=10"``. ``"auto"`` is the activation that the encoding asks for.

The initialization depends on the parameterization; pre-activations have the same variance in both:

- standard: ``nn.Linear``, with weights drawn as in the activation's source.
- NTK: W and b are N(0, 1), as everywhere in that parameterization, and a hidden layer is
  g · W a/√n + g_b · β b, where g²/n is the variance of a weight in the standard initialization.
  For ReLU, GELU, SiLU and tanh g = 1, Jacot et al.'s layer. The output layer is W a/√n + β b.

A frequency ω that divides the standard weights is thus part of the layer's factor in NTK
parameterization. The two differ in speed: a standard layer inside sin(ω ·) learns ω² times as fast
as one outside, while in NTK parameterization every layer's part of the kernel is of order one.
Belbute-Peres and Kolter ("Simple initialization and parametrization of sinusoidal networks via
their kernel bandwidth", ICLR 2023) also start from normal weights with SIREN's variance.
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

Omega = Annotated[float, Field(gt=0, description="ω, frequency")]
Scale = Annotated[float, Field(ge=0, description="s, inverse width of the Gaussian")]


@dataclass(frozen=True)
class Activation(ABC):
    """An elementwise function φ, and the initialization of the linear layers around it.

    The dataclass fields are its parameters; activations of equal name and parameters are equal.
    """

    name: ClassVar[str]
    periodic: ClassVar[bool] = False
    """Whether φ oscillates. Such networks want smaller learning rates of Adam."""

    @abstractmethod
    def __call__(self, z: Tensor) -> Tensor:
        """φ(z), elementwise, in the shape and dtype of z."""

    def module(self) -> nn.Module:
        """A module that computes φ."""
        return Elementwise(self)

    def initialize(self, layer: nn.Linear) -> None:  # noqa: B027 # a default, not a gap
        """Initialize a layer in standard parameterization in place, hidden or last.

        The default keeps ``nn.Linear``'s initialization, weights and biases U(±1/√n).
        """

    def ntk_gains(self) -> tuple[float, float]:
        """The factors g and g_b of a hidden layer in NTK parameterization.

        Raises:
            ParameterError: a parameter was set that has no effect in that parameterization.
        """
        return 1.0, 1.0

    def __str__(self) -> str:
        """The text from which ``activation_of`` makes this activation, with all parameters."""
        return format_selector(self.name, vars(self))


class Elementwise(nn.Module):
    """The module that applies an activation."""

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
        # the diagnosis of kernels recognizes activation regions by this type
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
    """sin(ω z) of SIREN; initial weights are U(±√(6/n)/ω), in the output layer too.

    With inputs that are sines of all phases, whose mean square is 1/2, ω z is then a unit normal;
    its variance v decreases slowly with depth, to 1 − exp(−2v) from layer to layer. In NTK
    parameterization the layer is (√2 W a/√n + β b)/ω and ω cancels, so only the default is allowed.

    Source: Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions",
    NeurIPS 2020, section 3.2; default ω and the output layer as in the authors' code.
    """

    name = "sine"
    periodic = True
    omega: Omega = 30.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.sin(self.omega * z)

    def initialize(self, layer: nn.Linear) -> None:
        _siren_initialize(layer, self.omega)

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

    Layers are initialized as for ``sine``. The derivative is exact, with the factor 2|z| + 1; the
    authors' code by default treats |z| + 1 as a constant in the backward pass.

    Source: Liu et al., "FINER: Flexible Spectral-bias Tuning in Implicit NEural Representation by
    Variable-periodic Activation Functions", CVPR 2024, Eq. 4.
    """

    name = "finer"
    periodic = True
    omega: Omega = 30.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.sin(self.omega * (z.abs() + 1) * z)

    def initialize(self, layer: nn.Linear) -> None:
        _siren_initialize(layer, self.omega)

    def ntk_gains(self) -> tuple[float, float]:
        return math.sqrt(2) / self.omega, 1 / self.omega


@dataclass(frozen=True)
class Gabor(Activation):
    """cos(ω z) exp(−(s z)²), the real part of WIRE's wavelet at a real z.

    Layers are initialized as in ``nn.Linear``, weights with variance 1/(3n). WIRE itself is complex
    from its first layer on. The real layer in its authors' code computes frequency and width from
    two linear maps; here one map is used for both, as in the complex wavelet.

    Source: Saragadam et al., "WIRE: Wavelet Implicit Neural Representations", CVPR 2023.
    """

    name = "gabor"
    periodic = True
    omega: Omega = 20.0
    scale: Scale = 10.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.cos(self.omega * z) * torch.exp(-(self.scale * z).square())

    def ntk_gains(self) -> tuple[float, float]:
        return 1 / math.sqrt(3), 1.0


def _siren_initialize(layer: nn.Linear, omega: float) -> None:
    bound = math.sqrt(6 / layer.in_features) / omega
    nn.init.uniform_(layer.weight, -bound, bound)


ACTIVATIONS: dict[str, type[Activation]] = {
    cls.name: cls for cls in (Finer, Gabor, Gelu, Relu, Silu, Sine, Tanh)
}
"""Name to class of every activation."""


def activation_of(text: str | Activation) -> Activation:
    """The activation described by a text such as "sine:omega=10"; an activation is returned as is.

    Raises:
        ParameterError: an unknown name or parameter, or a value out of range.
    """
    if isinstance(text, Activation):
        return text
    if not isinstance(text, str):
        raise ParameterError(
            f"an activation must be a text such as 'relu' or 'sine:omega=10', got {text!r}"
        )
    name, parameters = parse_selector(text)
    if name not in ACTIVATIONS:
        raise ParameterError(
            f"there is no activation {name!r}; {did_you_mean(name, ACTIVATIONS)}There are: "
            f"{', '.join(ACTIVATIONS)}, and 'auto' for the one that the encoding asks for"
        )
    cls = ACTIVATIONS[name]
    return cls(**validate_parameters("activation", name, cls, parameters))
