"""Occupancy: a network that says which points of the unit cube are inside a solid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from encbench import NetworkDefaults, Outcome, ParameterError, RegularGrid, Task
from encbench.contracts.task import Predict
from encbench.metrics.iou import iou
from encbench_tasks._grid_task import cell_centres
from encbench_tasks._occupancy.evaluation import (
    evaluate,
    logits,
    predicted_values,
    rendered_view,
    scaled_side,
)
from encbench_tasks._occupancy.held_out import Sampling, SolidSplit
from encbench_tasks._occupancy.points import Labels, Prefetch, in_bounding_box
from encbench_tasks._occupancy.sources import data_hash_of
from encbench_tasks._occupancy.triangles import Array, Flags
from encbench_tasks._occupancy.truth import TruthMethod, truth_of
from encbench_tasks._split import Split, Uses, settled, without_effect

DEFAULT_MESH = "knot"
POINTS, NEAR_SURFACE, SIGMA = 65536, 0.5, 0.02
PROGRESS_POINTS = 1 << 11
GRID_POINTS = 1 << 14
"""Approximate maximum number of points of the regular grid."""
PROGRESS_SEED = 1
"""Draws points that are the same for every network; training seeds have 63 bits."""
USES: Uses = {"cells": (("checker", "grid"), 32), "split_seed": (("random",), 0)}


class OccupancyTask(Task):
    """Occupancy of a solid in 3D: points in [0, 1]³ to the probability of being inside.

    The longest side of the solid's bounding box is scaled to 1 and the box is centred in the
    unit cube. An epoch is ``points`` new points, uniform in the box or also near the surface,
    with their labels; without a split there is nothing to overfit to. The loss is the binary cross
    entropy of logits.

    With a split, IoU is over points trained on and IoU held out over points that are not, up to
    2¹⁸ uniform points of the box; the other metrics are over the whole solid, as without a split.

    Args:
        mesh: a built-in shape (gyroid, knot, flange), the path of a mesh file (PLY, OBJ, STL,
            OFF, GLB, gzipped or not), or the name of a mesh downloaded by ``encbench data fetch``.
        points: number of points in an epoch.
        near_surface: part of an epoch's points that lie near the surface, in [0, 1]; 0 is the
            paper's sampling.
        sigma: standard deviation of their distance along each axis, in longest sides.
        truth: "winding" is the generalized winding number, right on holed and
            self-intersecting meshes; "rays" is the parity of ray crossings, for watertight meshes
            without overlaps; "auto" takes a built-in shape's formula, and winding numbers for
            files.
        resolution: cells along the longest side from which the surface is extracted for metrics
            and pictures.
        side: pixels of the rendered views.
        split: which points are trained on. "all": new ones each epoch. "random": the same
            ``points`` points in every epoch and every cell; IoU is over those that are uniform,
            IoU held out over others. "checker": new ones each epoch, but only in every second cell
            of a lattice; IoU and IoU held out are each over 2¹⁶ points, in these cells and in the
            others. "grid": the nodes of a lattice; IoU is over these, IoU held out over others.
        cells: number of cells of the lattice along the longest side, with split "checker" or
            "grid"; default 32.
        split_seed: draws the points of split "random"; default 0.

    Labels have no noise, so there is no ``noise`` as for images.

    Raises:
        DataError: there is no such mesh, it cannot be read, or it bounds no solid.
        ParameterError: a number is out of its range, or has no effect with this split.
    """

    source: ClassVar[str] = (
        "Audia, Feizi, Zwicker, Manocha, How Learnable Grids Recover Fine Detail in Low "
        "Dimensions, appendix E: occupancy of meshes, longest axis [0, 1], new points each epoch"
    )
    in_dim = 3
    out_dim = 1
    network: ClassVar[NetworkDefaults] = NetworkDefaults(width=256, depth=8)
    # With eight layers, and grids whose kernel grows twentyfold while they learn, 1.5 times the
    # critical learning rate diverges for some seeds. With as many steps of plain gradient descent,
    # networks without an encoding do not learn.
    training: ClassVar[Mapping[str, Any]] = {"optimizer": "adam", "batch_size": 1024, "epochs": 8}
    loss = "bce"
    curve = "iou"

    def __init__(
        self,
        *,
        mesh: Annotated[
            str, Field(min_length=1, description="built-in shape, mesh file, or fetched mesh")
        ] = DEFAULT_MESH,
        points: Annotated[int, Field(ge=1, description="points in an epoch")] = POINTS,
        near_surface: Annotated[
            float, Field(ge=0, le=1, description="part of the points near the surface")
        ] = NEAR_SURFACE,
        sigma: Annotated[
            float, Field(gt=0, le=0.5, description="σ of near points' distance, in longest sides")
        ] = SIGMA,
        truth: Annotated[TruthMethod, Field(description="how points are labelled")] = "auto",
        resolution: Annotated[
            int, Field(ge=8, le=1024, description="cells of the extracted surface")
        ] = 128,
        side: Annotated[int, Field(ge=16, le=4096, description="pixels of a view")] = 192,
        split: Annotated[Split, Field(description="which points are trained on")] = "all",
        cells: Annotated[
            int | None,
            Field(
                ge=2,
                le=256,
                description="cells along the longest side, of split=checker or grid; default 32",
            ),
        ] = None,
        split_seed: Annotated[
            int | None, Field(ge=0, description="seed of the points of split=random; default 0")
        ] = None,
    ) -> None:
        if points < 1 or not 0 <= near_surface <= 1 or not 0 < sigma <= 0.5:
            raise ParameterError(
                "OccupancyTask: points must be at least 1, near_surface in [0, 1] and sigma in "
                f"(0, 0.5], got {points}, {near_surface} and {sigma}"
            )
        given = {"points": points, "near_surface": near_surface, "sigma": sigma}
        parts = _settled({"split": split, "cells": cells, "split_seed": split_seed, **given})
        self._truth = truth_of(mesh, truth, data_hash_of(mesh))
        self.solid = self._truth.solid
        self._labels = Labels(self.solid, self._truth.identity)
        sampling = Sampling(points, near_surface, sigma)
        seed, along = parts.get("split_seed", 0), parts.get("cells", 32)
        self._split = SolidSplit(self._truth, self._labels, split, sampling, along, seed)
        self._prefetch = Prefetch(self._make)
        self._resolution, self._side = resolution, side
        from scipy.stats import qmc  # half a second, not needed for planning

        # evenly spread points are as good as several times as many random ones
        drawn = 2 * PROGRESS_POINTS if split == "checker" else PROGRESS_POINTS
        x = in_bounding_box(self.solid, qmc.Sobol(3, seed=PROGRESS_SEED).random(drawn))
        x = x[self._split.is_held_out(x)][:PROGRESS_POINTS] if split == "checker" else x
        self._progress = torch.from_numpy(x), self._labels(x)
        self.curve_points = len(x)
        if split != "all":
            self.curve = "iou_held_out"

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """Return these parameters, with those of the split checked."""
        return [_settled(parameters)]

    @classmethod
    def data_hash(cls, *, mesh: str = DEFAULT_MESH, **parameters: Any) -> str:
        """As ``data_hash_of``: of the content of a mesh file, or of a built-in shape's version."""
        return data_hash_of(mesh)

    @property
    def points_per_epoch(self) -> int:
        return self._split.points_per_epoch

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """New points (points, 3) and labels (points, 1), 1 inside; the same each time if the split
        fixes them.

        New ones depend only on the generator; a thread computes the next ones in advance.
        """
        if self._split.fixed is not None:
            return _as_tensors(*self._split.fixed)
        return self._prefetch.next(generator)

    def ntk_points(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` points (count, 3) distributed as those of an epoch, in random order; if its
        points are fixed, at most all of them."""
        if self._split.fixed is not None:
            return super().ntk_points(count, generator)
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        x = self._split.draw(seed, count)
        distinct: Tensor = torch.unique(torch.from_numpy(x), dim=0)
        return distinct[torch.randperm(len(distinct), generator=generator)]

    def values_at(self, x: Tensor) -> Tensor:
        return _as_tensors(x.numpy(), self._labels(x.numpy()))[1]

    def regular_grid(self) -> RegularGrid:
        """Occupancy at the centres of nearly cubic cells of the bounding box, beyond which nothing
        is trained; frequencies above the grid's Nyquist frequency are aliased."""
        return self._grid

    @cached_property
    def _grid(self) -> RegularGrid:
        low, sides = self.solid.low, self.solid.high - self.solid.low
        along = min(self._resolution, np.cbrt(GRID_POINTS / sides.prod()))
        shape = [max(1, round(along * side)) for side in sides.tolist()]
        # the last axis of cells is that of x, the first coordinate
        x = torch.from_numpy(low + sides * cell_centres(shape[::-1]).numpy())
        truth = self._labels(x.numpy()).astype(np.float32).reshape(*shape[::-1], 1)
        return RegularGrid(x, truth, sides=tuple(sides[::-1].tolist()))

    def progress_metric(self, predict: Predict) -> float:
        """IoU at up to 2048 fixed uniform points, held out with a split; nan if not finite."""
        x, inside = self._progress
        p = predict(x).numpy().reshape(-1)
        if not np.isfinite(p).all():
            return float("nan")
        return iou(p, inside) or 0.0

    def evaluate(self, predict: Predict) -> Outcome:
        """Compare occupancies, the extracted surface and rendered views with the true ones.

        The outcome's arrays are the surface: ``mesh_vertices`` (V, 3) float32 in the unit cube,
        ``mesh_faces`` (F, 3) int32.
        """
        points = self._truth.points
        outcome = evaluate(self._truth, logits(predict), self._resolution, self._side)
        labelled = {
            kind: (predicted_values(predict)(x), inside) for kind, (x, inside) in points.items()
        }
        outcome = replace(outcome, comparisons={**labelled, **outcome.comparisons})
        return self._split.compare(outcome, predict)

    def held_out(self) -> tuple[Tensor, Tensor] | None:
        found = self._split.held_out
        return None if found is None else _as_tensors(*found)

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """Draw normals above depth, with ``scale`` times as many pixels along each side."""
        side = scaled_side(self._side, scale)
        return rendered_view(self._truth, logits(predict), self._resolution, side)

    def _make(self, seed: int) -> tuple[Tensor, Tensor]:
        x = self._split.draw(seed)
        return _as_tensors(x, self._labels(x))


def _settled(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """See ``settled``.

    Raises:
        ParameterError: a parameter has no effect with this split, or leaves no point.
    """
    found = settled("occupancy", parameters, USES)
    drawn = {"points": POINTS, "near_surface": NEAR_SURFACE, "sigma": SIGMA}
    for name, default in drawn.items():
        if found.get("split") == "grid" and found.get(name, default) != default:
            chosen = "split=grid, which trains on the nodes of a lattice"
            raise without_effect("occupancy", f"{name}={found[name]}", chosen, "another split")
    points = found.get("points", POINTS)
    if found.get("split") == "random" and points == round(
        points * found.get("near_surface", NEAR_SURFACE)
    ):
        raise ParameterError(
            "task 'occupancy': with split=random IoU is over the points that are not near the "
            "surface, and there are none; give near_surface less than 1, or more points"
        )
    return found


def _as_tensors(x: Array, inside: Flags) -> tuple[Tensor, Tensor]:
    """Points (N, 3) float64 and labels (N, 1) float32."""
    return torch.from_numpy(x), torch.from_numpy(inside.astype(np.float32)[:, None])
