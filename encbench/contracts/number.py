"""One number from what a plug-in returned."""

from __future__ import annotations

from typing import Any


def number(value: Any) -> float:
    """The value as a float; a tensor or array may hold one number.

    Raises:
        TypeError: it is no number. Texts and booleans are none, also in an array, although
            ``float`` would convert them.
    """
    try:
        item = value.item() if hasattr(value, "item") else value
        if isinstance(item, str | bytes | bytearray | bool):
            raise TypeError
        return float(item)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError("not one number") from None
