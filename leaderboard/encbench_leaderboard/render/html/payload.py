"""Everything that the page's script works on, as plain data."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from encbench.results.records import Record, StoredRecord
from encbench_leaderboard.board.conditions import metric_conditions
from encbench_leaderboard.board.table import WHENS, Board, TaskBoard
from encbench_leaderboard.render.html import lines
from encbench_leaderboard.render.html.columns import Column, below_or_value, columns, sortable
from encbench_leaderboard.render.html.contrast import themed
from encbench_leaderboard.render.html.costs import costs
from encbench_leaderboard.render.html.pictures import LIMIT, collect
from encbench_leaderboard.render.html.strings import Interned
from encbench_leaderboard.render.markdown import digits
from encbench_leaderboard.report import footer
from encbench_leaderboard.report.format import MISSING, count, eigenvalue, fixed, one_line, seconds
from encbench_leaderboard.report.wording import rank_text

__all__ = ["READ", "payload"]

READ = 300
"""Records whose arrays are in the page: 2 ms and some 20 kB each."""
MOST_SEEDS = 5
REASON = 400
"""Characters of a failed cell's reason."""

MOST_CELLS = 100
"""Cells of an entry that are listed one by one; of a category only those that failed."""


def payload(board: Board, pictures: int = LIMIT) -> dict[str, Any]:
    """The board as the page's script reads it (``js/data.js`` names the fields).

    Args:
        board: what is shown.
        pictures: characters of all embedded pictures together.
    """
    texts, sets = Interned(), Interned()
    shown = [*board.categories, *board.tasks]
    places = {id(task): place for place, task in enumerate(shown)}
    numbers = {entry: place for place, entry in enumerate(board.entries)}
    ranked = {places[id(task)]: list(task.standings["entry"]) for task in board.tasks}
    drawn = _lines(shown, ranked, sets)
    album = collect(ranked, lambda task, entry: shown[task].of_entry(entry), pictures)
    tasks = []
    for place, task in enumerate(shown):
        tasks.append(
            {
                **_task(task, numbers, texts),
                "costs": costs(task, numbers),
                "targets": [places[id(target)] for target in task.targets],
                "lines": {numbers[entry]: made for entry, made in drawn.get(place, {}).items()},
                "pictures": [
                    picture | {"entry": None if (e := picture["entry"]) is None else numbers[e]}
                    for picture in album.shown.get(place, [])
                ],
                "pictures_left_out": album.left_out.get(place, 0),
            }
        )
    return {
        "entries": [
            {"label": entry, "light": light, "dark": dark, "marker": marker}
            for entry, (light, dark, marker) in zip(
                board.entries, themed(board.entries), strict=True
            )
        ],
        "tasks": tasks,
        "pictures": album.data,
        "pictures_limit": pictures,
        "index_sets": sets.texts(),
        "texts": texts.texts(),
    }


def _lines(
    shown: Sequence[TaskBoard], ranked: Mapping[int, Sequence[str]], sets: Interned
) -> dict[int, dict[str, Any]]:
    """Spectra and curves of as many records as may be read: first seeds first."""
    found: dict[int, dict[str, Any]] = {task: {} for task in ranked}
    left = READ
    for seed in range(MOST_SEEDS):
        for task, entry in lines.turns(ranked):
            records = shown[task].of_entry(entry)
            if not left or seed >= len(records):
                continue
            stored = records[seed]
            left -= 1
            made = found[task].setdefault(entry, {"spectra": {}, "curves": []})
            if not made["spectra"]:
                made["spectra"] = lines.spectra(stored, sets)
                made["seed"] = stored.record.cell.seed
            curves = lines.curves(stored)
            if curves:
                facts = {"seed": stored.record.cell.seed, "ok": stored.record.status == "ok"}
                made["curves"].append(curves | facts)
    return {
        task: {e: made for e, made in entries.items() if made["spectra"] or made["curves"]}
        for task, entries in found.items()
    }


def _task(task: TaskBoard, numbers: Mapping[str, int], texts: Interned) -> dict[str, Any]:
    shown = columns(task, metric_conditions(task)[1])
    rows = [_row(row, shown, numbers, texts, task) for row in task.rows]
    empty = {
        place
        for place, column in enumerate(shown)
        if place and all(row["text"][place] == MISSING for row in rows)
    }
    for row in rows:
        for field in ("text", "sort"):
            row[field] = [value for place, value in enumerate(row[field]) if place not in empty]
    kernels = sorted({s.outputs for r in task.records for s in r.record.spectra})
    curve = Counter(stored.record.curve for stored in task.records).most_common(1)[0][0]
    followed = next((m.heading for m in task.metrics if m.name == curve), curve)
    return {
        "label": task.label,
        "slug": task.slug,
        "columns": [c.head() for place, c in enumerate(shown) if place not in empty],
        "primary": {"title": task.primary.title, "digits": digits(task.primary)},
        "followed": followed,
        "kernel": " and ".join(kernels),
        "rows": rows,
        "machines": len(footer.machines(task.records)),
    }


def _row(
    row: Mapping[str, Any],
    shown: Sequence[Column],
    numbers: Mapping[str, int],
    texts: Interned,
    task: TaskBoard,
) -> dict[str, Any]:
    records = task.of_entry(row["entry"])
    cells = [column.of(row, records) for column in shown]
    made = {
        "entry": numbers[row["entry"]],
        "rank": sortable(row["rank"]),
        "rank_text": rank_text(row),
        "text": [text for text, _ in cells],
        "sort": [number for _, number in cells],
        "status": dict(Counter(stored.record.status for stored in records)),
        "reason": texts.number(next((t for r in records if (t := reason(r.record))), "")),
        "about": texts.number(_about(records[0].record)),
        "settings": texts.number(_settings(records[0].record)),
        "cells": [_cell(stored.record, task, texts) for stored in _listed(task, records)],
    }
    spectra = [_moment(row, when) for when in WHENS if row[f"{when}:taken"]]
    return made | ({"spectra": spectra} if spectra else {})


def _listed(task: TaskBoard, records: Sequence[StoredRecord]) -> Sequence[StoredRecord]:
    kept = [r for r in records if r.record.status != "ok"] if task.targets else records
    return kept[:MOST_CELLS]


def reason(record: Record) -> str:
    """Why a cell did not finish, on one line and without its traceback; "" where it did."""
    if record.status == "ok":
        return ""
    words = []
    if record.phase and record.status != "diverged":
        words.append(f"in {record.phase}")
    if record.error is not None:
        if record.error.step is not None:
            words.append(f"at step {record.error.step:,}")
        else:
            told = one_line(f"{record.error.type}: {record.error.message}", REASON)
            return f"{' '.join(words)}: {told}" if words else told
    return " ".join(words)


def _cell(record: Record, task: TaskBoard, texts: Interned) -> list[Any]:
    """Seed, status, reason, quality, best, its step, steps, seconds, MiB, machine and key."""
    value = record.metrics.get(task.primary.name)
    ok = record.status == "ok"
    places = digits(task.primary)
    memory = record.peak_memory_bytes
    return [
        record.cell.seed,
        record.status,
        texts.number(reason(record)),
        MISSING if not ok or value is None or value.value is None else fixed(value.value, places),
        MISSING if not ok or record.best is None else fixed(record.best, places),
        MISSING if not ok or record.best_step is None else count(record.best_step),
        count(record.steps),
        *(_seconds(record, phase) for phase in ("training", "ntk")),
        MISSING if memory is None else count(memory / 2**20),
        texts.number(record.provenance.machine),
        record.key,
    ]


def _seconds(record: Record, phase: str) -> str:
    return seconds(record.durations.get(phase, float("nan")))


def _moment(row: Mapping[str, Any], when: str) -> list[str]:
    return [
        when,
        eigenvalue(row[f"{when}:maximum"]),
        *(below_or_value(row, when, name)[0] for name in ("median", "quantile_10", "minimum")),
        eigenvalue(row[f"{when}:floor|max"]),
        f"{count(row[f'{when}:resolved_rank'])} / {count(row[f'{when}:size'])}",
        f"{row[f'{when}:effective_rank']:.4g}",
    ]


def _about(record: Record) -> str:
    ref = record.cell.encoding
    given = {key: value for key, value in ref.parameters.items() if value is not None}
    told = ", ".join(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in given.items())
    source = f"{ref.name} of {ref.distribution} {ref.version}"
    return one_line(f"{source}{f': {told}' if told else ''}", 1000)


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
