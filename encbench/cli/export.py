"""``encbench export``: a results folder as CSV or Parquet tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from encbench.cli.console import print_line
from encbench.errors import UsageError, check_writable, plural
from encbench.results.records import StoredRecord
from encbench.results.store import load_records
from encbench.results.tabular import (
    BAND_COLUMNS,
    CURVE_COLUMNS,
    SPECTRUM_COLUMNS,
    Chunk,
    band_chunks,
    cell_columns,
    cell_row,
    check_format,
    curve_chunks,
    spectrum_chunks,
    write_csv,
    write_table,
)


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Results folder.")],
    out: Annotated[
        str,
        typer.Argument(metavar="OUT", help="File ending in .parquet or .csv; - for CSV on stdout."),
    ],
    spectra: Annotated[
        Path | None, typer.Option(help="Also write every eigenvalue to this file.")
    ] = None,
    curves: Annotated[
        Path | None, typer.Option(help="Also write every point of every curve to this file.")
    ] = None,
    bands: Annotated[
        Path | None, typer.Option(help="Also write the error by spatial frequency to this file.")
    ] = None,
) -> None:
    """Write a results folder as tables.

    One row per cell, whatever its status: settings, metrics, times, spectrum statistics and
    provenance, in flat columns such as metric.psnr and duration.training_s. docs/results.md lists
    them with their units. Parquet needs `pip install 'encbench[parquet]'`.

    \b
    Examples:
      encbench export results/quick quick.csv
      encbench export results/quick cells.parquet --spectra spectra.parquet --curves curves.parquet
      encbench export results/quick - | head -1
    """
    files = [path for path in (spectra, curves, bands) if path is not None]
    files += [] if out == "-" else [Path(out)]
    for path in files:
        check_format(path)
    check_writable(*files)
    if len({os.path.realpath(path) for path in files}) < len(files):
        raise UsageError(f"give a file of its own for each table, got {', '.join(map(str, files))}")
    arrays = any(path is not None for path in (spectra, curves, bands))
    stored = load_records(directory, check_files=arrays)
    rows = [cell_row(item.record) for item in stored]
    columns = cell_columns(rows)
    table = [[[row.get(column.name) for row in rows] for column in columns]]
    if out == "-":
        write_csv(columns, table, sys.stdout)
    else:
        write_table(columns, table, Path(out))
    if spectra is not None:
        write_table(SPECTRUM_COLUMNS, _long(stored, spectrum_chunks), spectra)
    if curves is not None:
        write_table(CURVE_COLUMNS, _long(stored, curve_chunks), curves)
    if bands is not None:
        write_table(BAND_COLUMNS, _long(stored, band_chunks), bands)
    if files:
        written = ", ".join(map(str, files))
        print_line(Console(stderr=True), f"{plural(len(rows), 'cell')} of {directory}: {written}")


def _long(
    stored: Sequence[StoredRecord], chunks: Callable[[StoredRecord], Iterator[Chunk]]
) -> Iterator[Chunk]:
    for item in stored:
        # a record keeps arrays that it has read; those of thousands do not fit in memory
        yield from chunks(item.unread())
