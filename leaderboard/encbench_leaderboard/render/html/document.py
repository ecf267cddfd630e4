"""A page as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, assert_never

import itables.options
import numpy as np
import plotly.offline
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

from encbench.errors import EncbenchError, UsageError
from encbench_leaderboard.render.html.data import (
    Entries,
    cell_html,
    embedded,
    table_options,
    wrapping_code,
)
from encbench_leaderboard.render.html.plots import SHADES, colour_scale, plot_data
from encbench_leaderboard.render.picture_grid import small_picture
from encbench_leaderboard.render.writing import replace_text
from encbench_leaderboard.report.blocks import (
    Block,
    Figure,
    Fold,
    Heading,
    Page,
    Pictures,
    PictureTable,
    Section,
    Table,
    Text,
    Thumbnail,
    picture_size,
    truth_limits,
    walk,
)

EXPORTS = re.compile(r"\bexport\s*\{[^{}]*?(\w+) as default[^{}]*\};?")
FIGURES = 12_000_000
"""Size of figures' data after which no more figures are embedded [characters]."""
PICTURES = 25_000_000
"""Maximum size of all embedded pictures together [characters]."""
OPENED = 1000
"""Maximum number of rows of a page that can be opened to show details."""


def write_html(page: Page, out: Path, *, pictures: bool = True) -> Path:
    """Write a page as an HTML file, and return its path.

    Raises:
        StoreError: arrays damaged since they were checked, or the file cannot be written.
        UsageError: ``out`` is a folder.
    """
    out = Path(out)
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file, for example {out}/leaderboard.html")
    replace_text(out, html_page(page, pictures=pictures))
    return out


def html_page(page: Page, *, pictures: bool = True) -> str:
    """Return the page as HTML, with the records' pictures if ``pictures``."""
    body = Body(page, pictures=pictures)
    style = _own("style.css") + body.entries.style()
    scripts = [datatables_js(), f'"use strict";\n{_own("figures.js")}{_own("page.js")}']
    # Plotly writes a style sheet for geographic maps, which are not drawn here, unless elements
    # with these ids exist; the page's policy would refuse it with a message on the console.
    reserved = sorted(set(re.findall(r'getElementById\("([0-9a-f]{64})"\)', plotly_js())))
    template = environment().get_template("page.html.j2")
    return template.render(
        title=page.title,
        # Plotly adds rules to empty style sheets.
        style_hashes=[_hash(style), _hash("")],
        script_hashes=[_hash(script) for script in (*scripts, plotly_js())],
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        # Run by the page's script when the first figure is scrolled to.
        plotly=Markup(plotly_js()),
        reserved=reserved,
        body=body,
        uris=embedded([picture.uri for picture in body.pictures.values()]),
    )


@cache
def datatables_js() -> str:
    """DataTables with its extensions as a classic script that defines ``DataTable``.

    itables ships an ES module, which an offline page could only import from a URL.
    """
    module = Path(itables.options.dt_bundle).read_text(encoding="utf-8")
    source, found = EXPORTS.subn(r"globalThis.DataTable = \1;", module)
    if found != 1:
        raise EncbenchError(
            "the DataTables bundle of the installed itables has no default export; "
            "install the version that constraints.txt names"
        )
    return _inlined(f'(() => {{\n"use strict";\n{source}\n}})();\n')


@cache
def plotly_js() -> str:
    """Plotly as a classic script that defines ``Plotly``."""
    return _inlined(str(plotly.offline.get_plotlyjs()))


def _inlined(script: str) -> str:
    """Escape a script so that an HTML parser sees neither a comment nor an end tag in it."""
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", script, flags=re.IGNORECASE)


@cache
def _own(name: str) -> str:
    """Read a file of this package that is part of every page."""
    return (files("encbench_leaderboard.render.html") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return a source of the Content Security Policy that allows exactly this text."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@cache
def environment() -> Environment:
    """The templates of this folder."""
    made = Environment(
        loader=PackageLoader("encbench_leaderboard", "render/html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"prose": to_html, "label": wrapping_code, "embedded": embedded}
    return made


@cache
def _parser() -> MarkdownIt:
    # Raw HTML becomes text. The parser refuses links to javascript: and data:.
    made = MarkdownIt("commonmark", {"html": False}).disable(["image", "autolink"])
    made.add_render_rule("code_inline", _inline_code)
    return made


def _inline_code(_: RendererHTML, tokens: Sequence[Token], place: int, *__: object) -> str:
    # ``format.code`` escapes pipes, as in a table
    return wrapping_code(tokens[place].content.replace(r"\|", "|"))


# Sentences recur from row to row of a table.
@lru_cache(maxsize=4096)
def to_html(markdown: str) -> Markup:
    """Render paragraphs, lists, code, emphasis and links; everything else is escaped."""
    return Markup(_parser().render(markdown))


class Picture(NamedTuple):
    """An embedded picture."""

    number: int
    uri: str
    width: int
    height: int


def embed(blocks: Sequence[Pictures], limit: int = PICTURES) -> dict[Path, Picture]:
    """Return PNG files of a page's pictures as data: URIs, at most ``limit`` characters in all.

    The first tiles of all blocks come before the second ones, so that every task shows its best
    entries if there is no room for everything. Damaged files are left out.
    """
    turns = zip_longest(*(block.tiles for block in blocks))
    found: dict[Path, Picture] = {}
    for file in dict.fromkeys(tile.file for turn in turns for tile in turn if tile):
        size = picture_size(file)
        uri = _data_uri("png", file.read_bytes()) if size else ""
        if size and len(uri) <= limit:
            limit -= len(uri)
            found[file] = Picture(len(found), uri, *size)
    return found


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


class Body:
    """The blocks of a page between its header and its scripts."""

    def __init__(self, page: Page, *, pictures: bool = True) -> None:
        blocks = [*page.blocks, *page.more]
        found = list(walk(blocks))
        self.entries = Entries(page.entries)
        self.sections = {section.name: section for section in page.sections}
        rows = [row for block in found if isinstance(block, Table) for row in block.rows]
        self.statuses = list(dict.fromkeys(status for row in rows for status in row.statuses))
        tiled = [block for block in found if isinstance(block, Pictures)]
        self.pictures = embed(tiled if pictures else [])
        self.headings = [block.text for block in blocks if isinstance(block, Heading)]
        self._without = not pictures
        self._left = FIGURES
        self._closed = OPENED
        self._macros: Any = environment().get_template("blocks.html.j2").module
        self.html = self._blocks(blocks)

    def _blocks(self, blocks: Sequence[Block]) -> Markup:
        parts = []
        for drawn, group in groupby(blocks, lambda b: isinstance(b, Figure | Pictures)):
            made = Markup("\n").join(self._block(block) for block in group)
            parts.append(Markup('<div class="cards">{}</div>').format(made) if drawn else made)
        return Markup("\n").join(parts)

    def _block(self, block: Block) -> Markup:
        match block:
            case Heading():
                number = self.headings.index(block.text) + 1
                heading = Markup('<h2 id="part-{}" tabindex="-1">{}</h2>')
                return heading.format(number, block.text)
            case Text():
                prose = Markup('<div class="prose {}">{}</div>')
                return prose.format(block.kind, to_html(block.markdown))
            case Table():
                return self._table(block)
            case Figure():
                return self._figure(block)
            case Pictures():
                return self._side_by_side(block)
            case PictureTable():
                return self._picture_table(block)
            case Fold():
                fold = Markup("<details><summary>{}</summary>{}</details>")
                return fold.format(block.title, self._blocks(block.blocks))
            case Section():
                targets = [self.sections[name] for name in block.targets if name in self.sections]
                inner = self._blocks([*block.blocks, *block.more])
                return Markup(self._macros.section(block, inner, targets))
        assert_never(block)

    def _table(self, table: Table) -> Markup:
        details = [
            "".join(map(self._in_row, row.details())) if place < self._closed else ""
            for place, row in enumerate(table.rows)
        ]
        openable = any(details)
        closed = len(table.rows) - self._closed if openable else 0
        self._closed -= len(table.rows) if openable else 0
        options = table_options(table, self.entries, openable=openable)
        made = Markup(self._macros.table(table, options, details if openable else None))
        if closed > 0:
            note = f"The last {closed:,} rows do not open: only {OPENED:,} rows of this page do."
            made += Markup('<div class="prose note">{}</div>').format(note)
        return made

    def _in_row(self, block: Block) -> Markup:
        """Return a block of an opened row; its tables cannot be sorted."""
        if not isinstance(block, Table):
            return self._block(block)
        rows = [
            [
                (column, cell_html(column, value, row, self.entries))
                for column, value in zip(block.columns, row.values, strict=True)
            ]
            for row in block.rows
        ]
        return Markup(self._macros.plain_table(block, rows))

    def _figure(self, figure: Figure) -> Markup:
        # Data are not even read if there is no room left for them.
        if self._left <= 0:
            return Markup(self._macros.figure(figure, "", {}, [], [], []))
        if not figure.panels:
            return Markup("")
        data = embedded(plot_data(figure, self.entries))
        self._left -= len(data)
        first = figure.panels[0]
        series = [s for panel in figure.panels for s in panel.series]
        choices = {
            "unit": [first.x.title, *dict.fromkeys(u for s in series for u in s.other_x)],
            "x": list(dict.fromkeys([first.x.scale, "linear", "log"])),
            "y": list(dict.fromkeys([first.y.scale, "linear", "log"])),
        }
        if {s.entry for s in series if s.kind != "points"} - {"", *figure.legend}:
            choices["lines"] = [f"of the best {len(figure.legend)}", "all"]
        present = {s.entry for s in series}
        legend = [
            (self.entries.number(entry), entry, *text.partition("\n")[::2])
            for entry, text in figure.legend.items()
            if entry in present
        ]
        areas = any(s.kind == "area" for s in series)
        common = () if areas else dict.fromkeys(s.label for s in series if not s.entry)
        scale = colour_scale(first.heat) if first.heat else SHADES if areas else []
        return Markup(self._macros.figure(figure, data, choices, legend, common, scale))

    def _side_by_side(self, block: Pictures) -> Markup:
        tiles = [
            (tile, self.pictures[tile.file]) for tile in block.tiles if tile.file in self.pictures
        ]
        note = ""
        if self._without:
            note = "This file was made without pictures."
        elif lost := len(block.tiles) - len(tiles):
            note = (
                f"{lost:,} of {len(block.tiles):,} pictures are left out: damaged, or beyond the "
                f"{PICTURES / 1e6:.0f} MB that this file holds."
            )
        return Markup(self._macros.pictures(block, tiles, note))

    def _picture_table(self, block: PictureTable) -> Markup:
        rows = [
            (entry, self.entries.number(entry) if entry else 0, [self._thumbnail(o) for o in row])
            for entry, row in block.rows
        ]
        return Markup(self._macros.picture_table(block, rows))

    def _thumbnail(self, one: Thumbnail | None) -> dict[str, Any]:
        """Return what the template shows: text, shade from 0 to 5, and a picture's URI or the
        points of two curves in a square of side 100."""
        shown: dict[str, Any] = {"text": one.text if one else "", "uri": "", "curves": []}
        shown["shade"] = 1 + round(4 * one.standing) if one and one.standing >= 0 else 0
        if one is None or self._without:
            return shown
        if one.line is not None:
            x, y = one.line[:, :1], one.line[:, 1:]
            low, high = truth_limits(one.line[:, 2]) or (0.0, 1.0)
            across = 100 * (x - x.min()) / (np.ptp(x) or 1.0)
            down = 100 - 100 * (np.clip(y, low, high) - low) / (high - low)
            shown["curves"] = [
                " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across[:, 0], d, strict=True))
                for d in down.T
                if np.isfinite(d).all()
            ]
        elif (small := small_picture(one)) is not None:
            buffer = io.BytesIO()
            small.save(buffer, "WEBP", quality=85)
            shown["uri"] = _data_uri("webp", buffer.getvalue())
        return shown
