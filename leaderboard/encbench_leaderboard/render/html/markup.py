"""A page's blocks as HTML elements, in each of which lies the data that the script draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any, assert_never

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from encbench_leaderboard.render.html.album import LIMIT, Album
from encbench_leaderboard.render.html.data import Entries, embedded, wrapping_code
from encbench_leaderboard.render.html.datatables import cell_html, table_options
from encbench_leaderboard.render.html.plots import plot_data
from encbench_leaderboard.render.html.prose import to_html
from encbench_leaderboard.report.blocks import (
    Block,
    Figure,
    Fold,
    Heading,
    Page,
    Pictures,
    Section,
    Table,
    Text,
)
from encbench_leaderboard.report.format import plural

FIGURES = 12_000_000
"""Characters of figures' data after which no more are embedded."""


@cache
def environment() -> Environment:
    """The templates of this folder."""
    return Environment(
        loader=PackageLoader("encbench_leaderboard", "render/html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class Body:
    """The blocks of a page between its header and its scripts."""

    def __init__(self, page: Page, *, pictures: bool = True) -> None:
        found = list(_walk(page.blocks))
        self.entries = Entries(page.entries)
        self.sections = {block.name: block for block in found if isinstance(block, Section)}
        rows = [row for block in found if isinstance(block, Table) for row in block.rows]
        self.statuses = list(dict.fromkeys(status for row in rows for status in row.statuses))
        tiled = [block for block in found if isinstance(block, Pictures)]
        self.album = Album(tiled, LIMIT if pictures else 0)
        self.headings: list[tuple[str, str]] = []
        """Id and text of the headings outside sections, for the navigation."""
        self._pictures = pictures
        self._title = page.title
        self._left = FIGURES
        self._inside = 0
        self._macros: Any = environment().get_template("blocks.html.j2").module
        self.html = self._blocks(page.blocks)

    def _blocks(self, blocks: Sequence[Block]) -> Markup:
        parts = []
        for drawn, group in groupby(blocks, lambda b: isinstance(b, Figure | Pictures)):
            made = Markup("\n").join(self._block(block) for block in group)
            parts.append(Markup('<div class="cards">{}</div>').format(made) if drawn else made)
        return Markup("\n").join(parts)

    def _block(self, block: Block) -> Markup:
        match block:
            case Heading():
                return self._heading(block)
            case Text():
                prose = Markup('<div class="prose {}">{}</div>')
                return prose.format(block.kind, to_html(block.markdown))
            case Table():
                return self._table(block)
            case Figure():
                return self._figure(block)
            case Pictures():
                return self._side_by_side(block)
            case Fold():
                fold = Markup("<details><summary>{}</summary>{}</details>")
                return fold.format(block.title, self._blocks(block.blocks))
            case Section():
                return self._section(block)
        assert_never(block)

    def _heading(self, heading: Heading) -> Markup:
        if heading.level == 1 and heading.text == self._title:  # the header says it
            return Markup("")
        name = Markup("")
        if heading.level == 2 and not self._inside:
            self.headings.append((f"part-{len(self.headings) + 1}", heading.text))
            name = Markup(' id="{}" tabindex="-1"').format(self.headings[-1][0])
        return Markup("<h{0}{1}>{2}</h{0}>").format(heading.level, name, heading.text)

    def _section(self, section: Section) -> Markup:
        self._inside += 1
        inner = self._blocks(section.blocks)
        self._inside -= 1
        link = Markup('<button type="button" class="link" data-task="{}">{}</button>')
        links = [
            link.format(name, wrapping_code(self.sections[name].title))
            for name in section.targets
            if name in self.sections
        ]
        if links:
            fold = Markup('<details class="targets"><summary>{}</summary>{}</details>')
            inner = fold.format(plural(len(links), "target"), Markup("\n").join(links)) + inner
        return Markup(
            '<section class="task" data-name="{}" data-title="{}" aria-label="{}" tabindex="-1"'
            " hidden>\n<h{level}>{}</h{level}>\n{}\n</section>"
        ).format(
            section.name,
            section.title,
            section.title,
            wrapping_code(section.title),
            inner,
            level=section.level,
        )

    def _table(self, table: Table) -> Markup:
        details = ["".join(map(self._in_row, row.details)) for row in table.rows]
        openable = any(details)
        options = embedded(table_options(table, self.entries, openable=openable))
        return Markup(self._macros.table(table, options, embedded(details) if openable else ""))

    def _in_row(self, block: Block) -> Markup:
        """A block of an opened row: tables as they are, without sorting."""
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
        caption = to_html(figure.caption)
        # Not even read where there is no room left for it.
        if self._left <= 0:
            return Markup(self._macros.figure(figure, "", False, {}, [], [], caption))
        panels = figure.panels
        if not panels:
            return Markup("")
        data = embedded(plot_data(figure, self.entries))
        self._left -= len(data)
        series = [s for panel in panels for s in panel.series]
        present = {s.entry for s in series}
        choices = {
            "unit": [panels[0].x.title, *dict.fromkeys(u for s in series for u in s.other_x)],
            "x": [panels[0].x.scale, "log" if panels[0].x.scale == "linear" else "linear"],
            "y": [panels[0].y.scale, "log" if panels[0].y.scale == "linear" else "linear"],
        }
        if {s.entry for s in series if s.kind != "points"} - {"", *figure.legend}:
            choices["lines"] = [f"of the best {len(figure.legend)}", "all"]
        legend = [
            (self.entries.number(entry), entry, *text.partition("\n")[::2])
            for entry, text in figure.legend.items()
            if entry in present
        ]
        common = list(dict.fromkeys(s.label for s in series if not s.entry))
        wide = len(panels) > 1
        return Markup(self._macros.figure(figure, data, wide, choices, legend, common, caption))

    def _side_by_side(self, block: Pictures) -> Markup:
        found = [(tile, self.album.of(tile)) for tile in block.tiles]
        tiles = [
            {
                "label": f"{tile.name}: {tile.entry}" if tile.entry else tile.name,
                "caption": tile.caption,
                "picture": at[0],
                "size": at[1],
            }
            for tile, at in found
            if at is not None
        ]
        note = "" if self._pictures else "This file was made without pictures."
        lost = len(found) - len(tiles)
        if self._pictures and lost:
            note = f"{lost:,} of {len(found):,} pictures are left out: damaged, or beyond the "
            note += f"{LIMIT / 1e6:.0f} MB that this file holds."
        return Markup(self._macros.pictures(block, tiles, note, to_html(block.caption)))


def _walk(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold | Section):
            yield from _walk(block.blocks)
