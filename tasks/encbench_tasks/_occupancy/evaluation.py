"""What a trained network made of a solid: occupancies, surface, views."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from encbench import Outcome, ParameterError
from encbench.contracts.task import Predict
from encbench_tasks._occupancy.lattice import Field, Lattice, extract, logits_of
from encbench_tasks._occupancy.rays import View, level_set_normals, march, views_of
from encbench_tasks._occupancy.triangles import Array
from encbench_tasks._occupancy.truth import Truth, sampled
from encbench_tasks._pictures import error_picture

Picture = NDArray[np.uint8]


def predicted_values(predict: Predict) -> Callable[[Array], NDArray[np.float32]]:
    """What a network with one output predicts, from points (N, 3) to values (N,)."""
    return lambda x: predict(torch.from_numpy(x)).numpy().reshape(-1)


def logits(predict: Predict) -> Field:
    """The logits of predicted probabilities, positive inside."""
    return lambda x: logits_of(predicted_values(predict)(x))


def scaled_side(side: int, scale: float) -> int:
    """Pixels of a view at another scale.

    Raises:
        ParameterError: fewer than 16 or more than 4096.
    """
    found = round(side * scale)
    if not 16 <= found <= 4096:
        raise ParameterError(f"scale {scale:g} makes views of {found} pixels, expected 16 to 4096")
    return found


def rendered_view(truth: Truth, field: Field, resolution: int, side: int) -> Picture:
    """The picture "prediction" of ``evaluate``, for views of any number of pixels."""
    low, high = truth.solid.low, truth.solid.high
    lattice = Lattice.over(low, high, resolution, field, min(64, resolution))
    view = views_of(low, high, side)[0]
    return _view_picture(field, lattice, view, march(field, lattice, view))


def evaluate(truth: Truth, field: Field, resolution: int, side: int) -> Outcome:
    """Comparisons of surface and depth, pictures (of depth errors in parts of the box's depth) and
    the surface.

    Args:
        truth: what the prediction is compared with.
        field: the trained function, positive inside.
        resolution: cells of the extracted surface along the longest side.
        side: pixels of a view.
    """
    solid = truth.solid
    lattice = Lattice.over(solid.low, solid.high, resolution, field, min(64, resolution))
    mesh = extract(lattice)
    views, cast = views_of(solid.low, solid.high, side), truth.cast(side)
    distances = [march(field, lattice, view) for view in views]
    view = views[0]
    depths = [_depth_image(d, v) for d, v in zip(distances, views, strict=True)]
    true_depths = [_depth_image(d, v) for (d, _), v in zip(cast, views, strict=True)]
    comparisons = {
        "surface": (sampled(mesh), truth.surface),
        "depth": (np.stack(depths, axis=2), np.stack(true_depths, axis=2)),
    }
    target = np.concatenate([_normal_picture(*cast[0], view), _depth_picture(true_depths[0])])
    made = _view_picture(field, lattice, view, distances[0])
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


def _view_picture(field: Field, lattice: Lattice, view: View, distance: Array) -> Picture:
    """Normals above depth, of the points of a level set at these distances along the rays."""
    hit = np.isfinite(distance)
    normals = np.zeros((len(hit), 3))
    places = view.origins[hit] + distance[hit, None] * view.direction
    normals[hit] = level_set_normals(field, places, float(lattice.spacing.min()) / 4)
    depth = _depth_picture(_depth_image(distance, view))
    return np.concatenate([_normal_picture(distance, normals, view), depth])


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
