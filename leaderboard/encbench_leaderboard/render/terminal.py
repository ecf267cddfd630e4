"""What ``encbench leaderboard`` prints: the standings and notes of each task and category."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from markdown_it import MarkdownIt
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table as RichTable
from rich.text import Text as RichText

from encbench.errors import plural
from encbench_leaderboard.report.blocks import Block, Page, Table, Text, Value, shown_first

NAME_WIDTH = 20
"""Minimum width of a column of encodings' names, which are broken into lines [characters]."""

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
    """Return a table with as many columns as fit into ``width`` characters: always those of
    ``shown_first``, with intervals on a line of their own if there is no room; then any of the
    others that fit, in their order."""
    shown = RichTable(title=RichText(table.title), title_justify="left", box=SIMPLE_HEAD)
    shown.pad_edge, shown.padding = False, (0, 1, 0, 0)
    kept = shown_first(table)
    taken = sum(_width(table, place) for place in range(len(kept)) if kept[place])
    narrow = taken > width
    for place, keep in enumerate(kept):
        if not keep and taken + _width(table, place) <= width:
            taken += _width(table, place)
            kept[place] = True
    columns = [column for column, keep in zip(table.columns, kept, strict=True) if keep]
    for column in columns:
        title = _broken(column.title, narrow)
        if column.kind == "number":
            shown.add_column(title, justify="right", no_wrap=True)
        else:
            least = NAME_WIDTH if column.kind == "code" else len(column.title)
            shown.add_column(title, overflow="fold", min_width=least)
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
    return RichText.assemble((value.emphasis, "italic"), re.sub(r",(?=\S)", ", ", rest))


def _width(table: Table, place: int) -> int:
    """Width of a column [characters]; a text can wrap, so at most twice the minimum of a name."""
    column = table.columns[place]
    longest = max(len(text) for text in [column.title, *(r.values[place].text for r in table.rows)])
    if column.kind == "code":
        longest = max(longest, NAME_WIDTH)
    return 2 + (longest if column.kind == "number" else min(longest, 2 * NAME_WIDTH))


def _broken(text: str, narrow: bool) -> RichText:
    """If ``narrow``, break "41.01 [37.24, 45.44]" and "PSNR [dB]" before the bracket, "41.01 ± 0.5"
    before the sign, "30.1 → 31.2" before the arrow."""
    return RichText(re.sub(r" (?=[\[±→])", "\n", text) if narrow else text)
