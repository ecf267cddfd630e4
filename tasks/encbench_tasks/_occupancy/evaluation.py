"""What a trained network made of a solid: occupancies, surface, views."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from trimesh.ray.ray_pyembree import RayMeshIntersector

from encbench import Outcome
from encbench.contracts.task import Predict
from encbench.metrics.surface import Surface
from encbench_tasks._occupancy.lattice import Field, Lattice, extract, logits_of, mixed_cells
from encbench_tasks._occupancy.points import Labels, near_surface_points, uniform_points
from encbench_tasks._occupancy.solid import Solid
from encbench_tasks._occupancy.triangles import Array, Triangles
from encbench_tasks._pictures import error_picture

UNIFORM_POINTS = 1 << 18
NEAR_POINTS = 1 << 16
NEAR_SIGMA = 0.01
"""How near the points of the near-surface IoU are, in longest sides: always the same, whatever
training used."""
SURFACE_SAMPLES = 1 << 16
SEED = 2
VIEWS = ((25.0, 20.0), (150.0, 10.0), (265.0, 55.0))
"""Azimuth about the y axis from +z towards +x, and elevation, of the viewer [degrees]."""
MARGIN = 1.03
OUTSIDE, UNSURE, INSIDE = 0, 1, 2
RAYS_AT_ONCE = 8192
BISECTIONS = 4

Picture = NDArray[np.uint8]


class Evaluation:
    """Holds the true side of every comparison, made on first use.

    Args:
        solid: the truth.
        labels: of its points.
        resolution: cells of the extracted surface along the longest side.
        side: pixels of a view.
    """

    def __init__(self, solid: Solid, labels: Labels, resolution: int, side: int) -> None:
        self._solid = solid
        self._labels = labels
        self._resolution = resolution
        self._views = views_of(solid.low, solid.high, side)

    def of(self, predict: Predict) -> Outcome:
        """Comparisons, pictures (of depth errors in parts of the box's depth) and the surface."""

        def probability(x: Array) -> NDArray[np.float32]:
            return predict(torch.from_numpy(x)).numpy().reshape(-1)

        def field(x: Array) -> Array:
            return logits_of(probability(x))

        uniform, near = self._points
        lattice = Lattice.over(
            self._solid.low, self._solid.high, self._resolution, field, min(64, self._resolution)
        )
        mesh = extract(lattice)
        distances = [march(field, lattice, view) for view in self._views]
        view = self._views[0]
        hit = np.isfinite(distances[0])
        normals = np.zeros((len(hit), 3))
        places = view.origins[hit] + distances[0][hit, None] * view.direction
        reach = float(lattice.spacing.min()) / 4
        normals[hit] = level_set_normals(field, places, reach)
        depths = [_depth_image(d, v) for d, v in zip(distances, self._views, strict=True)]
        true_depths = [
            _depth_image(d, v) for (d, _), v in zip(self._cast, self._views, strict=True)
        ]
        comparisons = {
            "occupancy": (probability(uniform), self._labels(uniform)),
            "near_surface": (probability(near), self._labels(near)),
            "surface": (_sampled(mesh), self._surface),
            "depth": (np.stack(depths, axis=2), np.stack(true_depths, axis=2)),
        }
        target = np.concatenate(
            [_normal_picture(*self._cast[0], view), _depth_picture(true_depths[0])]
        )
        made = np.concatenate(
            [_normal_picture(distances[0], normals, view), _depth_picture(depths[0])]
        )
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

    @cached_property
    def _points(self) -> tuple[Array, Array]:
        rng = np.random.default_rng(SEED)
        return (
            uniform_points(self._solid, UNIFORM_POINTS, rng),
            near_surface_points(self._solid, NEAR_POINTS, NEAR_SIGMA, rng),
        )

    @cached_property
    def _surface(self) -> Surface:
        return _sampled(self._solid.surface)

    @cached_property
    def _cast(self) -> list[tuple[Array, Array]]:
        return [cast_mesh(self._solid.surface, view) for view in self._views]


def _sampled(mesh: Triangles) -> Surface:
    if not len(mesh.faces) or not mesh.areas.sum():
        nothing = np.empty((0, 3))
        return Surface(nothing, np.empty((0, 3), np.int64), nothing, nothing)
    points, normals = mesh.sample(SURFACE_SAMPLES, np.random.default_rng(SEED))
    return Surface(mesh.vertices, mesh.faces, points, normals)


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
    """Length of the box along the rays: the depth that is recorded as 1."""
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

    The first triangle met counts, from either side (Embree; the distance in float64).
    """
    count = len(view.origins)
    distance, normals = np.full(count, np.inf), np.zeros((count, 3))
    rays = RayMeshIntersector(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
    # a step back: a surface in the plane of origins would be missed
    places, ray, face = rays.intersects_location(
        view.origins - view.direction, np.broadcast_to(view.direction, (count, 3)), False
    )
    if len(ray):
        distance[ray] = (places - view.origins[ray]) @ view.direction
        normals[ray] = mesh.normals(face)
    return distance, normals


def march(field: Field, lattice: Lattice, view: View) -> Array:
    """Distance (side²,) along each ray to where the field turns positive, inf if it never does.

    Needs no distance bound, which occupancies do not give: rays advance by a cell's side. Where
    the lattice and its neighbouring cells are on one side of zero, its word is taken; elsewhere
    the field is asked at each step. The step that ends inside is bisected, then
    interpolated. A field that is positive at the wall of the box is met there.
    """
    states = _states(lattice)
    found = [
        _march(field, lattice, states, view.origins[start : start + RAYS_AT_ONCE], view.direction)
        for start in range(0, len(view.origins), RAYS_AT_ONCE)
    ]
    return np.concatenate(found)


def _states(lattice: Lattice) -> NDArray[np.int8]:
    """What the lattice knows of each cell (X−1, Y−1, Z−1)."""
    states = np.where(lattice.values[:-1, :-1, :-1] > 0, INSIDE, OUTSIDE).astype(np.int8)
    near = maximum_filter(mixed_cells(lattice.values), size=3, mode="constant")
    states[near] = UNSURE
    return states


def _march(
    field: Field, lattice: Lattice, states: NDArray[np.int8], origins: Array, direction: Array
) -> Array:
    entry, length = _through_box(lattice, origins, direction)
    step = float(lattice.spacing.min())
    steps = int(np.ceil(float(np.max(length, initial=0)) / step)) + 1
    # sample k is at entry + k · step, the last one at the far wall
    along = np.minimum(np.arange(steps) * step, length[:, None])
    index = origins[:, None] + (entry[:, None] + along)[..., None] * direction - lattice.low
    cells = np.clip((index / lattice.spacing).astype(np.int64), 0, np.array(states.shape) - 1)
    seen = states[cells[..., 0], cells[..., 1], cells[..., 2]]
    seen[length <= 0] = OUTSIDE
    # the next sample that is not surely outside, from each sample on
    candidate = np.where(seen != OUTSIDE, np.arange(steps), steps)
    following = np.minimum.accumulate(candidate[:, ::-1], axis=1)[:, ::-1]

    hit = np.full(len(origins), -1)
    at = np.zeros(len(origins), np.int64)
    live = np.arange(len(origins))
    while len(live):
        more = at[live] < steps
        live = live[more]
        at[live] = following[live, at[live]]
        live = live[at[live] < steps]
        unsure = seen[live, at[live]] == UNSURE
        positive = ~unsure
        asked = live[unsure]
        if len(asked):
            t = entry[asked] + along[asked, at[asked]]
            positive[unsure] = field(origins[asked] + t[:, None] * direction) > 0
        hit[live[positive]] = at[live[positive]]
        live = live[~positive]
        at[live] += 1
    return _refined(field, origins, direction, entry, along, hit)


def _refined(
    field: Field, origins: Array, direction: Array, entry: Array, along: Array, hit: Array
) -> Array:
    distance = np.full(len(origins), np.inf)
    distance[hit == 0] = entry[hit == 0]
    rays = np.flatnonzero(hit > 0)
    if not len(rays):
        return distance
    outer = entry[rays] + along[rays, hit[rays] - 1]
    inner = entry[rays] + along[rays, hit[rays]]

    def value(t: Array) -> Array:
        return np.asarray(field(origins[rays] + t[:, None] * direction), np.float64)

    below, above = value(outer), value(inner)
    for _ in range(BISECTIONS):
        middle = (outer + inner) / 2
        now = value(middle)
        positive = now > 0
        inner, above = np.where(positive, middle, inner), np.where(positive, now, above)
        outer, below = np.where(positive, outer, middle), np.where(positive, below, now)
    # where the lattice's word was taken the field may be of one sign at both ends
    crossing = (below <= 0) & (above > 0)
    part = np.divide(-below, above - below, out=np.ones_like(below), where=crossing)
    distance[rays] = outer + np.clip(part, 0, 1) * (inner - outer)
    return distance


def _through_box(lattice: Lattice, origins: Array, direction: Array) -> tuple[Array, Array]:
    """Distance (N,) to the box, and length (N,) within it, 0 where it is missed."""
    low = lattice.low
    high = low + lattice.spacing * (np.array(lattice.values.shape) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - origins) / direction, (high - origins) / direction
    entry = np.nanmax(np.minimum(a, b), axis=1)
    leave = np.nanmin(np.maximum(a, b), axis=1)
    return entry, np.maximum(leave - entry, 0)


def level_set_normals(field: Field, points: Array, reach: float) -> Array:
    """Unit normals (N, 3) at points of the level set, towards lower values.

    Differences of the field at the corners of a tetrahedron of radius √3 · reach.
    """
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float64)
    gradient = sum(
        np.asarray(field(np.clip(points + reach * k, 0, 1)), np.float64)[:, None] * k
        for k in corners
    )
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    normals: Array = np.divide(-gradient, length, out=np.zeros_like(points), where=length > 0)
    return normals
