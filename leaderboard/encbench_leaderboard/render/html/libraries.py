"""The two JavaScript libraries of the page, taken from their Python packages."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import itables.options
import plotly.offline

from encbench.errors import EncbenchError

EXPORTS = re.compile(r"\bexport\s*\{[^{}]*?(\w+) as default[^{}]*\};?")


@cache
def datatables() -> str:
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


def plotly_styles() -> list[str]:
    """Ids of elements that Plotly looks for before it writes a style sheet of maps.

    The page's policy would refuse that sheet with a message on the console; no map is drawn, so
    that empty elements of these names do no harm.
    """
    return sorted(set(re.findall(r'getElementById\("([0-9a-f]{64})"\)', plotly_js())))


def _inlined(script: str) -> str:
    """The same script, in which an HTML parser sees neither a comment nor its own end."""
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", script, flags=re.IGNORECASE)
