"""What ``encbench leaderboard`` prints: the standings and notes of each task and category."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from markdown_it import MarkdownIt
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table as RichTable
from rich.text import Text as RichText

from encbench.cli.console import Label
from encbench.errors import plural
from encbench_leaderboard.report.blocks import Block, Page, Table, Text, Value, shown_first

ALWAYS = ("rank", "encoding", "status")
"""Columns of standings that are never left out."""
NAME_WIDTH = 20
"""Width to which columns of names, which can be broken into lines, shrink [characters]."""

TOLD = 3
"""Maximum number of verdicts that ``encbench run`` prints."""


def print_standings(page: Page, console: Console, rows: int) -> None:
    """Print the verdict, warnings about the whole page, and the standings of each category and of
    each task that is in no category, at most ``rows`` rows per table."""
    opening = [b for b in page.blocks if isinstance(b, Text) and b.kind in ("verdict", "warning")]
    print_blocks(opening, console)
    # The page has a section for each of a category's forty images; here they are pooled.
    for block in (block for section in page.groups for block in section.blocks):
        if isinstance(block, Table):
            print_blocks([replace(block, rows=block.rows[:rows])], console)
            if (left := len(block.rows) - rows) > 0:
                more = f"{plural(left, 'more row')}: `--rows {len(block.rows)}` prints all"
                console.print(more, style="dim", markup=False, end="\n\n")
        elif isinstance(block, Text) and block.kind == "note" and block.first:
            print_blocks([block], console)


def verdict_lines(page: Page, groups: int) -> list[str]:
    """The verdict of each category and task as plain text; if there are more than ``TOLD``, a line
    that says where they are.

    Args:
        groups: number of categories and of tasks that are in none; the page may show fewer.
    """
    if groups > TOLD:
        return [f"verdicts on {groups:,} tasks: see the page"]
    marked = [b.markdown for b in page.blocks if isinstance(b, Text) and b.kind == "verdict"]
    return [_unmarked(line) for line in "\n".join(marked).splitlines()]


def _unmarked(line: str) -> str:
    """The text that a line of Markdown shows."""
    (inline,) = MarkdownIt("commonmark").parseInline(line)
    return "".join(
        # ``format.code`` escapes pipes, as in a table
        token.content.replace(r"\|", "|") if token.type == "code_inline" else token.content
        for token in inline.children or ()
    )


def print_blocks(blocks: Sequence[Block], console: Console) -> None:
    """Print texts (notes dimmed) and tables in the console's width."""
    for block in blocks:
        if isinstance(block, Text):
            style = "dim" if block.kind == "note" else ""
            console.print(Markdown(block.markdown), style=style, end="\n\n")
        elif isinstance(block, Table):
            console.print(rich_table(block, console.width))


def rich_table(table: Table, width: int) -> RichTable:
    """Return a table with as many columns as fit into ``width`` characters: those of
    ``shown_first``, and any of the others that fit, in their order. If there is no room, intervals
    are on a line of their own, and standings have fewer columns: the last ones go first, but rank,
    encoding, the first metric and the status stay."""
    shown = RichTable(title=RichText(table.title), title_justify="left", box=SIMPLE_HEAD)
    shown.pad_edge, shown.padding = False, (0, 1, 0, 0)
    kept = shown_first(table)

    def taken() -> int:
        return sum(_width(table, place, narrow) for place in compress(range(len(kept)), kept))

    narrow = False
    narrow = taken() > width
    for place in range(len(kept)):
        if not narrow and not kept[place] and taken() + _width(table, place) <= width:
            kept[place] = True
    less = [p for p in compress(range(len(kept)), kept) if table.columns[p].name not in ALWAYS][1:]
    while table.name == "standings" and less and taken() > width:
        kept[less.pop()] = False
    places = list(compress(range(len(kept)), kept))
    columns = [table.columns[place] for place in places]
    # rich would shrink the widest column first, and crop what does not fit then
    room, widths = width - taken(), {}
    for place in reversed([p for p in places if table.columns[p].kind != "number"]):
        least, head = _width(table, place, narrow), len(table.columns[place].title) + 2
        shortest = least if table.columns[place].kind == "code" else min(least, head)
        given = max(shortest, min(_width(table, place), least + room))
        widths[place] = given - 2
        room -= given - least
    for place, column in zip(places, columns, strict=True):
        title = _broken(column.title, narrow)
        if column.kind == "number":
            shown.add_column(title, justify="right", no_wrap=True)
        else:
            shown.add_column(title, overflow="fold", width=widths[place] if narrow else None)
    for row in table.rows:
        values = [value for value, keep in zip(row.values, kept, strict=True) if keep]
        shown.add_row(
            *(
                _label(value)
                if column.kind == "code"
                else _broken(value.text, narrow and column.kind == "number")
                for value, column in zip(values, columns, strict=True)
            )
        )
    return shown


def _label(value: Value) -> RichText:
    rest = value.text.removeprefix(value.emphasis)
    return Label.assemble((value.emphasis, "italic"), rest)


def _width(table: Table, place: int, narrow: bool = False) -> int:
    """Width of a column [characters]; a text can wrap, so at most twice the minimum of a name, and
    if ``narrow`` its longest word. Numbers are then broken as in ``_broken``."""
    kind, texts = table.columns[place].kind, _texts(table, place)
    if kind == "number":
        return 2 + max(len(line) for t in texts for line in _broken(t, narrow).plain.split("\n"))
    longest = max(map(len, texts))
    if not narrow:
        return 2 + min(longest, 2 * NAME_WIDTH)
    return 2 + (min(longest, NAME_WIDTH) if kind == "code" else _longest_word(table, place))


def _longest_word(table: Table, place: int) -> int:
    words = " ".join(_texts(table, place)).split()
    return min(max(map(len, words), default=0), NAME_WIDTH)


def _texts(table: Table, place: int) -> list[str]:
    return [table.columns[place].title, *(row.values[place].text for row in table.rows)]


def _broken(text: str, narrow: bool) -> RichText:
    """If ``narrow``, break "41.01 [37.24, 45.44]" and "PSNR [dB]" before the bracket, "41.01 ± 0.5"
    before the sign, "30.1 → 31.2" before the arrow."""
    return RichText(re.sub(r" (?=[\[±→])", "\n", text) if narrow else text)
