"""Write a page's file completely or not at all, with a clear error."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from encbench.errors import NO_ROOM, appearing, writes_to

MEND = f"{NO_ROOM}name another file with -o"
writing = partial(writes_to, mend=MEND)
"""Context manager in which ``out`` and files beside it are written. It makes their folder, and
raises StoreError if they cannot be written."""


def replace_text(out: Path, text: str) -> None:
    """Write a file in one rename, so that it is never seen half-written; see ``writing``."""
    with appearing(out, MEND) as temporary:
        temporary.write_text(text, encoding="utf-8")
