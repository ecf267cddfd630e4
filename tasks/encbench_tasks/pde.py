"""Boundary value problems, learned from the equation alone."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from encbench import NetworkDefaults, Outcome, ParameterError, RegularGrid, Task
from encbench.contracts.task import Predict
from encbench.errors import check_choice
from encbench.metrics.relative_l2 import RelativeL2
from encbench_tasks._grid_task import GridTask, cell_centres, scaled
from encbench_tasks._pictures import error_picture, signed_picture
from encbench_tasks._split import without_effect

FORMULAS, LINE_POINTS = 1, 512
"""Version of the equations, part of the data hash; number of points of a drawn line."""
MOST = {"waves": 256, "k": 1e6}
MOST_WEIGHT = 1e12
Array = NDArray[np.float64]
Name = Literal["poisson", "helmholtz", "burgers"]


class PdeTask(Task):
    """Solve a differential equation D u = f, with values g on the border, from the equation alone.

    - poisson: −u'' = f on [0, 1]; u = sin 2πx + 0.1 sin 2πwx.
    - helmholtz: ∇²u + k²u = f on [−1, 1]²; u = sin πx · sin wπy.
    - burgers: u_t + u u_x = ν u_xx, ν = 0.01/π, on [−1, 1] × [0, 1] from u = −sin πx: a shock.

    The loss at random points of the box and of each face with values is
    mean (D u − f)² / mean f² + ``weight`` · Σ over faces of mean (u − g)²; if f is 0, the divisor
    is 1. The network never sees u; its input is the box scaled to [0, 1]^d.

    Args:
        problem: see above.
        waves: w, periods of the fast part of poisson and helmholtz; default 4.
        k: wave number of helmholtz; default 1.
        weight: weight of the border in the loss; default 0.1, for burgers 1.
        points: number of new random points in an epoch.

    Raises:
        ParameterError: there is no such problem, or a parameter has no effect or is out of range.
    """

    source: ClassVar[str] = (
        "poisson: Wang, Wang, Perdikaris, CMAME 2021; helmholtz: Wang, Teng, Perdikaris, SISC "
        "2021; burgers: Raissi, Perdikaris, Karniadakis, JCP 2019"
    )
    out_dim = 1
    # ReLU has no second derivative
    network: ClassVar[NetworkDefaults] = NetworkDefaults(
        width=64, depth=2, activation="tanh", parameterization="standard"
    )
    training: ClassVar[Mapping[str, Any]] = {**GridTask.training, "steps": 2000}
    curve = "relative_l2"

    def __init__(
        self,
        *,
        problem: Annotated[Name, Field(description="which equation")] = "poisson",
        waves: Annotated[
            int | None,
            Field(ge=1, le=MOST["waves"], description="w of poisson and helmholtz; default 4"),
        ] = None,
        k: Annotated[
            float | None,
            Field(gt=0, le=MOST["k"], description="wave number of helmholtz; default 1"),
        ] = None,
        weight: Annotated[
            float | None,
            Field(
                gt=0, le=MOST_WEIGHT, description="weight of the border; default 0.1, for burgers 1"
            ),
        ] = None,
        points: Annotated[int, Field(ge=1, description="points in an epoch")] = 4096,
    ) -> None:
        if points < 1 or not (weight is None or 0 < weight <= MOST_WEIGHT):
            raise ParameterError(
                f"task 'pde': points must be at least 1 and weight in (0, {MOST_WEIGHT:g}], got "
                f"{points} and {weight}"
            )
        self.equation = equation = equation_of({"problem": problem, "waves": waves, "k": k})
        self.weight, self._points = equation.weight if weight is None else weight, points
        self.in_dim = len(equation.low)
        self._low, self._size = np.array(equation.low), np.subtract(equation.high, equation.low)
        self._x = cell_centres(equation.shape[::-1])
        box = self._in_box(self._x)
        truth = equation.solution(box).reshape(*equation.shape[::-1], 1)
        self._grid = RegularGrid(self._x, truth)
        self.curve_points = len(self._x)
        self._scale = float(np.square(equation.right_side(box)).mean()) or 1.0

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """Return these parameters with defaults filled in; raises as the constructor does."""
        equation = equation_of(parameters)
        given = {k: v for k, v in parameters.items() if v is not None}
        return [{"weight": equation.weight} | given | _chosen(equation)]

    @classmethod
    def planned_dimension(cls, **parameters: Any) -> int:
        return len(equation_of(parameters).low)

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        """SHA-256 of the formulas' version and of the parameters that decide the solution."""
        equation = equation_of(parameters)
        parts = ["pde", FORMULAS, parameters.get("problem"), _chosen(equation)]
        if equation.shape != type(equation)().shape:  # else as before grids depended on waves
            parts.append(equation.shape)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @classmethod
    def derivatives(cls, **parameters: Any) -> int:
        return 2

    @property
    def points_per_epoch(self) -> int:
        return self._points

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """New points (points, d), uniform in the cube, and the right sides f (points, 1)."""
        x = torch.rand(self._points, self.in_dim, generator=generator, dtype=torch.float64)
        right = self.equation.right_side(self._in_box(x))
        return x, torch.from_numpy(right[:, None].astype(np.float32))

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        low, size = (x.new_tensor(each) for each in (self._low, self._size))
        x = x.detach().requires_grad_()
        u = model(x)
        (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        second = [
            torch.autograd.grad(first[:, axis].sum(), x, create_graph=True)[0][:, axis]
            for axis in self.equation.second
        ]
        curved = torch.stack(second, dim=1) / size[list(self.equation.second)] ** 2
        residual = self.equation.left_side(u[:, 0], first / size, curved) - y[:, 0]
        # the projections of the points onto a face are random points of it
        faces = []
        for axis, end in self.equation.faces:
            face = x.detach().clone()
            face[:, axis] = end
            faces.append(face if self.in_dim > 1 else face[:1])
        edge = torch.cat(faces)
        error = model(edge)[:, 0] - self.equation.given(low + size * edge)
        # all faces have the same number of points: the mean over all, times the number of faces
        border: Tensor = len(faces) * error.square().mean()
        return self.weight * border + residual.square().mean() / self._scale

    def regular_grid(self) -> RegularGrid:
        return self._grid

    def progress_metric(self, predict: Predict) -> float:
        """Relative L2 error on the grid; nan if a value is not finite."""
        value = RelativeL2()(predict(self._x).numpy(), self._grid.truth.reshape(-1, 1)).value
        return math.nan if value is None else value

    def evaluate(self, predict: Predict) -> Outcome:
        """Compare the solution on the grid; with one coordinate, or at t = 0.75, draw a curve."""
        truth = self._grid.truth
        made = predict(self._x).double().numpy().reshape(truth.shape)
        comparisons = {"signal": (made, truth), "solution": (made, truth)}
        if self.in_dim == 1:
            x = self._in_box(self._x)[:, 0]
            lines = {"u": (x, made, truth), "error": (x, made - truth, np.zeros_like(truth))}
            titles = {"u": ("x", "solution u(x)"), "error": ("x", "error of u(x)")}
            return Outcome(comparisons, lines=lines, line_titles=titles)
        largest = float(np.abs(truth).max())
        error = np.abs(made - truth)[::-1, :, 0]
        pictures = {
            "target": signed_picture(truth[::-1, :, 0], largest),
            "prediction": signed_picture(made[::-1, :, 0], largest),
            "error": error_picture(error),
        }
        lines = self._lines(predict)
        titles = dict.fromkeys(lines, ("x", f"u(x, t = {self.equation.line_at})"))
        return Outcome(comparisons, pictures, lines=lines, line_titles=titles)

    def _lines(self, predict: Predict) -> dict[str, tuple[Array, Array, Array]]:
        if (at := self.equation.line_at) is None:
            return {}
        x = cell_centres((1, LINE_POINTS))
        x[:, 1] = at
        box = self._in_box(x)
        line = predict(x).double().numpy(), self.equation.solution(box)[:, None]
        return {f"u.t_{at:g}": (box[:, 0], *line)}

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """Draw the solution of two coordinates, ``scale`` times as many pixels along each side."""
        rows, columns = scaled(self._grid.truth.shape[:2], scale)
        made = predict(cell_centres((rows, columns))).numpy().reshape(rows, columns)
        return signed_picture(made[::-1], float(np.abs(self._grid.truth).max()))

    def _in_box(self, x: Tensor) -> Array:
        """Map points (N, d) of the unit cube to the equation's box."""
        return np.asarray(self._low + self._size * x.numpy())


def _chosen(equation: Equation) -> dict[str, Any]:
    """The parameters of the task that an equation has."""
    return {k: v for k, v in vars(equation).items() if k in ("waves", "k")}


class Equation(ABC):
    """D u = f on a box, with values given on some of its faces."""

    low: ClassVar[tuple[float, ...]]
    high: ClassVar[tuple[float, ...]]
    """Corners of the box."""
    faces: ClassVar[tuple[tuple[int, int], ...]]
    """Coordinate, and 0 or 1 for its low or high end, of the faces with values."""
    second: ClassVar[tuple[int, ...]] = (0,)
    """Coordinates along which D takes second derivatives."""
    weight: ClassVar[float] = 0.1
    """Default weight of the border's values in the loss."""
    line_at: ClassVar[float | None] = None
    """Value of the second coordinate at which the solution is also drawn as a line."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Points of the grid on which a solution is compared, along each coordinate."""

    @abstractmethod
    def solution(self, z: Array) -> Array:
        """u (N,) at points z (N, d) of the box."""

    def right_side(self, z: Array) -> Array:
        """f (N,) at points z (N, d) of the box."""
        return np.zeros(len(z))

    @abstractmethod
    def left_side(self, u: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """D u (N,) from u (N,), first derivatives (N, d) and second ones (N, len(second))."""

    def given(self, z: Tensor) -> Tensor:
        """The values (N,) at points z (N, d) of the faces."""
        return torch.zeros_like(z[:, 0])


@dataclass(frozen=True)
class Poisson(Equation):
    """−u'' = f on [0, 1], u(0) = u(1) = 0, with the solution u = sin 2πx + 0.1 sin 2πkx.

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
    """∇²u + k² u = f on [−1, 1]², u = 0 at its border, with the solution u = sin πx · sin aπy.

    Wang, Teng, Perdikaris, "Understanding and mitigating gradient flow pathologies in
    physics-informed neural networks", SISC 2021, where k is 1 and a is 4 (Helmholtz2D.py of their
    code, whose ``lam`` is k²).
    """

    waves: int = 4
    k: float = 1.0
    low, high = (-1.0, -1.0), (1.0, 1.0)
    faces = ((0, 0), (0, 1), (1, 0), (1, 1))
    second = (0, 1)

    def __post_init__(self) -> None:
        if math.isclose(self.k**2, self._eigenvalue, rel_tol=1e-9):
            raise ParameterError(
                f"task 'pde': with k={self.k} and waves={self.waves}, k² is an eigenvalue, so that "
                "f is 0 and u = 0 is a solution, too; give another k"
            )

    @property
    def shape(self) -> tuple[int, int]:
        # four points per period of the fast part, or its values would be those of a slower one
        return 64, max(64, 4 * self.waves)

    @property
    def _eigenvalue(self) -> float:
        """−∇²u / u."""
        return (1 + self.waves**2) * math.pi**2

    def solution(self, z: Array) -> Array:
        return np.asarray(np.sin(math.pi * z[:, 0]) * np.sin(self.waves * math.pi * z[:, 1]))

    def right_side(self, z: Array) -> Array:
        return (self.k**2 - self._eigenvalue) * self.solution(z)

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
    F(x − η). They are computed by the trapezoidal rule, which converges exponentially here.
    """

    viscosity: float = field(default=0.01 / math.pi, init=False)
    low, high, shape = (-1.0, 0.0), (1.0, 1.0), (128, 64)
    faces = ((0, 0), (0, 1), (1, 0))
    weight = 1.0
    line_at = 0.75

    def solution(self, z: Array) -> Array:
        # η / √(4νt): beyond 12, exp(−12²) outweighs F, which is between e^−50 and e^50
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
    """Return the equation of the task's parameters, in which None means not given.

    Raises:
        ParameterError: there is no such problem, or a parameter has no effect or is out of range.
    """
    name = parameters.get("problem", "poisson")
    check_choice("task 'pde': problem", name, get_args(Name))
    given = {key: parameters[key] for key in USES if parameters.get(key) is not None}
    for key, value in given.items():
        if name not in USES[key]:
            others = [f"problem={other}" for other in USES[key]]
            raise without_effect("pde", f"{key}={value}", f"problem={name}", *others)
        if not 0 < value <= MOST[key]:
            raise ParameterError(f"task 'pde': {key} must be in (0, {MOST[key]:g}], got {value}")
    made: Equation = EQUATIONS[name](**given)
    return made
