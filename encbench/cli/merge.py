"""``encbench merge``: several results folders into one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from encbench.cli.console import print_line
from encbench.errors import plural
from encbench.results.merging import Part, merge
from encbench.suite.config import changed_versions


def merge_folders(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Results folders.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="A new folder, or one of DIR…."),
    ],
    prefer: Annotated[
        Literal["ok", "newer", "first"],
        typer.Option(
            help="Which record of a cell to keep. ok: one that is ok, else the newer; newer: the "
            "newer; first: that of the folder named first."
        ),
    ] = "ok",
    without: Annotated[
        list[Part] | None,
        typer.Option(
            help="Leave these files out of the copies: pictures, arrays (curves and spectra), or "
            "trained weights. All numbers of record.json stay. Repeatable."
        ),
    ] = None,
) -> None:
    """Merge results folders.

    Copies one record of every cell. If two records of a cell differ, one is kept, and the other is
    reported with the reason. "Newer" goes by the clock of the machine that ran the cell. Only OUT
    is changed. To resume an interrupted merge, give the same command.

    \b
    Examples:
      encbench merge results/laptop results/cluster -o results/all
      encbench merge results/all results/new -o results/all
      encbench merge results/a results/b -o results/all --prefer newer
      encbench merge results/all -o published --without pictures --without arrays

    Exit codes: 0 all merged, 1 a damaged record left out or OUT not writable, 2 wrong usage.
    """
    done = merge(directories, output, prefer, without or ())
    out, errors = Console(), Console(stderr=True)
    for one in done.dropped:
        record = one.record
        changes = changed_versions(record.cell.versions, one.kept.cell)
        versions = "".join(f", {change}" for change in sorted(changes))
        print_line(
            out,
            f"left out {record.key} ({record.cell.label}, {record.status}{versions}) "
            f"of {one.source}: that of {one.kept_source} is {one.because}",
        )
    for folder, reason in done.damaged.items():
        moved = f"; moved to {done.moved[folder]}" if folder in done.moved else ""
        print_line(errors, f"left out the damaged record {folder}: {reason}{moved}", "yellow")
    counts = ", ".join(f"{count} of {source}" for source, count in done.taken.items())
    print_line(out, f"{plural(sum(done.taken.values()), 'record')} in {output}: {counts}")
    if done.identical:
        print_line(out, f"left out {plural(done.identical, 'duplicate record')}")
    if not done.one_suite:
        print_line(
            out, f"no single suite describes these cells; {output}/run.json lists the suites"
        )
    if done.damaged:
        raise typer.Exit(1)
