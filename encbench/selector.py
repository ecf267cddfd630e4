"""The text form of an encoding or a task with parameters: ``ffe:levels=8,convention=nerf``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from encbench.errors import UsageError

__all__ = ["format_selector", "parse_selector"]

_CLOSING = {"[": "]", "{": "}", "(": ")"}


def parse_selector(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``name:key=value,key=value`` (or ``distribution:name:…``) into name and parameters.

    Values are TOML where they read as TOML (``8``, ``0.5``, ``true``, ``[96, 277]``,
    ``"with, comma"``), else text.

    Raises:
        UsageError: the text does not have that form.
    """
    first_equals = text.find("=")
    if first_equals < 0:
        return text.strip(), {}
    colon = text.rfind(":", 0, first_equals)
    if colon < 0:
        raise UsageError(
            f"{text!r} has parameters but no name; expected NAME:KEY=VALUE,KEY=VALUE, "
            "for example ffe:levels=8"
        )
    name = text[:colon].strip()
    parameters: dict[str, Any] = {}
    for part in _split(text[colon + 1 :]):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(
                f"{part.strip()!r} in {text!r} is not KEY=VALUE; a value that holds a comma "
                'needs quotes or brackets, for example resolutions=[96,277] or image="a,b.png"'
            )
        if key in parameters:
            raise UsageError(f"{key}= is given twice in {text!r}")
        parameters[key] = _value(value.strip())
    return name, parameters


def format_selector(name: str, parameters: Mapping[str, Any]) -> str:
    """The text that ``parse_selector`` reads back."""
    if not parameters:
        return name
    return f"{name}:{','.join(f'{key}={_text(value)}' for key, value in parameters.items())}"


def _split(text: str) -> list[str]:
    parts: list[str] = []
    depth: list[str] = []
    quote, escaped, start = "", False, 0
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\" and quote == '"'
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _CLOSING:
            depth.append(_CLOSING[character])
        elif depth and character == depth[-1]:
            depth.pop()
        elif character == "," and not depth:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, str):
        plain = not set(value) & set(",\"'[]{}()=") and _value(value.strip()) == value
        return value if plain else json.dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        items = [json.dumps(item) if isinstance(item, str) else _text(item) for item in value]
        return f"[{','.join(items)}]"
    return str(value)
