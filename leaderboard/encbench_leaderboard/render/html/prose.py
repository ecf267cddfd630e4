"""The Markdown of text blocks as HTML."""

from __future__ import annotations

from functools import cache, lru_cache

from markdown_it import MarkdownIt
from markupsafe import Markup


@cache
def _parser() -> MarkdownIt:
    # Raw HTML comes out as text. Links are checked by the parser: no javascript:, no data:.
    return MarkdownIt("commonmark", {"html": False}).disable(["image", "autolink"])


@lru_cache(maxsize=4096)
def to_html(markdown: str) -> Markup:
    """Paragraphs, lists, code, emphasis and links; everything else is escaped.

    Sentences recur from row to row of a table, so that the last few thousand are cached.
    """
    return Markup(_parser().render(markdown))
