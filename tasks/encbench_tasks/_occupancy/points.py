"""Training points, their labels and distances, and prefetching of those of the next epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Generic, TypeVar

import igl
import numpy as np
import torch
from numpy.typing import NDArray

from encbench_tasks._occupancy.cache import kept_on_disk
from encbench_tasks._occupancy.solid import VERSION, Solid
from encbench_tasks._occupancy.triangles import Array, Flags

T = TypeVar("T")
DISTANCE_SEED = 4


def uniform_points(solid: Solid, count: int, rng: np.random.Generator) -> Array:
    """(count, 3) uniform in the bounding box."""
    return in_bounding_box(solid, rng.random((count, 3)))


def in_bounding_box(solid: Solid, x: Array) -> Array:
    """Points (N, 3) of the unit cube, scaled to the bounding box."""
    return as_float32(solid.low + x * (solid.high - solid.low))


def near_surface_points(solid: Solid, count: int, sigma: float, rng: np.random.Generator) -> Array:
    """(count, 3) on the surface, uniform over its area, moved by N(0, σ²) in each coordinate.

    Points that leave the unit cube are reflected at its wall; σ is at most 0.5.
    """
    x, _ = solid.surface.sample(count, rng)
    x = np.abs(x + sigma * rng.standard_normal((count, 3))) % 2
    return as_float32(np.where(x > 1, 2 - x, x))


def draw_points(
    solid: Solid,
    count: int,
    near: float,
    sigma: float,
    seed: int | Sequence[int],
    kept: Callable[[Array], Flags] | None = None,
) -> Array:
    """Draw points (count, 3): first uniform ones, then a part ``near`` of all near the surface.

    Only points for which ``kept`` is true are taken.
    """
    rng = np.random.default_rng(seed)
    close = round(count * near)

    def drawn(number: int, draw: Callable[[int], Array]) -> Array:
        found = draw(number)
        if kept is None:
            return found
        found = found[kept(found)]
        while len(found) < number:
            more = draw(number)
            found = np.concatenate([found, more[kept(more)]])
        return found[:number]

    uniform = drawn(count - close, lambda n: uniform_points(solid, n, rng))
    surface = drawn(close, lambda n: near_surface_points(solid, n, sigma, rng))
    return np.concatenate([uniform, surface])


def sampled_points(
    solid: Solid, points: int, on_surface: float, near_surface: float, sigma: float, seed: int
) -> Array:
    """Draw points (points, 3): a part on the surface, uniform over its area; a part near it, moved
    from there by N(0, σ²) in each coordinate; the others uniform in the unit cube."""
    rng = np.random.default_rng([DISTANCE_SEED, seed])
    on = round(points * on_surface)
    near = min(round(points * near_surface), points - on)
    uniform = rng.random((points - on - near, 3))
    drawn = [near_surface_points(solid, n, s, rng) for n, s in ((on, 0.0), (near, sigma))]
    return np.concatenate([*drawn, as_float32(uniform)])


def as_float32(x: Array) -> Array:
    """Round to float32, as for networks: a label must be that of exactly the same point."""
    rounded: Array = x.astype(np.float32).astype(np.float64)
    return rounded


class Labels:
    """Whether points are inside a solid, and their distances from its surface, negative inside;
    computed once for each set of points.

    Cells of one suite with one seed see the same points, so only the first one computes; the
    others find the labels on disk.

    Args:
        solid: the ground truth.
        identity: identifies the solid and the method of labelling.
    """

    def __init__(self, solid: Solid, identity: str) -> None:
        self._solid = solid
        self._identity = f"{VERSION} {identity}"
        self._packed = kept_on_disk(_packed_labels, ["solid"])

    def __call__(self, x: Array) -> Flags:  # (N, 3) -> (N,)
        packed = self._packed(self._identity, np.ascontiguousarray(x), self._solid)
        return np.unpackbits(packed, count=len(x)).astype(np.bool_)

    def distances(self, x: Array) -> Array:  # (N, 3) -> (N,)
        """Distances to the nearest triangle, exact but for rounding (libigl's hierarchy of bounding
        boxes); negative inside."""
        return self._signed(self._identity, np.ascontiguousarray(x), self._solid)

    @cached_property
    def _signed(self) -> Callable[..., Array]:
        return kept_on_disk(_signed_distances, ["solid"])


def _packed_labels(identity: str, x: Array, solid: Solid) -> NDArray[np.uint8]:
    return np.packbits(solid.occupied(x))


def _signed_distances(identity: str, x: Array, solid: Solid) -> Array:
    vertices, faces = solid.surface.vertices, solid.surface.faces
    squared, _, _ = igl.point_mesh_squared_distance(x, vertices, faces)
    # rounding can make the square of a zero distance slightly negative
    distance = np.sqrt(np.maximum(squared, 0))
    signed: Array = np.where(solid.occupied(x), -distance, distance)
    return signed


class Prefetch(Generic[T]):
    """Results of ``make`` for seeds drawn from a generator, computed one call in advance.

    The result depends on the generator alone: a call draws one seed, and the background thread
    works on the seed that the *next* call will draw, read from a copy of the generator. If the
    next call comes with another generator, its seed differs and the prefetched result is dropped.
    """

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encbench-points")
        self._prefetched: tuple[int, Future[T]] | None = None

    def next(self, generator: torch.Generator) -> T:
        """Draw one seed, and return the result of ``make`` for it."""
        seed = _draw(generator)
        prefetched, self._prefetched = self._prefetched, None
        if prefetched is not None and prefetched[0] == seed:
            result = prefetched[1].result()
        else:
            if prefetched is not None:
                prefetched[1].cancel()
            result = self._make(seed)
        copy = torch.Generator().set_state(generator.get_state())
        following = _draw(copy)
        self._prefetched = following, self._thread.submit(self._make, following)
        return result


def _draw(generator: torch.Generator) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator))
