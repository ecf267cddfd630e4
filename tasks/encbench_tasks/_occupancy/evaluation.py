"""Evaluation of a network trained on a solid: occupancies or distances, surface, views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from encbench import Outcome, ParameterError
from encbench.contracts.task import Predict
from encbench_tasks._grid_task import cell_centres
from encbench_tasks._occupancy.lattice import Field, Lattice, extract, logits_of
from encbench_tasks._occupancy.points import as_float32
from encbench_tasks._occupancy.rays import View, level_set_normals, march, views_of
from encbench_tasks._occupancy.solid import Solid
from encbench_tasks._occupancy.triangles import Array
from encbench_tasks._occupancy.truth import Truth, sampled
from encbench_tasks._pictures import contoured, error_picture

Picture = NDArray[np.uint8]
VOLUME_POINTS, SLOPE_POINTS = 1 << 16, 1 << 13
SEED = 5
STEP = 2.0**-10
"""Half the distance between the two points of a central difference."""
SLICE_AT = 0.4
"""Place of a slice along the box's shortest side: its middle is more often a plane of symmetry."""
ISOLINES, DEEPEST, SLICE_ERROR = 0.05, 0.25, 0.02
"""Step of isolines, value of the deepest colours, brightest error of a slice [longest sides]."""


def predicted_values(predict: Predict) -> Callable[[Array], NDArray[np.float32]]:
    """Return a network with one output as a function from points (N, 3) to values (N,)."""
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
    """Draw the picture "prediction" of ``evaluate`` with views of any number of pixels."""
    low, high = truth.solid.low, truth.solid.high
    lattice = Lattice.over(low, high, resolution, field, min(64, resolution))
    view = views_of(low, high, side)[0]
    return _view_picture(field, lattice, view, march(field, lattice, view))


def evaluate(truth: Truth, field: Field, resolution: int, side: int) -> Outcome:
    """Return comparisons of surface and depth, pictures (with depth errors relative to the box's
    depth), and the surface.

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
    """Draw normals above depth, for points of a level set at these distances along the rays."""
    hit = np.isfinite(distance)
    normals = np.zeros((len(hit), 3))
    places = view.origins[hit] + distance[hit, None] * view.direction
    normals[hit] = level_set_normals(field, places, float(lattice.spacing.min()) / 4)
    depth = _depth_picture(_depth_image(distance, view))
    return np.concatenate([_normal_picture(distance, normals, view), depth])


def _depth_image(distance: Array, view: View) -> NDArray[np.float32]:
    """(side, side) float32 in [0, 1]: 0 at the near end of the box, 1 at the far end or without a
    surface."""
    depth = np.clip(distance / view.depth, 0, 1).astype(np.float32)
    return depth.reshape(view.side, view.side)


def _depth_picture(depth: NDArray[np.float32]) -> Picture:
    """Draw depth: near is dark, no surface is white."""
    grey = np.rint(depth * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _normal_picture(distance: Array, normals: Array, view: View) -> Picture:
    """Draw a surface lit from the viewer's upper left, tinted by its normals, on white."""
    seen = np.stack([normals @ view.right, normals @ view.up, -(normals @ view.direction)], axis=1)
    light = np.array([-0.4, 0.55, 0.73])
    lambert = np.clip(seen @ (light / np.linalg.norm(light)), 0, 1)[:, None]
    colour = (0.25 + 0.75 * lambert) * (0.72 + 0.28 * seen)
    colour[~np.isfinite(distance)] = 1
    picture: Picture = np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)
    return picture.reshape(view.side, view.side, 3)


def evaluate_distance(
    truth: Truth,
    distances: Callable[[Array], Array],
    predict: Predict,
    resolution: int,
    side: int,
) -> Outcome:
    """Return comparisons, pictures (a slice above views), and the surface.

    Args:
        truth, distances: what the prediction is compared with.
        predict: the trained function, negative inside.
        resolution: cells of the extracted surface along the longest side.
        side: pixels of a view and of the slice.
    """
    value, rng = predicted_values(predict), np.random.default_rng(SEED)
    outcome = evaluate(truth, _inside(predict), resolution, side)
    volume = as_float32(rng.random((VOLUME_POINTS, 3)))
    box, inside = truth.points["occupancy"]
    near, near_inside = truth.points["near_surface"]
    near_value, slopes = value(near), gradient_lengths(predict, rng)
    comparisons = {
        "distance": (value(volume), distances(volume)),
        "near_surface_distance": (near_value, distances(near)),
        "slope": (slopes, np.ones_like(slopes)),
        "iou": (_occupancy(value(box)), inside),
        "near_surface_iou": (_occupancy(near_value), near_inside),
    }
    plane = _slice(truth.solid, side)
    made, true = (f(plane).reshape(side, side) for f in (value, distances))
    slices = {
        "target": contoured(true, DEEPEST, ISOLINES),
        "prediction": contoured(made, DEEPEST, ISOLINES),
        "error": error_picture(np.abs(made - true), SLICE_ERROR),
    }
    pictures = {n: np.concatenate([each, outcome.pictures[n]]) for n, each in slices.items()}
    comparisons |= outcome.comparisons
    return replace(outcome, comparisons=comparisons, pictures=pictures)


def rendered_distance(
    truth: Truth, predict: Predict, resolution: int, side: int
) -> NDArray[np.uint8]:
    """Draw the picture "prediction" of ``evaluate_distance`` with any number of pixels."""
    made = predicted_values(predict)(_slice(truth.solid, side)).reshape(side, side)
    view = rendered_view(truth, _inside(predict), resolution, side)
    return np.concatenate([contoured(made, DEEPEST, ISOLINES), view])


def gradient_lengths(predict: Predict, rng: np.random.Generator) -> Array:
    """(SLOPE_POINTS,) lengths of the gradient at random points, by central differences."""
    # multiples of 2^-20, so that they and the shifted points are float32 numbers
    x = np.round(rng.uniform(STEP, 1 - STEP, (SLOPE_POINTS, 3)) * 2**20) / 2**20
    value, steps = predicted_values(predict), STEP * np.eye(3)
    differences = [value(x + e).astype(np.float64) - value(x - e) for e in steps]
    return np.asarray(np.linalg.norm(differences, axis=0) / (2 * STEP))


def _inside(predict: Predict) -> Field:
    """Return the negated distance, positive inside; NaN counts as outside."""
    return lambda x: np.nan_to_num(-predicted_values(predict)(x).astype(np.float64), nan=-1.0)


def _occupancy(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 inside, 0 outside, nan where the distance is nan."""
    return np.where(np.isnan(distance), distance, distance < 0).astype(np.float32)


def _slice(solid: Solid, side: int) -> Array:
    """(side², 3) points of a plane perpendicular to the box's shortest side, row by row from the
    top; rows run along the first of the other axes."""
    across = int(np.argmin(solid.high - solid.low))
    right, up = (axis for axis in range(3) if axis != across)
    at = solid.low[across] + SLICE_AT * (solid.high - solid.low)[across]
    x = np.full((side * side, 3), at)
    x[:, [right, up]] = cell_centres((side, side)).numpy()
    x[:, up] = 1 - x[:, up]
    return as_float32(x)
