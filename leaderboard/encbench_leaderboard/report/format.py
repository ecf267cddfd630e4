"""Numbers as text, and text of records and plug-ins made safe for Markdown."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from encbench.errors import with_minus
from encbench_leaderboard.board.facts import MetricInfo

MISSING = "–"


def shell_word(name: str) -> str:
    """A file's name as a shell takes it, also where it looks like an option or is no text."""
    name = f"./{name}" if name.startswith("-") else name
    if name.isprintable():
        return shlex.quote(name)
    characters = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(name)
    )
    return f"$'{''.join(characters)}'"


def link_to(path: str) -> str:
    """A relative path as a link of a page has it, also where it is no text."""
    return quote(os.fsencode(path))


def fixed(value: float, digits: int = 2) -> str:
    """A number with a fixed number of decimals, "∞" and "–" where there is none."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return with_minus(f"{value:.{digits}f}")


def digits(metric: MetricInfo) -> int:
    """Decimals with which a metric is shown."""
    return 2 if metric.unit == "dB" else 4


def quantity(value: float, metric: MetricInfo) -> str:
    """A metric's value with its unit: "33.65 dB"."""
    return f"{fixed(value, digits(metric))} {metric.unit}".rstrip()


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, "∞" and "–" where there is none."""
    text = f"{value:#.{digits}g}".rstrip(".")
    return with_minus(text) if math.isfinite(value) else fixed(value)


def eigenvalue(value: float) -> str:
    """A number over many orders of magnitude: 2.40e+03 as "2.40e3"."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if math.isfinite(value) else fixed(value)


def count(value: float) -> str:
    """A whole number with commas between its thousands."""
    return MISSING if math.isnan(value) else f"{round(value):,}"


def span(values: Iterable[float], joint: str = " to ") -> str:
    """From the smallest to the largest of whole numbers: "512", or "512 to 1,024"."""
    ordered = sorted(values)
    return joint.join(dict.fromkeys(map(count, (ordered[0], ordered[-1]))))


def seconds(value: float) -> str:
    """A duration: three significant digits, whole seconds from 100 on."""
    return f"{value:,.0f}" if value >= 100 else significant(value)


def p_text(p: float) -> str:
    """ "0.031", "< 0.001"; "–" for no test."""
    return "< 0.001" if p < 0.001 else fixed(p, 3)


def p_equals(p: float) -> str:
    """ "p = 0.031", "p < 0.001"."""
    return f"p {'' if p < 0.001 else '= '}{p_text(p)}"


def listed(names: Sequence[str], most: int) -> str:
    """ "a, b and 3 more", of which so many are named."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def one_line(text: str, limit: int = 160) -> str:
    """Text on one line, shortened with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def plain(text: str) -> str:
    """Text from a record or plug-in that Markdown shows as it is, in a table cell too. An
    underscore inside a word is no emphasis in CommonMark and stays readable."""
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Text as an inline code span that can wrap after its commas, in a table cell too, which takes
    an escaped pipe (GitHub Flavored Markdown, section 4.10)."""
    text = one_line(re.sub(r",(?=\S)", ", ", text), limit=400).replace("|", r"\|")
    fence = _fence(text, 1)
    padding = " " if len(fence) > 1 else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def code_block(text: str, language: str) -> str:
    """Text as a fenced block of code, whatever runs of backticks it holds."""
    fence = _fence(text, 3)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _fence(text: str, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)
