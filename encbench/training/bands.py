"""The error's energy by band of spatial frequency, of tasks whose target lies on a regular grid."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from encbench.contracts.regular_grid import RegularGrid
from encbench.contracts.task import Task, regular_grid_of

MOST_POINTS = 1 << 22
"""Grids with more points have no bands: transforms take gigabytes."""
SHARE = 0.2
"""Points predicted for bands alone, at most so many times those trained on: a prediction costs a
third of a training step on as many points, and less where batches are small."""


class Bands:
    """Energies in octaves of radial frequency: the mean, (0, 1], (1, 2], (2, 4], … cycles per unit.

    A power spectrum of photographs falls as 1/|k|², so that octaves hold like shares of it in two
    dimensions; encodings' levels are octaves, too. Of a periodic target the spectrum is that of
    the discrete Fourier transform. Others are mirrored at each face (the discrete cosine
    transform, DCT-II), so that opposite borders do not meet in a jump, whose energy would be
    spread over all frequencies; frequencies are then multiples of one half, or of 1 / (2 · side).

    Args:
        grid: the points and the target.
    """

    def __init__(self, grid: RegularGrid) -> None:
        self.grid = grid
        *shape, _ = grid.truth.shape
        axes = [
            (fft.fftfreq(n, 1 / n) if grid.periodic else np.arange(n) / 2) / side
            for n, side in zip(shape, grid.sides or itertools.repeat(1.0), strict=False)
        ]
        radius = np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij")))
        octaves = max(0, math.ceil(math.log2(radius.max()))) if radius.max() > 0 else 0
        self.upper: np.ndarray = np.concatenate([[0.0], 2.0 ** np.arange(octaves + 1)])
        """(B,) upper ends of the bands [cycles per unit]; each begins above the one before."""
        self._band = np.digitize(radius, self.upper, right=True).reshape(-1)
        self.target = self.energies(grid.truth)
        """(B,)"""

    def energies(self, values: np.ndarray) -> np.ndarray:
        """(B,) energy by band of values (n_1, …, n_d, O), a mean over points and channels: the sum
        over the bands is the mean square. NaN where a value is not finite."""
        axes = tuple(range(values.ndim - 1))
        values = np.asarray(values, np.float64)
        if self.grid.periodic:
            found = fft.fftn(values, axes=axes, norm="forward")
            power = found.real**2 + found.imag**2
        else:
            power = fft.dctn(values, type=2, axes=axes, norm="ortho") ** 2 / self._band.size
        power = power.mean(axis=-1).reshape(-1)
        return np.bincount(self._band, power, minlength=len(self.upper))

    def error(self, prediction: np.ndarray) -> np.ndarray:
        """(B,) energy by band of prediction − truth; the prediction is (N, O)."""
        return self.energies(prediction.reshape(self.grid.truth.shape) - self.grid.truth)


@dataclass
class BandErrors:
    """The error by band after some numbers of steps."""

    bands: Bands
    step: list[int] = field(default_factory=list)
    error: list[np.ndarray] = field(default_factory=list)

    def add(self, step: int, prediction: np.ndarray) -> None:
        """Add the error of a prediction (N, O) at the grid's points."""
        self.step.append(step)
        self.error.append(self.bands.error(prediction))

    def arrays(self) -> dict[str, np.ndarray]:
        """As float64 arrays, by the names that a record gives them."""
        return {
            "band_upper": self.bands.upper,
            "band_target": self.bands.target,
            "band_step": np.asarray(self.step, np.float64),
            "band_error": np.stack(self.error),
        }


def bands_of(task: Task) -> Bands | None:
    """The bands of a task's grid; None where it has none, or too many points."""
    grid = regular_grid_of(task)
    return None if grid is None or len(grid.x) > MOST_POINTS else Bands(grid)


def band_steps(curve: list[int], task: Task, grid: RegularGrid, trained: int) -> set[int]:
    """The steps of the quality curve after which the error is taken by band: all where the curve
    is over the grid's points anyway, else so few that predictions cost little beside training.

    Args:
        curve: the steps of the quality curve, ascending.
        task: says how many points its curve is over.
        grid: the points to predict.
        trained: points of all steps together.
    """
    count = int(SHARE * trained / len(grid.x))
    if task.curve_points == len(grid.x) or count >= len(curve):
        return set(curve)
    # closer together at the start, where one band after the other is learned
    places = np.geomspace(1, len(curve) - 1, max(1, count - 1)).round().astype(int)
    return {curve[place] for place in (0, *places, -1)}
