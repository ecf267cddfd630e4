"""Surfaces as triangle meshes with samples, and the distances that surface metrics use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import igl
import numpy as np
from numpy.typing import NDArray

from encbench.errors import PluginError

EMPTY = "the surface is empty: the prediction is outside everywhere"


@dataclass(frozen=True, eq=False)  # compared by identity, for lru_cache below
class Surface:
    """A triangle mesh with samples uniform over its area; empty arrays if there is no surface.

    Its arrays are read-only. A comparison of kind "surface" is a pair (prediction, truth) of
    surfaces, in units of the longest side of the truth's bounding box.
    """

    vertices: NDArray[np.float64]
    """(V, 3) positions."""
    faces: NDArray[np.int64]
    """(F, 3) indices of vertices."""
    points: NDArray[np.float64]
    """(N, 3) samples."""
    normals: NDArray[np.float64]
    """(N, 3) unit normals at the samples."""

    def __post_init__(self) -> None:
        for name, array in vars(self).items():
            view = np.asarray(array).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __deepcopy__(self, memo: object) -> Surface:
        """Itself, since its arrays cannot be changed; ``distances`` recognizes it."""
        return self


@dataclass(frozen=True)
class Distances:
    """Distances and normals between the samples of each surface and the other surface."""

    to_truth: NDArray[np.float64]
    """(N,) distances from samples of the prediction to the true surface."""
    to_prediction: NDArray[np.float64]
    """(M,) distances from samples of the truth to the predicted surface."""
    cosines_to_truth: NDArray[np.float64]
    """(N,) |n · n'|, n' the normal at the nearest point of the true surface."""
    cosines_to_prediction: NDArray[np.float64]
    """(M,) |n · n'| for samples of the truth, n' the normal at the nearest predicted point."""

    @property
    def samples(self) -> int:
        """Number of samples of the truth."""
        return len(self.to_prediction)


@lru_cache(maxsize=1)  # three metrics in a row use the same distances
def distances(prediction: Surface, truth: Surface) -> Distances | None:
    """Exact sample-to-triangle distances in both directions; None if the prediction is empty.

    They are 0 for equal surfaces, unlike distances between two sets of samples.

    Raises:
        PluginError: the truth is empty, or an array does not have the stated shape.
    """
    for surface in (prediction, truth):
        shapes = [a.shape for a in (surface.vertices, surface.faces, surface.points)]
        if any(shape[1:] != (3,) for shape in shapes) or surface.normals.shape != shapes[2]:
            raise PluginError(
                "a surface needs vertices, faces, points and normals of shape (…, 3), got "
                f"{[*shapes, surface.normals.shape]}; correct the task's evaluate()"
            )
    if not len(truth.faces) or not len(truth.points):
        raise PluginError("the true surface is empty; correct the task's evaluate()")
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
    """Distances (N,) to the surface, and its unit normals (N, 3) at the nearest points."""
    squared, face, _ = igl.point_mesh_squared_distance(
        np.ascontiguousarray(points),
        np.ascontiguousarray(surface.vertices),
        np.ascontiguousarray(surface.faces),
    )
    a, b, c = (surface.vertices[surface.faces[face, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    # a triangle without area gets the normal 0, whose cosine with any normal is 0
    normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    # rounding can make the square of a zero distance slightly negative
    return np.sqrt(np.maximum(squared, 0)), normals
