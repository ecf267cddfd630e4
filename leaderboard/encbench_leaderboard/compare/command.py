"""``encbench compare``: two results folders, or two encodings of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from encbench.errors import StoreError, UsageError


def compare(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="Results folder; with --in, an encoding of that folder."),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="What A is compared with.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--in",
            metavar="DIR",
            help="Compare two encodings of this results folder: each as the leaderboard prints "
            "it, or NAME:KEY=VALUE,… with enough parameters to identify it.",
        ),
    ] = None,
    despite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING",
            help="With two folders: also compare cells that differ in this setting, such as "
            "training.optimizer, or in a section, such as network; repeatable.",
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Also show each task of a category, and every cell left out."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare two runs or two encodings.

    Cells of two folders are compared if they differ only in versions of plug-ins and in settings
    named by --despite; what changed is listed. Two encodings are compared on the same tasks and
    seeds, and under each value of a sweep of both. Differences are B − A with a 95 % interval and a
    paired test, corrected for the number of rows (Holm). Times are compared only between cells with
    the same machine, device and number of threads. See docs/statistics.md.

    \b
    Examples:
      encbench compare results/before results/after
      encbench compare results/sgd results/adam --despite training.optimizer --despite training.lr
      encbench compare ffe:levels=8 mpe --in results/quick
      encbench compare ffe mpe --in results/quick --json

    Exit codes: 0 compared, whatever the result; 1 no results folder, or no cells to compare; 2
    wrong usage.
    """
    if folder is not None and despite:
        raise UsageError(
            "--despite is for two folders; two encodings of one folder are compared even if other "
            "settings differ"
        )
    for text in (a, b) if folder is None else ():
        if not Path(text).is_dir():
            raise UsageError(
                f"{text!r} is not a folder; to compare two encodings, name their results folder: "
                "encbench compare A B --in DIR"
            )
    # `encbench --help` imports every verb; pandas and torch take seconds
    from encbench.cli.console import output_console
    from encbench_leaderboard.compare.page import as_plain, comparison_page
    from encbench_leaderboard.compare.result import compare_encodings, compare_folders
    from encbench_leaderboard.render.terminal import print_blocks

    report = (
        compare_folders(Path(a), Path(b), despite or [])
        if folder is None
        else compare_encodings(a, b, folder)
    )
    if as_json:
        typer.echo(json.dumps(as_plain(report), indent=2, ensure_ascii=False))
    else:
        print_blocks(comparison_page(report, every=every).blocks, output_console())
    if not report.pairs:
        settings = "seed" if folder else "settings and seed"
        mend = "" if folder else "; --despite SETTING also compares cells that differ in a setting"
        raise StoreError(f"{a} and {b} have no cells with the same task, {settings}{mend}")
