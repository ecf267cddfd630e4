"""Progress of a run: bars in a terminal, lines in a pipe or log file."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from encbench.cli.console import print_line
from encbench.errors import bounded, plural, printable
from encbench.suite.config import CellConfig
from encbench.suite.labels import told_apart

if TYPE_CHECKING:
    # these import torch, which `encbench run --help` does not need
    from encbench.results.records import Record, StoredRecord
    from encbench.runs.interface import Event
    from encbench.runs.runner import RunResult

LABEL = Column(no_wrap=True, overflow="ellipsis", max_width=48)
LINE_INTERVAL = 30.0
"""Minimum time between two lines about a running cell, if there is no terminal [s]."""
STYLES = {"ok": "green", "diverged": "yellow"}


class RunProgress:
    """Prints the progress of a run (``encbench.runs.runner.Watcher``) to a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}", table_column=LABEL),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not self._live,
        )
        self._planned: Mapping[str, CellConfig] = {}
        self._tasks: dict[str, TaskID] = {}
        self._lines: dict[str, float] = {}
        self._all: TaskID | None = None
        self._checking: TaskID | None = None
        self._lock = threading.Lock()
        self.finished = 0
        """Number of cells with a result, those of earlier runs included."""

    def __enter__(self) -> RunProgress:
        self._bars.start()
        self._checking = self._bars.add_task("checking the suite", total=None, note="")
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the bars; later output is printed below them."""
        self._checked()
        self._bars.stop()

    def _checked(self) -> None:
        if self._checking is not None:
            self._bars.remove_task(self._checking)
            self._checking = None

    def planned(self, cells: Mapping[str, CellConfig], finished: Sequence[StoredRecord]) -> None:
        self._checked()
        self._planned = cells
        self.__dict__.pop("_apart", None)
        self.finished = len(finished)
        if finished:
            self._print(
                f"{len(finished)} of {len(finished) + len(cells)} cells have a record already"
            )
        elif not self._live:
            self._print(f"{plural(len(cells), 'cell')} to run")
        if self._all is not None:
            self._bars.remove_task(self._all)
            self._all = None
        if cells:
            self._all = self._bars.add_task("[bold]cells", total=len(cells), note="")

    def event(self, event: Event) -> None:
        label = self._name(event.key)
        loss = "" if event.loss is None else f"loss {event.loss:.3g}"
        with self._lock:
            if not self._live:
                self._line(event, label, loss)
                return
            if event.key not in self._tasks:
                self._tasks[event.key] = self._bars.add_task(label, total=None, note="")
            self._bars.update(
                self._tasks[event.key],
                completed=event.done,
                total=event.total or None,
                note=f"{event.phase} {loss}",
            )

    def recorded(self, record: StoredRecord) -> None:
        self._ended(record)
        self._print(_line_of(record, self._name(record.outline.cell_key)))

    def kept(self, record: StoredRecord, attempt: Record | None) -> None:
        self._ended(record)
        name, status = self._name(record.outline.cell_key), _words(record.outline.status)
        if attempt is None:
            why = f"made by another process: {status}"
        else:
            why = f"earlier record: {status}; this attempt: {_words(attempt.status)}"
        self._print(Text(f"{'kept':<9} ", style="yellow").append(f"{name}  {why}", "default"))

    def _ended(self, record: StoredRecord) -> None:
        """Count a cell, and remove its bar."""
        key = record.outline.cell_key
        with self._lock:
            self.finished += record.outline.status != "interrupted"
            if key in self._tasks:
                self._bars.remove_task(self._tasks.pop(key))
            if self._all is not None:
                self._bars.advance(self._all)

    def summary(self, result: RunResult, seconds: float) -> None:
        """Print the number of cells per status, and the folder of their records."""
        self.stop()
        counts = Counter(stored.outline.status for stored in result.records)
        words = ", ".join(f"{count} {_words(status)}" for status, count in counts.items())
        if result.not_run:
            words += f", {result.not_run} not run: stopped at the first that was not ok"
        if result.kept_earlier:
            words += f"; {result.kept_earlier} run again without success: earlier records kept"
        if result.made_meanwhile:
            words += f"; {result.made_meanwhile} made by another process"
        total = len(result.records) + result.not_run
        words = f": {words}" if words else ""
        self._print(f"{plural(total, 'cell')}{words}; {seconds:.0f} s")
        place = str(result.directory / "records").replace("\n", r"\n")
        self._print(f"records: {place}")

    @cached_property
    def _apart(self) -> dict[str, str]:
        """``told_apart``, computed while the first cells run: it is slow for 100,000 cells."""
        return told_apart(self._planned)

    def _name(self, key: str) -> str:
        return self._planned[key].described(self._apart[key]).removesuffix(" seed 0")

    def _line(self, event: Event, label: str, loss: str) -> None:
        last = self._lines.get(event.key)
        now = time.monotonic()
        if last is None:
            self._lines[event.key] = now
            self._print(f"started   {label}")
        elif now - last > LINE_INTERVAL:
            self._lines[event.key] = now
            share = f" {100 * event.done // event.total} %" if event.total else ""
            self._print(f"running   {label}: {event.phase}{share} {loss}".rstrip())

    def _print(self, line: str | Text) -> None:
        print_line(self._console, line)


def _words(status: str) -> str:
    return status.replace("_", " ")


def _line_of(stored: StoredRecord, name: str) -> Text:
    record = stored.record
    seconds = sum(record.durations.values())
    text = Text(f"{_words(record.status):<9} ", style=STYLES.get(record.status, "red"))
    if record.status == "ok":
        values = "  ".join(
            f"{name} {metric.value:.4g} {metric.unit}".rstrip()
            for name, metric in record.metrics.items()
            if metric.value is not None
        )
        rate = record.learning_rate
        halved = f"  lr halved {rate.halvings}×" if rate and rate.halvings else ""
        return text.append(f"{name}  {values}{halved}  ({seconds:.0f} s)", style="default")
    message = bounded(" ".join(record.error.message.split()), 1000) if record.error else ""
    return text.append(f"{name}  in {record.phase}: {printable(message)}", style="default")
