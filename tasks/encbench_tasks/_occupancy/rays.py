"""Views of a solid: intersections of rays with its mesh, and with a field's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from encbench_tasks._occupancy.lattice import Field, Lattice, mixed_cells
from encbench_tasks._occupancy.triangles import Array, Indices, Triangles

VIEWS = ((25.0, 20.0), (150.0, 10.0), (265.0, 55.0))
"""Azimuth about the y axis from +z towards +x, and elevation, of the viewer [degrees]."""
MARGIN = 1.03
OUTSIDE, UNSURE, INSIDE = 0, 1, 2
SAMPLES_AT_ONCE = 1 << 23
"""Samples of a block of rays: 400 MB if the field is evaluated at each, usually a tenth of that."""
BISECTIONS = 4


@dataclass(frozen=True)
class View:
    """A square picture of a box seen from far away, up = +y."""

    origins: Array
    """(side², 3), row by row from the top left, on a plane in front of the box."""
    direction: Array
    """(3,) unit vector of all rays, away from the viewer."""
    right: Array
    up: Array
    depth: float
    """Length of the box along the rays, which is recorded as depth 1."""
    side: int


def views_of(low: Array, high: Array, side: int) -> list[View]:
    """The fixed views of a box, scaled so that each shows all of it."""
    return [_view(low, high, side, *angles) for angles in VIEWS]


def _view(low: Array, high: Array, side: int, azimuth: float, elevation: float) -> View:
    a, e = np.radians(azimuth), np.radians(elevation)
    towards = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    direction = -towards
    right = np.cross(direction, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, direction)
    half = (high - low) / 2
    # half the box's extent along a unit vector u is Σ |u_i| half_i
    reach = max(float(np.abs(right) @ half), float(np.abs(up) @ half)) * MARGIN
    depth = float(np.abs(direction) @ half)
    ticks = ((np.arange(side) + 0.5) / side * 2 - 1) * reach
    rows, columns = np.meshgrid(-ticks, ticks, indexing="ij")
    plane = (low + high) / 2 + depth * towards
    origins = plane + rows.reshape(-1, 1) * up + columns.reshape(-1, 1) * right
    return View(origins, direction, right, up, 2 * depth, side)


def cast_mesh(mesh: Triangles, view: View) -> tuple[Array, Array]:
    """Distance (side²,) along each ray to the mesh, inf where it misses; and normals (side², 3).

    The first triangle counts, whichever side is met (Embree; the distance in float64).
    """
    # a second, not needed for planning
    import trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    count = len(view.origins)
    distance, normals = np.full(count, np.inf), np.zeros((count, 3))
    rays = RayMeshIntersector(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
    # from a step back, or a surface in the plane of origins would be missed
    places, ray, face = rays.intersects_location(
        view.origins - view.direction, np.broadcast_to(view.direction, (count, 3)), False
    )
    if len(ray):
        distance[ray] = (places - view.origins[ray]) @ view.direction
        normals[ray] = mesh.normals(face)
    return distance, normals


def march(field: Field, lattice: Lattice, view: View) -> Array:
    """Distance (side²,) along each ray to where the field turns positive, inf if it never does.

    Rays advance by a cell's side, since occupancies give no distance bound. If the values of a cell
    and of the cells around it are on one side of zero, the lattice decides; otherwise the field is
    evaluated at each step. The step that ends inside is bisected, then interpolated. A field that
    is positive at the wall of the box is met there.
    """
    states = _states(lattice)
    entry, length = _through_box(lattice, view.origins, view.direction)
    steps = int(np.ceil(float(np.max(length, initial=0)) / float(lattice.spacing.min()))) + 1
    distance = np.full(len(length), np.inf)
    # with fewer rays per block, the field would be evaluated at fewer points per call
    through = np.flatnonzero(length > 0)
    block = max(1, SAMPLES_AT_ONCE // steps)
    for start in range(0, len(through), block):
        rays = through[start : start + block]
        found = _Rays(view.origins[rays], view.direction, entry[rays], length[rays], lattice)
        distance[rays] = found.distances(field, states)
    return distance


@dataclass(frozen=True)
class _Rays:
    """Rays (R,) that pass through the box; sample k of a ray is k cells behind the near wall, the
    last one at the far wall."""

    origins: Array
    direction: Array
    entry: Array
    length: Array
    lattice: Lattice

    def distances(self, field: Field, states: NDArray[np.int8]) -> Array:
        """Distances (R,) to the first sample inside, refined; inf if there is none."""
        ray, sample, sure = self._candidates(states)
        stop = np.searchsorted(ray, np.arange(len(self.entry)), side="right")
        at = np.concatenate([[0], stop[:-1]])
        hit = np.full(len(stop), -1)
        # values at the last two samples, kept for the bisection; nan if not evaluated
        below, above = np.full((2, len(stop)), np.nan)
        live = np.flatnonzero(at < stop)
        while len(live):
            k, positive = sample[at[live]], sure[at[live]]
            previous = np.maximum(at[live] - 1, 0)
            adjacent = (ray[previous] == live) & (sample[previous] == k - 1)
            below[live], above[live] = np.where(adjacent, above[live], np.nan), np.nan
            unsure = live[~positive]
            above[unsure] = self._values(field, unsure, self._along(unsure, k[~positive]))
            positive[~positive] = above[unsure] > 0
            hit[live[positive]] = k[positive]
            live = live[~positive]
            at[live] += 1
            live = live[at[live] < stop[live]]
        distance = np.where(hit == 0, self.entry, np.inf)
        rays = np.flatnonzero(hit > 0)
        distance[rays] = self._refined(field, rays, hit[rays], below[rays], above[rays])
        return distance

    def _candidates(self, states: NDArray[np.int8]) -> tuple[Indices, Indices, NDArray[np.bool_]]:
        """Samples that are not surely outside, up to the first that is surely inside: their rays
        (ascending), their numbers, and whether they are surely inside."""
        low, spacing = self.lattice.low, self.lattice.spacing
        found: list[tuple[Indices, Indices, NDArray[np.bool_]]] = []
        rays, k = np.arange(len(self.entry)), 0
        while len(rays):
            t = self._along(rays, k)
            cell = np.zeros(len(rays), np.int64)
            for axis, count in enumerate(states.shape):
                place = self.origins[rays, axis] + t * self.direction[axis] - low[axis]
                index = (place / spacing[axis]).astype(np.int64)
                cell = cell * count + np.clip(index, 0, count - 1)
            state = states.reshape(-1)[cell]
            met = state != OUTSIDE
            found.append((rays[met], np.full(met.sum(), k), state[met] == INSIDE))
            rays = rays[(state != INSIDE) & (t < self.entry[rays] + self.length[rays])]
            k += 1
        ray, sample, sure = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(ray, kind="stable")
        return ray[order], sample[order], sure[order]

    def _along(self, rays: Indices, sample: Indices | int) -> Array:
        """Distances (n,) along rays (n,) of the samples with these numbers (n,)."""
        step = float(self.lattice.spacing.min())
        distance: Array = self.entry[rays] + np.minimum(sample * step, self.length[rays])
        return distance

    def _values(self, field: Field, rays: Indices, distance: Array) -> Array:
        """Values (n,) of the field at distances (n,) along rays (n,)."""
        if not len(rays):
            return np.empty(0)
        return np.asarray(field(self.origins[rays] + distance[:, None] * self.direction), float)

    def _refined(
        self, field: Field, rays: Indices, hit: Indices, below: Array, above: Array
    ) -> Array:
        """Distances (n,) of the zero in the step that ends at sample ``hit``; ``below``, ``above``:
        the field at its ends, nan if unknown."""
        outer, inner = self._along(rays, hit - 1), self._along(rays, hit)
        for ends, values in ((outer, below), (inner, above)):
            unknown = np.isnan(values)
            values[unknown] = self._values(field, rays[unknown], ends[unknown])
        for _ in range(BISECTIONS):
            middle = (outer + inner) / 2
            now = self._values(field, rays, middle)
            positive = now > 0
            inner, above = np.where(positive, middle, inner), np.where(positive, now, above)
            outer, below = np.where(positive, outer, middle), np.where(positive, below, now)
        # if the lattice decided, the field may have one sign at both ends
        crossing = (below <= 0) & (above > 0)
        part = np.divide(-below, above - below, out=np.ones_like(below), where=crossing)
        refined: Array = outer + np.clip(part, 0, 1) * (inner - outer)
        return refined


def _states(lattice: Lattice) -> NDArray[np.int8]:
    """Classify each cell (X−1, Y−1, Z−1) by the lattice: outside, unsure or inside."""
    states = np.where(lattice.values[:-1, :-1, :-1] > 0, INSIDE, OUTSIDE).astype(np.int8)
    near = maximum_filter(mixed_cells(lattice.values), size=3, mode="constant")
    states[near] = UNSURE
    return states


def _through_box(lattice: Lattice, origins: Array, direction: Array) -> tuple[Array, Array]:
    """Distance (N,) to the box, and length (N,) within it, 0 if it is missed."""
    low = lattice.low
    high = low + lattice.spacing * (np.array(lattice.values.shape) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - origins) / direction, (high - origins) / direction
    entry = np.nanmax(np.minimum(a, b), axis=1)
    leave = np.nanmin(np.maximum(a, b), axis=1)
    return entry, np.maximum(leave - entry, 0)


def level_set_normals(field: Field, points: Array, reach: float) -> Array:
    """Unit normals (N, 3) at points of the level set, towards lower values.

    Computed from the field at the corners of a tetrahedron of radius √3 · reach.
    """
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float64)
    gradient = sum(
        np.asarray(field(np.clip(points + reach * k, 0, 1)), np.float64)[:, None] * k
        for k in corners
    )
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    normals: Array = np.divide(-gradient, length, out=np.zeros_like(points), where=length > 0)
    return normals
