"""The error's energy by band of spatial frequency, for targets on a regular grid."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from encbench.contracts.regular_grid import RegularGrid
from encbench.contracts.task import Task, regular_grid_of

MOST_POINTS = 1 << 22
"""Maximum number of grid points; transforms of larger grids take gigabytes."""
SHARE = 0.2
"""Maximum number of points predicted only for bands, relative to those trained on; predicting a
point costs a third of training on it, and less if batches are small."""


class Bands:
    """Energies in octaves of radial frequency: the mean, (0, 1], (1, 2], (2, 4], … cycles per unit.

    The power spectrum of photographs falls as 1/|k|², so in two dimensions octaves have similar
    energies; encodings' levels are octaves, too. The spectrum of a periodic target is computed by
    the discrete Fourier transform. Other targets are mirrored at each face (discrete cosine
    transform, DCT-II), because a jump between opposite borders would spread energy over all
    frequencies; frequencies are then multiples of one half, or of 1 / (2 · side).

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
        """(B,) upper ends of the bands [cycles per unit]; each band starts at the end before."""
        self._band = np.digitize(radius, self.upper, right=True).reshape(-1)
        self.target = self.energies(grid.truth)
        """(B,) energy of the target by band."""

    def energies(self, values: np.ndarray) -> np.ndarray:
        """(B,) energy by band of values (n_1, …, n_d, O), a mean over points and channels: the sum
        over the bands is the mean square. All NaN if a value is not finite."""
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
        """(B,) energy by band of prediction − truth, for a prediction (N, O)."""
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
        """The bands and errors as float64 arrays, by their names in a record."""
        return {
            "band_upper": self.bands.upper,
            "band_target": self.bands.target,
            "band_step": np.asarray(self.step, np.float64),
            "band_error": np.stack(self.error),
        }


def bands_of(task: Task) -> Bands | None:
    """The bands of a task's grid; None if it has no grid, or one with too many points."""
    grid = regular_grid_of(task)
    return None if grid is None or len(grid.x) > MOST_POINTS else Bands(grid)


def band_steps(curve: list[int], task: Task, grid: RegularGrid, trained: int) -> set[int]:
    """The steps of the quality curve after which errors by band are computed: all if the curve is
    computed at the grid's points anyway, else so few that predictions cost little.

    Args:
        curve: the steps of the quality curve, ascending.
        task: gives the number of points at which its curve is computed.
        grid: the points to predict.
        trained: total number of points of all steps.
    """
    count = int(SHARE * trained / len(grid.x))
    if task.curve_points == len(grid.x) or count >= len(curve):
        return set(curve)
    # denser at the start, where one band after the other is learned
    places = np.geomspace(1, len(curve) - 1, max(1, count - 1)).round().astype(int)
    return {curve[place] for place in (0, *places, -1)}
