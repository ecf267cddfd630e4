"""The suite and the settings that ``encbench run`` and ``encbench tune`` take alike."""

from __future__ import annotations

from typing import Any

from encbench.errors import UsageError
from encbench.plugins.selector import parse_value
from encbench.suite.file import SECTIONS

DEFAULT_SUITE = "quick"


def parse_setting(text: str) -> tuple[str, str, Any]:
    """Section, key and value of a ``--set`` option."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot or not key or section not in SECTIONS:
        raise UsageError(
            f"--set {text!r} is not SECTION.KEY=VALUE; sections are {', '.join(SECTIONS)}"
        )
    return section, key, parse_value(value.strip())
