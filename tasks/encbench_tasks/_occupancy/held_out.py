"""Splits of a solid's points into those trained on and those held out, and predictions of the
latter from labels of the former without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import KDTree

from encbench import Outcome
from encbench.contracts.task import Predict
from encbench_tasks._occupancy.points import Labels, as_float32, draw_points
from encbench_tasks._occupancy.solid import RayParity, Solid, WindingNumber
from encbench_tasks._occupancy.triangles import Array, Flags
from encbench_tasks._occupancy.truth import Truth
from encbench_tasks._split import Split

SPLIT_SEED = 3
CHECKER_POINTS = 1 << 16
"""Number of points for IoU, and for IoU held out: the same for every solid."""
NEAREST = 8
"""Number of points whose labels are averaged; a cell of a grid has as many corners."""
ON_SURFACE = 0.01, 0.51
"""Winding numbers of nodes on the surface of a mesh, where rounding would decide: ½ on a flat face,
less at convex edges and corners; the error of the approximation is 0.005."""


@dataclass(frozen=True)
class BoxCells:
    """The bounding box of a solid, divided into equal cells."""

    solid: Solid
    along: int
    """Number of cells along the longest side; along the others such that they are nearly cubes."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """(3,) cells along each axis."""
        sides = self.solid.high - self.solid.low
        return np.maximum(1, np.rint(sides * self.along)).astype(np.int64)

    @property
    def axes(self) -> list[Array]:
        """Coordinates of the corners of cells along each axis."""
        ends = zip(self.solid.low, self.solid.high, self.counts, strict=True)
        return [as_float32(np.linspace(low, high, n + 1)) for low, high, n in ends]

    @property
    def nodes(self) -> Array:
        """(N, 3) corners of all cells."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def is_even(self, x: Array) -> Flags:
        """Whether points (N, 3) lie in cells whose three indices have an even sum; outside the
        box the nearest cell counts."""
        inside = (x - self.solid.low) / (self.solid.high - self.solid.low)
        index = np.clip(np.floor(inside * self.counts), 0, self.counts - 1)
        return np.asarray(index.sum(axis=1) % 2 == 0)


@dataclass(frozen=True)
class Sampling:
    """How the points of an epoch are drawn."""

    points: int
    near_surface: float
    """Part of the points that lies near the surface."""
    sigma: float

    @property
    def uniform(self) -> int:
        """Number of points that are uniform in the box; they come first."""
        return self.points - round(self.points * self.near_surface)


class SolidSplit:
    """A split of the points of a solid.

    Args:
        truth: the solid and its labelled points.
        labels: function that labels any other points.
        split: as in ``OccupancyTask``.
        sampling: how the points of an epoch are drawn.
        along: cells along the longest side, with split "checker" or "grid".
        seed: draws the points of split "random".
    """

    def __init__(
        self, truth: Truth, labels: Labels, split: Split, sampling: Sampling, along: int, seed: int
    ) -> None:
        self._truth, self._sampling, self._name = truth, sampling, split
        self._cells = BoxCells(truth.solid, along)
        self.fixed: tuple[Array, Flags] | None = None
        """Points and labels of every epoch; None if each has new ones."""
        if split in ("random", "grid"):
            # two numbers, since evaluation draws from a seed of one
            x = self.draw((SPLIT_SEED, seed)) if split == "random" else self._cells.nodes
            inside = labels(x)
            # the outermost nodes lie on the walls of the bounding box; formulas decide there, too
            occupied = truth.solid.occupied
            if split == "grid" and isinstance(occupied, WindingNumber | RayParity):
                if isinstance(occupied, RayParity):
                    occupied = WindingNumber(truth.solid.surface)
                w = np.abs(occupied.numbers(x[inside]))
                inside[inside] = (w < ON_SURFACE[0]) | (w > ON_SURFACE[1])
            self.fixed = x, inside

    @property
    def points_per_epoch(self) -> int:
        return self._sampling.points if self.fixed is None else len(self.fixed[0])

    def is_held_out(self, x: Array) -> Flags:
        """Whether points (N, 3) lie in cells that are never trained on."""
        return ~self._cells.is_even(x)

    def draw(self, seed: int | Sequence[int], count: int | None = None) -> Array:
        """Points (count, 3) of an epoch, or of a part of it."""
        sampling = self._sampling
        return draw_points(
            self._truth.solid,
            sampling.points if count is None else count,
            sampling.near_surface,
            sampling.sigma,
            seed,
            self._cells.is_even if self._name == "checker" else None,
        )

    @cached_property
    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices of the points for IoU, among the fixed ones if there are any, and of those for
        IoU held out, among the uniform points of the box."""
        uniform = self._truth.points["occupancy"][0]
        if self.fixed is None:
            out = self.is_held_out(uniform)
            return np.flatnonzero(~out)[:CHECKER_POINTS], np.flatnonzero(out)[:CHECKER_POINTS]
        fitted = self._sampling.uniform if self._name == "random" else len(self.fixed[0])
        return np.arange(fitted), np.arange(len(uniform))

    @property
    def held_out(self) -> tuple[Array, Flags] | None:
        """Points of the box that are not trained on, and their labels; None without a split."""
        if self._name == "all":
            return None
        x, inside = self._truth.points["occupancy"]
        return x[self._places[1]], inside[self._places[1]]

    def compare(self, outcome: Outcome, predict: Predict) -> Outcome:
        """Add to an outcome on the whole solid the comparisons by part and without a network."""
        if self.held_out is None:
            return outcome
        fitted, out = self._places
        p, inside = outcome.comparisons["occupancy"]
        held_out = p[out], inside[out]
        if self.fixed is not None:
            x, inside = self.fixed
            p = predict(torch.from_numpy(x)).numpy().reshape(-1)
        parts = {"iou": (p[fitted], inside[fitted]), "held_out_occupancy": held_out}
        baselines = {
            name: {"held_out_occupancy": (made, held_out[1])}
            for name, made in self._without_network(self.held_out[0]).items()
        }
        comparisons = {**outcome.comparisons, **parts}
        return replace(outcome, comparisons=comparisons, baselines=baselines)

    def _without_network(self, x: Array) -> dict[str, NDArray[np.float32]]:
        """Probabilities at held-out points, from labels at points that are trained on."""
        if self.fixed is not None:
            known, labels = self.fixed
        else:
            uniform, inside = self._truth.points["occupancy"]
            trained = ~self.is_held_out(uniform)
            known, labels = uniform[trained], inside[trained]
        found = nearest_labels(known, labels, x)
        if self._name == "grid":
            found["trilinear interpolation"] = trilinear_labels(self._cells, labels, x)
        return found


def nearest_labels(known: Array, labels: Flags, x: Array) -> dict[str, NDArray[np.float32]]:
    """Probabilities (M,) at x (M, 3), from labelled points (N, 3), (N,) alone, by method: the label
    of the nearest point, and the mean of the nearest eight weighted by 1 / distance."""
    distance, place = KDTree(known).query(x, k=np.arange(1, min(NEAREST, len(known)) + 1))
    near = labels[place].astype(np.float64)
    weights = 1 / np.maximum(distance, np.finfo(np.float64).tiny)
    return {
        "nearest point": near[:, 0].astype(np.float32),
        "nearest points by distance": np.average(near, axis=1, weights=weights).astype(np.float32),
    }


def trilinear_labels(cells: BoxCells, labels: Flags, x: Array) -> NDArray[np.float32]:
    """Probabilities (M,) at x (M, 3) of the box, from the labels (N,) of ``cells.nodes``."""
    values = labels.reshape(cells.counts + 1).astype(np.float64)
    inside = np.clip(x, cells.nodes[0], cells.nodes[-1])
    return RegularGridInterpolator(cells.axes, values)(inside).astype(np.float32)  # type: ignore[no-any-return]
