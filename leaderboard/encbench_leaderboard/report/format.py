"""Format numbers as text, and escape text of records and plug-ins for Markdown."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from encbench.errors import with_minus
from encbench.results.value_text import fixed
from encbench_leaderboard.statistics.pairs import ALPHA

MISSING = "–"


def shell_word(name: str) -> str:
    """Quote a file name for a shell, also if it looks like an option or is not valid text."""
    name = f"./{name}" if name.startswith("-") else name
    if name.isprintable():
        return shlex.quote(name)
    characters = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(name)
    )
    return f"$'{''.join(characters)}'"


def link_to(path: str) -> str:
    """Quote a relative path for a link, also if it is not valid text."""
    return quote(os.fsencode(path))


def significant(value: float, digits: int = 3) -> str:
    """A number with ``digits`` significant digits; "∞" if infinite, "–" if NaN."""
    text = f"{value:#.{digits}g}".rstrip(".")
    return with_minus(text) if math.isfinite(value) else fixed(value)


def eigenvalue(value: float) -> str:
    """A number over many orders of magnitude: 2.40e+03 as "2.40e3"."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if math.isfinite(value) else fixed(value)


def count(value: float) -> str:
    """A number rounded to an integer, with thousands separators; "–" if NaN."""
    return MISSING if math.isnan(value) else f"{round(value):,}"


def span(values: Iterable[float], joint: str = " to ") -> str:
    """Range of whole numbers: "512", or "512 to 1,024"."""
    ordered = sorted(values)
    return joint.join(dict.fromkeys(map(count, (ordered[0], ordered[-1]))))


def seconds(value: float) -> str:
    """A duration [s] with three significant digits; from 100 s on, whole seconds."""
    return f"{value:,.0f}" if value >= 100 else significant(value)


def p_text(p: float) -> str:
    """A p-value: "0.031" or "< 0.001"; "–" if NaN. With more digits where three would round it to
    the level of the tests: 0.0498 as "0.0498"."""
    digits = next((d for d in range(3, 9) if p == ALPHA or round(p, d) != ALPHA), 9)
    return "< 0.001" if p < 0.001 else fixed(p, digits)


def p_equals(p: float) -> str:
    """A p-value as "p = 0.031" or "p < 0.001"."""
    return f"p {'' if p < 0.001 else '= '}{p_text(p)}"


def listed(names: Sequence[str], most: int) -> str:
    """ "a, b and 3 more", with at most ``most`` names."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def one_line(text: str, limit: int = 160) -> str:
    """Text on one line, shortened with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def plain(text: str) -> str:
    """Escape text from a record or plug-in, so that Markdown shows it unchanged, also in a table.
    Underscores inside words need no escape in CommonMark."""
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Text as an inline code span, also in a table cell, where pipes are escaped (GitHub Flavored
    Markdown, section 4.10)."""
    text = one_line(text, limit=400).replace("|", r"\|")
    fence = _fence(text, 1)
    padding = " " if len(fence) > 1 else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def code_block(text: str, language: str) -> str:
    """Text as a fenced code block, whatever runs of backticks it contains."""
    fence = _fence(text, 3)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _fence(text: str, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)
