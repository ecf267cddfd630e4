"""Writing a page's file: whole or not at all, and a clear error where it cannot be."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from encbench.errors import appearing, writes_to

MEND = "free space or permissions, or name another file with -o"
writing = partial(writes_to, mend=MEND)
"""While inside ``writing(out)``, ``out`` and what lies beside it are written, into a folder that is
made; StoreError where the disk or the folder does not take it."""


def replace_text(out: Path, text: str) -> None:
    """Write a file in one rename, so that nobody sees half of it; StoreError as ``writing``."""
    with appearing(out, MEND) as temporary:
        temporary.write_text(text, encoding="utf-8")
