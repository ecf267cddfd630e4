"""``encbench show``: one record in full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from encbench.cli.console import literal, output_console, plain_table
from encbench.cli.record_arguments import all_records, is_record, one_record


def show(
    where: Annotated[Path, typer.Argument(help="A record's folder, or a results folder.")],
    key: Annotated[str | None, typer.Argument(help="Beginning of the record's key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Print the traceback, too.")] = False,
) -> None:
    """Print one record of a results folder.

    \b
    Examples:
      encbench show results/quick
      encbench show results/quick 3fa1
      encbench show results/quick/records/3f/3fa1… --json
    """
    console = output_console()
    if key is None and not is_record(where):
        _print_list(console, where, as_json=as_json)
        return
    stored = one_record(where, key)
    record = stored.record
    if as_json:
        typer.echo(record.model_dump_json(indent=2))
        return
    for section, value in record.model_dump(mode="json").items():
        if section == "error" and value and not trace:
            value = {k: v for k, v in value.items() if k != "traceback"}
        _print(console, section, value)
    arrays = {name: f"{v.dtype} {v.shape}" for name, v in stored.arrays.items()}
    _print(console, "arrays", arrays)
    pictures = sorted(str(file) for file in stored.path.glob("*.png"))
    _print(console, "pictures", pictures)


def _print_list(console: Console, where: Path, *, as_json: bool) -> None:
    titles = ("key", "status", "task", "encoding", "seed")
    rows = [
        (r.key, r.status, r.task_label, r.encoding_label, r.cell.seed)
        for r in (stored.record for stored in all_records(where))
    ]
    if as_json:
        found = [dict(zip(titles, row, strict=True)) for row in rows]
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    table = plain_table(*titles)
    for row in rows:
        table.add_row(*(literal(str(value)) for value in row))
    console.print(table)


def _print(console: Console, name: str, value: object, indent: int = 0) -> None:
    pad = " " * indent
    if isinstance(value, dict) and value:
        console.print(literal(f"{pad}{name}:"))
        for key, inner in value.items():
            _print(console, key, inner, indent + 2)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        console.print(literal(f"{pad}{name}:"))
        for number, inner in enumerate(value, start=1):
            _print(console, str(number), inner, indent + 2)
    elif isinstance(value, str) and "\n" in value:
        console.print(literal(f"{pad}{name}:\n{value}"))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        console.print(literal(f"{pad}{name}: {text}"), soft_wrap=True)
