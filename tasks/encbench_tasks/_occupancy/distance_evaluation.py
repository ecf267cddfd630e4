"""What a trained network made of a signed distance: its values, signs, slopes and surface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from encbench import Outcome
from encbench.contracts.task import Predict
from encbench_tasks._grid_task import cell_centres
from encbench_tasks._occupancy.distances import SignedDistances
from encbench_tasks._occupancy.evaluation import evaluate, predicted_values, rendered_view
from encbench_tasks._occupancy.lattice import Field
from encbench_tasks._occupancy.points import as_float32
from encbench_tasks._occupancy.solid import Solid
from encbench_tasks._occupancy.triangles import Array
from encbench_tasks._occupancy.truth import Truth
from encbench_tasks._pictures import contoured, error_picture

VOLUME_POINTS, SLOPE_POINTS = 1 << 16, 1 << 13
SEED = 5
STEP = 2.0**-10
"""Half the distance of the two points whose difference is a derivative."""
SLICE_AT = 0.4
"""Of the box's shortest side: planes of symmetry and faces are more often in its middle."""
ISOLINES, DEEPEST, SLICE_ERROR = 0.05, 0.25, 0.02
"""Between isolines; of the deepest colours; of the brightest error in a slice [longest sides]."""


def evaluate_distance(
    truth: Truth, distances: SignedDistances, predict: Predict, resolution: int, side: int
) -> Outcome:
    """Comparisons, pictures (a slice above views) and the surface.

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
    """The picture "prediction" of ``evaluate_distance``, of any number of pixels."""
    made = predicted_values(predict)(_slice(truth.solid, side)).reshape(side, side)
    view = rendered_view(truth, _inside(predict), resolution, side)
    return np.concatenate([contoured(made, DEEPEST, ISOLINES), view])


def gradient_lengths(predict: Predict, rng: np.random.Generator) -> Array:
    """(SLOPE_POINTS,) lengths of the gradient at random points, by central differences."""
    # multiples of 2^-20: they and their neighbours are float32 numbers
    x = np.round(rng.uniform(STEP, 1 - STEP, (SLOPE_POINTS, 3)) * 2**20) / 2**20
    value, steps = predicted_values(predict), STEP * np.eye(3)
    differences = [value(x + e).astype(np.float64) - value(x - e) for e in steps]
    return np.asarray(np.linalg.norm(differences, axis=0) / (2 * STEP))


def _inside(predict: Predict) -> Field:
    """The negative distance, positive inside; what is not a number counts as outside."""
    return lambda x: np.nan_to_num(-predicted_values(predict)(x).astype(np.float64), nan=-1.0)


def _occupancy(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 inside, 0 outside, nan where the distance is."""
    return np.where(np.isnan(distance), distance, distance < 0).astype(np.float32)


def _slice(solid: Solid, side: int) -> Array:
    """(side², 3) points of a plane across the box's shortest side, row by row from the top; rows
    run along the first of the other axes."""
    across = int(np.argmin(solid.high - solid.low))
    right, up = (axis for axis in range(3) if axis != across)
    at = solid.low[across] + SLICE_AT * (solid.high - solid.low)[across]
    x = np.full((side * side, 3), at)
    x[:, [right, up]] = cell_centres((side, side)).numpy()
    x[:, up] = 1 - x[:, up]
    return as_float32(x)
