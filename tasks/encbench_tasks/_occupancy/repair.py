"""Orientation and holes: what has to be known of a mesh before asking what is inside."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np

from encbench_tasks._occupancy.solid import Indices, Triangles

__all__ = ["Edges", "edges_of", "oriented", "signed_volume"]


@dataclass(frozen=True)
class Edges:
    """Counts of edges that a closed, consistently oriented surface does not have."""

    open: int
    """Edges of a single face: borders of holes."""
    clashing: int
    """Edges of two faces that run along them in the same direction."""
    branching: int
    """Edges of more than two faces."""

    @property
    def watertight(self) -> bool:
        return self.open == self.clashing == self.branching == 0


def edges_of(faces: Indices) -> Edges:
    """Count the defects of faces (F, 3) that are not degenerate."""
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    forward = start < end
    low, high = np.where(forward, start, end), np.where(forward, end, start)
    key = low * (int(faces.max()) + 1) + high
    _, which, uses = np.unique(key, return_inverse=True, return_counts=True)
    balance = np.bincount(which, weights=np.where(forward, 1.0, -1.0))
    return Edges(
        open=int((uses == 1).sum()),
        clashing=int(((uses == 2) & (balance != 0)).sum()),
        branching=int((uses > 2).sum()),
    )


def signed_volume(mesh: Triangles) -> float:
    """Enclosed volume, positive if faces are counter-clockwise seen from outside.

    Exact for closed surfaces; for holed ones that of the cone to the vertices' mean.
    """
    a, b, c = (mesh.vertices[mesh.faces[:, k]] - mesh.vertices.mean(axis=0) for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def oriented(mesh: Triangles, clashing: int) -> tuple[Triangles, int]:
    """The mesh with faces of each patch turned alike and the volume positive.

    A patch keeps the orientation that most of its area had, so that the walls of cavities
    stay what they are. Returns also the number of faces that were turned.
    """
    if not clashing and signed_volume(mesh) >= 0:
        return mesh, 0
    faces = mesh.faces
    if clashing:
        aligned, patch = igl.bfs_orient(np.ascontiguousarray(faces))
        agreement = np.einsum(
            "ij,ij->i", Triangles(mesh.vertices, aligned).area_vectors, mesh.area_vectors
        )
        votes = np.bincount(patch, weights=np.sign(agreement) * mesh.areas)
        faces = np.where((votes[patch] < 0)[:, None], aligned[:, ::-1], aligned)
    if signed_volume(Triangles(mesh.vertices, faces)) < 0:
        faces = faces[:, ::-1]
    faces = np.ascontiguousarray(faces, np.int64)
    result = Triangles(mesh.vertices, faces)
    turned = int((np.einsum("ij,ij->i", result.area_vectors, mesh.area_vectors) < 0).sum())
    return result, turned
