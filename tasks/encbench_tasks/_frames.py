"""Short image sequences: from files, and built-in ones made on the spot."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from encbench import DataError, ParameterError
from encbench.errors import did_you_mean
from encbench_tasks._image_files import folder_images, locate_image, named_folder
from encbench_tasks._pixels import Pixels, read_frames, read_pixels
from encbench_tasks._split import VIDEO_USES, VideoSplit, settled

BUILT_IN = ("pan", "zoom", "rotation", "discs")
PHOTOGRAPH = "astronaut"
FRAMES, SIDE = 16, 64
"""Of built-in sequences, unless given."""
DISCS, DISC_SEED = 6, 0
MOST_FRAMES = 10_000
MOST_POINTS = 1 << 24
"""Coordinates alone take 24 bytes each."""


def complete_video(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the task with those of a built-in sequence filled in, and those of its split
    settled.

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
    """(T, H, W, C) in [0, 1] of ``complete_video`` parameters; C = 1 of grey frames, else 3.

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
    frames = [_shrunk(video, _opaque(frame), parts.get("side")) for _, frame in named]
    _check_points(video, (len(frames), *frames[0].shape[:2]))
    grey = all(np.ptp(frame, axis=2).max() == 0 for frame in frames)
    shape = (*frames[0].shape[:2], 3)
    return np.stack([f[..., :1] if grey else np.broadcast_to(f, shape) for f in frames])


def sequence_hash(video: str) -> str:
    """SHA-256 of the bytes of a file, or of those of a folder's images one after the other.

    Raises:
        DataError: there is no such file or folder, or it cannot be read.
    """
    folder = named_folder(video)
    digest = hashlib.sha256()
    for path in [_file(video)] if folder is None else folder_images(folder):
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _file(video: str) -> Path:
    try:
        return locate_image(f"./{video}" if "/" not in video else video)
    except DataError as error:
        hint = did_you_mean(video, BUILT_IN, f"built-in sequences: {', '.join(BUILT_IN)}")
        raise DataError(f"no sequence {video!r}{hint} ({error})") from None


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


def _opaque(frame: Pixels) -> Pixels:
    """Over white, where there is alpha."""
    if frame.shape[2] in (1, 3):
        return frame
    alpha = frame[..., -1:]
    return np.asarray(frame[..., :-1] * alpha + (1 - alpha), np.float32)


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
    bands = [
        np.asarray(Image.fromarray(band).resize(size, Image.Resampling.LANCZOS))
        for band in np.ascontiguousarray(np.moveaxis(frame, 2, 0))
    ]
    # the filter overshoots at sharp edges
    return np.asarray(np.clip(np.stack(bands, axis=2), 0, 1), np.float32)


def _moved(video: str, count: int, side: int) -> Pixels:
    """A window that moves over a photograph, of as many of its pixels across as a frame has."""
    photograph = read_pixels(locate_image(PHOTOGRAPH))
    source = _shrunk(video, photograph, min(2 * side, max(photograph.shape[:2])))
    time = (np.arange(count) + 0.5) / count - 0.5
    offset = (np.arange(side) + 0.5) / side - 0.5  # of a pixel from the centre, in windows
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
    """(n, H, W, …) side by side, row by row, as many rows as columns or one fewer; the rest 0."""
    across = math.ceil(math.sqrt(len(frames)))
    empty = [np.zeros_like(frames[0])] * (-len(frames) % across)
    each = [*frames, *empty]
    rows = [np.concatenate(each[i : i + across], axis=1) for i in range(0, len(each), across)]
    return np.concatenate(rows)
