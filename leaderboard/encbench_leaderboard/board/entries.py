"""Entries of a leaderboard: encodings, told apart by the settings that vary among their cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from encbench.results.records import StoredRecord
from encbench.suite.config import differing
from encbench.suite.labels import settings_text
from encbench_leaderboard.board.cells import MetricInfo, cell_settings, measured, text_series


def cells_of(
    records: Sequence[StoredRecord], metrics: Sequence[MetricInfo], names: Mapping[int, str]
) -> pd.DataFrame:
    """``measured``, and the entry of each record."""
    cells = measured(records, metrics)
    cells.insert(0, "entry", text_series(entries_of(records, names)))
    return cells


def entries_of(records: Sequence[StoredRecord], names: Mapping[int, str]) -> list[str]:
    """The entry of each record: the label of its encoding (``names``, by id of the record), and the
    settings that vary among its cells; or the user's own label, where each choice of those settings
    has one of its own."""
    found = [(names[id(stored)], cell_settings(stored.record)) for stored in records]
    distinct: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for entry, settings in found:
        distinct[entry][id(settings)] = settings
    texts = {}
    for entry, choices in distinct.items():
        varying = differing(choices.values())
        for number, settings in choices.items():
            texts[entry, number] = settings_text(settings, varying)
    entries = []
    own: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for stored, (entry, settings) in zip(records, found, strict=True):
        named = texts[entry, id(settings)]
        own[entry][named].add(stored.record.cell.encoding.label or "")
        entries.append((entry, named))
    labelled = {entry for entry, choices in own.items() if _tell_apart(list(choices.values()))}
    return [
        min(own[entry][named]) if entry in labelled else f"{entry} · {named}" if named else entry
        for entry, named in entries
    ]


def _tell_apart(labels: Sequence[set[str]]) -> bool:
    """Whether several choices of settings have one label each, and all different ones."""
    single = {min(of) for of in labels if len(of) == 1}
    return len(labels) > 1 and len(single) == len(labels) and "" not in single
