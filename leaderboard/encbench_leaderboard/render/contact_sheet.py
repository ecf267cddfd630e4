"""The target beside what each encoding made of it: whole, magnified, and where it errs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import uniform_filter

from encbench_leaderboard.render.picture_grid import TITLE_POINTS, Shown, picture_grid, stacked
from encbench_leaderboard.render.style import legends
from encbench_leaderboard.report.blocks import Pictures

SHEET = 11
"""Predictions on a sheet: with the target three rows of four. What was trained on, where that is
another picture, takes the place of one."""

ERROR_MAP = "magma"
DPI = 140


def contact_sheet(block: Pictures) -> Figure | None:
    """Three rows for every few encodings: their pictures, the crops, the errors: those pictures of
    the task, where differences of colours mean nothing, or else absolute ones. The latter
    is the mean over colour channels of the 8-bit pictures' difference; all maps share one scale,
    square-root, up to the 99.5th percentile. To be called inside ``style.quiet()``."""
    shared = {tile.name: _read(tile.file) for tile in block.tiles if tile.entry is None}
    tiles = {tile.entry: tile for tile in block.tiles if tile.entry and tile.name == "prediction"}
    if not shared or not tiles:
        return None
    target = next(iter(shared.values()))
    # a measurement of another kind, such as a sinogram, has no pixels beside the target's
    first = {name: picture for name, picture in shared.items() if picture.shape == target.shape}
    most = SHEET + 1 - len(first)
    pictures = {entry: _read(tile.file) for entry, tile in list(tiles.items())[:most]}
    crop = busiest_crop(target)
    if block.differences:
        errors = {entry: np.abs(p - target).mean(axis=2) for entry, p in pictures.items()}
    else:
        own = {tile.entry: tile for tile in block.tiles if tile.name == "error"}
        errors = {entry: _read(own[entry].file) for entry in pictures if entry in own}
    # One step of the 8-bit pictures at least, or perfect fits would show rounding as error.
    top = max([1 / 255, *(float(np.percentile(error, 99.5)) for error in errors.values())])
    norm = PowerNorm(0.5, vmin=0.0, vmax=top)

    items = len(first) + len(pictures)
    columns = _columns(items)
    names = legends(list(pictures), 134 // columns, 3)
    smooth: dict[str, Any] = {"interpolation": "antialiased"}
    sharp = {"interpolation": "nearest"}
    wholes = [Shown("target\n", target, smooth, (crop.left, crop.top, crop.width, crop.height))]
    windows = [Shown("", crop.of(target), sharp, (0, 0, crop.width, crop.height))]
    # the target has no error to show: white, and on it the scale of the others
    maps: list[Shown | None] = [Shown("", np.ones_like(target))]
    for picture in list(first.values())[1:]:
        wholes.append(Shown("trained on\n", picture, smooth))
        windows.append(Shown("", crop.of(picture), sharp))
        maps.append(None)
    for entry, pixels in pictures.items():
        wholes.append(Shown(f"{names[entry]}\n{tiles[entry].caption}", pixels, smooth))
        windows.append(Shown("", crop.of(pixels), sharp))
        # of colours, the map is not used
        looks = smooth | {"cmap": ERROR_MAP, "norm": norm}
        maps.append(Shown("", errors[entry], looks) if entry in errors else None)
    drawn = picture_grid(stacked([wholes, windows, maps], columns), columns=columns)
    drawn.set_dpi(DPI)
    for axes in drawn.axes[: len(first)]:
        axes.title.set_fontweight("bold")
    if block.differences:
        _colour_bar(drawn, drawn.axes[2 * min(columns, len(wholes))], norm, top)
    return drawn


@dataclass(frozen=True)
class Crop:
    """A window of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The window's own pixels, from pixels (H, W, …)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def busiest_crop(picture: np.ndarray, part: float = 0.25) -> Crop:
    """Window of a picture (H, W, 3) in [0, 1] whose grey values vary most; its sides are the given
    part of the picture's, at least 8 pixels."""
    grey = picture.mean(axis=2, dtype=np.float64)
    height, width = (min(n, max(8, round(n * part))) for n in grey.shape)
    # Centred first, so that the running sums of squares lose no digits to the mean.
    grey = grey - grey.mean()
    inside = tuple(
        slice(n // 2, n // 2 + size - n + 1)
        for n, size in zip((height, width), grey.shape, strict=True)
    )
    mean, square = (uniform_filter(v, (height, width))[inside] for v in (grey, grey**2))
    top, left = np.unravel_index(int(np.argmax(square - mean**2)), mean.shape)
    return Crop(int(top), int(left), height, width)


def _read(path: Path) -> np.ndarray:
    """Pixels (H, W, 3) in [0, 1], transparency over white."""
    with Image.open(path) as image:
        rgba = np.asarray(image.convert("RGBA"), dtype=np.float64) / 255
    colour: np.ndarray = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:])
    return colour


def _columns(items: int) -> int:
    """Three to five columns, with the fewest places left empty."""
    if items <= 5:
        return max(items, 3)
    return min((4, 5, 3), key=lambda columns: -items % columns)


def _colour_bar(drawn: Figure, slot: Axes, norm: PowerNorm, top: float) -> None:
    """The scale of the error maps."""
    inset = slot.inset_axes((0.06, 0.55, 0.86, 0.1))
    bar = drawn.colorbar(
        ScalarMappable(norm, ERROR_MAP), cax=inset, orientation="horizontal", extend="max"
    )
    ticks = [0.0, top / 16, top / 4, top]
    bar.set_ticks(ticks, labels=["0", *(f"{tick:.2g}" for tick in ticks[1:])])
    bar.ax.set_title("absolute error\n(data range 1)", fontsize=TITLE_POINTS)
