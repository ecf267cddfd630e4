"""What stays for the whole page is kept from the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["settled"]


@contextmanager
def settled() -> Iterator[None]:
    """Inside, what exists already is not looked at by the garbage collector; also a decorator.

    Ten thousand records and their tables are millions of objects, all of which stay until the
    page is written: looking for garbage among them again and again took a seventh of the time.
    What is made inside is collected as ever, figures among them, which hold one another.
    """
    # somebody else's frozen objects are not ours to thaw
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
