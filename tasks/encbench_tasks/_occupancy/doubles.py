"""Coinciding faces of a mesh: which are one surface, and which are two."""

from __future__ import annotations

import igl
import numpy as np

from encbench_tasks._occupancy.cells import (
    EMPTY,
    cells_of,
    coloured,
    components,
    is_odd,
    parts_of,
    unique_faces,
    volumes,
)
from encbench_tasks._occupancy.triangles import (
    Array,
    Flags,
    Indices,
    Triangles,
    edge_uses,
    signed_volumes,
)

PLANAR = 1e-9
"""Volume of a tetrahedron, relative to its longest edge³, below which it is a quadrilateral."""
BESIDE = 1e-3
"""Distance of a probe from its triangle, relative to the triangle's height."""
SINGLE = 1e-6
"""Distance in the unit cube below which the fast winding number, which is computed in float32, may
take the wrong side of a triangle."""
LARGEST = 8
"""Number of a patch's triangles, the largest, beside which the winding number is evaluated."""


def without_doubles(mesh: Triangles) -> tuple[Triangles, int, int]:
    """Keep one of several coinciding faces that are one surface.

    Faces that coincide, in the same or in opposite directions, may be one surface (a doubled
    face, a mesh with a front and a back) or two (two boxes that touch).

    1. What faces in opposite directions enclose is filled if the winding number in it is 0
       (``_enclosed``): one of the two faces goes. So a double-sided part may touch others.
    2. In parts of the mesh whose winding number is then a whole number everywhere and not 0,
       the others are left as they are.
    3. Elsewhere, a patch of them is one surface if that closes more edges than it opens, or if the
       patch has no border. If all faces of the mesh coincide with others, it is one surface, with
       holes.

    Returns:
        The mesh, the number of faces left out, and the number of faces about which 1 cannot decide.
    """
    faces = _with_equal_diagonals(mesh)
    if len(unique_faces(faces)[0]) == len(faces):
        return mesh, 0, 0
    kept, unclear = _without_backs(Triangles(mesh.vertices, faces))
    faces = faces[kept]
    faces = faces[_without_copies(Triangles(mesh.vertices, faces))]
    return Triangles(mesh.vertices, faces), len(mesh.faces) - len(faces), unclear


def each_once(mesh: Triangles) -> Triangles:
    """Keep one face wherever faces coincide, in the direction of most of them."""
    first, group, copies = unique_faces(mesh.faces)
    if (copies == 1).all():
        return mesh
    sign = np.where(is_odd(mesh.faces), -1, 1)
    kept = np.sort(first)
    against = (sign * np.bincount(group, weights=sign)[group])[kept] < 0
    faces = mesh.faces[kept]
    return Triangles(mesh.vertices, np.where(against[:, None], faces[:, ::-1], faces))


def _without_backs(mesh: Triangles) -> tuple[Flags, int]:
    """(F,) faces without those that face what double-sided faces enclose; how many are unclear."""
    kept = np.ones(len(mesh.faces), np.bool_)
    first, group, _ = unique_faces(mesh.faces)
    odd = is_odd(mesh.faces)
    ahead, back = (np.bincount(group[which], minlength=len(first)) for which in (~odd, odd))
    asked = np.flatnonzero(np.minimum(ahead, back))
    if not len(asked):
        return kept, 0
    walls = Triangles(mesh.vertices, np.sort(mesh.faces[first], axis=1))
    outwards, unclear = _enclosed(mesh, walls, asked, ahead, back)
    # outwards or inwards as the rest of the part, or as the first faces if there is no rest
    part = parts_of(edge_uses(mesh.faces)[0])
    volume = np.bincount(part, weights=signed_volumes(mesh))
    rest = np.abs(volume) > EMPTY * np.bincount(part, weights=mesh.areas) ** 1.5
    votes = outwards * np.where(odd[first], -1, 1) * walls.areas
    agree = np.bincount(part[first], weights=votes, minlength=len(volume)) >= 0
    wanted = np.where(np.where(rest, volume > 0, agree)[part[first]], outwards, -outwards)
    # of the faces in the other direction, the last one of a group goes
    against = np.flatnonzero((wanted[group] != 0) & (odd == (wanted[group] > 0)))
    _, last = np.unique(group[against][::-1], return_index=True)
    kept[against[::-1][last]] = False
    return kept, unclear


def _enclosed(
    mesh: Triangles, walls: Triangles, asked: Indices, ahead: Indices, back: Indices
) -> tuple[Indices, int]:
    """Orient the faces that bound what double-sided faces enclose.

    ``walls`` are the faces of the mesh as ``cells_of`` needs them, ``asked`` (D,) those that are
    double-sided; ``ahead`` and ``back`` (G,) count how often a face is in the mesh in its own and
    in the opposite direction. A cell that double-sided faces enclose is filled if the winding
    number in it is 0, unless it is a cavity: an odd number of double-sided faces lies between
    filled and empty cells.

    Returns:
        (G,) 1 if the filled cell is behind the face, -1 if it is in front, 0 if there is none or
        one on both sides; and the number of faces of cells that cannot be filled by this rule.
    """
    double, pairs = Triangles(mesh.vertices, walls.faces[asked]), np.minimum(ahead, back)
    cells = cells_of(double)
    outside = (volumes(double, cells) <= 0)[cells]
    patch = _patches(walls.faces, np.stack([ahead, back], axis=1))[asked]
    outside |= _occupied(mesh, double, patch)
    filled, unclear = coloured(cells, pairs[asked] % 2 == 1, outside)
    side, outwards = filled[cells].astype(np.int64), np.zeros(len(pairs), np.int64)
    outwards[asked] = side[:, 1] - side[:, 0]
    return outwards, int(unclear[cells].any(axis=1).sum())


def _patches(faces: Indices, counts: Indices) -> Indices:
    """(F,) patches of faces (F, 3) that occur equally often, ``counts`` (F, n), up to branches."""
    edge, uses, _ = edge_uses(faces)
    pairs = np.argsort(edge.reshape(-1), kind="stable")[np.repeat(uses == 2, uses)] // 3
    one, other = pairs.reshape(-1, 2).T
    alike = (counts[one] == counts[other]).all(axis=1)
    return components(one[alike], other[alike], len(faces))


def _occupied(mesh: Triangles, walls: Triangles, patch: Indices) -> Flags:
    """(D, 2) whether the mesh is inside in front of and behind the patch (D,) of each wall (D,)."""
    order = np.lexsort([-walls.areas, patch])
    rank = np.arange(len(patch)) - np.searchsorted(patch[order], patch[order])
    face = order[rank < LARGEST]
    corners = walls.vertices[walls.faces[face]]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    distance = BESIDE * 2 * walls.areas[face] / longest
    beside = distance[:, None] * walls.normals(face)
    x = np.concatenate([corners.mean(axis=1) + beside, corners.mean(axis=1) - beside])
    inside = np.abs(_winding_numbers(mesh, x, np.tile(distance > SINGLE, 2))) > 0.5
    area, count = walls.areas[face], int(patch.max()) + 1
    share = [np.bincount(patch[face], area * side, count) for side in inside.reshape(2, -1)]
    occupied: Flags = 2 * np.stack(share, 1)[patch] > np.bincount(patch[face], area)[patch, None]
    return occupied


def _winding_numbers(mesh: Triangles, x: Array, fast: Flags) -> Array:
    """(n,) winding numbers at points (n, 3), by the approximation where it is precise enough."""
    faces, numbers = np.ascontiguousarray(mesh.faces), np.zeros(len(x))
    if fast.any():
        hierarchy = igl.FastWindingNumberBVH()
        hierarchy.init(np.ascontiguousarray(mesh.vertices), faces)
        numbers[fast] = hierarchy.winding_number(x[fast])
    if not fast.all():
        numbers[~fast] = igl.winding_number(mesh.vertices, faces, x[~fast])
    return numbers


def _without_copies(mesh: Triangles) -> Flags:
    """(F,) faces without copies that are one surface with others, by rules 2 and 3."""
    faces = mesh.faces
    kept = np.ones(len(faces), np.bool_)
    first, group, copies = unique_faces(faces)
    doubled = copies > 1
    if not doubled.any():
        return kept
    edge, uses, balance = edge_uses(faces)
    part = parts_of(edge)
    volume = np.bincount(part, weights=signed_volumes(mesh))
    unbalanced = np.bincount(part, weights=(balance[edge] != 0).any(axis=1)) > 0
    area = np.bincount(part, weights=mesh.areas)
    wrong = (unbalanced | (np.abs(volume) < EMPTY * area**1.5))[part[first[doubled]]]
    sides = edge[first[doubled]]  # (D, 3): of the doubled faces, each taken once
    others = np.bincount(edge[~doubled[group]].reshape(-1), minlength=len(uses))[sides]
    border = np.bincount(sides.reshape(-1), minlength=len(uses))[sides] == 1
    patch = parts_of(sides)
    # keeping one of two closes edges with an odd number of other faces, and opens the others
    votes = np.bincount(patch, weights=((2 * (others % 2) - 1) * border).sum(axis=1))
    free = np.bincount(patch, weights=(border & (others > 0)).sum(axis=1)) == 0
    closed = np.bincount(patch, weights=border.sum(axis=1)) == 0
    one = (votes > 0) | closed | (free & doubled.all())
    single = np.flatnonzero(doubled)[one[patch] & wrong]
    kept[np.isin(group, single)] = False
    kept[first[single]] = True
    return kept


def _with_equal_diagonals(mesh: Triangles, *, directed: bool = True) -> Indices:
    """Return the faces (F, 3), with coinciding flat quadrilaterals split along one diagonal.

    Both triangles of a split must be equally often in the mesh, in each direction if ``directed``.
    """
    faces = mesh.faces.copy()
    first, group, copies = unique_faces(faces)
    edge, uses, _ = edge_uses(faces[first])
    order = np.argsort(edge.reshape(-1), kind="stable")
    pairs = order[np.repeat(uses == 2, uses)].reshape(-1, 2) // 3  # (P, 2) groups at an edge
    corners = np.sort(faces[first[pairs]].reshape(-1, 6), axis=1)
    new = np.concatenate([np.ones((len(corners), 1), bool), np.diff(corners, axis=1) > 0], axis=1)
    four = new.sum(axis=1) == 4
    pairs, quads = pairs[four], corners[four][new[four]].reshape(-1, 4)
    _, same, count = np.unique(quads, axis=0, return_inverse=True, return_counts=True)
    by_quad = np.argsort(same.reshape(-1), kind="stable")[np.repeat(count == 2, count)]
    of_group = np.argsort(group, kind="stable")
    ends = np.cumsum(copies)
    changed = np.zeros(len(faces), np.bool_)
    for quad in by_quad.reshape(-1, 2):
        rays = np.diff(mesh.vertices[quads[quad[0]]], axis=0)
        if abs(np.linalg.det(rays)) > PLANAR * np.abs(rays).max() ** 3:
            continue
        # the faces of two triangles each, for either diagonal
        one, other = (
            [of_group[ends[g] - copies[g] : ends[g]] for g in pairs[split]] for split in quad
        )
        if changed[np.concatenate([*one, *other])].any():
            continue
        normal = mesh.area_vectors[one[0][0]]
        ahead = [mesh.area_vectors[each] @ normal > 0 for each in (*one, *other)]
        counts = [(each.sum() if directed else 0, len(each)) for each in ahead]
        if counts[0] != counts[1] or counts[2] != counts[3]:
            continue  # one of the triangles is doubled
        for to, given, forward, goal in zip(one, other, ahead[2:], ahead[:2], strict=True):
            turned = (forward != goal[0])[:, None]
            faces[given] = np.where(turned, mesh.faces[to[0]][::-1], mesh.faces[to[0]])
            changed[given] = True
    return faces


def oriented_by_cells(mesh: Triangles) -> tuple[Triangles, int]:
    """Orient the faces of parts that branch so that they bound cells; return also how many turned.

    These are parts in which each edge has an even number of faces, but not as many in one direction
    as in the other. Between a cell inside and one outside lies an odd number of coinciding faces.
    Their orientation is outwards or inwards, as that of most of the area was.
    """
    if not len(_unbalanced(mesh)):
        return mesh, 0
    mesh = Triangles(mesh.vertices, _with_equal_diagonals(mesh, directed=False))
    asked = _unbalanced(mesh)
    faces, part = mesh.faces[asked], parts_of(edge_uses(mesh.faces)[0])[asked]
    first, group, copies = unique_faces(faces)
    walls = Triangles(mesh.vertices, np.sort(faces[first], axis=1))
    cells = cells_of(walls)
    filled, _ = coloured(cells, copies % 2 == 1, (volumes(walls, cells) <= 0)[cells])
    side = filled[cells].astype(np.int64)
    outwards = side[:, 1] - side[:, 0]
    sign = np.where(is_odd(faces), -1, 1)
    agree = np.bincount(part, weights=sign * outwards[group] * walls.areas[group])
    outwards *= np.where(agree[part[first]] < 0, -1, 1)
    # copies alternate, so that their sum is one face or none
    order = np.argsort(group, kind="stable")
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - (np.cumsum(copies) - copies)[group[order]]
    goal = np.where(outwards == 0, 1, outwards)[group] * (1 - 2 * (rank % 2))
    wrong = np.bincount(group, weights=sign).astype(np.int64) != outwards
    turned = wrong[group] & (sign != goal)
    result = mesh.faces.copy()
    result[asked[turned]] = faces[turned][:, ::-1]
    return Triangles(mesh.vertices, result), int(turned.sum())


def _unbalanced(mesh: Triangles) -> Indices:
    """Return the faces of parts to be oriented by cells, other than those with doubled faces."""
    edge, uses, balance = edge_uses(mesh.faces)
    first, group, copies = unique_faces(mesh.faces)
    sign = np.where(is_odd(mesh.faces), -1, 1)
    net = np.bincount(group, weights=sign).astype(np.int64)
    # three faces, all in one direction or not, may be one face and its copies
    single = first[copies % 2 == 1]
    along = np.where(mesh.faces < np.roll(mesh.faces, -1, axis=1), 1, -1)[single]
    once = np.bincount(edge[single].reshape(-1), along.reshape(-1), len(uses))
    part = parts_of(edge)
    unbalanced, branching, odd, astray = (
        np.bincount(part, weights=found) > 0
        for found in (
            (balance[edge] != 0).any(axis=1),
            (uses[edge] > 2).any(axis=1),
            (uses[edge] % 2 == 1).any(axis=1),
            (once[edge] != 0).any(axis=1) | ((copies % 2 == 0) & (net != 0))[group],
        )
    )
    return np.flatnonzero((unbalanced & branching & ~odd & astray)[part])
