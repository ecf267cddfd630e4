"""The target beside what each encoding made of it: whole, magnified, and where it errs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from encbench_leaderboard.render.style import WIDTH, figure, legends
from encbench_leaderboard.report.blocks import Pictures

SHEET = 11
"""Predictions on a sheet: with the target three rows of four."""

ERROR_MAP = "magma"
TITLE_POINTS = 8.5
GAP = 0.05
"""Inches between pictures."""
MARK = "#ff2fd6"
"""A magenta that neither photographs nor the error map hold."""


def contact_sheet(block: Pictures) -> Figure | None:
    """Blocks of columns, a column an encoding: its picture, the crop, the absolute error.

    The error is the mean over colour channels of the 8-bit pictures' difference; all maps
    share one scale, square-root, up to the 99.5th percentile over the encodings shown.
    To be called inside ``style.quiet()``.
    """
    targets = [tile.file for tile in block.tiles if tile.entry is None]
    tiles = {tile.entry: tile for tile in block.tiles if tile.entry and tile.name == "prediction"}
    pictures = {entry: _read(tile.file) for entry, tile in list(tiles.items())[:SHEET]}
    if not targets or not pictures:
        return None
    target, crop = (whole := _read(targets[0])), busiest_crop(whole)
    errors = {entry: np.abs(p - target).mean(axis=2) for entry, p in pictures.items()}
    # One step of the 8-bit pictures at least, or perfect fits would show rounding as error.
    top = max(1 / 255, *(float(np.percentile(error, 99.5)) for error in errors.values()))
    norm = PowerNorm(0.5, vmin=0.0, vmax=top)

    columns = _columns(len(pictures) + 1)
    names = legends(list(pictures), 134 // columns, 3)
    titles = {entry: f"{names[entry]}\n{tiles[entry].caption}" for entry in pictures}
    lines = max(title.count("\n") + 1 for title in titles.values())
    sheet = _Sheet(columns, len(pictures) + 1, target.shape, lines)
    overview, magnified, scale = (sheet.slot(0, row) for row in range(3))
    overview.set_title("target\n", fontsize=TITLE_POINTS, fontweight="bold")
    overview.imshow(target, interpolation="antialiased", aspect="auto")
    magnified.imshow(crop.of(target), interpolation="nearest", aspect="auto")
    for axes, corner, width in ((overview, (crop.left, crop.top), 1.6), (magnified, (0, 0), 3.2)):
        _mark(axes, corner, crop, width)
    _colour_bar(sheet.figure, scale, norm, top)
    for place, (entry, picture) in enumerate(pictures.items(), 1):
        overview, magnified, error = (sheet.slot(place, row) for row in range(3))
        overview.set_title(titles[entry], fontsize=TITLE_POINTS)
        overview.imshow(picture, interpolation="antialiased", aspect="auto")
        magnified.imshow(crop.of(picture), interpolation="nearest", aspect="auto")
        error.imshow(
            errors[entry], cmap=ERROR_MAP, norm=norm, interpolation="antialiased", aspect="auto"
        )
    return sheet.figure


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
    """Window of a picture (H, W, 3) in [0, 1] whose grey values vary most.

    Its sides are the given part of the picture's, at least 8 pixels. The variance of every
    window comes from running sums over the picture and its square, in float64.
    """
    grey = picture.mean(axis=2, dtype=np.float64)
    height, width = (min(n, max(8, round(n * part))) for n in grey.shape)
    # Centred first: the running sums of squares then lose no digits to the mean.
    grey = grey - grey.mean()
    mean, square = (_window_mean(values, height, width) for values in (grey, grey**2))
    top, left = np.unravel_index(int(np.argmax(square - mean**2)), mean.shape)
    return Crop(int(top), int(left), height, width)


def _window_mean(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mean of every height × width window of values (H, W)."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    sums[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    total = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
        + sums[:-height, :-width]
    )  # fmt: skip
    mean: np.ndarray = total / (height * width)
    return mean


def _read(path: Path) -> np.ndarray:
    """Pixels (H, W, 3) in [0, 1], transparency over white."""
    with Image.open(path) as image:
        rgba = np.asarray(image.convert("RGBA"), dtype=np.float64) / 255
    colour: np.ndarray = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:])
    return colour


class _Sheet:
    """Places on a page, laid out to the inch: three rows a block, a column an item."""

    def __init__(self, columns: int, items: int, shape: tuple[int, ...], title_lines: int) -> None:
        self.columns = columns
        self.width = (WIDTH - GAP * (columns + 1)) / columns
        self.height = self.width * shape[0] / shape[1]
        self.inset = 0.0
        # A panorama or a tower would leave slivers: it gets a slot of its own proportions up
        # to a limit, and is then narrower or lower than its slot.
        if self.height > 2 * self.width:
            self.inset = (self.width - 2 * self.width * shape[1] / shape[0]) / 2
            self.height = 2 * self.width
        self.title = title_lines * TITLE_POINTS * 1.3 / 72 + 0.14
        self.block = self.title + 3 * (self.height + GAP) + GAP
        blocks = -(-items // columns)
        self.total = blocks * self.block
        self.figure = figure(self.total, dpi=140, layout=None)

    def slot(self, item: int, row: int) -> Axes:
        """Axes without frame or ticks for an item's row: 0 whole, 1 crop, 2 error."""
        block, column = divmod(item, self.columns)
        left = GAP + column * (self.width + GAP) + self.inset
        top = block * self.block + self.title + row * (self.height + GAP)
        axes = self.figure.add_axes(
            (
                left / WIDTH,
                1 - (top + self.height) / self.total,
                (self.width - 2 * self.inset) / WIDTH,
                self.height / self.total,
            )
        )
        axes.set_axis_off()
        return axes


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
    bar.ax.set_title("absolute error (data range 1)", fontsize=TITLE_POINTS)
