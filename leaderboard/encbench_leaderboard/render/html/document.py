"""A page as one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import itables.options
import plotly.offline
from markupsafe import Markup

from encbench.errors import EncbenchError, UsageError
from encbench_leaderboard.render.html.data import embedded
from encbench_leaderboard.render.html.markup import Body, environment
from encbench_leaderboard.render.writing import replace_text, writing
from encbench_leaderboard.report.blocks import Page

EXPORTS = re.compile(r"\bexport\s*\{[^{}]*?(\w+) as default[^{}]*\};?")


def write_html(page: Page, out: Path, *, pictures: bool = True) -> Path:
    """Write a page as an HTML file, and return its path.

    Raises:
        StoreError: damaged arrays, or the file cannot be written.
        UsageError: ``out`` is a folder.
    """
    out = Path(out)
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file, for example {out}/leaderboard.html")
    text = html_page(page, pictures=pictures)
    with writing(out):
        replace_text(out, text)
    return out


def html_page(page: Page, *, pictures: bool = True) -> str:
    """The page as text, with the records' pictures unless told otherwise."""
    body = Body(page, pictures=pictures)
    style = _own("style.css") + body.entries.style()
    scripts = [datatables_js(), f'"use strict";\n{_own("figures.js")}{_own("page.js")}']
    # Plotly looks for elements of these ids before it writes a style sheet of maps, which the
    # page's policy would refuse with a message on the console; no map is drawn.
    reserved = sorted(set(re.findall(r'getElementById\("([0-9a-f]{64})"\)', plotly_js())))
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=page.title,
            # Plotly adds rules to empty style sheets.
            style_hashes=[_hash(style), _hash("")],
            script_hashes=[_hash(script) for script in (*scripts, plotly_js())],
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            # Run by the other script when the first figure is scrolled to.
            plotly=Markup(plotly_js()),
            reserved=reserved,
            body=body,
            uris=embedded([picture.uri for picture in body.pictures.values()]),
        )
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
    """The same script, in which an HTML parser sees neither a comment nor its own end."""
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", script, flags=re.IGNORECASE)


@cache
def _own(name: str) -> str:
    """A file of ours that stands in every page."""
    return (files("encbench_leaderboard.render.html") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """A source of the Content Security Policy that allows this very text."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
