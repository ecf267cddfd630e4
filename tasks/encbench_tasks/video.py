"""Video: a network that maps a place and a time to a colour."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import map_coordinates

from encbench import DataError, Outcome, ParameterError
from encbench.contracts.task import Predict
from encbench.errors import did_you_mean
from encbench.metrics.psnr import psnr
from encbench_tasks._grid_task import (
    RENDERED_POINTS,
    GridTask,
    as_picture,
    cell_centres,
    clamped,
    scaled,
)
from encbench_tasks._image_files import file_hash, folder_images, locate_image, named_folder
from encbench_tasks._pixels import Pixels, read_frames, read_pixels, resampled, with_channels
from encbench_tasks._split import VIDEO_USES, Fraction, Noise, SplitSeed, VideoSplit, settled

FORMULAS = 1
"""Part of the data hash; increase it when a built-in sequence changes."""
SHEET_PIXELS = 1 << 20
BUILT_IN = ("pan", "zoom", "rotation", "discs")
PHOTOGRAPH = "astronaut"
FRAMES, SIDE = 16, 64
"""Default number of frames and side [px] of built-in sequences."""
DISCS, DISC_SEED = 6, 0
MOST_FRAMES = 10_000
MOST_POINTS = 1 << 24
"""Maximum number of pixels; coordinates alone take 24 bytes each."""


class VideoTask(GridTask):
    """Regress a short image sequence: (x, y, t) in [0, 1]³ to grey or RGB in [0, 1].

    Pixel (column i, row j) of frame k of T frames of W × H is the sample at
    ((i + ½)/W, (j + ½)/H, (k + ½)/T). Every pixel is trained on unless ``split`` holds some out;
    entries are then ranked by PSNR at those. Transparent pixels are over white.

    Built-in sequences, all but the last from a photograph:

    - pan: a window of half its width moves to the right by 2/5 of the width.
    - zoom: a window shrinks around its centre from 1/2 to 1/5 of the width.
    - rotation: a window of half its width turns by a quarter.
    - discs: six coloured discs cross the picture in straight lines.

    Args:
        video: a built-in sequence's name, an animation (GIF, PNG, WebP) or multi-page TIFF, or a
            folder of frames in natural order of their names, of any format that the task image
            reads. A built-in's name takes precedence over a file's: write ``./pan``.
        frames: number of frames, the first ones of a file; default 16, or all of a file.
        side: pixels of a frame's longer side after shrinking; default 64, or a file's own.
        split: which pixels are trained on. "all"; "frames": every ``stride``-th frame whole;
            "checker": those of even column + row + frame; "random": a fraction of them.
        fraction: part of the pixels that is trained on, with split "random"; default 0.5.
        stride: step in frames, with split "frames"; default 2.
        split_seed: draws the pixels of split "random", and the noise; default 0.
        noise: standard deviation of Gaussian noise on the values trained on, not clipped.

    Raises:
        DataError: the frames are missing, damaged, fewer than two or of different sizes, or the
            split leaves no pixel to train on or to hold out.
        ParameterError: a parameter is out of its range, or has no effect.
    """

    sampling = ("frames", "side")
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
            int | None,
            Field(
                ge=2, description="number of frames, the first ones; default 16, or all of a file"
            ),
        ] = None,
        side: Annotated[
            int | None,
            Field(ge=2, description="pixels of the longer side; default 64, or a file's own"),
        ] = None,
        split: Annotated[VideoSplit, Field(description="which pixels are trained on")] = "all",
        fraction: Fraction = None,
        stride: Annotated[
            int | None, Field(ge=2, description="step in frames, with split=frames; default 2")
        ] = None,
        split_seed: SplitSeed = None,
        noise: Noise = 0.0,
    ) -> None:
        held_out = {"split": split, "fraction": fraction, "stride": stride, "noise": noise}
        shape = {"video": video, "frames": frames, "side": side}
        parts = complete_video({**shape, **held_out, "split_seed": split_seed})
        self.keep(sequence(parts), parts)
        self._whole = parts.get("split") == "frames"

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """Return these parameters, with those of a built-in sequence filled in."""
        return [complete_video(parameters)]

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        """``sequence_hash``, or SHA-256 of a built-in sequence's parameters and version."""
        parts = complete_video(parameters)
        if parts["video"] not in BUILT_IN:
            return sequence_hash(parts["video"])
        made = {name: parts[name] for name in ("video", "frames", "side")}
        return hashlib.sha256(json.dumps(["video", FORMULAS, made]).encode()).hexdigest()

    def evaluate(self, predict: Predict) -> Outcome:
        """Compare the prediction, clamped to [0, 1], with the truth: sheets of up to 16 frames
        evenly spaced in time, row by row, and PSNR [dB] by frame.

        With a split, PSNR is over the pixels trained on, PSNR held out over the others. The picture
        "training" then shows the data trained on, held-out pixels in grey.
        """
        prediction = clamped(predict(self.centres)).reshape(self.truth.shape)
        shown = self._shown()
        pictures = self.pictures(prediction, lambda values: frame_sheet(values[shown]))
        each = [[psnr(*pair)] for pair in zip(prediction, self.truth, strict=True)]
        t = (np.arange(len(each)) + 0.5) / len(each)
        lines = {"psnr_by_frame": (t, np.array(each), np.full((len(each), 1), math.nan))}
        titles = {"psnr_by_frame": ("t, in lengths of the video", "PSNR of the frame [dB]")}
        return self.outcome(prediction, pictures, lines=lines, line_titles=titles)

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
        """Indices of the frames of a sheet: 16, 9 or 4, fewer if frames are large; or all."""
        frames, height, width, _ = self.truth.shape
        across = min(max(2, math.isqrt(SHEET_PIXELS // (height * width))), 4)
        places = np.linspace(0, frames - 1, min(frames, across**2))
        return [int(place) for place in places.round()]

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """Draw the sheet of ``evaluate`` with ``scale`` times as many pixels along each side."""
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


def complete_video(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's parameters with those of a built-in sequence filled in, and those of the
    split settled.

    Raises:
        ParameterError: a parameter is out of its range, or is given and has no effect.
    """
    found = settled("video", parameters, VIDEO_USES, get_args(VideoSplit))
    found = {name: value for name, value in found.items() if value is not None}
    video = found.setdefault("video", "pan")
    if min(found.get("frames", 2), found.get("side", 2)) < 2:
        raise ParameterError(
            f"task 'video': frames and side must be at least 2, got {found.get('frames')} and "
            f"{found.get('side')}"
        )
    return {"frames": FRAMES, "side": SIDE, **found} if video in BUILT_IN else found


def sequence(parts: Mapping[str, Any]) -> Pixels:
    """Frames (T, H, W, C) in [0, 1] for ``complete_video`` parameters; C = 1 if grey, else 3.

    Raises:
        DataError: the frames are missing, damaged, too few, too small, of different sizes, or more
            than 2^24 pixels together.
    """
    if (video := parts["video"]) in BUILT_IN:
        count, side = parts["frames"], parts["side"]
        _check_points(video, (count, side, side))
        return _discs(count, side) if video == "discs" else _moved(video, count, side)
    named = _named_frames(video, parts.get("frames"))
    name, first = named[0]
    for other, frame in named:
        if frame.shape[:2] != first.shape[:2]:
            raise DataError(
                f"{video}: frames of different sizes: {name} has {_size(first)} pixels and {other} "
                f"{_size(frame)}; crop or scale them to one size"
            )
    if len(named) < (fewest := parts.get("frames", 2)):
        raise DataError(
            f"{video}: {len(named)} frame{'s'[: len(named) != 1]} where {fewest} are needed; give "
            "a folder of frames or an animation, or ask for fewer"
        )
    frames = [_shrunk(video, with_channels(f, "rgb"), parts.get("side")) for _, f in named]
    _check_points(video, (len(frames), *frames[0].shape[:2]))
    grey = all(np.ptp(frame, axis=2).max() == 0 for frame in frames)
    return np.stack([frame[..., :1] if grey else frame for frame in frames])


def sequence_hash(video: str) -> str:
    """SHA-256 of the SHA-256 digest of a file, or of those of a folder's images in order.

    Raises:
        DataError: there is no such file or folder, or it cannot be read.
    """
    folder = named_folder(video)
    digest = hashlib.sha256()
    for path in [_file(video)] if folder is None else folder_images(folder):
        digest.update(bytes.fromhex(file_hash(path)))
    return digest.hexdigest()


def _file(video: str) -> Path:
    try:
        return locate_image(f"./{video}" if "/" not in video else video)
    except DataError as error:
        hint = did_you_mean(video, BUILT_IN, f"built-in sequences: {', '.join(BUILT_IN)}")
        raise type(error)(f"no sequence {video!r}{hint} ({error})") from None


def _named_frames(video: str, count: int | None) -> list[tuple[str, Pixels]]:
    folder, most = named_folder(video), count or MOST_FRAMES
    if folder is not None:
        return [(path.name, read_pixels(path)) for path in folder_images(folder)[:most]]
    frames = read_frames(_file(video), most)
    return [(f"frame {index}", frame) for index, frame in enumerate(frames, 1)]


def _check_points(video: str, shape: tuple[int, ...]) -> None:
    points = int(np.prod(shape))
    if min(shape) < 2 or points > MOST_POINTS:
        raise DataError(
            f"{video}: {' × '.join(map(str, (shape[0], *shape[:0:-1])))} (frames × width × height) "
            f"where at least 2 each and at most {MOST_POINTS:,} pixels together are taken; give "
            "another side, or fewer frames"
        )


def _size(frame: Pixels) -> str:
    return f"{frame.shape[1]} × {frame.shape[0]}"


def _shrunk(video: str, frame: Pixels, side: int | None) -> Pixels:
    height, width = frame.shape[:2]
    if side is None or side == max(height, width):
        return frame
    if side > max(height, width):
        raise DataError(
            f"{video}: side={side} is more than its frames have ({width} × {height}), and they "
            "are not enlarged; give less, or leave it out"
        )
    size = [max(1, round(n * side / max(height, width))) for n in (width, height)]
    return np.clip(resampled(frame, *size), 0, 1)  # the filter overshoots at sharp edges


def _moved(video: str, count: int, side: int) -> Pixels:
    """Frames of a window that moves over a photograph, shrunk to about a frame's resolution."""
    photograph = read_pixels(locate_image(PHOTOGRAPH))
    source = _shrunk(video, photograph, min(2 * side, max(photograph.shape[:2])))
    time = (np.arange(count) + 0.5) / count - 0.5
    offset = (np.arange(side) + 0.5) / side - 0.5  # of pixels from the centre, in window sides
    frames = []
    for t in time:
        size = 0.5 - 0.3 * (t + 0.5) if video == "zoom" else 0.5
        angle = np.pi / 2 * t if video == "rotation" else 0.0
        y, x = np.meshgrid(size * offset, size * offset, indexing="ij")
        across = 0.5 + np.cos(angle) * x - np.sin(angle) * y + (0.4 * t if video == "pan" else 0)
        down = 0.5 + np.sin(angle) * x + np.cos(angle) * y
        at = [down * len(source) - 0.5, across * source.shape[1] - 0.5]
        bands = [map_coordinates(source[..., c], at, order=1, mode="nearest") for c in range(3)]
        frames.append(np.stack(bands, axis=-1))
    return np.stack(frames)


def _discs(count: int, side: int) -> Pixels:
    """Coloured discs on grey that cross the picture in straight lines, later ones in front."""
    rng = np.random.default_rng(DISC_SEED)
    start, end = rng.uniform(0.1, 0.9, (2, DISCS, 2))
    radius, colour = rng.uniform(0.08, 0.2, DISCS), rng.random((DISCS, 3))
    y, x = np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2, indexing="ij")
    frames = np.empty((count, side, side, 3), np.float32)
    for index in range(count):
        frame = np.full((side, side, 3), 0.5)
        places = start + (end - start) * (index + 0.5) / count
        for (across, down), size, paint in zip(places, radius, colour, strict=True):
            # an edge as wide as a pixel
            inside = (size - np.hypot(x - across, y - down)) * side + 0.5
            cover = np.clip(inside, 0, 1)[..., None]
            frame = frame * (1 - cover) + paint * cover
        frames[index] = frame
    return frames


def frame_sheet(frames: NDArray[Any]) -> NDArray[Any]:
    """Arrange (n, H, W, …) row by row, in as many rows as columns or one fewer; the rest is 0."""
    across = math.ceil(math.sqrt(len(frames)))
    empty = [np.zeros_like(frames[0])] * (-len(frames) % across)
    each = [*frames, *empty]
    rows = [np.concatenate(each[i : i + across], axis=1) for i in range(0, len(each), across)]
    return np.concatenate(rows)
