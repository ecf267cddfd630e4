"""What a trained network made of a solid: occupancies, surface, views."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from encbench import Outcome
from encbench.contracts.task import Predict
from encbench.metrics.surface import Surface
from encbench_tasks._occupancy.lattice import Lattice, extract, logits_of
from encbench_tasks._occupancy.points import Labels, near_surface_points, uniform_points
from encbench_tasks._occupancy.solid import Solid
from encbench_tasks._occupancy.triangles import Array, Triangles
from encbench_tasks._occupancy.views import (
    View,
    cast_mesh,
    level_set_normals,
    march,
    views_of,
)
from encbench_tasks._pictures import error_picture

UNIFORM_POINTS = 1 << 18
NEAR_POINTS = 1 << 16
NEAR_SIGMA = 0.01
"""How near the points of the near-surface IoU are, in longest sides: always the same, whatever
training used."""
SURFACE_SAMPLES = 1 << 16
SEED = 2

Picture = NDArray[np.uint8]


class Evaluation:
    """Holds the true side of every comparison, made on first use.

    Args:
        solid: the truth.
        labels: of its points.
        resolution: cells of the extracted surface along the longest side.
        side: pixels of a view.
    """

    def __init__(self, solid: Solid, labels: Labels, resolution: int, side: int) -> None:
        self._solid = solid
        self._labels = labels
        self._resolution = resolution
        self._views = views_of(solid.low, solid.high, side)

    def of(self, predict: Predict) -> Outcome:
        """Comparisons, pictures (of depth errors in parts of the box's depth) and the surface."""

        def probability(x: Array) -> NDArray[np.float32]:
            return predict(torch.from_numpy(x)).numpy().reshape(-1)

        def field(x: Array) -> Array:
            return logits_of(probability(x))

        uniform, near = self._points
        lattice = Lattice.over(
            self._solid.low, self._solid.high, self._resolution, field, min(64, self._resolution)
        )
        mesh = extract(lattice)
        distances = [march(field, lattice, view) for view in self._views]
        view = self._views[0]
        hit = np.isfinite(distances[0])
        normals = np.zeros((len(hit), 3))
        places = view.origins[hit] + distances[0][hit, None] * view.direction
        reach = float(lattice.spacing.min()) / 4
        normals[hit] = level_set_normals(field, places, reach)
        depths = [_depth_image(d, v) for d, v in zip(distances, self._views, strict=True)]
        true_depths = [
            _depth_image(d, v) for (d, _), v in zip(self._cast, self._views, strict=True)
        ]
        comparisons = {
            "occupancy": (probability(uniform), self._labels(uniform)),
            "near_surface": (probability(near), self._labels(near)),
            "surface": (_sampled(mesh), self._surface),
            "depth": (np.stack(depths, axis=2), np.stack(true_depths, axis=2)),
        }
        target = np.concatenate(
            [_normal_picture(*self._cast[0], view), _depth_picture(true_depths[0])]
        )
        made = np.concatenate(
            [_normal_picture(distances[0], normals, view), _depth_picture(depths[0])]
        )
        pictures = {
            "target": target,
            "prediction": made,
            "error": error_picture(np.abs(depths[0] - true_depths[0])),
            "side_by_side": np.concatenate([target, made], axis=1),
        }
        arrays = {
            "mesh_vertices": mesh.vertices.astype(np.float32),
            "mesh_faces": mesh.faces.astype(np.int32),
        }
        return Outcome(comparisons, pictures, arrays)

    @cached_property
    def _points(self) -> tuple[Array, Array]:
        rng = np.random.default_rng(SEED)
        return (
            uniform_points(self._solid, UNIFORM_POINTS, rng),
            near_surface_points(self._solid, NEAR_POINTS, NEAR_SIGMA, rng),
        )

    @cached_property
    def _surface(self) -> Surface:
        return _sampled(self._solid.surface)

    @cached_property
    def _cast(self) -> list[tuple[Array, Array]]:
        return [cast_mesh(self._solid.surface, view) for view in self._views]


def _sampled(mesh: Triangles) -> Surface:
    if not len(mesh.faces) or not mesh.areas.sum():
        nothing = np.empty((0, 3))
        return Surface(nothing, np.empty((0, 3), np.int64), nothing, nothing)
    points, normals = mesh.sample(SURFACE_SAMPLES, np.random.default_rng(SEED))
    return Surface(mesh.vertices, mesh.faces, points, normals)


def _depth_image(distance: Array, view: View) -> NDArray[np.float32]:
    """(side, side) float32 in [0, 1]: 0 at the near end of the box, 1 at the far end and where
    there is nothing."""
    depth = np.clip(distance / view.depth, 0, 1).astype(np.float32)
    return depth.reshape(view.side, view.side)


def _depth_picture(depth: NDArray[np.float32]) -> Picture:
    """Near is dark, nothing is white."""
    grey = np.rint(depth * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _normal_picture(distance: Array, normals: Array, view: View) -> Picture:
    """Lit from the viewer's upper left, coloured a little by the normal, on white."""
    seen = np.stack([normals @ view.right, normals @ view.up, -(normals @ view.direction)], axis=1)
    light = np.array([-0.4, 0.55, 0.73])
    lambert = np.clip(seen @ (light / np.linalg.norm(light)), 0, 1)[:, None]
    colour = (0.25 + 0.75 * lambert) * (0.72 + 0.28 * seen)
    colour[~np.isfinite(distance)] = 1
    picture: Picture = np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)
    return picture.reshape(view.side, view.side, 3)
