"""A page as Markdown for GitHub and other forges, with its pictures in a folder beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from encbench.errors import UsageError
from encbench_leaderboard.render.pictures import chosen, draw
from encbench_leaderboard.render.writing import replace_text, writing
from encbench_leaderboard.report.blocks import (
    Block,
    Column,
    Figure,
    Fold,
    Heading,
    Page,
    Pictures,
    Row,
    Section,
    Table,
    Text,
    Value,
)
from encbench_leaderboard.report.format import MISSING, code, plain, plural

Links = Mapping[tuple[str, str], str]
"""(section, figure) to the link of its picture."""

OPEN_ROWS = 20
"""Rows of a table that are shown at once; the others are folded."""
ROWS = 200
"""Rows of a table, for forges refuse much larger pages; of entries that did not finish a quarter as
many more."""
OPEN_TARGETS = 4
"""Targets of a category up to which each has an open section with all its tables."""
TARGETS = 100
"""Targets of a category that have a section."""


def write_markdown(
    page: Page,
    out: Path,
    *,
    pictures: bool = True,
    all_pictures: bool = False,
    formats: Sequence[str] = (),
) -> Path:
    """Write a page, and its pictures into a folder of its name without the suffix.

    Args:
        page: what is drawn.
        out: the Markdown file, which is returned.
        pictures: draw pictures and link to them.
        all_pictures: those of every section, also where there are many.
        formats: "svg" or "pdf", of pictures that are drawn beside the PNG that the page shows.

    Raises:
        StoreError: it cannot be written.
        UsageError: ``out`` has no suffix, so its pictures' folder would take its name; or there
            is no such format.
    """
    if out.suffix == "":
        raise UsageError(f"{out} has no suffix, expected a Markdown file, for example {out}.md")
    links: Links = {}
    left_out = 0
    with writing(out):
        if pictures:
            wanted = tuple(dict.fromkeys(("png", *formats)))
            links = draw(page, out.with_suffix(""), formats=wanted, every=all_pictures)
            sections = sum(isinstance(block, Section) for block in page.blocks)
            left_out = sections - len(chosen(page, every=all_pictures))
        replace_text(out, markdown(page, links, left_out))
    return out


def markdown(page: Page, links: Links, left_out: int = 0) -> str:
    """The page as text. A figure without a link to its picture is left out; ``left_out``: sections
    whose pictures were not drawn because there are many."""
    parts = [f"# {plain(page.title)}"]
    if left_out:
        parts.append(
            f"Pictures of {plural(left_out, 'task')} are left out because there are many; "
            "`encbench leaderboard DIR --all-pictures` draws all."
        )
    folded: set[str] = set()
    hidden: set[str] = set()
    for block in page.blocks:
        if isinstance(block, Section):
            if len(block.targets) > OPEN_TARGETS:
                folded |= set(block.targets[:TARGETS])
                hidden |= set(block.targets[TARGETS:])
            if block.name in folded:
                parts.append(_folded_section(block, links))
            elif block.name not in hidden:
                parts.append(f"{'#' * block.level} {code(block.title)}")
                parts += _parts(block.blocks, links, block)
        else:
            parts += _parts([block], links, None)
    if hidden:
        parts.append(f"{plural(len(hidden), 'more target')} have no section here.")
    return "\n\n".join(parts) + "\n"


def _folded_section(section: Section, links: Links) -> str:
    """A section of many: without its further tables, which would be hundreds on the page."""
    blocks = [block for block in section.blocks if not isinstance(block, Fold)]
    # A code span is not read inside the tag.
    return _details(plain(section.title), "\n\n".join(_parts(blocks, links, section)))


def _parts(blocks: Sequence[Block], links: Links, section: Section | None) -> list[str]:
    """Paragraphs, tables and folds of blocks, of a section or of none."""
    parts = []
    for block in blocks:
        match block:
            case Heading():
                parts.append(f"## {plain(block.text)}")
            case Text():
                parts.append(block.markdown)
            case Table():
                parts.append(markdown_table(block))
            case Figure() | Pictures():
                link = links.get((section.name, block.name)) if section else None
                if section and link:
                    title = f"{plain(section.title)}: {plain(block.title)}"
                    rows = f" {block.rows}" if isinstance(block, Pictures) and block.rows else ""
                    parts.append(f"![{title}]({link})\n\n*{block.caption}{rows}*")
            case Fold():
                body = "\n\n".join(_parts(block.blocks, links, section))
                parts.append(_details(plain(block.title), body))
            case Section():
                raise TypeError("a section stands in the page itself, not inside another block")
    return parts


def _details(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def markdown_table(table: Table) -> str:
    """A table; its rows after the first are folded if there are many, and the last left out."""
    kept = _kept(table.rows)
    if len(kept) <= OPEN_ROWS + 5:
        return _rows(table.columns, kept)
    rest = _rows(table.columns, kept[OPEN_ROWS:])
    parts = [
        _rows(table.columns, kept[:OPEN_ROWS]),
        _details(f"{len(kept) - OPEN_ROWS:,} more rows", rest),
    ]
    if left := len(table.rows) - len(kept):
        parts.append(f"{left:,} of {plural(len(table.rows), 'row')} are not shown.")
    return "\n\n".join(parts)


def _kept(rows: Sequence[Row]) -> list[Row]:
    failed = [row for row in rows if row.statuses and "ok" not in row.statuses]
    hidden = {id(row) for row in failed[ROWS // 4 :]}
    places = {id(row) for row in failed}
    hidden |= {id(row) for row in [row for row in rows if id(row) not in places][ROWS:]}
    return [row for row in rows if id(row) not in hidden]


def _rows(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    kinds = [column.kind for column in columns]
    text: str = tabulate(
        [
            [_value(value, kind) for value, kind in zip(row.values, kinds, strict=True)]
            for row in rows
        ],
        headers=[_cell(column.title) for column in columns],
        tablefmt="pipe",
        colalign=["right" if kind == "number" else "left" for kind in kinds],
        disable_numparse=True,
    )
    return text


def _value(value: Value, kind: str) -> str:
    if value.emphasis:
        rest = value.text.removeprefix(value.emphasis)
        return f"*{_cell(value.emphasis)}*{_cell(rest)}"
    return code(value.text) if kind == "code" and value.text != MISSING else _cell(value.text)


def _cell(text: str) -> str:
    """Text of a cell; "< 0.001", "PSNR [dB]" and "1.2 [0.8, 1.6]", no markup, stay readable."""
    safe = re.sub(r"^&lt; (?=\d)", "< ", plain(text))
    return re.sub(r"\\\[([^\[\]\\]*)\\\](?=$|[; ])", r"[\1]", safe)
