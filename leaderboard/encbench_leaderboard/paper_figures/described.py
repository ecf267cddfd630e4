"""Descriptions of figures before they are drawn, and sentences that captions share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from matplotlib.figure import Figure as Drawing

from encbench.errors import EncbenchError, error_line, plural
from encbench.results.record_folder import WEIGHTS
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.format import one_line

LISTED = 12
"""Maximum number of records that a caption lists by their key."""
ARRAYS_LEFT_OUT = (
    "the records have no arrays (encbench merge --without arrays leaves them out); draw it from "
    "the folders that were merged"
)


@dataclass(frozen=True)
class Described:
    """A figure that can be drawn."""

    caption: str
    """What is drawn, in plain text."""
    records: Sequence[StoredRecord]
    """The records from which it is drawn."""
    draw: Callable[[], Drawing | None]
    """Draws it inside ``style.quiet()``; there is something to draw."""
    missing: Sequence[str] = ()
    """Sentences on what is not in it, and why."""


Made = TypeVar("Made")


class Lacking(Exception):
    """The folder has nothing to draw a figure from; the text says what to run."""


def source(records: Sequence[StoredRecord]) -> str:
    """Return a sentence on the records of a figure: their number, seeds and keys."""
    seeds = ", ".join(map(str, sorted({stored.record.cell.seed for stored in records})))
    keys = ", ".join(stored.record.key[:8] for stored in records[:LISTED])
    more = f" and {len(records) - LISTED:,} more" if len(records) > LISTED else ""
    several = "s" if "," in seeds else ""
    return f"From {plural(len(records), 'record')}, seed{several} {seeds}: {keys}{more}."


def kernel_points(records: Sequence[StoredRecord]) -> str:
    """Return a sentence on N of the kernels, and on the number of points trained on."""
    shares = {
        (summary.points, stored.record.training_points)
        for stored in records
        for summary in stored.record.spectra
    }
    texts = [
        f"N = {points:,}" + (f" of {trained:,} points trained on" if trained else "")
        for points, trained in sorted(shares, key=lambda pair: (pair[0], pair[1] or 0))
    ]
    return f"Kernel at {'; '.join(texts[:3])}{'; …' if len(texts) > 3 else ''}."


def absent(task: TaskBoard, drawn: Sequence[str], why: str) -> list[str]:
    """Return a sentence on the entries that are not drawn: ``why``, or how their cells ended."""
    reasons = []
    for entry in task.standings["entry"]:
        if entry not in drawn:
            ends = {stored.record.status.replace("_", " ") for stored in task.of_entry(entry)}
            reasons.append(f"{one_line(entry, 60)} ({why if 'ok' in ends else ', '.join(ends)})")
    return [f"Not drawn: {'; '.join(reasons)}."] if reasons else []


def with_weights(task: TaskBoard) -> dict[str, StoredRecord]:
    """Return by entry, best first, the first finished cell with its weights.

    Raises:
        Lacking: there is none.
    """
    found = {}
    for entry in task.standings["entry"]:
        kept = [
            stored
            for stored in task.of_entry(entry)
            if stored.record.status == "ok" and WEIGHTS in stored.files
        ]
        if kept:
            found[entry] = kept[0]
    if not found:
        raise Lacking(
            "no trained network was kept; repeat the `encbench run` that made the folder, "
            "with --save-weights (cells recorded without it are run again)"
        )
    return found


def best_of(
    entries: Sequence[str], most: int, make: Callable[[str], Made]
) -> tuple[dict[str, Made], list[str]]:
    """Return the results of ``make`` for the first ``most`` entries for which it succeeds, and
    sentences on the others."""
    made: dict[str, Made] = {}
    missing: list[str] = []
    for entry in entries:
        if len(made) == most:
            missing.append(f"The best {most} encodings of {len(entries)} are drawn.")
            break
        try:
            made[entry] = make(entry)
        except (EncbenchError, Lacking) as error:
            missing.append(f"{entry}: {error}.")
        except Exception as error:
            # an error of the encoding or the task
            missing.append(f"{entry}: {error_line(error)}.")
    return made, missing
