"""Image regression: a network that maps pixel coordinates to colours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor

from encbench import DataError, NetworkDefaults, Outcome, ParameterError, Task
from encbench.contracts.task import Predict
from encbench.metrics.psnr import psnr
from encbench_tasks._image_files import folder_images, locate_image, named_folder
from encbench_tasks._interpolation import interpolated
from encbench_tasks._pictures import error_picture
from encbench_tasks._pixels import Pixels, read_pixels
from encbench_tasks._split import Split, Uses, settled, trained_pixels

Channels = Literal["auto", "grey", "rgb", "rgba"]
DEFAULT_IMAGE = "chelsea"
PROGRESS_POINTS = 1 << 10
PROGRESS_SEED = 1
NOISE_SEED = 2
GREY = 128
"""Of held-out pixels in pictures."""
USES: Uses = {
    "fraction": (("random",), 0.5),
    "stride": (("grid",), 2),
    "split_seed": (("random", "noise"), 0),
}
MOST_PIXELS = 1 << 28
RENDERED_POINTS = 1 << 18
"""Points of a rendered picture that are predicted at once."""
LUMA = np.array([0.299, 0.587, 0.114])
"""Grey of RGB, ITU-R BT.601, on the values as stored."""


class ImageTask(Task):
    """Regress one image: pixel coordinates (x, y) in [0, 1]² to grey, RGB or RGBA in [0, 1].

    Pixel (column i, row j) of a W × H image is the sample at its centre,
    x = ((i + ½)/W, (j + ½)/H), y downwards, each axis over [0, 1] on its own (as SIREN,
    Tancik et al. and tiny-cuda-nn scale them), so that a grid's cells are all used; the pixels
    of an image that is not square are then not square in x. Every pixel is a training point
    unless ``split`` holds some out; entries are then ranked by PSNR at those.

    Args:
        image: a built-in photograph's name, the path of an image file, or (through ``targets``)
            a folder of images, each a target. A name of a built-in wins over a file: write
            ``./chelsea`` for the file. Folders are not searched in depth.
        side: pixels of the *longer* side after shrinking, aspect kept, with a Lanczos filter
            widened to prevent aliasing. Never enlarges: more than the image has is an error.
        channels: "auto" keeps what the file holds: grey is one output, RGB three, and an image
            with transparent pixels four, straight alpha last; alpha that is opaque everywhere
            is dropped, since a constant output would flatter PSNR. "grey" (BT.601 luma) and
            "rgb" blend transparent pixels over white; "rgba" always has four outputs.
        split: which pixels are trained on. "all"; "checker": every second one, as the black
            squares of a chessboard; "random": a fraction of them; "grid": those of every
            ``stride``-th row and column (super-resolution).
        fraction: of the pixels that are trained on, with split "random"; 0.5 unless given.
        stride: with split "grid"; 2 unless given.
        split_seed: draws the pixels of split "random", and the noise; 0 unless given. It is not
            the cell's seed: every cell of a task is trained on the same pixels and noise.
        noise: standard deviation of Gaussian noise added to the values that are trained on, not
            clipped. Metrics compare with the image itself.

    Raises:
        DataError: the image is missing, damaged, smaller than 2 × 2 or than ``side``, or the
            split leaves no pixel to train on or to hold out.
        ParameterError: a parameter is out of its range, or has no effect with this split.
    """

    # what comes nearest to each encoding's own best, see docs/protocols.md; the suite
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
    source: ClassVar[str] = (
        "Audia, Feizi, Zwicker, Manocha, How Learnable Grids Recover Fine Detail in Low "
        "Dimensions: image regression, coordinates and RGB in [0, 1]; without a split by default"
    )
    in_dim = 2

    def __init__(
        self,
        *,
        image: Annotated[
            str, Field(min_length=1, description="built-in photograph, image file, or folder")
        ] = DEFAULT_IMAGE,
        side: Annotated[
            Annotated[int, Field(ge=2)] | None,
            Field(description="shrink the longer side to this many pixels"),
        ] = None,
        channels: Annotated[Channels, Field(description="outputs; auto: as in the file")] = "auto",
        split: Annotated[Split, Field(description="which pixels are trained on")] = "all",
        fraction: Annotated[
            Annotated[float, Field(gt=0, lt=1)] | None,
            Field(description="of the pixels, trained on with split=random; unless given 0.5"),
        ] = None,
        stride: Annotated[
            Annotated[int, Field(ge=2)] | None,
            Field(description="rows and columns a step, with split=grid; unless given 2"),
        ] = None,
        split_seed: Annotated[
            Annotated[int, Field(ge=0)] | None,
            Field(description="of the pixels of split=random and of noise; unless given 0"),
        ] = None,
        noise: Annotated[
            float, Field(ge=0, description="σ of Gaussian noise on the values trained on")
        ] = 0.0,
    ) -> None:
        if side is not None and side < 2:
            raise ParameterError(f"ImageTask: side must be at least 2 pixels, got {side}")
        if channels not in get_args(Channels):
            raise ParameterError(
                f"ImageTask: channels must be one of {', '.join(get_args(Channels))}, "
                f"got {channels!r}"
            )
        if split not in get_args(Split) or not noise >= 0 or (stride is not None and stride < 2):
            raise ParameterError(
                f"ImageTask: split must be one of {', '.join(get_args(Split))}, noise at least 0 "
                f"and stride at least 2, got {split!r}, {noise} and {stride}"
            )
        given = {"fraction": fraction, "stride": stride, "split_seed": split_seed}
        parts = settled("image", {"split": split, "noise": noise, **given}, USES)
        self.path = locate_image(image)
        pixels = _with_channels(read_pixels(self.path), channels)
        if side is not None:
            pixels = _shrunk(pixels, side, self.path)
        height, width, self.out_dim = pixels.shape
        if min(height, width) < 2:
            raise DataError(
                f"{self.path}: {width} × {height} pixels where at least 2 × 2 are needed; "
                "give a larger image" + ("" if side is None else " or side")
            )
        self.truth = pixels
        """(H, W, out_dim) float32 in [0, 1]."""
        seed = parts.get("split_seed", 0)
        self.trained = trained_pixels(
            height, width, split, parts.get("fraction", 0.5), seed, parts.get("stride", 2)
        )
        """(H, W): whether a pixel is trained on."""
        self.given = pixels
        """(H, W, out_dim) float32: ``truth`` with the noise that is trained on."""
        if noise:
            drawn = np.random.default_rng([seed, NOISE_SEED]).standard_normal(pixels.shape)
            self.given = (pixels + noise * drawn).astype(np.float32)
        self._centres = _pixel_centres(height, width)
        trained = self.trained.reshape(-1)
        self._x = self._centres[torch.from_numpy(trained)]
        self._y = torch.from_numpy(self.given[self.trained])
        followed = np.flatnonzero(trained if trained.all() else ~trained)
        chosen = np.random.default_rng(PROGRESS_SEED).permutation(len(followed))[:PROGRESS_POINTS]
        self._progress = followed[np.sort(chosen)]
        self.curve_points = len(chosen)
        if not trained.all():
            self.curve = "psnr_held_out"

    @classmethod
    def targets(cls, *, image: str = DEFAULT_IMAGE, **parameters: Any) -> list[dict[str, Any]]:
        """One set of parameters an image; a folder gives its files in natural order.

        Raises:
            DataError: the folder cannot be listed, or holds no image.
            ParameterError: a parameter has no effect with this split.
        """
        parameters = settled("image", parameters, USES)
        folder = named_folder(image)
        if folder is None:
            return [{"image": image, **parameters}]
        return [{"image": str(path), **parameters} for path in folder_images(folder)]

    @classmethod
    def data_hash(cls, *, image: str = DEFAULT_IMAGE, **parameters: Any) -> str:
        """SHA-256 of the image file's bytes.

        Raises:
            DataError: there is no such file, or it cannot be read.
        """
        path = locate_image(image)
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read: {error.strerror}; give the path of an image file"
            ) from None

    @property
    def points_per_epoch(self) -> int:
        return len(self._x)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The pixels trained on, row by row: the same tensors each time."""
        return self._x, self._y

    def held_out(self) -> tuple[Tensor, Tensor] | None:
        if self.trained.all():
            return None
        x = self._centres[torch.from_numpy(~self.trained.reshape(-1))]
        return x, torch.from_numpy(self.truth[~self.trained])

    def progress_metric(self, predict: Predict) -> float:
        """PSNR [dB] at 1024 fixed pixels, of those held out if any are; nan if not finite.

        The prediction is clamped to [0, 1].
        """
        truth = self.truth.reshape(-1, self.out_dim)[self._progress]
        return psnr(_clamped(predict(self._centres[self._progress])), truth)

    def evaluate(self, predict: Predict) -> Outcome:
        """The predicted image, clamped to [0, 1], beside the true one.

        With a split, PSNR is over the pixels trained on, PSNR held out over the others, MS-SSIM
        over the whole image. The picture "training" then has what the network was given, held-out
        pixels grey. "error" maps the mean absolute error over the channels through the colour map
        magma: black is 0, its brightest colour 0.1 and more, in every picture alike.
        """
        prediction = _clamped(predict(self._centres)).reshape(self.truth.shape)
        pictures = {
            "target": _picture(self.truth),
            "prediction": _picture(prediction),
            "error": error_picture(np.abs(prediction - self.truth).mean(axis=2)),
        }
        if self._without_network:
            shown = _picture(np.clip(self.given, 0, 1))
            shown[~self.trained] = (GREY,) * 3 + (255,) if self.out_dim == 4 else GREY
            pictures["training"] = shown
        baselines = {name: self._compared(image) for name, image in self._without_network.items()}
        return Outcome(self._compared(prediction), pictures, baselines=baselines)

    def _compared(self, image: Pixels) -> dict[str, tuple[Pixels, Pixels]]:
        comparisons = {"image": (image, self.truth)}
        if not self.trained.all():
            out = ~self.trained
            comparisons["psnr"] = image[self.trained], self.truth[self.trained]
            comparisons["held_out_pixels"] = image[out], self.truth[out]
        return comparisons

    @cached_property
    def _without_network(self) -> dict[str, Pixels]:
        """Images made of the training pixels alone; none where those are the image itself."""
        if not self.trained.all():
            return interpolated(self.given, self.trained)
        if self.given is self.truth:
            return {}
        return {"the noisy image as it is": np.clip(self.given, 0, 1)}

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """The predicted image at the centres of ``scale`` times as many pixels along each side.

        Raises:
            ParameterError: more than 2^28 pixels, or fewer than one.
        """
        height, width = (round(n * scale) for n in self.truth.shape[:2])
        if not 1 <= height * width <= MOST_PIXELS:
            raise ParameterError(
                f"scale {scale:g} makes {width} × {height} pixels, expected 1 to {MOST_PIXELS:,}"
            )
        rows = max(1, RENDERED_POINTS // width)
        parts = []
        for top in range(0, height, rows):
            part = predict(_pixel_centres(height, width, top, top + rows))
            parts.append(_picture(_clamped(part).reshape(-1, width, self.out_dim)))
        return np.concatenate(parts)


def _clamped(prediction: Tensor) -> Pixels:
    raw = prediction.detach().cpu().numpy()
    # an infinity clamped to 1 would pass for a prediction
    return np.where(np.isfinite(raw), np.clip(raw, 0, 1), np.nan).astype(np.float32)


def _pixel_centres(
    height: int, width: int, top: int = 0, bottom: int | None = None
) -> Tensor:  # -> (rows · W, 2) float64
    """Of the rows from top to bottom; default: all."""
    across = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    down = (torch.arange(height, dtype=torch.float64)[top:bottom] + 0.5) / height
    y, x = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def _with_channels(pixels: Pixels, channels: Channels) -> Pixels:
    colour, alpha = pixels, np.ones_like(pixels[..., :1])
    if pixels.shape[2] in (2, 4):
        colour, alpha = pixels[..., :-1], pixels[..., -1:]
    opaque = bool((alpha == 1).all())
    if channels == "rgba" or (channels == "auto" and not opaque):
        rgb = np.broadcast_to(colour, (*colour.shape[:2], 3))
        return np.concatenate([rgb, alpha], axis=2)
    if not opaque:
        colour = colour * alpha + (1 - alpha)
    if channels == "rgb":
        colour = np.broadcast_to(colour, (*colour.shape[:2], 3))
    elif channels == "grey" and colour.shape[2] == 3:
        colour = (colour @ LUMA)[..., None]
    return np.ascontiguousarray(np.clip(colour, 0, 1), dtype=np.float32)


def _shrunk(pixels: Pixels, side: int, path: Path) -> Pixels:
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if side > longer:
        raise DataError(
            f"{path}: side={side} is more than the image has ({width} × {height}), and images "
            f"are not enlarged; give side={longer} or less, or leave it out"
        )
    if side == longer:
        return pixels
    size = [max(1, int(n * side / longer + 0.5)) for n in (width, height)]
    alpha = pixels[..., 3:]
    # weighted by alpha, or the colours of invisible pixels would bleed into visible ones
    weighted = np.concatenate([pixels[..., :3] * alpha, alpha], axis=2) if alpha.size else pixels
    bands = [
        np.asarray(Image.fromarray(band).resize(size, Image.Resampling.LANCZOS))
        for band in np.ascontiguousarray(np.moveaxis(weighted, 2, 0))
    ]
    small = np.stack(bands, axis=2)
    if alpha.size:
        visible = np.clip(small[..., 3:], 0, 1)
        colour = np.divide(
            small[..., :3], visible, out=np.zeros_like(small[..., :3]), where=visible > 0
        )
        small = np.concatenate([colour, visible], axis=2)
    # the filter's negative lobes overshoot at sharp edges
    clipped: Pixels = np.clip(small, 0, 1)
    return clipped


def _picture(image: Pixels) -> NDArray[np.uint8]:
    """8-bit picture; values that are not finite are black."""
    picture = np.rint(np.nan_to_num(image) * 255).astype(np.uint8)
    return picture[..., 0] if picture.shape[2] == 1 else picture
