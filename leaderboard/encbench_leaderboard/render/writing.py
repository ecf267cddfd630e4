"""Writing a page's file: whole or not at all, and a clear error where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encbench.errors import cannot_write


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """While inside, ``out`` and what lies beside it are written, into a folder that is made;
    StoreError where the disk or the folder does not take it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise cannot_write(
            out, error, "free space or permissions, or name another file with -o"
        ) from None


def replace_text(out: Path, text: str) -> None:
    """Write a file in one rename, so that nobody sees half of it; StoreError as ``writing``."""
    temporary = out.with_name(f".new-{out.name}")
    with writing(out):
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
