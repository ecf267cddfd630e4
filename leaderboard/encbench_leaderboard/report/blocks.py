"""Describe a page as a tree of blocks; renderers draw the tree and decide nothing.

    Page
    └── blocks: Heading, Text, Table, Figure, Pictures, PictureTable, Fold, Section
                                                                       │      └── a task or category
                                                                       └── folded until asked for

Text is a subset of CommonMark: paragraphs, lists, `code`, **strong**, *emphasis*, links and fenced
blocks of code. Text from a record or a plug-in has passed through ``format.code``,
``format.plain`` or ``format.code_block``, so that it cannot become markup. Everything else is plain
text or numbers, which each renderer escapes in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from encbench.results.record_folder import UNREADABLE


@dataclass(frozen=True)
class Heading:
    """The heading of a part of the page; headings are unique."""

    text: str


@dataclass(frozen=True)
class Text:
    """Paragraphs in the subset of CommonMark above."""

    markdown: str
    kind: Literal["text", "note", "warning", "verdict"] = "text"
    first: bool = True  # False: the text is about columns that are hidden at first


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    """Short and stable, such as "psnr": the key in permalinks and the header in CSV."""
    title: str  # as printed, with unit: "PSNR [dB] ↑"
    kind: Literal["number", "text", "code"] = "number"  # code: a label, in a monospaced font
    help: str = ""  # one sentence
    first: bool = True  # whether the column is shown before a reader asks for more


@dataclass(frozen=True)
class Value:
    """One value of a table: the printed text, and the number or text by which it is sorted."""

    text: str
    sort: float | str | None = None
    """None: sorted by the text, or in a column of numbers as a missing value, which is last."""
    emphasis: str = ""
    """Prefix of the text set in italics; in a column of labels, the text is then not code."""
    number: float | None = None
    """In a column of numbers, the number that files show; NaN for none. None: ``sort``."""

    @property
    def exported(self) -> float | None:
        """The number that a file shows in a column of numbers; None if there is none."""
        found = self.sort if self.number is None else self.number
        return None if found is None or isinstance(found, str) or math.isnan(found) else found


@dataclass(frozen=True)
class Row:
    """A row of a table: a value per column, and what belongs to the whole row."""

    values: Sequence[Value]
    entry: str | None = None
    """The leaderboard entry of the row; its series in figures have the same name."""
    statuses: Mapping[str, int] = field(default_factory=dict)  # {"ok": 2, "diverged": 1}
    details: Callable[[], Sequence[Block]] = tuple
    """Builds the blocks that the HTML page shows when the row is opened."""


@dataclass(frozen=True)
class Table:
    """A table; every row has a value for every column."""

    name: str  # short and stable, such as "standings"
    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str = ""  # plain text; needed if no heading above names the table


def shown_first(table: Table) -> list[bool]:
    """Whether each column is shown before a reader asks for more; the status column is shown if a
    cell did not finish."""
    failed = any(set(row.statuses) - {"ok"} for row in table.rows)
    return [column.first or (failed and column.name == "status") for column in table.columns]


@dataclass(frozen=True)
class Axis:
    """An axis of a panel."""

    title: str
    scale: Literal["linear", "log"] = "linear"
    limits: tuple[float, float] | None = None  # initial range; None: that of the data
    ticks: tuple[tuple[float, str], ...] = ()  # positions and labels; empty: automatic


Style = Literal["solid", "dashed", "dotted", "thin"]


@dataclass(frozen=True)
class Series:
    """One line, or one set of points."""

    entry: str
    """Determines colour, marker and legend item; "" is drawn in grey."""
    x: np.ndarray  # (n,)
    y: np.ndarray  # (n,)
    kind: Literal["line", "steps", "points", "area"] = "line"  # steps: such as a Pareto front
    style: Style = "solid"
    label: str = ""  # distinguishes series of the same entry: "start", "seed 3"
    low: np.ndarray | None = None  # (n,) interval of y: a band of a line, error bars of points
    high: np.ndarray | None = None  # (n,)
    x_low: np.ndarray | None = None  # (n,)
    x_high: np.ndarray | None = None  # (n,)
    other_x: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Other choices of x that a reader can switch to: values (n,) by axis title."""
    end: Literal["", "stopped", "cut"] = ""
    """"stopped": training ended early here (×). "cut": values continue below the floor (|)."""
    faint: bool = False  # drawn pale, such as dominated points
    marks: bool = False  # whether each point of a line has a marker and an error bar
    shade: float | None = None
    """Colour of an area (between low and y, without an entry) on the colour scale of maps, from 0
    to 1; None: grey."""


@dataclass(frozen=True)
class HeatMap:
    """Positive values as colours on a logarithmic scale."""

    x: np.ndarray  # (m + 1,) edges of the columns
    y: np.ndarray  # (n + 1,) edges of the rows
    values: np.ndarray  # (n, m), NaN if missing
    title: str  # title of the colour scale
    limits: tuple[float, float]  # values of the first and last colour


@dataclass(frozen=True)
class Panel:
    """One pair of axes, with series or a heat map."""

    x: Axis
    y: Axis
    series: Sequence[Series]
    title: str = ""
    floor: tuple[float, float] | None = None
    """Smallest and largest floor, below which y is not reliable; shaded."""
    heat: HeatMap | None = None
    """Shown instead of series; then all panels of the figure have one, with the same limits."""


@dataclass(frozen=True)
class Figure:
    """Panels side by side; their data are read and computed on first access."""

    name: str  # "lines", "spectra", "curves", "bands", "cost": part of a file name
    title: str  # alternative text
    caption: str  # in the subset of CommonMark above
    build: Callable[[], Sequence[Panel]] = field(repr=False)
    legend: Mapping[str, str] = field(default_factory=dict)
    """Text of each named entry, best first. Of other entries, a picture draws only points, small
    and grey; the HTML page shows their lines on request."""
    styles: Mapping[str, str] = field(default_factory=dict)  # {"dotted": "start", "solid": "end"}

    @cached_property
    def panels(self) -> Sequence[Panel]:
        """The panels; empty if the records hold nothing to draw."""
        return self.build()


@dataclass(frozen=True)
class Tile:
    """One picture of a set."""

    file: Path  # a PNG of a record
    name: str  # "target", "prediction", "error", or a task's own name for it
    entry: str | None  # None: the target, which all entries share
    caption: str = ""  # plain text, such as "PSNR 36.17 dB"


def truth_limits(truth: np.ndarray) -> tuple[float, float] | None:
    """Limits of y of a learned function: the range of the true values (n,) plus a quarter on each
    side; None if none is finite."""
    known = truth[np.isfinite(truth)]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    margin = 0.25 * (high - low) or 0.25 * abs(high) or 1.0
    return low - margin, high + margin


def picture_size(file: Path) -> tuple[int, int] | None:
    """Width and height [px]; None if the file is not a complete picture."""
    try:
        # a damaged file may still decode to something; ``verify`` tests its checksums
        with Image.open(file) as image:
            image.verify()
            return image.size
    except (OSError, *UNREADABLE):
        return None


@dataclass(frozen=True)
class Pictures:
    """The target and the pictures of each entry."""

    name: str
    title: str
    caption: str
    tiles: Sequence[Tile]
    rows: str = ""  # describes the rows of a contact sheet, which only a drawn picture has
    differences: bool = True
    """Whether differences between the pictures are errors of the values; if not, the task's own
    pictures named "error" are shown."""


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of one entry's result on one task."""

    text: str  # value, or status if it did not finish
    file: Path | None = None  # a PNG of a record
    line: np.ndarray | None = None
    """(n, 3): x, prediction and truth of a function of one variable, if there is no file."""
    standing: float = math.nan  # among the finished entries: 1 for the best, 0 for the last


@dataclass(frozen=True)
class PictureTable:
    """A row per entry and a column per task, with a small picture each."""

    name: str
    title: str
    caption: str
    columns: Sequence[tuple[str, str]]  # task, metric; plain text
    rows: Sequence[tuple[str, Sequence[Thumbnail | None]]]
    """Rows by entry; "" for the targets. None: not run."""


@dataclass(frozen=True)
class Fold:
    """Blocks that are collapsed under a title."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Section:
    """One task, or a category of tasks that differ only in their target; the HTML page shows one at
    a time."""

    name: str  # unique on the page, usable as a file name and in a permalink
    title: str  # the task's label, plain text
    blocks: Sequence[Block]
    level: int = 2
    targets: Sequence[str] = ()  # names of the sections of a category's targets
    more: Sequence[Block] = ()  # further details; a separate page in Markdown


Block = Heading | Text | Table | Figure | Pictures | PictureTable | Fold | Section


def walk(blocks: Sequence[Block]) -> Iterator[Block]:
    """Iterate over all blocks; nested blocks follow the block that contains them."""
    for block in blocks:
        yield block
        if isinstance(block, Fold | Section):
            yield from walk(block.blocks)
        if isinstance(block, Section):
            yield from walk(block.more)


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    blocks: Sequence[Block]
    entries: Sequence[str]  # all entries, in the order that assigns colours
    more: Sequence[Block] = ()  # how to read the page; a separate page in Markdown
    about: str = ""  # the suites' own descriptions

    @property
    def sections(self) -> list[Section]:
        """Sections of all tasks and categories."""
        return [block for block in self.blocks if isinstance(block, Section)]

    @property
    def groups(self) -> list[Section]:
        """Sections of categories, and of tasks that are in none."""
        inside = {name for section in self.sections for name in section.targets}
        return [section for section in self.sections if section.name not in inside]
