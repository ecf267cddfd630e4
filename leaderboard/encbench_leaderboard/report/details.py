"""What a row of the standings shows when it is opened: its cells, spectra, sources and commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from typing import overload

from encbench.cli.cite import bibtex_of
from encbench.errors import EncbenchError
from encbench.plugins.registry import default_registry
from encbench.results.records import Record, StoredRecord
from encbench_leaderboard.board.machines import machine, machines
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Block, Column, Row, Table, Text, Value
from encbench_leaderboard.report.columns import NO_VALUE, reason
from encbench_leaderboard.report.format import (
    code,
    code_block,
    count,
    digits,
    fixed,
    one_line,
    plain,
    plural,
    seconds,
)
from encbench_leaderboard.report.tables import spectra_table

__all__ = ["Details", "entry_details"]

CELLS = 100
"""Cells of an entry that are listed one by one; of a category only those that did not finish."""
REASON = 400
"""Characters of a cell's reason."""
ABOUT = 1000
"""Characters of an encoding's parameters."""


class Details(Sequence[Block]):
    """Blocks that are built when they are first looked at: of thousands of rows few are opened."""

    def __init__(self, build: Callable[[], Sequence[Block]]) -> None:
        self._build = build

    @cached_property
    def _blocks(self) -> Sequence[Block]:
        return self._build()

    @overload
    def __getitem__(self, place: int) -> Block: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Block]: ...
    def __getitem__(self, place: int | slice) -> Block | Sequence[Block]:
        return self._blocks[place]

    def __len__(self) -> int:
        return len(self._blocks)


def entry_details(task: TaskBoard, entry: str, folder: str) -> list[Block]:
    """An entry's parameters and settings, its cells, its spectra, and how it is cited.

    Args:
        task: a task or category.
        entry: one of its entries.
        folder: the results folder as a command line has it.
    """
    records = task.of_entry(entry)
    first = records[0].record
    blocks: list[Block] = [Text(f"{plain(_parameters(first))}\n\n{plain(_settings(first))}")]
    listed = [r for r in records if r.record.status != "ok"] if task.targets else records
    if listed:
        blocks.append(_cells_table(task, listed[:CELLS], len(records), folder))
    spectra = spectra_table(task, [entry])
    if spectra:
        blocks.append(spectra)
    reference = first.cell.encoding
    bibtex = _bibtex(f"{reference.distribution}:{reference.name}")
    if bibtex:
        blocks.append(Text(f"Cite {code(reference.name)} as:\n\n{code_block(bibtex, 'bibtex')}"))
    return blocks


def _parameters(record: Record) -> str:
    ref = record.cell.encoding
    given = {key: value for key, value in ref.parameters.items() if value is not None}
    text = ", ".join(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in given.items())
    source = f"{ref.name} of {ref.distribution} {ref.version}"
    return one_line(f"{source}{f': {text}' if text else ''}", ABOUT)


def _settings(record: Record) -> str:
    training, network = record.cell.training, record.cell.network
    parts = []
    if record.network:
        parts.append(" × ".join(f"{name} {n}" for name, n in record.network.items()))
    if record.activation:
        parts.append(record.activation)
    parts.append(
        f"{network.parameterization} parameterization, {training.optimizer}, "
        f"batch {training.batch_size:,}"
    )
    if record.learning_rate:
        parts.append(f"learning rate {record.learning_rate.rule}")
    length = re.sub(r"\.0$", "", f"{record.epochs:,.1f}")
    parts.append(f"{record.steps:,} steps, {length} epochs")
    return "; ".join(parts)


def _cells_table(task: TaskBoard, listed: Sequence[StoredRecord], total: int, folder: str) -> Table:
    several_machines = len(machines(task.records)) > 1
    reasons = any(stored.record.status != "ok" for stored in listed)
    columns = [
        *([Column("target", "task", "code")] if task.targets else []),
        Column("seed", "seed"),
        Column("status", "status", "text"),
        *([Column("reason", "reason", "text")] if reasons else []),
        Column("quality", task.primary.heading),
        Column("best", f"best {task.primary.title}"),
        Column("best_step", "at step"),
        Column("steps", "steps"),
        Column("seconds", "training [s]"),
        Column("ntk_seconds", "NTK [s]"),
        Column("memory", "peak memory [MiB]"),
        *([Column("machine", "machine", "text")] if several_machines else []),
        Column("key", "record", "code"),
        Column("again", "run it again", "code", "and compare it with this record"),
    ]
    decimals = partial(fixed, digits=digits(task.primary))
    rows = []
    for stored in listed:
        record = stored.record
        metric = record.metrics.get(task.primary.name)
        ok = record.status == "ok"
        memory = record.peak_memory_bytes
        values = [
            *([Value(record.task_label)] if task.targets else []),
            Value(str(record.cell.seed), record.cell.seed),
            Value(record.status.replace("_", " ")),
            *([Value(reason(record, REASON))] if reasons else []),
            _number(metric.value if ok and metric else None, decimals),
            _number(record.best if ok else None, decimals),
            _number(record.best_step if ok else None, count),
            _number(record.steps, count),
            _number(record.durations.get("training"), seconds),
            _number(record.durations.get("ntk"), seconds),
            _number(None if memory is None else memory / 2**20, count),
            *([Value(machine(stored))] if several_machines else []),
            Value(record.key[:10]),
            Value(f"encbench rerun {folder} {record.key[:10]}"),
        ]
        rows.append(Row(values, statuses={record.status: 1}))
    kind = "Cells that did not finish" if task.targets else "Cells"
    of = f": {len(listed):,} of {plural(total, 'cell')}" if len(listed) < total else ""
    return Table("cells", columns, rows, f"{kind}{of}")


def _number(value: float | None, shown: Callable[[float], str]) -> Value:
    return NO_VALUE if value is None else Value(shown(value), value)


# Loading a class imports its module, so each is asked once.
@lru_cache(maxsize=1024)
def _bibtex(name: str) -> str:
    """BibTeX of an encoding, "" where it has none or is not installed here."""
    try:
        return bibtex_of(default_registry().find("encoding", name))
    except EncbenchError:
        return ""
