"""Numbers and foreign text as Markdown shows them."""

from __future__ import annotations

import math
import re

__all__ = [
    "MISSING",
    "code",
    "count",
    "details",
    "eigenvalue",
    "fixed",
    "folded",
    "one_line",
    "plain",
    "plural",
    "seconds",
    "significant",
]

MISSING = "–"


def fixed(value: float, digits: int = 2) -> str:
    """A number with a fixed number of decimals, "∞" and "–" where there is none."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}"


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, "∞" and "–" where there is none."""
    if math.isnan(value) or math.isinf(value):
        return fixed(value)
    return f"{value:#.{digits}g}".rstrip(".")


def eigenvalue(value: float) -> str:
    """A number over many orders of magnitude: 2.40e+03 as "2.40e3"."""
    if math.isnan(value) or math.isinf(value):
        return fixed(value)
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def count(value: float) -> str:
    """A whole number with its thousands told apart."""
    return MISSING if math.isnan(value) else f"{round(value):,}"


def seconds(value: float) -> str:
    """A duration: three significant digits, whole seconds from 100 on."""
    if math.isnan(value):
        return MISSING
    return f"{value:,.0f}" if value >= 100 else significant(value)


def one_line(text: str, limit: int = 160) -> str:
    """Text on one line, shortened with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def plain(text: str) -> str:
    """Foreign text that Markdown shows as it is, in a table cell too.

    An underscore inside a word is no emphasis on any forge and stays readable.
    """
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Text as an inline code span that can wrap after its commas, in a table cell too.

    A table cell takes an escaped pipe even inside a code span (GitHub Flavored Markdown,
    section 4.10).
    """
    text = one_line(re.sub(r",(?=\S)", ", ", text), limit=400).replace("|", r"\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def details(title: str, body: str) -> str:
    """A section that is folded until it is opened."""
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def folded(table: str, rows: int = 20) -> str:
    """A Markdown table whose rows after the first ones are folded, if there are many more."""
    lines = table.splitlines()
    head, body = lines[:2], lines[2:]
    if len(body) <= rows + 5:
        return table
    rest = "\n".join([*head, *body[rows:]])
    first = "\n".join([*head, *body[:rows]])
    return f"{first}\n\n{details(f'{len(body) - rows:,} more rows', rest)}"


def plural(number: int, what: str, many: str = "") -> str:
    """ "1 cell", "1,024 cells"; "2 entries" where the plural is given."""
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"
