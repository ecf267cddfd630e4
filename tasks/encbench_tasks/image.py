"""Image regression: a network that maps pixel coordinates to colours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import DataError, Outcome, ParameterError
from encbench.contracts.task import Predict
from encbench.errors import check_choice, did_you_mean
from encbench.metrics.lpips import check_installed
from encbench_tasks._grid_task import NOISE_SEED, GridTask, cell_centres, clamped
from encbench_tasks._image_files import file_hash, image_targets, locate_image
from encbench_tasks._pixels import Channels, Pixels, read_pixels, shrunk, with_channels
from encbench_tasks._restoration import denoised, enlarged, inpainted
from encbench_tasks._split import IMAGE_USES, Fraction, ImageSplit, Mask, Noise, settled

DEFAULT_IMAGE = "chelsea"
BuiltIn = Literal["scratches", "block"]
SCRATCHES = 12
SCRATCH_WIDTH = 0.02
"""Width of a scratch, relative to the longer side; at least a pixel."""


class ImageTask(GridTask):
    """Regress one image: pixel coordinates (x, y) in [0, 1]² to grey, RGB or RGBA in [0, 1].

    Pixel (column i, row j) of a W × H image is the sample at its centre,
    x = ((i + ½)/W, (j + ½)/H), y downwards, each axis over [0, 1] on its own (as SIREN,
    Tancik et al. and tiny-cuda-nn scale them), so that a grid's cells are all used; the pixels
    of an image that is not square are then not square in x. Every pixel is a training point
    unless ``split`` holds some out; entries are then ranked by PSNR at those.

    Args:
        image: a built-in photograph's name, the path of an image file, or (through ``targets``)
            a folder of images, each a target. A built-in's name takes precedence over a file's:
            write ``./chelsea`` for the file. Subfolders are not searched.
        side: pixels of the *longer* side after shrinking, aspect kept, with a Lanczos filter
            widened to prevent aliasing. Never enlarges: more than the image has is an error.
        channels: "auto" keeps what the file holds: grey is one output, RGB three, and an image
            with transparent pixels four, straight alpha last; alpha that is opaque everywhere
            is dropped, since a constant output would raise the PSNR. "grey" (BT.601 luma) and
            "rgb" blend transparent pixels over white; "rgba" always has four outputs.
        split: which pixels are trained on. "all"; "checker": every second one, as the black
            squares of a chessboard; "random": a fraction of them; "grid": those of every
            ``stride``-th row and column; "mask": those that a mask leaves (inpainting).
            "blocks": no pixels, but the means of blocks of stride × stride pixels, like those of
            a camera with fewer pixels (super-resolution). The task's own loss compares the
            network's mean over the pixels of a block with the block's; PSNR is over the whole
            image. Rows and columns that fill no block are cut off at the bottom and right.
        fraction: part of the pixels that is trained on, with split "random"; default 0.5.
        stride: step in rows and columns, with splits "grid" and "blocks"; default 2.
        mask: with split "mask": "scratches" (unless given), "block", or the path of an image of
            the same size, white where pixels are missing.
        split_seed: draws the pixels of split "random", the scratches, and the noise; default 0.
            It is not the cell's seed: all cells of a task are trained on the same data.
        noise: standard deviation of Gaussian noise added to the values that are trained on, not
            clipped. Metrics compare with the image itself.
        lpips: measure LPIPS, too: needs ``encbench[lpips]`` and ``encbench data fetch lpips``.

    Raises:
        DataError: the image is missing, damaged, smaller than 2 × 2 or than ``side``; the split
            leaves no pixel to train on or to hold out; the mask is missing, or of another size.
        ParameterError: a parameter is out of its range, or has no effect with this split.
    """

    source: ClassVar[str] = (
        "Audia, Feizi, Zwicker, Manocha, How Learnable Grids Recover Fine Detail in Low "
        "Dimensions: image regression, coordinates and RGB in [0, 1]; without a split by default"
    )
    in_dim = 2
    noisy: ClassVar[str] = "the noisy image as it is"

    def __init__(
        self,
        *,
        image: Annotated[
            str, Field(min_length=1, description="built-in photograph, image file, or folder")
        ] = DEFAULT_IMAGE,
        side: Annotated[
            int | None, Field(ge=2, description="shrink the longer side to this many pixels")
        ] = None,
        channels: Annotated[Channels, Field(description="outputs; auto: as in the file")] = "auto",
        split: Annotated[ImageSplit, Field(description="which pixels are trained on")] = "all",
        fraction: Fraction = None,
        stride: Annotated[
            int | None,
            Field(
                ge=2, description="step in rows and columns, with split=grid or blocks; default 2"
            ),
        ] = None,
        mask: Annotated[
            str | None,
            Field(min_length=1, description="block or a file, with split=mask; default scratches"),
        ] = None,
        split_seed: Annotated[
            int | None,
            Field(ge=0, description="seed of split=random, of scratches and of noise; default 0"),
        ] = None,
        noise: Noise = 0.0,
        lpips: Annotated[bool, Field(description="also measure LPIPS, see its metric")] = False,
    ) -> None:
        if side is not None and side < 2:
            raise ParameterError(f"ImageTask: side must be at least 2 pixels, got {side}")
        check_choice("ImageTask: channels", channels, get_args(Channels))
        parts = _settled(
            {
                **{"split": split, "fraction": fraction, "stride": stride, "mask": mask},
                **{"split_seed": split_seed, "noise": noise},
            }
        )
        self.path = locate_image(image)
        pixels = with_channels(read_pixels(self.path), channels)
        if side is not None:
            pixels = shrunk(pixels, side, self.path)
        if split == "blocks":
            height, width = (n - n % parts["stride"] for n in pixels.shape[:2])
            pixels = np.ascontiguousarray(pixels[:height, :width])
        height, width = pixels.shape[:2]
        if min(height, width) < 2:
            raise DataError(
                f"{self.path}: {width} × {height} pixels where at least 2 × 2 are needed; "
                "give a larger image"
                + ("" if side is None else " or side")
                + (" or a smaller stride" if split == "blocks" else "")
            )
        self.lpips = lpips
        self.masked = split == "mask"
        self.stride = 0
        """Side of the blocks that are trained on [px]; 0 if pixels are."""
        if split == "blocks":
            self.keep(pixels, {})
            self._train_on_blocks(parts["stride"], noise, parts.get("split_seed", 0))
        elif split == "mask":
            missing = missing_pixels(parts["mask"], (height, width), parts["split_seed"])
            self.keep(pixels, parts, ~missing)
        else:
            self.keep(pixels, parts)

    def _train_on_blocks(self, stride: int, noise: float, seed: int) -> None:
        height, width = self.truth.shape[:2]
        shape = height // stride, width // stride
        blocks = self.truth.reshape(shape[0], stride, shape[1], stride, self.out_dim)
        small = blocks.mean(axis=(1, 3), dtype=np.float64)
        if noise:
            small += noise * np.random.default_rng([seed, NOISE_SEED]).standard_normal(small.shape)
        self.given = small.astype(np.float32).repeat(stride, 0).repeat(stride, 1)
        self.stride = stride
        self._x, self._y = cell_centres(shape), torch.from_numpy(self.given[::stride, ::stride])
        self._y = self._y.reshape(-1, self.out_dim)
        # offsets of a block's pixels from its centre
        self._within = (cell_centres((stride, stride)) - 0.5) / torch.tensor(shape[::-1])
        self.loss = self.loss_of_blocks

    def loss_of_blocks(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Mean squared difference between y and the network's means over blocks at x (n, 2)."""
        pixels = x[:, None] + self._within.to(x.device, x.dtype)
        values: Tensor = model(pixels.reshape(-1, 2))
        means = values.reshape(len(x), -1, self.out_dim).mean(dim=1)
        return (means - y).square().mean()

    def compared(self, values: Pixels) -> dict[str, tuple[Any, Any]]:
        return super().compared(values) | (
            {"perceptual": (values, self.truth)} if self.lpips else {}
        )

    @cached_property
    def without_network(self) -> dict[str, Pixels]:
        if self.stride:
            return enlarged(self.given[:: self.stride, :: self.stride], self.stride)
        found = super().without_network
        if self.trained.all() and found:
            return found | denoised(self.given)
        return found | (inpainted(self.given, self.trained) if self.masked else {})

    @classmethod
    def targets(cls, *, image: str = DEFAULT_IMAGE, **parameters: Any) -> list[dict[str, Any]]:
        """One set of parameters per image; a folder gives its files in natural order.

        Raises:
            DataError: there is no such image or mask, or LPIPS is requested and cannot be
                measured here.
        """
        found = _settled(parameters)
        if "mask" in found:
            mask_hash(found["mask"])
        if "lpips" in found:
            check_installed()
        return image_targets(image, found)

    @classmethod
    def data_hash(cls, *, image: str = DEFAULT_IMAGE, **parameters: Any) -> str:
        """SHA-256 of the image file's bytes; with a mask, of that and the mask's hash."""
        content = file_hash(locate_image(image))
        mask = parameters.get("mask")
        if mask is None:
            return content
        return hashlib.sha256(f"{content} {mask_hash(mask)}".encode()).hexdigest()

    def evaluate(self, predict: Predict) -> Outcome:
        """Compare the predicted image, clamped to [0, 1], with the true one.

        With a split, PSNR is over the pixels trained on, PSNR held out over the others, MS-SSIM
        over the whole image. The picture "training" then shows the data trained on, held-out
        pixels in grey, each block in one colour. "error" shows the mean absolute error over
        channels in the colour map magma: black is 0, the brightest colour 0.1 or more, in every
        picture.
        """
        prediction = clamped(predict(self.centres)).reshape(self.truth.shape)
        return self.outcome(prediction, self.pictures(prediction))


def _settled(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return settled("image", parameters, IMAGE_USES, get_args(ImageSplit))


def mask_hash(mask: str) -> str:
    """Return the mask's name if it is built in, else the SHA-256 of its file.

    Raises:
        DataError: there is no such mask, or it cannot be read.
    """
    if mask in get_args(BuiltIn):
        return mask
    try:
        return file_hash(locate_image(mask))
    except DataError as error:
        names = get_args(BuiltIn)
        raise type(error)(
            f"no mask {mask!r}"
            + did_you_mean(
                mask,
                names,
                f"expected {', '.join(names)}, or the path of an image, white where pixels are "
                f"missing ({error})",
            )
        ) from None


def missing_pixels(mask: str, shape: tuple[int, int], seed: int) -> Mask:
    """(H, W): whether a pixel is missing.

    "scratches": straight lines from border to border, at random angles and places. "block": the
    middle half of each side. In a file, pixels with a grey value of at least 0.5 are missing.

    Raises:
        DataError: the file cannot be read, is of another size, or leaves no pixel or all.
    """
    height, width = shape
    place = np.indices(shape)
    if mask == "block":
        inside = [(i >= n // 4) & (i < n // 4 + n // 2) for i, n in zip(place, shape, strict=True)]
        return np.asarray(inside[0] & inside[1])
    source = f"mask {mask!r}"
    if mask == "scratches":
        rng, wide = np.random.default_rng(seed), max(SCRATCH_WIDTH * max(shape), 1.0)
        angle = rng.uniform(0, np.pi, SCRATCHES)
        down, across = (
            indices[..., None] - rng.uniform(0.1, 0.9, SCRATCHES) * (n - 1)
            for indices, n in zip(place, shape, strict=True)
        )
        missing = (abs(across * np.cos(angle) + down * np.sin(angle)) < wide / 2).any(axis=-1)
    else:
        path = locate_image(mask)
        source = str(path)
        missing = np.asarray(with_channels(read_pixels(path), "grey")[..., 0] >= 0.5)
    if missing.shape != shape:
        raise DataError(
            f"{source}: a mask of {missing.shape[1]} × {missing.shape[0]} pixels, the image has "
            f"{width} × {height}; give one of the image's size (with side, the smaller one's)"
        )
    if missing.all() or not missing.any():
        raise DataError(
            f"{source}: of {width} × {height} pixels {'all are' if missing.all() else 'none is'} "
            "missing; give a mask that is white where pixels are missing, or a larger image"
        )
    return missing
