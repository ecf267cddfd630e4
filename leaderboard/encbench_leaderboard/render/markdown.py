"""A page as Markdown for GitHub and other forges, with its pictures in a folder beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from encbench.errors import plural
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
    PictureTable,
    Row,
    Section,
    Table,
    Text,
    Value,
    shown_first,
)
from encbench_leaderboard.report.format import MISSING, code, link_to, plain

Links = Mapping[tuple[str, str], str]
"""Links to pictures, by (section, figure)."""

OPEN_ROWS = 20
"""Rows of a long table that are shown; the others are folded."""
ROWS = 200
"""Maximum number of rows of a table, since forges refuse much larger pages; plus a quarter as many
for entries that did not finish."""
ABOUT = "about-this-page.md"


def write_markdown(
    page: Page,
    out: Path,
    *,
    pictures: bool = True,
    all_pictures: bool = False,
    small_pictures: bool = False,
    formats: Sequence[str] = (),
) -> Path:
    """Write a page, and beside it a folder with its pictures and a full page per task or category.

    Args:
        page: the page to write.
        out: the Markdown file, which is returned. Its name needs a suffix: the folder has the same
            name without it.
        pictures: draw pictures and link to them.
        all_pictures: draw those of every section, even if there are many.
        small_pictures: a tenth of the bytes, for a repository: WebP instead of PNG, and no
            pictures for the targets of a category.
        formats: "svg" or "pdf"; each picture is drawn in these formats, too.

    Raises:
        StoreError: a file cannot be written.
    """
    links: Links = {}
    left_out = 0
    with writing(out):
        folder = out.with_suffix("")
        folder.mkdir(exist_ok=True)
        if pictures:
            wanted = tuple(dict.fromkeys(("webp" if small_pictures else "png", *formats)))
            links = draw(page, folder, formats=wanted, every=all_pictures, small=small_pictures)
            drawn = len(chosen(page, every=all_pictures))
            left_out = 0 if small_pictures else len(page.sections) - drawn
        texts = markdown(page, links, folder.name, out.name, left_out)
        for name, text in texts.items():
            replace_text(folder / name if name else out, text)
    return out


def write_index(pages: Mapping[Path, Page], out: Path) -> Path:
    """Write one page that summarizes several: title, verdict, a link, and the protocol and
    standings of each category and of each task that is in no category.

    Args:
        pages: by the file that ``write_markdown`` wrote, which is below the folder of ``out``.
        out: the Markdown file, which is returned.

    Raises:
        StoreError: it cannot be written.
    """
    parts = ["# Leaderboard"]
    if asked := [
        f"- **{plain(page.title.removeprefix('Leaderboard: '))}**: {plain(page.about)}"
        for page in pages.values()
        if page.about
    ]:
        parts.append("\n".join(asked))
    for file, page in pages.items():
        parts.append(f"## {plain(page.title.removeprefix('Leaderboard: '))}")
        parts += [b.markdown for b in page.blocks if isinstance(b, Text) and b.kind == "verdict"]
        for section in page.groups:
            kept = [b for b in section.blocks if isinstance(b, Text | Table)]
            parts += [code(section.title), *_parts(kept, {}, section)]
        link = link_to(file.relative_to(out.parent).as_posix())
        parts.append(f"[Pictures, spectra, and each task]({link})")
    replace_text(out, _joined(parts))
    return out


def markdown(page: Page, links: Links, folder: str, main: str, left_out: int = 0) -> dict[str, str]:
    """Return the text of the page, under the name "", and of each page in its folder, by file name.

    Args:
        links: links to pictures; a figure without one is left out.
        folder: name of the folder beside the page.
        main: name of the page's file.
        left_out: number of sections whose pictures were not drawn because there are many.
    """
    sections = {section.name: section for section in page.sections}
    groups = {section.name for section in page.groups}
    parts = [f"# {plain(page.title)}"]
    if left_out:
        parts.append(
            f"Pictures of {plural(left_out, 'task')} are left out because there are many; "
            "`encbench leaderboard DIR --all-pictures` draws all."
        )
    for block in page.blocks:
        if not isinstance(block, Section):
            parts += _parts([block], links, None)
        elif block.name in groups:
            parts.append(f"## {code(block.title)}")
            parts += _parts(block.blocks, links, block)
            parts.append(_pages(block, [sections[name] for name in block.targets], link_to(folder)))
    texts = {f"{name}.md": _own_page(block, links, main) for name, block in sections.items()}
    if page.more:
        texts[ABOUT] = _joined([_back(main), *_parts(page.more, links, None)])
        parts.append(f"[How to read this page, and what it rests on]({link_to(folder)}/{ABOUT})")
    return texts | {"": _joined(parts)}


def _pages(section: Section, targets: Sequence[Section], folder: str) -> str:
    text = f"[All columns, tests, spectra and times]({folder}/{section.name}.md)"
    if targets:
        each = ", ".join(f"[{plain(t.title)}]({folder}/{t.name}.md)" for t in targets)
        text += f". Each target: {each}"
    return f"{text}."


def _own_page(section: Section, links: Links, main: str) -> str:
    """Return the page of a section in the folder, with everything known about it."""
    here = {name: link.rpartition("/")[2] for name, link in links.items()}
    parts = [_back(main), f"# {code(section.title)}"]
    parts += _parts(section.blocks, here, section, every=True)
    for block in section.more:
        if isinstance(block, Fold):
            parts.append(f"## {plain(block.title)}")
            parts += _parts(block.blocks, here, section, every=True)
        else:
            parts += _parts([block], here, section, every=True)
    return _joined(parts)


def _back(main: str) -> str:
    return f"[Back to the leaderboard](../{link_to(main)})"


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _parts(
    blocks: Sequence[Block], links: Links, section: Section | None, *, every: bool = False
) -> list[str]:
    """Return blocks as Markdown; ``every``: with all columns of tables, and texts about them."""
    parts = []
    for block in blocks:
        match block:
            case Heading():
                parts.append(f"## {plain(block.text)}")
            case Text() if block.first or every:
                parts.append(block.markdown)
            case Table():
                parts.append(markdown_table(block, every=every))
            case Figure() | Pictures() | PictureTable():
                if link := links.get((section.name if section else "", block.name)):
                    where = f"{plain(section.title)}: " if section else ""
                    title = f"{where}{plain(block.title)}"
                    rows = f" {block.rows}" if isinstance(block, Pictures) and block.rows else ""
                    parts.append(f"![{title}]({link})\n\n*{block.caption}{rows}*")
            case Fold():
                body = "\n\n".join(_parts(block.blocks, links, section, every=every))
                parts.append(_details(plain(block.title), body))
            case Section():
                raise TypeError("a section stands in the page itself, not inside another block")
    return parts


def _details(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def markdown_table(table: Table, *, every: bool = True) -> str:
    """Return a table as Markdown; in a long one later rows are folded, and the last left out.
    ``every``: also the columns that are not shown first."""
    kept = _kept(table.rows)
    places = [place for place, first in enumerate(shown_first(table)) if first or every]
    if len(kept) <= OPEN_ROWS + 5:
        return _rows(table.columns, kept, places)
    first, rest = kept[:OPEN_ROWS], kept[OPEN_ROWS:]
    more = _details(f"{len(rest):,} more rows", _rows(table.columns, rest, places))
    parts = [_rows(table.columns, first, places), more]
    if left := len(table.rows) - len(kept):
        parts.append(f"{left:,} of {plural(len(table.rows), 'row')} are not shown.")
    return "\n\n".join(parts)


def _kept(rows: Sequence[Row]) -> list[Row]:
    failed = [row for row in rows if row.statuses and "ok" not in row.statuses]
    hidden = {id(row) for row in failed[ROWS // 4 :]}
    places = {id(row) for row in failed}
    hidden |= {id(row) for row in [row for row in rows if id(row) not in places][ROWS:]}
    return [row for row in rows if id(row) not in hidden]


def _rows(columns: Sequence[Column], rows: Sequence[Row], places: Sequence[int]) -> str:
    text: str = tabulate(
        [[_value(row.values[i], columns[i].kind) for i in places] for row in rows],
        headers=[_cell(columns[i].title) for i in places],
        tablefmt="pipe",
        colalign=["right" if columns[i].kind == "number" else "left" for i in places],
        disable_numparse=True,
    )
    return text


def _value(value: Value, kind: str) -> str:
    if value.emphasis:
        rest = value.text.removeprefix(value.emphasis)
        return f"*{_cell(value.emphasis)}*{_cell(rest)}"
    return code(value.text) if kind == "code" and value.text != MISSING else _cell(value.text)


def _cell(text: str) -> str:
    """Escape a cell's text, except in "< 0.001", "PSNR [dB]" and "1.2 [0.8, 1.6]": no markup."""
    safe = re.sub(r"^&lt; (?=\d)", "< ", plain(text))
    return re.sub(r"\\\[([^\[\]\\]*)\\\](?=$|[; ])", r"[\1]", safe)
