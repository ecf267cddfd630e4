"""Writing a page's file: whole or not at all, and a clear error where it cannot be."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from encbench.errors import writes_to

writing = partial(writes_to, mend="free space or permissions, or name another file with -o")
"""While inside ``writing(out)``, ``out`` and what lies beside it are written, into a folder that is
made; StoreError where the disk or the folder does not take it."""


def replace_text(out: Path, text: str) -> None:
    """Write a file in one rename, so that nobody sees half of it; StoreError as ``writing``."""
    temporary = out.with_name(f".new-{out.name}")
    with writing(out):
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
