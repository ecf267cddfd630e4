"""A results folder becomes one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from encbench.errors import UsageError
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.overview import overview
from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.render.html.overview import overview_data
from encbench_leaderboard.render.html.payload import payload
from encbench_leaderboard.render.html.pictures import LIMIT
from encbench_leaderboard.render.html.prose import paragraphs, to_html
from encbench_leaderboard.render.markdown import neighbours_table
from encbench_leaderboard.render.writing import replace_text, writing
from encbench_leaderboard.report import footer
from encbench_leaderboard.report.ablation import ABLATION, ablation_table, theorem_sentence
from encbench_leaderboard.report.build import Loaded, load
from encbench_leaderboard.report.format import details, plural
from encbench_leaderboard.report.how_to_read import how_to_read
from encbench_leaderboard.report.prediction import prediction
from encbench_leaderboard.report.sections import notes_of
from encbench_leaderboard.report.wording import NEIGHBOURS, over_tasks_text

__all__ = ["html_page", "write_html"]

SCRIPTS = (
    "data",
    "dom",
    "theme",
    "state",
    "table",
    "details",
    "standings",
    "overview",
    "scale",
    "plot",
    "lines",
    "scatter",
    "slider",
    "main",
)
"""The script's parts, in the order of their needs."""
MANY = 40
"""Entries of a task up to which its static tables are in the page."""


def write_html(
    directory: Path,
    out: Path | None = None,
    *,
    pictures: bool = True,
    loaded: Loaded | None = None,
) -> Path:
    """Write the HTML leaderboard of a results folder.

    Args:
        directory: the folder of a run.
        out: the file, ``directory/leaderboard.html`` unless given.
        pictures: put the records' pictures in.
        loaded: what ``load`` read of the folder, where that was done before.

    Returns:
        ``out``.

    Raises:
        StoreError: no folder, no records, damaged arrays, or the file cannot be written.
        UsageError: ``out`` is a folder.
    """
    directory = Path(directory)
    board, records, store = load(directory) if loaded is None else loaded
    out = directory / "leaderboard.html" if out is None else Path(out)
    if out.is_dir():
        raise UsageError(f"{out} is a folder, expected a file, for example {out}/leaderboard.html")
    name = directory.resolve().name
    text = html_page(board, records, store.suite(), name, pictures=LIMIT if pictures else 0)
    with writing(out):
        replace_text(out, text)
    return out


def html_page(
    board: Board,
    records: Sequence[StoredRecord],
    suite: Mapping[str, Any] | None,
    directory: str,
    pictures: int = LIMIT,
) -> str:
    """The page as text.

    Args:
        board: what it shows.
        records: all records of the board.
        suite: as it was asked for, if that is known.
        directory: name of the results folder, for the commands that run it again.
        pictures: characters of all embedded pictures together.
    """
    style, script = _assets()
    name = suite.get("name") if suite else None
    several = len(board.groups) > 1
    machines = footer.machines(records)
    ranks = overview(board)
    data = payload(board, pictures) | overview_data(board, ranks)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=f"Leaderboard: {name}" if isinstance(name, str) else "Leaderboard",
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
            data=_embedded(data),
            tiles=_tiles(board, records),
            machines=machines,
            several=several,
            over_tasks=to_html(over_tasks_text(ranks)) if several else "",
            sections=[_task_section(task) for task in (*board.categories, *board.tasks)],
            prediction=paragraphs(prediction(board)),
            reading=to_html(how_to_read(board)),
            provenance=to_html(footer.provenance(records, name if isinstance(name, str) else None)),
            again=to_html(footer.reproduction(records, suite, directory)),
        )
    )


@cache
def _assets() -> tuple[str, str]:
    """The style sheet and the script, one scope around all its parts."""
    here = files("encbench_leaderboard.render.html")
    parts = [(here / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    script = '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"
    return (here / "style.css").read_text(encoding="utf-8"), script


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("encbench_leaderboard", "render/html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _hash(text: str) -> str:
    """A source of the Content Security Policy that allows this very text."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _embedded(data: Mapping[str, Any]) -> Markup:
    """JSON that no parser of HTML can see an end tag or a comment in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _tiles(board: Board, records: Sequence[StoredRecord]) -> list[tuple[str, str, bool]]:
    """(number, what of, whether it counts failures) at the head of the page."""
    seeds = len({stored.record.cell.seed for stored in records})
    tally = Counter(stored.record.status for stored in records)
    counted = [
        (len(board.entries), "encoding"),
        (len(board.tasks), "task"),
        (seeds, "seed"),
        (len(records), "cell"),
    ]
    tiles = [(f"{number:,}", plural(number, what).split()[1], False) for number, what in counted]
    return tiles + [
        (f"{n:,}", kind.replace("_", " "), kind != "ok") for kind, n in tally.most_common()
    ]


def _task_section(task: TaskBoard) -> dict[str, Any]:
    """What is said below a task's table."""
    notes = notes_of(task)
    return {"notes": to_html(notes) if notes else "", "more": paragraphs(_tables(task))}


def _tables(task: TaskBoard) -> list[str]:
    """Further tables of a task, folded."""
    # Thousands of rows belong in the table that is drawn as it is scrolled.
    if len(task.standings) > MANY:
        return []
    parts = []
    beside = neighbours_table(task)
    if beside:
        parts.append(details("Each encoding beside the next one", f"{NEIGHBOURS}\n\n{beside}"))
    # Of a category the first cell alone would stand for all targets.
    added = None if task.targets else ablation_table(task)
    if added:
        body = f"{ABLATION}\n\n{added}\n\n{theorem_sentence(task) or ''}"
        parts.append(details("What the encoding adds to the kernel", body))
    return parts
