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

from encbench.records import StoredRecord
from encbench_leaderboard.format import fixed
from encbench_leaderboard.plots.selection import best_entries
from encbench_leaderboard.style import WIDTH, figure, wrapped
from encbench_leaderboard.table import TaskBoard

__all__ = ["Crop", "busiest_crop", "draw_contact_sheet"]

ERROR_MAP = "magma"
MARK = "#ff2fd6"
"""A magenta that neither photographs nor the error map hold."""


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
    """Pixels (H, W, 3) in [0, 1]; transparency over white."""
    with Image.open(path) as image:
        rgba = np.asarray(image.convert("RGBA"), dtype=np.float64) / 255
    colour: np.ndarray = rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:])
    return colour


def _usable(stored: StoredRecord) -> bool:
    return (
        stored.record.status == "ok"
        and stored.picture("target") is not None
        and stored.picture("prediction") is not None
    )


def draw_contact_sheet(task: TaskBoard) -> Figure | None:
    """Blocks of columns, a column an encoding: its picture, the crop, the absolute error.

    The error is the mean over colour channels of the 8-bit pictures' difference; all maps
    share one scale, square-root, up to the 99.5th percentile over the encodings shown.
    """
    entries = {
        entry: records[0] for entry, records in best_entries(task, _usable, shown=11).items()
    }
    if not entries:
        return None
    first = next(iter(entries.values()))
    target = _read(_path(first, "target"))
    pictures = {entry: _read(_path(stored, "prediction")) for entry, stored in entries.items()}
    pictures = {entry: p for entry, p in pictures.items() if p.shape == target.shape}
    if not pictures:
        return None
    errors = {entry: np.abs(p - target).mean(axis=2) for entry, p in pictures.items()}
    top = max(float(np.percentile(e, 99.5)) for e in errors.values())
    # One step of the 8-bit pictures at least, or perfect fits would show rounding as error.
    top = max(top, 1 / 255)
    norm = PowerNorm(0.5, vmin=0.0, vmax=top)
    crop = busiest_crop(target)

    columns = _columns(len(pictures) + 1)
    blocks = -(-(len(pictures) + 1) // columns)
    titles = {entry: _title(task, entry, int(150 / columns)) for entry in pictures}
    lines = max(title.count("\n") + 1 for title in titles.values())
    aspect = min(max(target.shape[0] / target.shape[1], 0.25), 2.0)
    cell = WIDTH / columns * 0.97
    drawn = figure(blocks * (3 * cell * aspect + 0.165 * lines + 0.3))
    drawn.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    grid = drawn.subplots(3 * blocks, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, entry in enumerate([None, *pictures]):
        block, column = divmod(place, columns)
        slots: list[Axes] = list(grid[3 * block : 3 * block + 3, column])
        picture = target if entry is None else pictures[entry]
        slots[0].imshow(picture, interpolation="antialiased")
        slots[1].imshow(crop.of(picture), interpolation="nearest")
        if entry is None:
            slots[0].set_title("target\n", fontsize=8.5, fontweight="bold")
            slots[0].add_patch(
                Rectangle(
                    (crop.left - 0.5, crop.top - 0.5),
                    crop.width,
                    crop.height,
                    fill=False,
                    edgecolor=MARK,
                    linewidth=1.6,
                )
            )
            _frame(slots[1], crop)
            _colour_bar(drawn, slots[2], norm, top)
        else:
            slots[0].set_title(titles[entry], fontsize=8.5)
            slots[2].imshow(errors[entry], cmap=ERROR_MAP, norm=norm, interpolation="antialiased")
    return drawn


def _path(stored: StoredRecord, name: str) -> Path:
    path = stored.picture(name)
    assert path is not None, "only records with both pictures are drawn"
    return path


def _columns(items: int) -> int:
    """Three to five columns (fewer for fewer items), with the fewest places left empty."""
    if items <= 5:
        return max(items, 2)
    return min((4, 5, 3), key=lambda columns: -items % columns)


def _title(task: TaskBoard, entry: str, width: int) -> str:
    row = task.standings[task.standings["entry"] == entry].iloc[0]
    numbers = []
    for metric in task.metrics[:2]:
        value = row[f"metric:{metric.name}"]
        if value == value:
            digits = 1 if metric.unit == "dB" else 3
            numbers.append(" ".join(filter(None, [fixed(value, digits), metric.unit])))
    return f"{wrapped(entry, width, 2)}\n{' / '.join(numbers)}"


def _frame(axes: Axes, crop: Crop) -> None:
    axes.add_patch(
        Rectangle(
            (-0.5, -0.5),
            crop.width,
            crop.height,
            fill=False,
            edgecolor=MARK,
            linewidth=2.4,
        )
    )


def _colour_bar(drawn: Figure, slot: Axes, norm: PowerNorm, top: float) -> None:
    """The scale of the error maps, in the place where the target has no error to show."""
    inset = slot.inset_axes((0.06, 0.55, 0.88, 0.1))
    bar = drawn.colorbar(
        ScalarMappable(norm, ERROR_MAP), cax=inset, orientation="horizontal", extend="max"
    )
    ticks = [0.0, top / 16, top / 4, top]
    bar.set_ticks(ticks, labels=["0", *(f"{tick:.2g}" for tick in ticks[1:])])
    bar.set_label("absolute error (data range 1)")
