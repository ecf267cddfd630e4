"""The text form of an encoding or a task with parameters: ``ffe:levels=8,convention=nerf``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from encbench.errors import UsageError

_CLOSING = {"[": "]", "{": "}", "(": ")"}
_OPENING = {closing: opening for opening, closing in _CLOSING.items()}


def parse_selector(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``name:key=value,key=value`` (or ``distribution:name:…``) into name and parameters.

    Values are parsed as TOML if valid (``8``, ``0.5``, ``true``, ``[96, 277]``,
    ``"with, comma"``), else they are text.

    Raises:
        UsageError: the text does not have that form.
    """
    first_equals = text.find("=")
    if first_equals < 0:
        name = text.strip()
        if not name:
            raise UsageError("an empty name; expected NAME or NAME:KEY=VALUE, such as ffe:levels=8")
        if name.endswith(":"):
            raise UsageError(f"{name!r} has no parameters; leave out the ':', or give KEY=VALUE")
        return name, {}
    colon = text.rfind(":", 0, first_equals)
    if not text[: max(colon, 0)].strip():
        raise UsageError(
            f"{text!r} has parameters but no name; expected NAME:KEY=VALUE,KEY=VALUE, "
            "for example ffe:levels=8"
        )
    name = text[:colon].strip()
    parameters: dict[str, Any] = {}
    for part in _split(text[colon + 1 :]):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not part.strip():
            raise UsageError(f"{text!r} has an empty part; leave out the comma, or give KEY=VALUE")
        if not equals or not key:
            raise UsageError(
                f"{part.strip()!r} in {text!r} is not KEY=VALUE; a value that holds a comma "
                'needs quotes or brackets, for example resolutions=[96,277] or image="a,b.png"'
            )
        if key in parameters:
            raise UsageError(f"{key}= is given twice in {text!r}")
        parameters[key] = parse_value(value.strip())
    return name, parameters


def split_label(text: str) -> tuple[str, str | None]:
    """Split "hashgrid:levels=8 as H8" into selector and label; the label is None without " as ".

    Labels must not contain commas, quotation marks or brackets, which would belong to a value.
    """
    found = re.fullmatch(r"(.*\S)\s+as\s+([^,\"'\[\]{}]*[^,\"'\[\]{}\s])\s*", text)
    return (found[1], found[2]) if found else (text, None)


def check_label(text: str, selector: str) -> None:
    """Refuse a selector whose " as " can only be meant for a label, but one that is not valid here.

    Raises:
        UsageError: what precedes the " as " is a selector, and does not end within a text.
    """
    head, *rest = re.split(r"\s+as(?:\s+|$)", selector, maxsplit=1)
    if not rest:
        return
    try:
        _, parameters = parse_selector(head)
    except UsageError:
        return  # within quotes or brackets
    last = next(reversed(parameters.values()), None)
    if not (isinstance(last, str) and head.endswith(last)):
        raise UsageError(
            f"{text!r}: expected a label after ' as ', without commas, quotes, brackets or another "
            "' as '; a suite file's { name = …, label = … } may have them, and a value that holds "
            "' as ' needs quotes"
        )


def format_selector(name: str, parameters: Mapping[str, Any]) -> str:
    """The inverse of ``parse_selector``."""
    if not parameters:
        return name
    return f"{name}:{','.join(f'{key}={_text(value)}' for key, value in parameters.items())}"


def parse_value(text: str) -> Any:
    """The value of a text: parsed as TOML if valid, else the text itself.

    Dates are text: no parameter is a date, and folders of photographs have such names.
    """
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # too many digits are no TOMLDecodeError
        return text
    value = document["value"]
    # what TOML would parse as a comment or as a second key belongs to the text
    part = len(document) > 1 or ("#" in text and isinstance(value, int | float))
    return text if part or isinstance(value, date | time) else value


def parse_values(text: str) -> list[Any]:
    """The comma-separated values of a text, such as "0.5,1" or "[64],[128]"; see ``parse_value``.

    Raises:
        UsageError: a bracket or a quotation mark is not closed.
    """
    return [parse_value(part.strip()) for part in _split(text, keys=False)] if text.strip() else []


def _split(text: str, *, keys: bool = True) -> list[str]:
    """Split at commas, but not within brackets or quotes with which a value begins.

    Elsewhere brackets and quotes are ordinary characters, as in a file name. A value begins after
    the "=" of a part, or, without ``keys``, with the part.
    """
    parts: list[str] = []
    depth: list[str] = []
    quote, escaped, start, begins = "", False, 0, not keys
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\" and quote == '"'
            quote = "" if character == quote else quote
        elif character in "\"'" and (begins or depth):
            quote = character
        elif character in _CLOSING and (begins or depth):
            depth.append(_CLOSING[character])
        elif depth and character == depth[-1]:
            depth.pop()
        elif character == "," and not depth:
            parts.append(text[start:index])
            start = index + 1
        if keys:
            value_follows = character == "=" and "=" not in text[start:index]
        else:
            value_follows = start == index + 1
        begins = value_follows or (begins and character.isspace())
    parts.append(text[start:])
    if quote or depth:
        opened = quote or _OPENING[depth[-1]]
        around = "'" if quote == '"' else '"'
        raise UsageError(
            f"{parts[-1].strip()!r} opens {opened} without closing it; "
            f"close it, or quote the value if {opened} belongs to it: KEY={around}…{around}"
        )
    return parts


def _text(value: Any) -> str:
    if isinstance(value, str):
        special = set(value) & set(",\"'[]{}()=") or re.search(r"\sas\s", value)
        plain = not special and parse_value(value.strip()) == value
        return value if plain and value.isprintable() else _quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        items = [_quoted(item) if isinstance(item, str) else _text(item) for item in value]
        return f"[{','.join(items)}]"
    if isinstance(value, Mapping):
        entries = [
            f"{_quoted(key)}={_quoted(item) if isinstance(item, str) else _text(item)}"
            for key, item in value.items()
        ]
        return f"{{{','.join(entries)}}}"
    return str(value)


def _quoted(text: str) -> str:
    # JSON escapes are valid TOML except surrogates. TOML requires DEL to be escaped; the other
    # control characters are escaped for terminals.
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", quoted)
