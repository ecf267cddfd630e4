"""The tables of a page as CSV, for other programs, and as LaTeX, for a paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from encbench_leaderboard.render.writing import replace_text
from encbench_leaderboard.report.blocks import Page, Section, Table, shown_first, walk
from encbench_leaderboard.report.format import MISSING

MORE = re.compile(r"±| to |\d–\d|=|;|\(|≤")
"""Found in a value's text if it says more than one number."""
SYMBOLS = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "λ": r"$\lambda$",
        "≤": r"$\le$",
        "±": r"$\pm$",
        "∞": r"$\infty$",
        "−": r"$-$",
        "×": r"$\times$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "–": "--",
    }
)
"""Characters that are special in LaTeX or missing in pdfLaTeX's standard fonts, in LaTeX."""


def write_tables(page: Page, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write each table of a page in each of the formats, which are keys of ``WRITERS``, as
    SECTION-NAME.FORMAT.

    Raises:
        StoreError: a file cannot be written.
    """
    whole = (block for block in page.blocks if not isinstance(block, Section))
    found = [("page", block) for block in walk([*whole, *page.more]) if isinstance(block, Table)]
    for section in page.sections:
        found += [(section.name, block) for block in walk([section]) if isinstance(block, Table)]
    files = []
    for (section_name, table), suffix in ((item, f) for item in found for f in formats):
        file = folder / f"{section_name}-{table.name}.{suffix}"
        replace_text(file, WRITERS[suffix](table))
        files.append(file)
    return files


def as_csv(table: Table) -> str:
    """Return all columns under their short names; numbers with all digits, missing values empty.

    If a column of numbers says more than one number, such as an interval or a range of ranks, or
    has text without a number, its text follows in a column "NAME.text".
    """
    found: dict[str, list[object]] = {}
    for place, column in enumerate(table.columns):
        values = [row.values[place] for row in table.rows]
        texts = ["" if value.text == MISSING else value.text for value in values]
        if column.kind != "number":
            found[column.name] = list(texts)
            continue
        numbers = [value.exported for value in values]
        found[column.name] = list(numbers)
        both = zip(texts, numbers, strict=True)
        if any(MORE.search(text) or (text and number is None) for text, number in both):
            found[f"{column.name}.text"] = list(texts)
    written: str = pd.DataFrame(found, dtype=object).to_csv(index=False, lineterminator="\n")
    return written


def as_latex(table: Table) -> str:
    """Return the columns that are shown first as a ``tabular`` for the package booktabs."""
    places = [place for place, first in enumerate(shown_first(table)) if first]
    columns = [table.columns[place] for place in places]
    shown = [
        [_cell(row.values[i].text, table.columns[i].kind) for i in places] for row in table.rows
    ]
    text: str = pd.DataFrame(shown, columns=[c.title.translate(SYMBOLS) for c in columns]).to_latex(
        index=False,
        escape=False,
        column_format="".join("r" if column.kind == "number" else "l" for column in columns),
    )
    return text


def _cell(text: str, kind: str) -> str:
    escaped = text.translate(SYMBOLS)
    return rf"\texttt{{{escaped}}}" if kind == "code" and text != MISSING else escaped


WRITERS: dict[str, Callable[[Table], str]] = {"csv": as_csv, "tex": as_latex}
