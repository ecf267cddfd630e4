"""Computed tomography: an image learned from its projections."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from skimage.transform import iradon
from torch import Tensor, nn

from encbench import DataError, Outcome, ParameterError
from encbench.contracts.task import Predict
from encbench.metrics.psnr import psnr
from encbench_tasks._grid_task import NOISE_SEED, GridTask, as_picture, cell_centres, clamped
from encbench_tasks._image_files import file_hash, image_targets, locate_image
from encbench_tasks._pixels import Pixels, read_pixels, shrunk, with_channels
from encbench_tasks._split import Uses, settled

DEFAULT_IMAGE = "shepp_logan_phantom"
USES: Uses = {"noise_seed": (("noise",), 0)}
MOST_LENGTHS = 1 << 27
"""Maximum number of line lengths in memory; each pixel has at most two per angle."""
MOST_ANGLES = 1 << 12
"""Maximum number of angles, which are computed one after the other."""
Array = NDArray[np.float64]


class CtTask(GridTask):
    """Learn an image from parallel projections of it: y = A f, with f the network at the pixels.

    The image is a square of side² pixels, grey in [0, 1]; other images are cropped to their middle.
    It is zero outside the disc that every projection covers, and the network's values there are not
    used. A training point is a line: x is its angle over π, and its offset from left to right in
    [0, 1]; y is the integral along it, with lengths in sides of the image. A has the exact lengths
    of the lines within the pixels, and is used for the projections and the network alike. The loss
    is the mean squared difference between y and A f; each step predicts all pixels, so that large
    batches cost no more than small ones. The kernel is that of the network at pixels of the disc.

    Args:
        image: a built-in image's name, the path of an image file, or (through ``targets``) a folder
            of images, each a target.
        side: pixels along each side, to which a larger image is shrunk.
        angles: number n of projections, at 0, 180°/n, …, each of ``side`` lines a pixel apart.
        noise: standard deviation of Gaussian noise on the projections, relative to their largest
            value.
        noise_seed: draws the noise; default 0. It is not the cell's seed.

    Raises:
        DataError: the image is missing, damaged, smaller than ``side``, or zero everywhere.
        ParameterError: a parameter is out of its range, or has no effect.
    """

    source: ClassVar[str] = (
        "sparse-view CT as in WIRE (Saragadam et al., CVPR 2023), whose code rotates and sums; "
        "phantom: Shepp and Logan 1974; line lengths: Siddon 1985"
    )
    in_dim = 2
    training: ClassVar[dict[str, Any]] = {**GridTask.training, "batch_size": "all", "steps": 1000}

    def __init__(
        self,
        *,
        image: Annotated[
            str, Field(min_length=1, description="built-in image, image file, or folder")
        ] = DEFAULT_IMAGE,
        side: Annotated[int, Field(ge=8, description="pixels along each side")] = 64,
        angles: Annotated[int, Field(ge=1, description="projections")] = 30,
        noise: Annotated[
            float,
            Field(
                ge=0, le=1e6, description="σ of Gaussian noise, relative to the largest projection"
            ),
        ] = 0.0,
        noise_seed: Annotated[
            int | None, Field(ge=0, description="seed of the noise; default 0")
        ] = None,
    ) -> None:
        settled("ct", {"noise": noise, "noise_seed": noise_seed}, USES)
        in_range = side >= 8 and 1 <= angles <= MOST_ANGLES
        if not in_range or 2 * angles * side**2 > MOST_LENGTHS:
            raise ParameterError(
                f"task 'ct': side must be at least 8, angles from 1 to {MOST_ANGLES:,}, and angles "
                f"· side² at most {MOST_LENGTHS // 2:,}, got side={side} and angles={angles}"
            )
        path = locate_image(image)
        pixels = with_channels(read_pixels(path), "grey")
        height, width = pixels.shape[:2]
        square = min(height, width)
        top, left = (height - square) // 2, (width - square) // 2
        truth = shrunk(pixels[top : top + square, left : left + square], side, path)
        self.inside = field_of_view(side, cell_centres((side, side)).numpy())
        """(side²,): whether a pixel is in the disc."""
        disc = self.inside.reshape(side, side)
        truth[~disc] = 0
        if not truth.any():
            raise DataError(
                f"{path}: zero at every pixel of the disc that is projected, so that there is "
                "nothing to learn; give an image with something in its middle"
            )
        self.keep(truth, {})
        self.angles = angles
        self.matrix = projection_matrix(disc, angles_of(angles))
        sums: Tensor = self.matrix @ torch.from_numpy(truth.reshape(-1)[self.inside]).double()
        if noise:
            drawn = np.random.default_rng([noise_seed or 0, NOISE_SEED]).standard_normal(len(sums))
            sums = sums + noise * sums.max() * torch.from_numpy(drawn)
        self._x = torch.cartesian_prod(
            torch.arange(angles, dtype=torch.float64) / angles,
            (torch.arange(side, dtype=torch.float64) + 0.5) / side,
        )
        self._y = sums.float()[:, None]
        self.curve_points = int(self.inside.sum())
        self._pixels = self.centres[torch.from_numpy(self.inside)]
        self._operator = self.matrix, self._pixels

    @classmethod
    def targets(cls, *, image: str = DEFAULT_IMAGE, **parameters: Any) -> list[dict[str, Any]]:
        """One set of parameters per image; a folder gives its files in natural order."""
        return image_targets(image, settled("ct", parameters, USES))

    @classmethod
    def data_hash(cls, *, image: str = DEFAULT_IMAGE, **parameters: Any) -> str:
        """SHA-256 of the image file's bytes."""
        return file_hash(locate_image(image))

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Mean squared difference between y and the network's integrals along lines x (n, 2)."""
        if self._operator[0].device != x.device or self._operator[0].dtype != x.dtype:
            matrix, pixels = (part.to(x.device, x.dtype) for part in self._operator)
            self._operator = matrix, pixels
        matrix, pixels = self._operator
        sums = torch.sparse.mm(matrix, model(pixels))  # (angles · side, 1)
        side = len(self.truth)
        angle, line = (x[:, 0] * self.angles).round(), (x[:, 1] * side - 0.5).round()
        difference: Tensor = sums[angle.long() * side + line.long()] - y
        return difference.square().mean()

    def ntk_points(self, count: int, generator: torch.Generator) -> Tensor:
        """Pixels of the disc, since lines are not points of the network's domain."""
        order = torch.randperm(len(self._pixels), generator=generator)
        return self._pixels[order[:count].sort().values]

    def progress_metric(self, predict: Predict) -> float:
        """PSNR [dB] over the pixels of the disc; nan if not finite. Predictions are clamped."""
        return psnr(*self._seen(clamped(predict(self.centres))))

    def _seen(self, values: Pixels) -> tuple[Pixels, Pixels]:
        """Values (side², 1) and the truth at the pixels of the disc."""
        return values[self.inside], self.truth.reshape(-1, 1)[self.inside]

    def compared(self, values: Pixels) -> dict[str, tuple[Any, Any]]:
        return {"image": (values, self.truth), "psnr": self._seen(values.reshape(-1, 1))}

    @cached_property
    def without_network(self) -> dict[str, Pixels]:
        side = len(self.truth)
        sinogram = self._y.numpy().reshape(self.angles, side).T * side
        theta = np.rad2deg(angles_of(self.angles))
        made = iradon(sinogram.astype(np.float64), theta, output_size=side)  # type: ignore[no-untyped-call] # skimage leaves it untyped
        made = np.clip(made, 0, 1) * self.inside.reshape(side, side)
        return {"filtered back projection": made[..., None].astype(np.float32)}

    def evaluate(self, predict: Predict) -> Outcome:
        """Compare the reconstruction, clamped to [0, 1] and zero outside the disc, with the image.

        PSNR is over the pixels of the disc, MS-SSIM and SSIM over the square. The picture
        "sinogram" has the projections trained on, a column per angle, the largest value white;
        "filtered_back_projection" is scikit-image's, with the ramp filter, of the same projections.
        """
        side = len(self.truth)
        values = clamped(predict(self.centres)) * self.inside[:, None]
        prediction = values.reshape(self.truth.shape)
        sinogram = self._y.numpy().reshape(self.angles, side).T
        wide = np.repeat(sinogram, max(1, side // self.angles), axis=1)[..., None]
        pictures = self.pictures(prediction) | {
            "sinogram": as_picture(np.clip(wide / sinogram.max(), 0, 1)),
            "filtered_back_projection": as_picture(*self.without_network.values()),
        }
        return self.outcome(prediction, pictures)

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        picture = super().render(predict, scale)
        places = cell_centres(picture.shape).numpy()
        return picture * field_of_view(len(self.truth), places).reshape(picture.shape)


def angles_of(count: int) -> Array:  # (count,) radians
    """0, π/n, …, (n − 1) π/n."""
    return np.arange(count, dtype=np.float64) * (np.pi / count)


def field_of_view(side: int, places: Array) -> NDArray[np.bool_]:
    """Whether places (N, 2), in [0, 1] (x, y), are in the disc that every projection covers.

    As in scikit-image's ``radon(circle=True)``, it is around the centre of the pixel side // 2, and
    its radius is side // 2 pixels.
    """
    middle = side // 2
    distance: Array = np.square(places * side - (middle + 0.5)).sum(axis=1)
    # the tolerance includes centres of pixels exactly on the circle, despite rounding
    return distance <= middle**2 + 1e-6


def projection_matrix(inside: NDArray[np.bool_], angles: Array) -> Tensor:
    """The lengths of lines within pixels: sparse (angles · side, pixels inside) float64, in sides
    of the image.

    Row a · side + k is the line at angle θ_a through the offset k − side // 2 [pixels] from the
    centre of the pixel side // 2: with columns c and rows r counted from there, the points with
    c cos θ − r sin θ = k − side // 2, as in scikit-image's ``radon``. A times the values of the
    pixels is exact for an image that is constant within each pixel (Siddon, "Fast calculation of
    the exact radiological path for a three-dimensional CT array", 1985): a line at distance s from
    the centre of a unit square is within it over the length
    ((|cos θ| + |sin θ|)/2 − |s|) / |cos θ sin θ|, at least 0 and at most 1 / max(|cos θ|, |sin θ|).

    Args:
        inside: (side, side), the pixels that are not zero by definition.
        angles: (n,) [radians].
    """
    side = len(inside)
    row, column = np.argwhere(inside).T - side // 2
    rays, pixels, lengths = [], [], []
    for number, angle in enumerate(angles):
        across, down = abs(np.cos(angle)), abs(np.sin(angle))
        at = column * np.cos(angle) - row * np.sin(angle)
        for offset in (np.floor(at), np.floor(at) + 1):  # other lines are farther away than √½
            over = (across + down) / 2 - np.abs(offset - at)
            length = np.clip(over / max(across * down, 1e-30), 0, 1 / max(across, down))
            ray = (offset + side // 2).astype(int)
            met = np.flatnonzero((length > 0) & (ray >= 0) & (ray < side))
            rays.append(number * side + ray[met])
            pixels.append(met)
            lengths.append(length[met] / side)
    where = torch.from_numpy(np.stack([np.concatenate(rays), np.concatenate(pixels)]))
    values, shape = torch.from_numpy(np.concatenate(lengths)), (len(angles) * side, len(row))
    return torch.sparse_coo_tensor(where, values, shape, check_invariants=True).coalesce()
