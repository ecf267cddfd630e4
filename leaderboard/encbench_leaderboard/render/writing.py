"""Write a page's file completely or not at all, with a clear error."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from encbench.errors import appearing, writes_to

ELSEWHERE = "name another file with -o"
writing = partial(writes_to, elsewhere=ELSEWHERE)
"""Context manager in which ``out`` and files beside it are written. It makes their folder, and
raises StoreError if they cannot be written."""


def replace_text(out: Path, text: str) -> None:
    """Write a file in one rename, so that it is never seen half-written; see ``writing``."""
    with appearing(out, ELSEWHERE) as temporary:
        temporary.write_text(text, encoding="utf-8")
