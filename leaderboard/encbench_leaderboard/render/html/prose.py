"""The Markdown page's words as HTML, so that both pages say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from markdown_it import MarkdownIt
from markupsafe import Markup

__all__ = ["paragraphs", "to_html"]

FOLDED = re.compile(
    r"<details>\n<summary>(?P<title>.*?)</summary>\n\n(?P<body>.*)\n\n</details>", re.DOTALL
)
"""What ``format.details`` makes."""


@cache
def _parser() -> MarkdownIt:
    # Raw HTML comes out as text, and no link or picture can lead out of the file.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return parser.disable(["link", "image", "autolink"])


def to_html(markdown: str) -> Markup:
    """Paragraphs, lists, tables and code of our own Markdown; everything foreign is escaped."""
    parser = _parser()
    tokens = parser.parse(markdown)
    for token in tokens:
        # The page's policy forbids style attributes; right-aligned columns hold numbers.
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrSet("class", "num")
    html = str(parser.renderer.render(tokens, parser.options, {}))
    wrapped = html.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    return Markup(wrapped.replace("</table>", "</table></div>"))


def paragraphs(parts: Sequence[str]) -> Markup:
    """Parts of the Markdown page, those that are folded there folded here too."""
    made = []
    for part in parts:
        folded = FOLDED.fullmatch(part)
        if folded is None:
            made.append(to_html(part))
            continue
        title = Markup(_parser().renderInline(folded["title"]))
        fold = Markup("<details><summary>{}</summary>{}</details>")
        made.append(fold.format(title, to_html(folded["body"])))
    return Markup("\n").join(made)
