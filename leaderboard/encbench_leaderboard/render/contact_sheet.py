"""The target beside what each encoding made of it: whole, magnified, and where it errs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from scipy.ndimage import uniform_filter

from encbench_leaderboard.render.style import WIDTH, figure, legends
from encbench_leaderboard.report.blocks import Pictures

SHEET = 11
"""Predictions on a sheet: with the target three rows of four. What was trained on, where that is
another picture, takes the place of one."""

ERROR_MAP = "magma"
TITLE_POINTS = 8.5
GAP = 0.05
"""Inches between pictures."""
MARK = "#ff2fd6"
"""A magenta that neither photographs nor the error map hold."""


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
    titles = {entry: f"{names[entry]}\n{tiles[entry].caption}" for entry in pictures}
    lines = max(title.count("\n") + 1 for title in titles.values())
    drawn, slots = _slots(columns, items, target.shape, lines)
    for name, shown, (overview, magnified, error) in zip(
        [*first, *pictures], [*first.values(), *pictures.values()], slots, strict=True
    ):
        overview.imshow(shown, interpolation="antialiased")
        magnified.imshow(crop.of(shown), interpolation="nearest")
        if shown is target:
            overview.set_title("target\n", fontsize=TITLE_POINTS, fontweight="bold")
            _mark(overview, (crop.left, crop.top), crop, 1.6)
            _mark(magnified, (0, 0), crop, 3.2)
            if block.differences:
                _colour_bar(drawn, error, norm, top)
        elif any(shown is picture for picture in first.values()):
            overview.set_title("trained on\n", fontsize=TITLE_POINTS, fontweight="bold")
        else:
            overview.set_title(titles[name], fontsize=TITLE_POINTS)
            if name in errors:  # of colours, the map is not used
                error.imshow(errors[name], cmap=ERROR_MAP, norm=norm, interpolation="antialiased")
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


def _slots(
    columns: int, items: int, shape: tuple[int, ...], title_lines: int
) -> tuple[Figure, list[tuple[Axes, Axes, Axes]]]:
    """A sheet, and for each item its axes for the whole, the crop and the error. A panorama or a
    tower would leave slivers: a slot is at most twice as high as wide."""
    width = WIDTH / columns
    height = width * min(2.0, shape[0] / shape[1])
    title = title_lines * TITLE_POINTS * 1.3 / 72 + 0.14
    blocks = math.ceil(items / columns)
    total = blocks * (title + 3 * height)
    drawn = figure(total, dpi=140, layout=None)
    found = []
    for item in range(items):
        block, column = divmod(item, columns)
        rows = [
            drawn.add_axes(
                (
                    (column * width + GAP / 2) / WIDTH,
                    1 - (block * (title + 3 * height) + title + (row + 1) * height) / total,
                    (width - GAP) / WIDTH,
                    (height - GAP) / total,
                )
            )
            for row in range(3)
        ]
        for axes in rows:
            axes.set_axis_off()
        found.append((rows[0], rows[1], rows[2]))
    return drawn, found


def _columns(items: int) -> int:
    """Three to five columns, with the fewest places left empty."""
    if items <= 5:
        return max(items, 3)
    return min((4, 5, 3), key=lambda columns: -items % columns)


def _mark(axes: Axes, corner: tuple[int, int], crop: Crop, width: float) -> None:
    """Frame the crop, its upper left pixel at that corner (x, y)."""
    axes.add_patch(
        Rectangle(
            (corner[0] - 0.5, corner[1] - 0.5),
            crop.width,
            crop.height,
            fill=False,
            edgecolor=MARK,
            linewidth=width,
        )
    )


def _colour_bar(drawn: Figure, slot: Axes, norm: PowerNorm, top: float) -> None:
    """The scale of the error maps, in the place where the target has no error to show."""
    inset = slot.inset_axes((0.06, 0.55, 0.86, 0.1))
    bar = drawn.colorbar(
        ScalarMappable(norm, ERROR_MAP), cax=inset, orientation="horizontal", extend="max"
    )
    ticks = [0.0, top / 16, top / 4, top]
    bar.set_ticks(ticks, labels=["0", *(f"{tick:.2g}" for tick in ticks[1:])])
    bar.ax.set_title("absolute error\n(data range 1)", fontsize=TITLE_POINTS)
