"""Video: a network that maps a place and a time to a colour."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from encbench import Outcome
from encbench.contracts.task import Predict
from encbench.metrics.psnr import psnr
from encbench_tasks._frames import BUILT_IN, complete_video, frame_sheet, sequence, sequence_hash
from encbench_tasks._grid_task import (
    GREY,
    RENDERED_POINTS,
    GridTask,
    as_picture,
    cell_centres,
    clamped,
    scaled,
)
from encbench_tasks._pictures import error_picture
from encbench_tasks._pixels import Pixels
from encbench_tasks._split import VideoSplit

FORMULAS = 1
"""Part of the data hash: to be raised where a built-in sequence is changed."""
SHEET_PIXELS = 1 << 20


class VideoTask(GridTask):
    """Regress a short image sequence: (x, y, t) in [0, 1]³ to grey or RGB in [0, 1].

    Pixel (column i, row j) of frame k of T frames of W × H is the sample at
    ((i + ½)/W, (j + ½)/H, (k + ½)/T). Every pixel is trained on unless ``split`` holds some out;
    entries are then ranked by PSNR at those. Transparent pixels are over white.

    Built-in sequences, of a photograph but for the last:

    - pan: a window of half its width moves to the right by 2/5 of the width.
    - zoom: a window shrinks around its centre from 1/2 to 1/5 of the width.
    - rotation: a window of half its width turns by a quarter.
    - discs: six coloured discs cross the picture in straight lines.

    Args:
        video: a built-in sequence's name, an animation (GIF, PNG, WebP) or multi-page TIFF, or a
            folder of frames in natural order of their names, of any format that the task image
            reads. A built-in's name takes precedence over a file's: write ``./pan``.
        frames: how many, the first ones of a file; default 16, of a file all.
        side: pixels of a frame's longer side after shrinking; default 64, or a file's own.
        split: which pixels are trained on. "all"; "frames": every ``stride``-th frame whole;
            "checker": those of even column + row + frame; "random": a fraction of them.
        fraction: part of the pixels that is trained on, with split "random"; default 0.5.
        stride: frames a step, with split "frames"; default 2.
        split_seed: draws the pixels of split "random", and the noise; default 0.
        noise: standard deviation of Gaussian noise on the values trained on, not clipped.

    Raises:
        DataError: the frames are missing, damaged, fewer than two or of different sizes, or the
            split leaves no pixel to train on or to hold out.
        ParameterError: a parameter is out of its range, or has no effect.
    """

    source: ClassVar[str] = (
        "Sitzmann et al., Implicit Neural Representations with Periodic Activation Functions, "
        "NeurIPS 2020: video, time as the third coordinate"
    )
    in_dim = 3
    training: ClassVar[Mapping[str, Any]] = {**GridTask.training, "batch_size": 1024}
    progress_points: ClassVar[int] = 1 << 12

    def __init__(
        self,
        *,
        video: Annotated[
            str, Field(min_length=1, description="built-in sequence, animation, or folder")
        ] = "pan",
        frames: Annotated[
            Annotated[int, Field(ge=2)] | None,
            Field(description="number of frames, the first ones; default 16, or all of a file"),
        ] = None,
        side: Annotated[
            Annotated[int, Field(ge=2)] | None,
            Field(description="pixels of the longer side; default 64, or a file's own"),
        ] = None,
        split: Annotated[VideoSplit, Field(description="which pixels are trained on")] = "all",
        fraction: Annotated[
            Annotated[float, Field(gt=0, lt=1)] | None,
            Field(description="part of the pixels trained on, with split=random; default 0.5"),
        ] = None,
        stride: Annotated[
            Annotated[int, Field(ge=2)] | None,
            Field(description="step in frames, with split=frames; default 2"),
        ] = None,
        split_seed: Annotated[
            Annotated[int, Field(ge=0)] | None,
            Field(description="seed of the pixels of split=random and of noise; default 0"),
        ] = None,
        noise: Annotated[
            float, Field(ge=0, le=1e6, description="σ of Gaussian noise on the values trained on")
        ] = 0.0,
    ) -> None:
        held_out = {"split": split, "fraction": fraction, "stride": stride, "noise": noise}
        shape = {"video": video, "frames": frames, "side": side}
        parts = complete_video({**shape, **held_out, "split_seed": split_seed})
        self.keep(sequence(parts), parts)
        self._whole = parts.get("split") == "frames"

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """These parameters, those of a built-in sequence filled in.

        Raises:
            ParameterError: a parameter is out of its range, or has no effect.
        """
        return [complete_video(parameters)]

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        """SHA-256 of the files' bytes, or of what decides a built-in sequence.

        Raises:
            DataError: there is no such file or folder, or it cannot be read.
        """
        parts = complete_video(parameters)
        if parts["video"] not in BUILT_IN:
            return sequence_hash(parts["video"])
        made = {name: parts[name] for name in ("video", "frames", "side")}
        return hashlib.sha256(json.dumps(["video", FORMULAS, made]).encode()).hexdigest()

    def evaluate(self, predict: Predict) -> Outcome:
        """The prediction, clamped to [0, 1], beside the truth: sheets of up to 16 frames evenly
        spaced in time, row by row, and PSNR [dB] by frame.

        With a split PSNR is over the pixels trained on, PSNR held out over the others. The picture
        "training" then has what the network was given, held-out pixels grey.
        """
        prediction = clamped(predict(self.centres)).reshape(self.truth.shape)
        shown = self._shown()
        error = np.abs(prediction[shown] - self.truth[shown]).mean(axis=-1)
        pictures = {
            "target": as_picture(frame_sheet(self.truth[shown])),
            "prediction": as_picture(frame_sheet(prediction[shown])),
            "error": error_picture(frame_sheet(error)),
        }
        if self.given is not self.truth or not self.trained.all():
            given = np.clip(self.given[shown], 0, 1)
            given[~self.trained[shown]] = GREY / 255
            pictures["training"] = as_picture(frame_sheet(given))
        each = [[psnr(*pair)] for pair in zip(prediction, self.truth, strict=True)]
        t = (np.arange(len(each)) + 0.5) / len(each)
        lines = {"psnr_by_frame": (t, np.array(each), np.full((len(each), 1), math.nan))}
        baselines = {name: self.compared(values) for name, values in self.without_network.items()}
        return Outcome(
            self.compared(prediction),
            pictures,
            baselines=baselines,
            lines=lines,
            line_titles={"psnr_by_frame": ("t, in lengths of the video", "PSNR of the frame [dB]")},
        )

    @cached_property
    def without_network(self) -> dict[str, Pixels]:
        """With split "frames", linear interpolation between the frames trained on."""
        if not self._whole:
            return super().without_network
        known = np.flatnonzero(self.trained[:, 0, 0])
        ones, times = np.eye(len(known)), np.arange(len(self.truth))
        weights = np.stack([np.interp(times, known, one) for one in ones], axis=1)
        between = np.tensordot(weights.astype(np.float32), self.given[known], 1)
        return {"linear interpolation in time": np.clip(between, 0, 1)}

    def _shown(self) -> list[int]:
        """The frames of a sheet: 16, 9 or 4, the fewer the larger they are, or all."""
        frames, height, width, _ = self.truth.shape
        across = min(max(2, math.isqrt(SHEET_PIXELS // (height * width))), 4)
        places = np.linspace(0, frames - 1, min(frames, across**2))
        return [int(place) for place in places.round()]

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """The sheet of ``evaluate``, of ``scale`` times as many pixels along each side.

        Raises:
            ParameterError: more than 2^28 pixels, or fewer than one.
        """
        shown, (frames, *size, _) = self._shown(), self.truth.shape
        scaled((size[0] * len(shown), size[1]), scale)
        height, width = scaled(tuple(size), scale)
        rows = max(1, RENDERED_POINTS // width)
        made = []
        for frame in shown:
            for top in range(0, height, rows):
                place = cell_centres((height, width), top, top + rows)
                time = torch.full((len(place), 1), (frame + 0.5) / frames, dtype=torch.float64)
                made.append(clamped(predict(torch.cat([place, time], dim=1))))
        values = np.concatenate(made).reshape(len(shown), height, width, self.out_dim)
        return as_picture(frame_sheet(values))
