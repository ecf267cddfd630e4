"""Image regression: a network that maps pixel coordinates to colours."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, get_args

import numpy as np
from pydantic import Field

from encbench import DataError, Outcome, ParameterError
from encbench.contracts.task import Predict
from encbench_tasks._channels import Channels, shrunk, with_channels
from encbench_tasks._grid_task import GREY, GridTask, as_picture, clamped
from encbench_tasks._image_files import file_hash, image_targets, locate_image
from encbench_tasks._pictures import error_picture
from encbench_tasks._pixels import read_pixels
from encbench_tasks._split import GRID_USES, Split, settled

DEFAULT_IMAGE = "chelsea"


class ImageTask(GridTask):
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
        given = {"fraction": fraction, "stride": stride, "split_seed": split_seed}
        parts = settled("image", {"split": split, "noise": noise, **given}, GRID_USES)
        self.path = locate_image(image)
        pixels = with_channels(read_pixels(self.path), channels)
        if side is not None:
            pixels = shrunk(pixels, side, self.path)
        height, width = pixels.shape[:2]
        if min(height, width) < 2:
            raise DataError(
                f"{self.path}: {width} × {height} pixels where at least 2 × 2 are needed; "
                "give a larger image" + ("" if side is None else " or side")
            )
        self.keep(pixels, parts)

    @classmethod
    def targets(cls, *, image: str = DEFAULT_IMAGE, **parameters: Any) -> list[dict[str, Any]]:
        """One set of parameters an image; a folder gives its files in natural order.

        Raises:
            DataError: the folder cannot be listed, or holds no image.
            ParameterError: a parameter has no effect with this split.
        """
        return image_targets(image, settled("image", parameters, GRID_USES))

    @classmethod
    def data_hash(cls, *, image: str = DEFAULT_IMAGE, **parameters: Any) -> str:
        """SHA-256 of the image file's bytes.

        Raises:
            DataError: there is no such file, or it cannot be read.
        """
        return file_hash(locate_image(image))

    def evaluate(self, predict: Predict) -> Outcome:
        """The predicted image, clamped to [0, 1], beside the true one.

        With a split, PSNR is over the pixels trained on, PSNR held out over the others, MS-SSIM
        over the whole image. The picture "training" then has what the network was given, held-out
        pixels grey. "error" maps the mean absolute error over the channels through the colour map
        magma: black is 0, its brightest colour 0.1 and more, in every picture alike.
        """
        prediction = clamped(predict(self.centres)).reshape(self.truth.shape)
        pictures = {
            "target": as_picture(self.truth),
            "prediction": as_picture(prediction),
            "error": error_picture(np.abs(prediction - self.truth).mean(axis=2)),
        }
        if self.without_network:
            shown = as_picture(np.clip(self.given, 0, 1))
            shown[~self.trained] = (GREY,) * 3 + (255,) if self.out_dim == 4 else GREY
            pictures["training"] = shown
        baselines = {name: self.compared(image) for name, image in self.without_network.items()}
        return Outcome(self.compared(prediction), pictures, baselines=baselines)
