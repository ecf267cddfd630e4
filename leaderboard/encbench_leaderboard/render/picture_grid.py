"""Pictures in grids: under titles, as a contact sheet, and as a table of small ones."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle
from PIL import Image
from scipy.ndimage import uniform_filter

from encbench.cli.console import label_lines
from encbench.results.record_folder import UNREADABLE
from encbench_leaderboard.render.style import WIDTH, figure, legends
from encbench_leaderboard.report.blocks import Pictures, PictureTable, Thumbnail, truth_limits

COLUMNS = 4
TITLE_POINTS = 8.5
GAP = 0.05
"""Gap between pictures [inch]."""
LEGEND = 0.35
"""Height of the legend's line [inch]."""
BAR = 0.55
"""Height of the colour bar with its numbers and label [inch]."""
FRAME = "#ff2fd6"
"""A magenta that occurs neither in photographs nor in the colour maps."""
SHEET = 11
"""Maximum number of predictions on a sheet: with the target, three rows of four. If the data
trained on are another picture, it takes the place of one."""
ERROR_MAP = "magma"
DPI = 140
LABELS = 1.5
"""Width of the column of names [inch]."""
SIDE = 160
"""Maximum length of a thumbnail's longer side [px]."""
PAD, TEXT = 0.05, 0.16
"""Gap between thumbnails, and height of the line of text below each [inch]."""
POINTS = 7.0
COLOUR = "#0072b2"
"""Colour of learned curves, and of the shade behind values; true curves are grey."""


@dataclass(frozen=True)
class Shown:
    """One picture."""

    title: str
    pixels: np.ndarray  # (H, W), or (H, W, 3)
    looks: dict[str, Any] = field(default_factory=dict)  # keywords of ``imshow``
    frame: tuple[float, float, float, float] | None = None  # left, top, width, height [px]


def stacked(rows: Sequence[Sequence[Shown | None]], columns: int) -> list[Shown | None]:
    """Arrange rows whose pictures belong together by position in a grid of so many columns: the
    first pictures of each row below one another, then the next ones."""
    made: list[Shown | None] = []
    for start in range(0, len(rows[0]), columns):
        for row in rows:
            part = row[start : start + columns]
            made += [*part, *[None] * (columns - len(part))]
    return made


def picture_grid(
    pictures: Sequence[Shown | None],
    legend: Sequence[Patch] = (),
    columns: int = COLUMNS,
    bar: str = "",
    page: float = WIDTH,
) -> Drawing:
    """Draw rows of pictures. Call this inside ``style.quiet()``.

    Args:
        pictures: row by row; None leaves a place free.
        legend: what colours mean, in a line below the pictures.
        columns: maximum number of columns.
        bar: label of a colour bar below the pictures, for the colour map that all of them share.
        page: width of the drawing [inch].
    """
    columns = min(columns, len(pictures))
    width = page / columns
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [(_title_height(row), width * _ratio(row)) for row in rows]
    total = sum(map(sum, heights)) + (LEGEND if legend else 0.0) + (BAR if bar else 0.0)
    drawn = figure(total, width=page, layout=None)
    top = total
    for row, (title, height) in zip(rows, heights, strict=True):
        top -= title + height
        for column, picture in enumerate(row):
            if picture is not None:
                left, bottom = column * width + GAP / 2, top + GAP / 2
                axes = drawn.add_axes(
                    (left / page, bottom / total, (width - GAP) / page, (height - GAP) / total)
                )
                _show(axes, picture)
    if bar:
        at = drawn.add_axes((0.3, 0.75 * BAR / total, 0.4, 0.15 * BAR / total))
        drawn.colorbar(drawn.axes[0].images[0], at, orientation="horizontal", label=bar)
    if legend:
        drawn.legend(handles=list(legend), loc="lower center", ncols=len(legend))
    return drawn


def _title_height(row: Sequence[Shown | None]) -> float:
    """Height of the titles above a row [inch]."""
    lines = max(p.title.count("\n") + 1 if p and p.title else 0 for p in row)
    return lines * TITLE_POINTS * 1.3 / 72 + (0.14 if lines else 0.0)


def _ratio(row: Sequence[Shown | None]) -> float:
    """Height of a row over the width of a column; at least 0.15, to keep a row of nodes visible."""
    return max(min(max(p.pixels.shape[0] / p.pixels.shape[1], 0.15), 2.0) if p else 0 for p in row)


def _show(axes: Axes, picture: Shown) -> None:
    axes.set_axis_off()
    thin = picture.pixels.shape[0] < 0.1 * picture.pixels.shape[1]
    axes.imshow(picture.pixels, aspect="auto" if thin else "equal", **picture.looks)
    axes.set_anchor("N")
    # names made by ``legends`` are escaped already
    title = re.sub(r"(?<!\\)\$", r"\\$", picture.title)
    axes.set_title(title, fontsize=TITLE_POINTS, pad=4)
    if picture.frame is not None:
        left, top, *size = picture.frame
        # a frame around the whole picture loses its outer half
        line = 3.2 if tuple(size) == picture.pixels.shape[1::-1] else 1.6
        corner = left - 0.5, top - 0.5
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=FRAME, linewidth=line))


def contact_sheet(block: Pictures) -> Drawing | None:
    """Draw three rows for every few encodings: pictures, crops and errors; None without pictures.
    Errors are the absolute difference of the 8-bit pictures, averaged over colour channels, on one
    square-root scale up to the largest 99.5th percentile; or the task's own error pictures if
    differences of colours mean nothing. Call this inside ``style.quiet()``."""
    shared = {tile.name: _read(tile.file) for tile in block.tiles if tile.entry is None}
    tiles = {tile.entry: tile for tile in block.tiles if tile.entry and tile.name == "prediction"}
    if not shared or not tiles:
        return None
    target = next(iter(shared.values()))
    # a measurement of another shape, such as a sinogram, cannot be compared pixel by pixel
    first = {name: picture for name, picture in shared.items() if picture.shape == target.shape}
    most = SHEET + 1 - len(first)
    pictures = {entry: _read(tile.file) for entry, tile in list(tiles.items())[:most]}
    crop = busiest_crop(target)
    if block.differences:
        errors = {entry: np.abs(p - target).mean(axis=2) for entry, p in pictures.items()}
    else:
        own = {tile.entry: tile for tile in block.tiles if tile.name == "error"}
        errors = {entry: _read(own[entry].file) for entry in pictures if entry in own}
    # At least one step of 8-bit pictures, or perfect fits would show rounding as error.
    top = max([1 / 255, *(float(np.percentile(error, 99.5)) for error in errors.values())])
    norm = PowerNorm(0.5, vmin=0.0, vmax=top)

    items = len(first) + len(pictures)
    columns = _columns(items)
    names = legends(list(pictures), 134 // max(columns, 3), 3)
    smooth: dict[str, Any] = {"interpolation": "antialiased"}
    sharp = {"interpolation": "nearest"}
    wholes = [Shown("target\n", target, smooth, (crop.left, crop.top, crop.width, crop.height))]
    windows = [Shown("", crop.of(target), sharp, (0, 0, crop.width, crop.height))]
    # the target has no error: its place is white and holds the colour bar of the others
    maps: list[Shown | None] = [Shown("", np.ones_like(target))]
    for picture in list(first.values())[1:]:
        wholes.append(Shown("trained on\n", picture, smooth))
        windows.append(Shown("", crop.of(picture), sharp))
        maps.append(None)
    for entry, pixels in pictures.items():
        wholes.append(Shown(f"{names[entry]}\n{tiles[entry].caption}", pixels, smooth))
        windows.append(Shown("", crop.of(pixels), sharp))
        # ignored for RGB pictures
        looks = smooth | {"cmap": ERROR_MAP, "norm": norm}
        maps.append(Shown("", errors[entry], looks) if entry in errors else None)
    page = WIDTH * min(columns, 3) / 3  # two columns as wide as if there were three
    drawn = picture_grid(stacked([wholes, windows, maps], columns), columns=columns, page=page)
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
        """Cut the window out of pixels (H, W, …)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def busiest_crop(picture: np.ndarray) -> Crop:
    """Return the window of a picture (H, W, 3) in [0, 1] with the largest variance of grey values;
    its sides are a quarter of the picture's, at least 8 pixels."""
    grey = picture.mean(axis=2, dtype=np.float64)
    window = height, width = [min(n, max(8, round(n / 4))) for n in grey.shape]
    # Centred first, so that the running sums of squares lose no digits to the mean.
    grey -= grey.mean()
    sizes = zip(window, grey.shape, strict=True)
    inside = tuple(slice(n // 2, n // 2 + size - n + 1) for n, size in sizes)
    mean, square = (uniform_filter(v, window)[inside] for v in (grey, grey**2))
    top, left = np.unravel_index(int(np.argmax(square - mean**2)), mean.shape)
    return Crop(int(top), int(left), height, width)


def _read(path: Path) -> np.ndarray:
    """Read pixels (H, W, 3) in [0, 1]; transparency is over white."""
    with Image.open(path) as image:
        rgba = np.asarray(image.convert("RGBA"), dtype=np.float64) / 255
    colour: np.ndarray = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:])
    return colour


def _columns(items: int) -> int:
    """Number of columns, up to 5, that leaves the fewest places empty."""
    if items <= 5:
        return items
    return min((4, 5, 3), key=lambda columns: -items % columns)


def _colour_bar(drawn: Drawing, slot: Axes, norm: PowerNorm, top: float) -> None:
    inset = slot.inset_axes((0.06, 0.55, 0.86, 0.1))
    bar = drawn.colorbar(
        ScalarMappable(norm, ERROR_MAP), cax=inset, orientation="horizontal", extend="max"
    )
    ticks = [0.0, top / 16, top / 4, top]
    bar.set_ticks(ticks, labels=["0", *(f"{tick:.2g}" for tick in ticks[1:])])
    bar.ax.set_title("absolute error\n(data range 1,\nsquare-root scale)", fontsize=TITLE_POINTS)


def small_picture(one: Thumbnail) -> Image.Image | None:
    """A thumbnail's picture, its longer side at most ``SIDE``; None if it cannot be read."""
    if one.file is None:
        return None
    try:
        with Image.open(one.file) as image:
            small = image.convert("RGB")
    except (OSError, *UNREADABLE):
        return None
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return small


def picture_table(block: PictureTable) -> Drawing | None:
    """Draw a row per entry and a column per task. Call this inside ``style.quiet()``."""
    columns = len(block.columns)
    cell = (WIDTH - LABELS) / columns
    height = min(cell, 0.85)
    heads = []
    for task, metric in block.columns:
        heads.append("\n".join([*label_lines(task, max(8, int(cell * 14))), metric]))
    head = 0.13 * max(text.count("\n") + 1 for text in heads) + 0.1
    total = head + (height + TEXT) * len(block.rows)
    drawn = figure(total, dpi=140, layout=None)
    names = legends([entry for entry, _ in block.rows], 20, 3)
    inches = drawn.dpi_scale_trans
    centred: dict[str, Any] = {"ha": "center", "fontsize": POINTS, "transform": inches}
    middles = [LABELS + (place + 0.5) * cell for place in range(columns)]
    for x, text in zip(middles, heads, strict=True):
        drawn.text(x, total - head + 0.08, _literal(text), va="bottom", **centred)
    for number, (entry, thumbnails) in enumerate(block.rows):
        bottom = total - head - number * (height + TEXT) - height
        label = names[entry] if entry else "target"
        drawn.text(0.05, bottom + height / 2, label, va="center", fontsize=8, transform=inches)
        for x, one in zip(middles, thumbnails, strict=True):
            if one is None:
                continue
            left, width = x - (cell - PAD) / 2, cell - PAD
            box = left / WIDTH, bottom / total, width / WIDTH, (height - PAD) / total
            _draw(drawn, box, one)
            shade = 0.0 if math.isnan(one.standing) else 0.35 * one.standing
            ground = {"facecolor": (0.0, 0.45, 0.7, shade), "edgecolor": "none", "pad": 1.5}
            text = _literal(one.text) if entry else ""
            drawn.text(x, bottom - TEXT / 2, text, va="center", bbox=ground, **centred)
    return drawn


def _draw(drawn: Drawing, box: tuple[float, float, float, float], one: Thumbnail) -> None:
    axes = drawn.add_axes(box)
    axes.set_axis_off()
    if one.line is not None:
        x, made, truth = one.line.T
        axes.plot(x, truth, color="#999999", linewidth=1.2)
        axes.plot(x, made, color=COLOUR, linewidth=0.7)
        axes.set_ylim(truth_limits(truth) or (0.0, 1.0))
    elif (small := small_picture(one)) is not None:
        axes.imshow(np.asarray(small), interpolation="nearest")


def _literal(text: str) -> str:
    return text.replace("$", r"\$")
