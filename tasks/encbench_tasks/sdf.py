"""Signed distance: a network that says how far a point is from the surface of a solid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from encbench import NetworkDefaults, Outcome, ParameterError, RegularGrid, Task
from encbench.contracts.task import LossName, Predict
from encbench.training.losses import LOSSES
from encbench_tasks._grid_task import GridTask, cell_centres
from encbench_tasks._occupancy.evaluation import evaluate_distance, rendered_distance, scaled_side
from encbench_tasks._occupancy.points import Labels, as_float32, sampled_points
from encbench_tasks._occupancy.sources import data_hash_of
from encbench_tasks._occupancy.truth import truth_of
from encbench_tasks._split import settled

PROGRESS_POINTS = 1 << 11
PROGRESS_SEED = 1
GRID_SIDE = 32


class SdfTask(Task):
    """Signed distance from the surface of a solid in 3D, at points in [0, 1]³; negative inside.

    The solids are those of the task occupancy, scaled alike: distances are in longest sides of the
    bounding box. They are exact distances to the nearest triangle, with a sign by winding number.
    Every epoch has the same points. The loss is |d| / (|y| + 0.01), |d| or d² for an error d at a
    distance y, plus ``eikonal`` times the mean of (‖∇f‖ − 1)².

    Args:
        mesh: a built-in shape (gyroid, knot, flange), the path of a mesh file (PLY, OBJ, STL,
            OFF, GLB, gzipped or not), or the name of a mesh downloaded by ``encbench data fetch``.
        points: number of points in an epoch.
        on_surface: part of the points that lie on the surface, in [0, 1].
        near_surface: part of the points that lie near it; the others are uniform in the cube.
        sigma: standard deviation of the distance of points near the surface along each axis, in
            longest sides.
        seed: draws the points. It is not the cell's seed.
        loss: "mape", "l1" or "mse".
        eikonal: weight of the eikonal term; 0 leaves it out.
        resolution: cells along the longest side from which the surface is extracted for metrics
            and pictures.
        side: pixels of the rendered views and of the slice.

    Raises:
        DataError: there is no such mesh, it cannot be read, or it bounds no solid.
        ParameterError: the parts on and near the surface are more than all, or the seed is
            negative.
    """

    source: ClassVar[str] = (
        "points, loss: Müller et al., Instant Neural Graphics Primitives, SIGGRAPH 2022; eikonal "
        "term: Gropp et al., Implicit Geometric Regularization for Learning Shapes, ICML 2020"
    )
    in_dim = 3
    out_dim = 1
    network: ClassVar[NetworkDefaults] = GridTask.network
    training: ClassVar[Mapping[str, Any]] = {
        **GridTask.training,
        "batch_size": 1024,
        "steps": 1500,
    }
    loss: LossName | Callable[..., Tensor] = "mape"
    curve = "l1"
    curve_points = PROGRESS_POINTS

    def __init__(
        self,
        *,
        mesh: Annotated[
            str, Field(min_length=1, description="built-in shape, mesh file, or fetched mesh")
        ] = "knot",
        points: Annotated[int, Field(ge=8, le=1 << 24, description="points in an epoch")] = 1 << 18,
        on_surface: Annotated[
            float, Field(ge=0, le=1, description="part of the points on the surface")
        ] = 0.5,
        near_surface: Annotated[
            float, Field(ge=0, le=1, description="part of the points near the surface")
        ] = 0.375,
        sigma: Annotated[
            float,
            Field(gt=0, le=0.5, description="σ of near points' distance, in longest sides"),
        ] = 0.005,
        seed: Annotated[int, Field(ge=0, description="seed of the points")] = 0,
        loss: Annotated[
            Literal["mape", "l1", "mse"], Field(description="loss of the distance")
        ] = "mape",
        eikonal: Annotated[float, Field(ge=0, description="weight of (‖∇f‖ − 1)²")] = 0.0,
        resolution: Annotated[
            int, Field(ge=8, le=1024, description="cells of the extracted surface")
        ] = 128,
        side: Annotated[int, Field(ge=16, le=4096, description="pixels of a view")] = 192,
    ) -> None:
        _check(on_surface, near_surface)
        settled("sdf", {"seed": seed}, {})
        self._fit, self.eikonal = LOSSES[loss], eikonal
        self.loss = self._with_eikonal if eikonal else loss
        self._truth = truth_of(mesh, "winding", data_hash_of(mesh))
        self._distances = Labels(self._truth.solid, self._truth.identity).distances
        self._resolution, self._side = resolution, side
        drawn = sampled_points(self._truth.solid, points, on_surface, near_surface, sigma, seed)
        self._x = torch.from_numpy(drawn)
        self._y = self.values_at(self._x)
        from scipy.stats import qmc  # half a second, not needed for planning

        spread = qmc.Sobol(3, seed=PROGRESS_SEED).random(PROGRESS_POINTS)
        self._progress = torch.from_numpy(as_float32(spread))
        self._followed = self.values_at(self._progress).numpy()

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """Return these parameters; raises as the constructor does."""
        _check(parameters.get("on_surface", 0.5), parameters.get("near_surface", 0.375))
        return [parameters]

    @classmethod
    def data_hash(cls, *, mesh: str = "knot", **parameters: Any) -> str:
        """As ``data_hash_of``: of the content of a mesh file, or of a built-in shape's version."""
        return data_hash_of(mesh)

    @classmethod
    def planned_loss(
        cls, *, loss: LossName = "mape", eikonal: float = 0, **parameters: Any
    ) -> LossName | Callable[..., Tensor]:
        return cls._with_eikonal if eikonal else loss

    @classmethod
    def derivatives(cls, *, eikonal: float = 0, **parameters: Any) -> int:
        return 1 if eikonal else 0

    def _with_eikonal(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        found = model(x)
        (gradient,) = torch.autograd.grad(found.sum(), x, create_graph=True)
        residual: Tensor = (gradient.norm(dim=1) - 1).square().mean()
        return self._fit(found, y) + self.eikonal * residual

    @property
    def points_per_epoch(self) -> int:
        return len(self._x)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The points (points, 3) and their distances (points, 1): the same tensors each time."""
        return self._x, self._y

    def values_at(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self._distances(x.numpy())[:, None].astype(np.float32))

    def regular_grid(self) -> RegularGrid:
        return self._grid

    @cached_property
    def _grid(self) -> RegularGrid:
        x = cell_centres((GRID_SIDE,) * 3)
        return RegularGrid(x, self.values_at(x).numpy().reshape(*(GRID_SIDE,) * 3, 1))

    def progress_metric(self, predict: Predict) -> float:
        """Mean absolute error at 2048 fixed points, evenly spread in the cube; nan if one is not
        finite."""
        return float(np.abs(predict(self._progress).numpy() - self._followed).mean())

    def evaluate(self, predict: Predict) -> Outcome:
        """Compare distances, gradients, signs and the surface; draw a slice above rendered views.

        The outcome's arrays are the surface: ``mesh_vertices`` (V, 3) float32 in the unit cube,
        ``mesh_faces`` (F, 3) int32.
        """
        sizes = self._resolution, self._side
        return evaluate_distance(self._truth, self._distances, predict, *sizes)

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """Draw the picture "prediction" with ``scale`` times as many pixels along each side."""
        side = scaled_side(self._side, scale)
        return rendered_distance(self._truth, predict, self._resolution, side)


def _check(on_surface: float, near_surface: float) -> None:
    if on_surface + near_surface > 1:
        raise ParameterError(
            f"task 'sdf': on_surface={on_surface:g} and near_surface={near_surface:g} are more "
            "than all points; give parts whose sum is at most 1"
        )
