"""Tables written to files: CSV, or Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from encbench.errors import StoreError, UsageError, cannot_write
from encbench.results.flat import Chunk, Column, Value

__all__ = ["check_format", "write_csv", "write_table"]

GROUP = 500_000
"""Rows of a row group, at least: what is in memory at a time."""


def check_format(path: Path) -> None:
    """Refuse a file that could not be written, before anything is read.

    Raises:
        UsageError: neither CSV nor Parquet, or Parquet without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise UsageError(f"{path}: expected a name that ends in {' or '.join(_WRITERS)}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise UsageError(
            f"{path}: Parquet needs pyarrow; python -m pip install 'encbench[parquet]', "
            "or give a name that ends in .csv"
        )


def write_table(columns: Sequence[Column], chunks: Iterable[Chunk], path: Path) -> None:
    """Write rows to a file that appears when it is complete.

    Args:
        columns: of the table.
        chunks: the rows, some at a time; None where there is no value. Read once.
        path: ends in .csv or .parquet.

    Raises:
        UsageError: see ``check_format``.
        StoreError: the file cannot be written; one that was there stays.
    """
    check_format(path)
    with _appearing(path) as temporary:
        _WRITERS[path.suffix.lower()](columns, chunks, temporary)


def write_csv(columns: Sequence[Column], chunks: Iterable[Chunk], file: TextIO) -> None:
    """RFC 4180 with a header: numbers to the last digit, nothing where there is no value.

    Infinity and no number are ``inf`` and ``nan``, truth values ``true`` and ``false``.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    for chunk in chunks:
        for row in zip(*map(_values, chunk), strict=True):
            writer.writerow(map(_text, row))


def _values(column: Sequence[Value] | np.ndarray) -> Sequence[Value]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _write_csv_file(columns: Sequence[Column], chunks: Iterable[Chunk], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(columns, chunks, file)


def _write_parquet(columns: Sequence[Column], chunks: Iterable[Chunk], path: Path) -> None:
    # an optional extra, and slow to import
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "truth": pa.bool_(),
    }
    schema = pa.schema(
        [
            pa.field(c.name, kinds[c.kind], metadata={"unit": c.unit} if c.unit else None)
            for c in columns
        ]
    )
    with pq.ParquetWriter(path, schema) as writer:
        waiting: list[Any] = []
        for chunk in chunks:
            try:
                arrays = [pa.array(c, field.type) for c, field in zip(chunk, schema, strict=True)]
            except OverflowError:
                raise StoreError(
                    "a whole number, such as a seed, does not fit into 64 bits, which is what "
                    "Parquet has; CSV has no such limit"
                ) from None
            waiting.append(pa.Table.from_arrays(arrays, schema=schema))
            if sum(table.num_rows for table in waiting) >= GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))


_WRITERS: dict[str, Callable[[Sequence[Column], Iterable[Chunk], Path], None]] = {
    ".csv": _write_csv_file,
    ".parquet": _write_parquet,
}


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` that takes its place at the end."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with suppress(OSError):  # a name that is too long is not there either
            temporary.unlink(missing_ok=True)
