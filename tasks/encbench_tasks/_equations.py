"""Boundary value problems whose solution is known, on boxes that the unit cube stands for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encbench import ParameterError
from encbench.errors import did_you_mean

Array = NDArray[np.float64]
Name = Literal["poisson", "helmholtz", "burgers"]


class Equation(ABC):
    """D u = f on a box, with values given on some of its faces."""

    low: ClassVar[tuple[float, ...]]
    high: ClassVar[tuple[float, ...]]
    """Corners of the box."""
    shape: ClassVar[tuple[int, ...]]
    """Points of the grid on which a solution is compared, along each coordinate."""
    faces: ClassVar[tuple[tuple[int, int], ...]]
    """Coordinate, and 0 or 1 for its low or high end, of the faces with values."""
    second: ClassVar[tuple[int, ...]] = (0,)
    """Coordinates along which D takes second derivatives."""
    weight: ClassVar[float] = 0.1
    """Of the border's values in the loss, where none is given."""
    line_at: ClassVar[float | None] = None
    """Of the second coordinate, where the solution is also drawn as a line."""

    @abstractmethod
    def solution(self, z: Array) -> Array:
        """u (N,) at points z (N, d) of the box."""

    def right_side(self, z: Array) -> Array:
        """f (N,) at points z (N, d) of the box."""
        return np.zeros(len(z))

    @abstractmethod
    def left_side(self, u: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """D u (N,), of u (N,), its derivatives (N, d), and the second ones (N, len(second))."""

    def given(self, z: Tensor) -> Tensor:
        """The values (N,) at points z (N, d) of the faces."""
        return torch.zeros_like(z[:, 0])


@dataclass(frozen=True)
class Poisson(Equation):
    """−u'' = f on [0, 1], u(0) = u(1) = 0, of which u = sin 2πx + 0.1 sin 2πkx is the solution.

    Wang, Wang, Perdikaris, "On the eigenvector bias of Fourier feature networks", CMAME 2021,
    where k is 25 (Poisson1D/Poisson_1D.py of their code).
    """

    waves: int = 4
    low, high, shape = (0.0,), (1.0,), (1024,)
    faces = ((0, 0), (0, 1))

    def solution(self, z: Array) -> Array:
        x = 2 * math.pi * z[:, 0]
        return np.asarray(np.sin(x) + 0.1 * np.sin(self.waves * x))

    def right_side(self, z: Array) -> Array:
        x = 2 * math.pi * z[:, 0]
        found = np.sin(x) + 0.1 * self.waves**2 * np.sin(self.waves * x)
        return np.asarray((2 * math.pi) ** 2 * found)

    def left_side(self, u: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return -second[:, 0]


@dataclass(frozen=True)
class Helmholtz(Equation):
    """∇²u + k² u = f on [−1, 1]², u = 0 at its border, of which u = sin πx · sin aπy is the
    solution.

    Wang, Teng, Perdikaris, "Understanding and mitigating gradient flow pathologies in
    physics-informed neural networks", SISC 2021, where k is 1 and a is 4 (Helmholtz2D.py of their
    code, whose ``lam`` is k²).
    """

    waves: int = 4
    k: float = 1.0
    low, high, shape = (-1.0, -1.0), (1.0, 1.0), (64, 64)
    faces = ((0, 0), (0, 1), (1, 0), (1, 1))
    second = (0, 1)

    def solution(self, z: Array) -> Array:
        return np.asarray(np.sin(math.pi * z[:, 0]) * np.sin(self.waves * math.pi * z[:, 1]))

    def right_side(self, z: Array) -> Array:
        return (self.k**2 - (1 + self.waves**2) * math.pi**2) * self.solution(z)

    def left_side(self, u: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return second.sum(dim=1) + self.k**2 * u


@dataclass(frozen=True)
class Burgers(Equation):
    """u_t + u u_x = ν u_xx on (x, t) in [−1, 1] × [0, 1], u(x, 0) = −sin πx, u(±1, t) = 0,
    ν = 0.01/π: a shock forms at x = 0.

    Raissi, Perdikaris, Karniadakis, "Physics-informed neural networks", JCP 2019. The solution is
    that of Cole and Hopf as Basdevant et al. write it ("Spectral and finite difference solutions
    of the Burgers equation", Computers & Fluids 1986): the quotient of two integrals over η, with
    F(y) = exp(−cos(πy) / 2πν) and weight exp(−η² / 4νt), of −sin π(x − η) F(x − η) and of
    F(x − η). By the trapezoidal rule, which converges exponentially here.
    """

    viscosity: float = field(default=0.01 / math.pi, init=False)
    low, high, shape = (-1.0, 0.0), (1.0, 1.0), (128, 64)
    faces = ((0, 0), (0, 1), (1, 0))
    weight = 1.0
    line_at = 0.75

    def solution(self, z: Array) -> Array:
        # η / √(4νt): beyond 12 F, which is between e^−50 and e^50, does not make up for exp(−12²)
        eta = np.linspace(-12, 12, 301)
        found = []
        for part in np.array_split(z, max(1, len(z) // 512)):
            x, t = part.T[:, :, None]
            y = np.pi * (x - np.sqrt(4 * self.viscosity * t) * eta)
            power = -np.cos(y) / (2 * np.pi * self.viscosity) - eta**2
            weight = np.exp(power - power.max(axis=1, keepdims=True))
            found.append(-(np.sin(y) * weight).sum(axis=1) / weight.sum(axis=1))
        return np.concatenate(found)

    def left_side(self, u: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return first[:, 1] + u * first[:, 0] - self.viscosity * second[:, 0]

    def given(self, z: Tensor) -> Tensor:
        return -torch.sin(math.pi * z[:, 0])


EQUATIONS: Mapping[str, type[Any]] = {
    "poisson": Poisson,
    "helmholtz": Helmholtz,
    "burgers": Burgers,
}
USES = {"waves": ("poisson", "helmholtz"), "k": ("helmholtz",)}


def equation_of(parameters: Mapping[str, Any]) -> Equation:
    """The equation that parameters of the task name, of which None was not given.

    Raises:
        ParameterError: there is no such problem, or a parameter has no effect or is out of range.
    """
    name = parameters.get("problem", "poisson")
    if name not in EQUATIONS:
        raise ParameterError(
            f"task 'pde': no problem={name!r}"
            + did_you_mean(name, get_args(Name), f"expected one of {', '.join(EQUATIONS)}")
        )
    given = {key: parameters[key] for key in USES if parameters.get(key) is not None}
    for key, value in given.items():
        if name not in USES[key]:
            others = " or ".join(f"problem={other}" for other in USES[key])
            raise ParameterError(
                f"task 'pde': {key}={value} has no effect with problem={name}; leave it out, or "
                f"give {others}"
            )
        if not value > 0:
            raise ParameterError(f"task 'pde': {key} must be positive, got {value}")
    made: Equation = EQUATIONS[name](**given)
    return made
