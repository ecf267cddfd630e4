"""What the metrics of surfaces share: two meshes with samples, and the distances between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import igl
import numpy as np
from numpy.typing import NDArray

from encbench.errors import PluginError

__all__ = ["EMPTY", "Distances", "Surface", "distances"]

EMPTY = "the surface is empty: nowhere is the prediction inside"


@dataclass(frozen=True, eq=False)  # equal is identical: what lru_cache below goes by
class Surface:
    """A triangle mesh, with points uniform over its area; empty arrays if there is none.

    A comparison of kind "surface" is two of these, (prediction, truth), in units of the longest
    side of the truth's bounding box.
    """

    vertices: NDArray[np.float64]
    """(V, 3)."""
    faces: NDArray[np.int64]
    """(F, 3)."""
    points: NDArray[np.float64]
    """(N, 3) samples."""
    normals: NDArray[np.float64]
    """(N, 3) unit normals at the samples."""


@dataclass(frozen=True)
class Distances:
    """From the samples of either surface to the nearest place on the other."""

    to_truth: NDArray[np.float64]
    """(N,) distances of the predicted samples from the true surface."""
    to_prediction: NDArray[np.float64]
    """(M,) distances of the true samples from the predicted surface."""
    cosines_to_truth: NDArray[np.float64]
    """(N,) |n · n'| with the true normal at the nearest place."""
    cosines_to_prediction: NDArray[np.float64]
    """(M,)."""

    @property
    def samples(self) -> int:
        return len(self.to_prediction)


@lru_cache(maxsize=1)  # three metrics in a row ask for the same
def distances(prediction: Surface, truth: Surface) -> Distances | None:
    """Exact distances from samples to triangles, both ways; None where the prediction is empty.

    Unlike distances between two sets of samples they are 0 for equal surfaces, whatever the
    samples' spacing.

    Raises:
        PluginError: the truth is empty, or an array has another shape than stated.
    """
    for surface in (prediction, truth):
        shapes = [a.shape for a in (surface.vertices, surface.faces, surface.points)]
        if any(shape[1:] != (3,) for shape in shapes) or surface.normals.shape != shapes[2]:
            raise PluginError(
                "a surface is vertices, faces, points and normals (…, 3), got "
                f"{[*shapes, surface.normals.shape]}; mend the task's evaluate()"
            )
    if not len(truth.faces) or not len(truth.points):
        raise PluginError("the true surface is empty; the task's evaluate() must give one")
    if not len(prediction.faces) or not len(prediction.points):
        return None
    to_truth, there = _nearest(prediction.points, truth)
    to_prediction, here = _nearest(truth.points, prediction)
    return Distances(
        to_truth,
        to_prediction,
        np.abs(np.einsum("ij,ij->i", prediction.normals, there)),
        np.abs(np.einsum("ij,ij->i", truth.normals, here)),
    )


def _nearest(
    points: NDArray[np.float64], surface: Surface
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances (N,) to the surface, and its unit normals (N, 3) at the nearest places."""
    squared, face, _ = igl.point_mesh_squared_distance(
        np.ascontiguousarray(points),
        np.ascontiguousarray(surface.vertices),
        np.ascontiguousarray(surface.faces),
    )
    a, b, c = (surface.vertices[surface.faces[face, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    # a sliver without area has no normal, and agrees with none
    normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    # rounding may leave the square of a distance of 0 a little below it
    return np.sqrt(np.maximum(squared, 0)), normals
