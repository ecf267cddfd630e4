"""A page described once, as a tree of blocks; renderers draw the tree and decide nothing.

    Page
    └── blocks: Heading, Text, Table, Figure, Pictures, PictureTable, Fold, Section
                                                                       │      └── a task or category
                                                                       └── folded until asked for

Text is a subset of CommonMark: paragraphs, lists, `code`, **strong**, *emphasis*, links and fenced
blocks of code. Whatever comes from a record or a plug-in has passed through ``format.code``,
``format.plain`` or ``format.code_block``, so that it can never become markup. Everything else here
is plain text or numbers, which each renderer escapes in its own way.
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
    """The heading of a part of the page; no two are alike."""

    text: str


@dataclass(frozen=True)
class Text:
    """Paragraphs in the subset of CommonMark above."""

    markdown: str
    kind: Literal["text", "note", "warning", "verdict"] = "text"
    first: bool = True  # False: about columns that are not shown first


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    """Short and stable, such as "psnr": the key in permalinks and the header in CSV."""
    title: str  # as printed, with its unit: "PSNR [dB] ↑"
    kind: Literal["number", "text", "code"] = "number"  # code: a label, in a fixed font
    help: str = ""  # one sentence
    first: bool = True  # shown before a reader asks for more columns


@dataclass(frozen=True)
class Value:
    """One value of a table: what is printed, and the number or text that it is sorted by."""

    text: str
    sort: float | str | None = None
    """None: the printed text; in a column of numbers a missing value, which comes last."""
    emphasis: str = ""
    """How the text starts, set in italics; in a column of labels the text is then no code."""


@dataclass(frozen=True)
class Row:
    """A row: a value per column, and what else is known of it."""

    values: Sequence[Value]
    entry: str | None = None
    """The leaderboard entry that the row is about; its series elsewhere carry the same one."""
    statuses: Mapping[str, int] = field(default_factory=dict)  # {"ok": 2, "diverged": 1}
    details: Callable[[], Sequence[Block]] = tuple
    """Builds what the HTML page shows when the row is opened."""


@dataclass(frozen=True)
class Table:
    """A table; every row has a value for every column."""

    name: str  # short and stable, such as "standings"
    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str = ""  # names the table where no heading above it does, plain text


def shown_first(table: Table) -> list[bool]:
    """Of each column whether it is shown before a reader asks for more: the status, too, where a
    cell did not finish."""
    failed = any(set(row.statuses) - {"ok"} for row in table.rows)
    return [column.first or (failed and column.name == "status") for column in table.columns]


@dataclass(frozen=True)
class Axis:
    """An axis of a panel."""

    title: str
    scale: Literal["linear", "log"] = "linear"
    limits: tuple[float, float] | None = None  # what is shown at first; None: what the data need
    ticks: tuple[tuple[float, str], ...] = ()  # places that are marked, each with its text


@dataclass(frozen=True)
class Series:
    """One line, or one set of points."""

    entry: str
    """Decides colour and marker, and what a click on the legend hides; "" is drawn in grey."""
    x: np.ndarray  # (n,)
    y: np.ndarray  # (n,)
    kind: Literal["line", "steps", "points", "area"] = "line"  # a Pareto front is a staircase
    style: Literal["solid", "dashed", "dotted", "thin"] = "solid"
    label: str = ""  # sets it apart from other series of its entry: "start", "seed 3"
    low: np.ndarray | None = None  # (n,) interval of y: a band around a line, bars of points
    high: np.ndarray | None = None  # (n,)
    x_low: np.ndarray | None = None  # (n,)
    x_high: np.ndarray | None = None  # (n,)
    other_x: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Other units of x that a reader can switch to: title of the axis to values (n,)."""
    end: Literal["", "stopped", "cut"] = ""
    """"stopped": training ended early here (×). "cut": values go on below the floor (|)."""
    faint: bool = False  # drawn pale, such as what is dominated
    marks: bool = False  # of a line: each point is marked, with its interval as a bar
    shade: float | None = None
    """Of an area, which lies between low and y and is of no entry: its place, from 0 to 1, on the
    scale of colours of maps; None: grey."""


@dataclass(frozen=True)
class HeatMap:
    """Positive values as colours on a logarithmic scale."""

    x: np.ndarray  # (m + 1,) edges of the columns
    y: np.ndarray  # (n + 1,) edges of the rows
    values: np.ndarray  # (n, m), NaN where there is none
    title: str  # of the scale of colours
    limits: tuple[float, float]  # values of the first and of the last colour


@dataclass(frozen=True)
class Panel:
    """One pair of axes, with series or with a map."""

    x: Axis
    y: Axis
    series: Sequence[Series]
    title: str = ""
    floor: tuple[float, float] | None = None
    """Smallest and largest value of y under which nothing is to be trusted; shaded."""
    heat: HeatMap | None = None
    """In place of series; then all panels of the figure have one, of the same limits."""


@dataclass(frozen=True)
class Figure:
    """Panels side by side; their data are read and computed when first asked for."""

    name: str  # "lines", "spectra", "curves", "bands", "cost": part of a file's name
    title: str  # what is drawn, for readers who do not see it
    caption: str  # in the subset of CommonMark above
    build: Callable[[], Sequence[Panel]] = field(repr=False)
    legend: Mapping[str, str] = field(default_factory=dict)
    """The entries that are named, best first, each with its text. Of others a picture draws points,
    small and grey; the HTML page shows their lines when asked for."""
    styles: Mapping[str, str] = field(default_factory=dict)  # {"dotted": "start", "solid": "end"}

    @cached_property
    def panels(self) -> Sequence[Panel]:
        """The panels; empty where the records hold nothing to draw."""
        return self.build()


@dataclass(frozen=True)
class Tile:
    """One picture of a set."""

    file: Path  # a PNG of a record
    name: str  # "target", "prediction", "error", or what a task calls it
    entry: str | None  # None: the target, which all entries share
    caption: str = ""  # plain text, such as "PSNR 36.17 dB"


def picture_size(file: Path) -> tuple[int, int] | None:
    """Width and height [px]; None where the file is no picture, or half of one."""
    try:
        # Half a file with other bytes behind it decodes to something; its checksums tell.
        with Image.open(file) as image:
            image.verify()
            return image.size
    except (OSError, *UNREADABLE):
        return None


@dataclass(frozen=True)
class Pictures:
    """The target beside what each entry made of it."""

    name: str
    title: str
    caption: str
    tiles: Sequence[Tile]
    rows: str = ""  # what the rows of a contact sheet show, which only a drawn picture has
    differences: bool = True
    """Whether differences of the pictures are errors of the values; else those are drawn that the
    task calls "error"."""


@dataclass(frozen=True)
class Thumbnail:
    """What one entry made of one task, small."""

    text: str  # its value, or how it ended
    file: Path | None = None  # a PNG of a record
    line: np.ndarray | None = None
    """(n, 3): x, prediction and truth of a function of one variable, where there is no file."""
    standing: float = math.nan  # among the entries that finished: 1 the best, 0 the last


@dataclass(frozen=True)
class PictureTable:
    """A row per entry and a column per task, with a small picture each."""

    name: str
    title: str
    caption: str
    columns: Sequence[tuple[str, str]]  # task, metric; plain text
    rows: Sequence[tuple[str, Sequence[Thumbnail | None]]]
    """By entry; "" are the targets. None: not run."""


@dataclass(frozen=True)
class Fold:
    """Blocks folded away under a title."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Section:
    """One task, or a category of tasks that differ in their target alone; the HTML page shows one
    at a time."""

    name: str  # unique on the page, fit for a file name and a permalink
    title: str  # the task's label, plain text
    blocks: Sequence[Block]
    level: int = 2
    targets: Sequence[str] = ()  # names of the sections of a category's targets
    more: Sequence[Block] = ()  # for who wants all of it; Markdown has a page of it


Block = Heading | Text | Table | Figure | Pictures | PictureTable | Fold | Section


def walk(blocks: Sequence[Block]) -> Iterator[Block]:
    """Every block, those inside others after the one that holds them."""
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
    entries: Sequence[str]  # all entries, in the order that gives them their colours
    more: Sequence[Block] = ()  # how to read it; Markdown has a page of it

    @property
    def sections(self) -> list[Section]:
        """Those of all tasks and categories."""
        return [block for block in self.blocks if isinstance(block, Section)]

    @property
    def groups(self) -> list[Section]:
        """Those of categories, and of tasks that are in none."""
        inside = {name for section in self.sections for name in section.targets}
        return [section for section in self.sections if section.name not in inside]
