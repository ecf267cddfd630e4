"""Base class of tasks whose function is known at the cells of a regular grid, such as pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encbench import NetworkDefaults, Outcome, ParameterError, RegularGrid, Task
from encbench.contracts.task import Predict
from encbench.metrics.psnr import psnr
from encbench_tasks._pictures import error_picture
from encbench_tasks._pixels import Pixels
from encbench_tasks._restoration import interpolated
from encbench_tasks._split import Mask, trained_points

Array = NDArray[Any]
PROGRESS_SEED = 1
NOISE_SEED = 2
GREY = 128
"""Value of held-out points in pictures."""
MOST_PIXELS = 1 << 28
RENDERED_POINTS = 1 << 18
"""Number of points of a rendered picture that are predicted at once."""


class GridTask(Task):
    """A function with values in [0, 1], known at the cell centres of a regular grid.

    The subclass calls ``keep`` in its constructor. Coordinates are in the reverse order of the
    grid's axes: in a picture with axes (row, column), x is the column's and y the row's, downwards.
    """

    # the settings closest to each encoding's own best, see docs/protocols.md; the suite
    # paper/protocol has the paper's
    network: ClassVar[NetworkDefaults] = NetworkDefaults(
        width=128, depth=2, parameterization="standard"
    )
    training: ClassVar[Mapping[str, Any]] = {
        "optimizer": "adam",
        "schedule": "cosine:final=0.1",
        "batch_size": 256,
        "steps": 2500,
    }
    progress_points: ClassVar[int] = 1 << 10
    periodic = False
    noisy: ClassVar[str] = "the noisy values as they are"
    """Name of the baseline that returns the noisy values."""

    def keep(self, truth: Pixels, parts: Mapping[str, Any], trained: Mask | None = None) -> None:
        """Keep the true values (n_1, …, n_d, O) float32, and choose those that are trained on.

        Args:
            truth: the values.
            parts: parameters of the split and the noise, from ``settled``.
            trained: (n_1, …, n_d): the points trained on, if the split is not one of ``Split``.

        Raises:
            DataError: the split leaves no point to train on, or none to hold out.
        """
        *shape, self.out_dim = truth.shape
        self.in_dim = len(shape)
        self.truth = truth
        split, seed = parts.get("split", "all"), parts.get("split_seed", 0)
        fraction, stride = parts.get("fraction", 0.5), parts.get("stride", 2)
        if trained is None:
            trained = trained_points(shape, split, fraction, seed, stride)
        self.trained = trained
        """(n_1, …, n_d): whether a point is trained on."""
        self.given = truth
        """``truth`` with the noise: the values to train on."""
        if noise := parts.get("noise", 0.0):
            drawn = np.random.default_rng([seed, NOISE_SEED]).standard_normal(truth.shape)
            self.given = (truth + noise * drawn).astype(np.float32)
        self.centres = cell_centres(shape)
        # all points are not copied
        chosen = torch.from_numpy(trained.reshape(-1))
        self._x = self.centres if trained.all() else self.centres[chosen]
        self._y = torch.from_numpy(self.given[trained])
        followed = np.flatnonzero(trained if trained.all() else ~trained)
        order = np.random.default_rng(PROGRESS_SEED).permutation(len(followed))
        self._progress = followed[np.sort(order[: self.progress_points])]
        self.curve_points = len(self._progress)
        every = self.curve_points == trained.size
        # if these are all points, the same tensor as in ``regular_grid``, so it is predicted once
        self._progress_x = self.centres if every else self.centres[self._progress]
        if not trained.all():
            self.curve = "psnr_held_out"

    def regular_grid(self) -> RegularGrid:
        return RegularGrid(self.centres, self.truth, self.periodic)

    @property
    def points_per_epoch(self) -> int:
        return len(self._x)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The points trained on, row by row: the same tensors each time."""
        return self._x, self._y

    def held_out(self) -> tuple[Tensor, Tensor] | None:
        if self.trained.all():
            return None
        x = self.centres[torch.from_numpy(~self.trained.reshape(-1))]
        return x, torch.from_numpy(self.truth[~self.trained])

    def progress_metric(self, predict: Predict) -> float:
        """PSNR [dB] at fixed points, held-out ones if there are any; nan if not finite.

        The prediction is clamped to [0, 1].
        """
        truth = self.truth.reshape(-1, self.out_dim)[self._progress]
        return psnr(clamped(predict(self._progress_x)), truth)

    def compared(self, values: Pixels) -> dict[str, tuple[Any, Any]]:
        """Compare values (n_1, …, n_d, O) with the truth: PSNR over the points trained on, PSNR
        held out over the others; in two dimensions all metrics of pictures, over all points."""
        comparisons = {"image" if self.in_dim == 2 else "psnr": (values, self.truth)}
        if not self.trained.all():
            out = ~self.trained
            comparisons["psnr"] = values[self.trained], self.truth[self.trained]
            comparisons["held_out_pixels"] = values[out], self.truth[out]
        return comparisons

    @cached_property
    def without_network(self) -> dict[str, Pixels]:
        """Values computed from the training points alone, by method; none if these are the truth
        itself, or with a split in three dimensions."""
        if not self.trained.all():
            if self.in_dim > 2:
                return {}
            if self.in_dim == 1:  # a picture of one row
                filled = interpolated(self.given[None], self.trained[None])
                return {"linear interpolation": filled["bilinear interpolation"][0]}
            return interpolated(self.given, self.trained)
        if self.given is self.truth:
            return {}
        return {self.noisy: np.clip(self.given, 0, 1)}

    def pictures(
        self, prediction: Pixels, plane: Callable[[Array], Array] = lambda values: values
    ) -> dict[str, NDArray[np.uint8]]:
        """Draw the truth, a prediction (n_1, …, n_d, O), its mean absolute error over channels, and
        the data trained on, if they are not the truth itself, with held-out points in grey.

        Args:
            prediction: in [0, 1].
            plane: converts values (n_1, …, n_d, …) to (H, W, …), if d is not 2.
        """
        error = np.abs(plane(prediction) - plane(self.truth)).mean(axis=-1)
        found = {
            "target": as_picture(plane(self.truth)),
            "prediction": as_picture(plane(prediction)),
            "error": error_picture(error),
        }
        if self.given is not self.truth or not self.trained.all():
            grey = np.full(self.out_dim, GREY / 255, np.float32)
            grey[3:] = 1  # alpha
            given = np.where(self.trained[..., None], np.clip(self.given, 0, 1), grey)
            found["training"] = as_picture(plane(given))
        return found

    def outcome(
        self, prediction: Pixels, pictures: Mapping[str, Array] = MappingProxyType({}), **lines: Any
    ) -> Outcome:
        """Compare a prediction, and the methods without a network, with the truth."""
        baselines = {name: self.compared(values) for name, values in self.without_network.items()}
        return Outcome(self.compared(prediction), pictures, baselines=baselines, **lines)

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """Draw the prediction with ``scale`` times as many pixels along each side."""
        height, width = scaled(self.truth.shape[:2], scale)
        rows = max(1, RENDERED_POINTS // width)
        parts = []
        for top in range(0, height, rows):
            part = predict(cell_centres((height, width), top, top + rows))
            parts.append(as_picture(clamped(part).reshape(-1, width, self.out_dim)))
        return np.concatenate(parts)


def scaled(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    """Height and width of a picture at another scale.

    Raises:
        ParameterError: more than 2^28 pixels, or fewer than one.
    """
    height, width = (round(n * scale) for n in shape)
    if not 1 <= height * width <= MOST_PIXELS:
        raise ParameterError(
            f"scale {scale:g} makes {width} × {height} pixels, expected 1 to {MOST_PIXELS:,}"
        )
    return height, width


def clamped(prediction: Tensor) -> Pixels:
    """Clamp to [0, 1]; nan where the prediction is not finite."""
    raw = prediction.detach().cpu().numpy()
    # an infinity clamped to 1 would pass for a prediction
    return np.where(np.isfinite(raw), np.clip(raw, 0, 1), np.nan).astype(np.float32)


def cell_centres(
    shape: tuple[int, ...] | list[int], top: int = 0, bottom: int | None = None
) -> Tensor:  # -> (N, d) float64
    """Return the centres of cells with a first index in [top, bottom); default: all."""
    axes = [(torch.arange(n, dtype=torch.float64) + 0.5) / n for n in shape]
    axes[0] = axes[0][top:bottom]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1).reshape(-1, len(shape))


def as_picture(values: Pixels) -> NDArray[np.uint8]:
    """8-bit picture (H, W, O) or (H, W); values that are not finite are black."""
    picture = np.rint(np.nan_to_num(values) * 255).astype(np.uint8)
    return picture[..., 0] if picture.shape[2] == 1 else picture
