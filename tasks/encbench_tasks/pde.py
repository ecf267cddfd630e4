"""Boundary value problems, learned from the equation alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from encbench import NetworkDefaults, Outcome, RegularGrid, Task
from encbench.contracts.task import Predict
from encbench.metrics.relative_l2 import RelativeL2
from encbench_tasks._equations import Array, Equation, Name, equation_of
from encbench_tasks._grid_task import cell_centres, scaled
from encbench_tasks._pictures import error_picture, signed_picture

FORMULAS, LINE_POINTS = 1, 512
"""The first is part of the data hash: to be raised where an equation is changed."""


class PdeTask(Task):
    """Solve a differential equation D u = f, with values g on the border, from the equation alone.

    - poisson: −u'' = f on [0, 1]; u = sin 2πx + 0.1 sin 2πwx.
    - helmholtz: ∇²u + k²u = f on [−1, 1]²; u = sin πx · sin wπy.
    - burgers: u_t + u u_x = ν u_xx, ν = 0.01/π, on [−1, 1] × [0, 1] from u = −sin πx: a shock.

    The loss at random points of the box and of each face with values is
    mean (D u − f)² / mean f² + ``weight`` · Σ over faces of mean (u − g)²; without a right side
    f its mean square counts as 1. The network never sees u; [0, 1]^d stands for the box.

    Args:
        problem: see above.
        waves: w, periods of the fast part of poisson and helmholtz; default 4.
        k: wave number of helmholtz; default 1.
        weight: weight of the border in the loss; 0.1, and 1 of burgers, unless given.
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
    training: ClassVar[Mapping[str, Any]] = {
        "optimizer": "adam",
        "schedule": "cosine:final=0.1",
        "batch_size": 256,
        "steps": 2000,
    }
    curve = "relative_l2"

    def __init__(
        self,
        *,
        problem: Annotated[Name, Field(description="which equation")] = "poisson",
        waves: Annotated[
            Annotated[int, Field(ge=1, le=256)] | None,
            Field(description="w of poisson and helmholtz; default 4"),
        ] = None,
        k: Annotated[
            Annotated[float, Field(gt=0, le=1e6)] | None,
            Field(description="wave number of helmholtz; default 1"),
        ] = None,
        weight: Annotated[
            Annotated[float, Field(gt=0, le=1e12)] | None,
            Field(description="weight of the border; default 0.1, for burgers 1"),
        ] = None,
        points: Annotated[int, Field(ge=1, description="points in an epoch")] = 4096,
    ) -> None:
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
        """These parameters, what was not given filled in; raises as the constructor does."""
        equation = equation_of(parameters)
        given = {k: v for k, v in parameters.items() if v is not None}
        return [{"weight": equation.weight} | given | _chosen(equation)]

    @classmethod
    def planned_dimension(cls, **parameters: Any) -> int:
        return len(equation_of(parameters).low)

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        """SHA-256 of the formulas' version and of the parameters that decide the solution."""
        chosen = _chosen(equation_of(parameters))
        text = json.dumps(["pde", FORMULAS, parameters.get("problem"), chosen], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

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
        # the points' projections onto each face are random points of it
        faces = []
        for axis, end in self.equation.faces:
            face = x.detach().clone()
            face[:, axis] = end
            faces.append(face if self.in_dim > 1 else face[:1])
        edge = torch.cat(faces)
        error = model(edge)[:, 0] - self.equation.given(low + size * edge)
        # faces have as many points each: the mean over all, times their number
        border: Tensor = len(faces) * error.square().mean()
        return self.weight * border + residual.square().mean() / self._scale

    def regular_grid(self) -> RegularGrid:
        return self._grid

    def progress_metric(self, predict: Predict) -> float:
        """Relative L2 error on the grid; nan if a value is not finite."""
        value = RelativeL2()(predict(self._x).numpy(), self._grid.truth.reshape(-1, 1)).value
        return math.nan if value is None else value

    def evaluate(self, predict: Predict) -> Outcome:
        """The solution on the grid; of one coordinate, or at t = 0.75, as a curve."""
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
        """The solution of two coordinates, of ``scale`` times as many pixels along each side.

        Raises:
            ParameterError: more than 2^28 pixels, or fewer than one.
        """
        rows, columns = scaled(self._grid.truth.shape[:2], scale)
        made = predict(cell_centres((rows, columns))).numpy().reshape(rows, columns)
        return signed_picture(made[::-1], float(np.abs(self._grid.truth).max()))

    def _in_box(self, x: Tensor) -> Array:
        """Points (N, d) of the unit cube as those of the equation's box."""
        return np.asarray(self._low + self._size * x.numpy())


def _chosen(equation: Equation) -> dict[str, Any]:
    """The parameters of the task that an equation has."""
    return {k: v for k, v in vars(equation).items() if k in ("waves", "k")}
