"""Parts of a surface, and the cells into which they divide space."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from encbench_tasks._occupancy.triangles import (
    Array,
    Flags,
    Indices,
    Triangles,
    edge_uses,
    signed_volumes,
)

EMPTY = 1e-6
"""Volume relative to area^(3/2) below which it may be rounding; a ball has 0.09."""


def cells_of(mesh: Triangles) -> Indices:
    """(F, 2) cells in front of each face, where its normal points, and behind it.

    No two faces may coincide, and each must have its corners in ascending order. Cells are those
    of each part that is connected by edges, as if the others did not exist.
    """
    edge, uses, _ = edge_uses(mesh.faces)
    face, corner = np.divmod(np.arange(edge.size), 3)
    start = mesh.faces[face, np.where(corner == 2, 0, corner)]  # the third side is traversed back
    end = mesh.faces[face, np.where(corner == 0, 1, 2)]
    along = mesh.vertices[end] - mesh.vertices[start]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = mesh.vertices[mesh.faces[face, (corner + 2) % 3]] - mesh.vertices[start]
    first = np.eye(3)[np.abs(along).argmin(axis=1)]
    first -= np.einsum("ij,ij->i", first, along)[:, None] * along
    second = np.cross(along, first)
    angle = np.arctan2(*(np.einsum("ij,ij->i", across, u) for u in (second, first)))
    order = np.lexsort([angle, edge.reshape(-1)])  # faces around each edge
    ends = np.cumsum(uses)
    following = np.arange(1, len(order) + 1)
    following[ends - 1] = ends - uses
    ahead = 2 * face + (corner == 2)  # the side of a face that increasing angles lead to
    pairs = ahead[order], (ahead ^ 1)[order[following]]
    return components(pairs[0], pairs[1], 2 * len(mesh.faces)).reshape(-1, 2)


def components(one: Indices, other: Indices, count: int) -> Indices:
    """(count,) numbers of the components of a graph with edges from ``one`` to ``other``."""
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), (count, count))
    labels: Indices = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def parts_of(sides: Indices) -> Indices:
    """(F,) numbers of the parts that faces, given by their edges (F, 3), form by sharing edges."""
    face = np.repeat(np.arange(len(sides)), 3)
    edge = len(sides) + sides.reshape(-1)
    count = int(edge.max()) + 1
    return components(face, edge, count)[: len(sides)]


def unique_faces(faces: Indices) -> tuple[Indices, Indices, Indices]:
    """Return the first of each group of coinciding faces (G,), their groups (F,) and sizes (G,)."""
    _, first, group, copies = np.unique(
        np.sort(faces, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    return first, group.reshape(-1), copies


def is_odd(faces: Indices) -> Flags:
    """(F,) whether a face runs through its corners against their ascending order."""
    turned = np.take_along_axis(faces, (faces.argmin(axis=1)[:, None] + [1, 2]) % 3, axis=1)
    odd: Flags = turned[:, 0] > turned[:, 1]
    return odd


def volumes(mesh: Triangles, cells: Indices) -> Array:
    """(C,) volumes of the cells (F, 2) of a mesh, not positive outside and beside sheets."""
    volume, count = signed_volumes(mesh), int(cells.max()) + 1
    front, behind = (np.bincount(cells[:, side], volume, count) for side in (0, 1))
    area = np.bincount(cells.reshape(-1), np.repeat(mesh.areas, 2), count)
    found: Array = np.where(np.abs(behind - front) > EMPTY * area**1.5, behind - front, 0)
    return found


def coloured(cells: Indices, differ: Flags, outside: Flags) -> tuple[Flags, Flags]:
    """Colour cells so that those on the two sides of a face differ where ``differ`` (F,) says so.

    ``outside`` (F, 2) says which sides of the faces (F, 2) have no colour, whatever their cell.
    Return (C,) which cells are coloured, and which have no colouring, together with all cells that
    they are connected with.
    """
    count, inner = int(cells.max()) + 1, ~outside.any(axis=1)
    group = components(cells[inner, 0], cells[inner, 1], count)
    # each group of cells has its own outside
    node = np.where(outside, count + group[cells[:, ::-1]], cells)
    one, other = 2 * node[~outside.all(axis=1)].T
    turn = differ[~outside.all(axis=1)].astype(np.int64)
    pairs = np.concatenate([one, one + 1]), np.concatenate([other + turn, other + 1 - turn])
    label = components(pairs[0], pairs[1], 4 * count).reshape(-1, 2)
    contradictory = label[count + group, 0] == label[count + group, 1]
    return (label[:count, 0] == label[count + group, 1]) & ~contradictory, contradictory
