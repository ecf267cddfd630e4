"""``encbench export``: records as tables for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import encbench
from encbench.errors import StoreError
from encbench.export import check_format, write_csv, write_table
from encbench.flat import (
    CURVE_COLUMNS,
    SPECTRUM_COLUMNS,
    cell_columns,
    cell_row,
    curve_rows,
    spectrum_rows,
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
) -> None:
    """Write a results folder as tables.

    One row a cell, whatever its status: settings, metrics, times, spectra in numbers, and
    provenance, in flat columns such as metric.psnr and duration.training_s. docs/results.md lists
    them with their units. Parquet needs `pip install 'encbench[parquet]'`.

    \b
    Examples:
      encbench export results/quick quick.csv
      encbench export results/quick cells.parquet --spectra spectra.parquet --curves curves.parquet
      encbench export results/quick - | head -1
    """
    files = [path for path in (spectra, curves) if path is not None]
    files += [] if out == "-" else [Path(out)]
    for path in files:
        check_format(path)
    stored = encbench.Store(directory).records()
    if not stored:
        raise StoreError(f"{directory} holds no records; `encbench run -o {directory}` makes some")
    rows = [cell_row(item.record) for item in stored]
    columns = cell_columns(rows)
    values = ([row.get(column.name) for column in columns] for row in rows)
    if out == "-":
        write_csv(columns, values, sys.stdout)
    else:
        write_table(columns, values, Path(out))
    if spectra is not None:
        write_table(SPECTRUM_COLUMNS, (row for s in stored for row in spectrum_rows(s)), spectra)
    if curves is not None:
        write_table(CURVE_COLUMNS, (row for s in stored for row in curve_rows(s)), curves)
    told = f"{len(rows)} cells of {directory}: {', '.join(map(str, files))}"
    if files:
        Console(stderr=True).print(told, markup=False, highlight=False, soft_wrap=True)
