"""A page as one HTML file that works offline."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt

from encbench.errors import UsageError
from encbench_leaderboard.render.markdown import markdown
from encbench_leaderboard.render.writing import replace_text, writing
from encbench_leaderboard.report.blocks import Page

__all__ = ["write_html"]


def write_html(page: Page, out: Path, *, pictures: bool = True) -> Path:
    """Write a page as HTML: its text and tables, until the interactive page is drawn from blocks.

    Raises:
        StoreError: the file cannot be written.
        UsageError: ``out`` is a folder.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file, for example {out}/leaderboard.html")
    body = MarkdownIt("commonmark").enable("table").render(markdown(page, {}))
    with writing(out):
        replace_text(out, f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n{body}')
    return out
