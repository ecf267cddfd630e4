"""What is mended in a mesh before asking what is inside: doubled faces, and orientation."""

from __future__ import annotations

import igl
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from encbench_tasks._occupancy.triangles import (
    Indices,
    Triangles,
    edge_uses,
    signed_volume,
    signed_volumes,
)
from encbench_tasks._occupancy.truth import WindingNumber

OUTSIDE = 0.05
"""Winding number of a vertex that is outside: on a surface it is the solid angle within, an
eighth at the corner of a box; the approximation is off by 0.005."""
WEIGHTS = np.array([(i, j, 8 - i - j) for i in range(9) for j in range(9 - i)]) / 8
"""Barycentric coordinates of 45 places of a triangle, its corners among them."""
EMPTY = 1e-6
"""Volume of a part, over its area to the power of 3/2, that may be rounding: a ball has 0.09."""
FLAT = 1e-9
"""Volume of a tetrahedron, over the cube of its longest edge, below which it is a quadrilateral."""


def without_doubles(mesh: Triangles) -> tuple[Triangles, int]:
    """One face where several coincide and are one surface; and how many were left out.

    Faces that coincide, in the same or in opposite directions, may be one surface (a doubled
    face, a mesh with a front and a back) or two (two boxes that touch). They are left as they are
    in parts of the mesh whose winding number is a whole number everywhere and not 0. Elsewhere,
    a patch of them is one surface if that closes more edges than it opens, or if the patch has
    no border. Where all faces of the mesh coincide with others, it is one surface, with holes.
    """
    faces = _with_equal_diagonals(mesh)
    _, first, group, copies = np.unique(
        np.sort(faces, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    group = group.reshape(-1)
    doubled = copies > 1
    if not doubled.any():
        return mesh, 0
    edge, uses, balance = edge_uses(faces)
    part = _parts(edge)
    volume = np.bincount(part, weights=signed_volumes(mesh))
    unbalanced = np.bincount(part, weights=(balance[edge] != 0).any(axis=1)) > 0
    area = np.bincount(part, weights=Triangles(mesh.vertices, faces).areas)
    wrong = (unbalanced | (np.abs(volume) < EMPTY * area**1.5))[part[first[doubled]]]
    sides = edge[first[doubled]]  # (D, 3): of the doubled faces, each taken once
    others = np.bincount(edge[~doubled[group]].reshape(-1), minlength=len(uses))[sides]
    border = np.bincount(sides.reshape(-1), minlength=len(uses))[sides] == 1
    patch = _parts(sides)
    # by keeping one of two, edges with an odd number of other faces are closed and others opened
    votes = np.bincount(patch, weights=((2 * (others % 2) - 1) * border).sum(axis=1))
    free = np.bincount(patch, weights=(border & (others > 0)).sum(axis=1)) == 0
    closed = np.bincount(patch, weights=border.sum(axis=1)) == 0
    one = (votes > 0) | closed | (free & doubled.all())
    single = np.flatnonzero(doubled)[one[patch] & wrong]
    kept = np.ones(len(faces), np.bool_)
    kept[np.isin(group, single)] = False
    kept[first[single]] = True
    return Triangles(mesh.vertices, faces[kept]), int((~kept).sum())


def _parts(sides: Indices) -> Indices:
    """(F,) numbers of the parts that faces, given by their edges (F, 3), form through edges."""
    face = np.repeat(np.arange(len(sides)), 3)
    edge = len(sides) + sides.reshape(-1)
    count = int(edge.max()) + 1
    graph = coo_array((np.ones(len(face), np.int8), (face, edge)), (count, count))
    part: Indices = connected_components(graph, directed=False)[1][: len(sides)].astype(np.int64)
    return part


def _with_equal_diagonals(mesh: Triangles) -> Indices:
    """The faces (F, 3), flat quadrilaterals that coincide being split along the same diagonal."""
    faces = mesh.faces.copy()
    edge, uses, _ = edge_uses(faces)
    order = np.argsort(edge.reshape(-1), kind="stable")
    pairs = order[np.repeat(uses == 2, uses)].reshape(-1, 2) // 3  # (P, 2) faces at an edge
    corners = np.sort(faces[pairs].reshape(-1, 6), axis=1)
    new = np.concatenate([np.ones((len(corners), 1), bool), np.diff(corners, axis=1) > 0], axis=1)
    four = new.sum(axis=1) == 4
    pairs, quads = pairs[four], corners[four][new[four]].reshape(-1, 4)
    _, same, count = np.unique(quads, axis=0, return_inverse=True, return_counts=True)
    by_quad = np.argsort(same.reshape(-1), kind="stable")[np.repeat(count == 2, count)]
    for one, other in by_quad.reshape(-1, 2):
        rays = np.diff(mesh.vertices[quads[one]], axis=0)
        if abs(np.linalg.det(rays)) > FLAT * np.abs(rays).max() ** 3:
            continue
        area, other_area = (mesh.area_vectors[pairs[i]].sum(axis=0) for i in (one, other))
        turn = slice(None) if area @ other_area > 0 else slice(None, None, -1)
        faces[pairs[other]] = mesh.faces[pairs[one]][:, turn]
    return faces


def oriented(mesh: Triangles, clashing: int) -> tuple[Triangles, int]:
    """The mesh with faces of each patch turned alike, and outwards.

    A patch keeps the orientation that most of its area had, so that the walls of cavities stay
    what they are; the volume of the whole becomes positive. Then closed parts of negative volume
    are turned, unless all of them is within the others: those are cavities. Returns also the
    number of faces that were turned.
    """
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
    wrong = _inside_out(Triangles(mesh.vertices, faces))
    if faces is mesh.faces and not wrong.any():
        return mesh, 0
    faces = np.ascontiguousarray(np.where(wrong[:, None], faces[:, ::-1], faces), np.int64)
    result = Triangles(mesh.vertices, faces)
    turned = int((np.einsum("ij,ij->i", result.area_vectors, mesh.area_vectors) < 0).sum())
    return result, turned


def _inside_out(mesh: Triangles) -> np.ndarray:
    """(F,) whether a face is of a closed part with negative volume that is no cavity."""
    edge, uses, _ = edge_uses(mesh.faces)
    part = _parts(edge)
    volume = np.bincount(part, weights=signed_volumes(mesh))
    closed = np.bincount(part, weights=(uses[edge] == 1).any(axis=1)) == 0
    negative = closed & (volume < 0)
    if not negative.any() or negative[part].all():
        return np.zeros(len(part), np.bool_)
    others = WindingNumber(Triangles(mesh.vertices, mesh.faces[~negative[part]]))
    faces = np.flatnonzero(negative[part])
    places = np.einsum("kc,fcd->fkd", WEIGHTS, mesh.vertices[mesh.faces[faces]])
    w = np.abs(others.numbers(places.reshape(-1, 3))).reshape(len(faces), -1)
    inside, outside = (
        np.bincount(part[faces], weights=found.any(axis=1), minlength=len(volume)) > 0
        for found in (w > 1 - OUTSIDE, w < OUTSIDE)
    )
    turned = inside & outside
    return turned[part]
