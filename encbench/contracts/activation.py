"""The contract of an activation, which also initializes the linear layers around it.

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

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class Activation(ABC):
    """An elementwise function φ, and the initialization of the linear layers around it.

    A subclass is a frozen dataclass, whose fields are its parameters::

        @dataclass(frozen=True)
        class Softsign(Activation):
            name = "softsign"
            a: Annotated[float, Field(gt=0, description="value at infinity")] = 1.0

            def __call__(self, z):
                return z / (1 + z.abs() / self.a)
    """

    name: ClassVar[str]
    source: ClassVar[str] = ""
    """Where it comes from: authors, title, venue, year."""
    periodic: ClassVar[bool] = False
    """Whether φ oscillates. Such networks need smaller learning rates with Adam."""
    complex_weights: ClassVar[bool] = False
    """Whether φ is complex: all layers but the first then have complex weights, and the network's
    output is the real part of the last layer's. Standard parameterization only: ``ntk_gains`` must
    raise ParameterError."""

    @abstractmethod
    def __call__(self, z: Tensor) -> Tensor:
        """φ(z), elementwise, in the shape and dtype of z."""

    def module(self) -> nn.Module:
        """A new module that computes φ; each layer has its own, which may have parameters."""
        return Elementwise(self)

    def initialize(self, layer: nn.Linear) -> None:  # noqa: B027 # a default, not a gap
        """Initialize a hidden or output layer of standard parameterization in place.

        The default keeps ``nn.Linear``'s initialization, weights and biases U(±1/√n).
        """

    def ntk_gains(self) -> tuple[float, float]:
        """The factors g and g_b of a hidden layer in NTK parameterization.

        Raises:
            ParameterError: a parameter is set that has no effect in NTK parameterization.
        """
        return 1.0, 1.0

    def __str__(self) -> str:
        """Name and all parameters, such as "sine:omega=30.0"."""
        parameters = ",".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{self.name}:{parameters}" if parameters else self.name


class PlainLayers(Activation):
    """Layers initialized as ``nn.Linear`` in either parameterization: weight variance 1/(3n)."""

    def ntk_gains(self) -> tuple[float, float]:
        return 1 / 3**0.5, 1.0


class Elementwise(nn.Module):
    """The module that applies an activation."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, z: Tensor) -> Tensor:
        return self.activation(z)

    def extra_repr(self) -> str:
        return str(self.activation)
