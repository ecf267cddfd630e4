"""Pair the cells of two sides, and find the encoding that a text names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from encbench.errors import UsageError, did_you_mean
from encbench.plugins.selector import parse_selector
from encbench.results.palette import natural
from encbench.results.records import Record, StoredRecord
from encbench.suite.config import PluginRef, cell_key, differing, sorted_json
from encbench.suite.labels import flatten, settings_text
from encbench_leaderboard.board.facts import cell_settings, identity
from encbench_leaderboard.board.table import Board, TaskBoard

SETTINGS = ("training", "network", "ntk")
"""Sections of a cell whose settings may differ with ``--despite``."""
MAX_DIFFERENCES = 2
"""Maximum number of differing settings that are listed for a cell without a partner."""
EXPLAINED = 20
"""Maximum number of cells without a partner that are compared with similar ones."""


def match_cells(
    a: Sequence[StoredRecord], b: Sequence[StoredRecord], despite: Sequence[str] = ()
) -> tuple[list[tuple[StoredRecord, StoredRecord]], list[StoredRecord], list[StoredRecord]]:
    """Return pairs of cells that are equal but for plug-in versions, and cells without a partner.

    A folder of an older encbench can hold a cell under several versions: the one whose version the
    other folder also has is taken, else the one started last. Settings in ``despite``, such as
    "training.epochs" or the section "training", may differ.

    Raises:
        UsageError: there is no such setting, or a folder holds a cell with several values of it.
    """
    _check_settings(despite, [*a, *b])
    groups_a, groups_b = _by_identity(a, despite), _by_identity(b, despite)
    pairs = []
    used: set[int] = set()
    for settings, mine in groups_a.items():
        theirs = groups_b.get(settings, [])
        if not theirs:
            continue
        versions = {stored.record.cell.versions: stored for stored in reversed(theirs)}
        chosen = next((m for m in mine if m.record.cell.versions in versions), mine[0])
        other = versions.get(chosen.record.cell.versions, theirs[0])
        pairs.append((chosen, other))
        used |= {id(chosen), id(other)}
    alone = [[s for s in side if id(s) not in used] for side in (a, b)]
    return pairs, alone[0], alone[1]


def _by_identity(
    records: Sequence[StoredRecord], despite: Sequence[str]
) -> dict[str, list[StoredRecord]]:
    """Group records by cell, whatever the plug-in versions; those started last come first."""
    groups: dict[str, list[StoredRecord]] = defaultdict(list)
    for stored in sorted(records, key=lambda s: s.record.provenance.started, reverse=True):
        parts = _settings_of(stored.record).items()
        kept = {key: value for key, value in parts if not _is_of(key, despite)}
        groups[sorted_json(kept)].append(stored)
    for group in groups.values() if despite else ():
        keys = differing(_settings_of(stored.record) for stored in group)
        if keys:
            raise UsageError(
                f"{group[0].record.cell.label}: one folder holds it with several values of "
                f"{', '.join(keys)}, so that --despite {' --despite '.join(despite)} does not say "
                "which is meant; compare folders that hold one value each"
            )
    return groups


def _settings_of(record: Record) -> dict[str, Any]:
    """Return the settings that identify a cell, by dotted keys."""
    cell: dict[str, Any] = record.cell.model_dump(mode="json", exclude={"weights_version"})
    for part in ("encoding", "task"):
        del cell[part]["label"], cell[part]["version"]
    return flatten(cell)


def _is_of(key: str, settings: Sequence[str]) -> bool:
    return any(key == setting or key.startswith(f"{setting}.") for setting in settings)


def _check_settings(settings: Sequence[str], records: Sequence[StoredRecord]) -> None:
    if not settings:
        return
    keys = {key: None for stored in records for key in _settings_of(stored.record)}
    known = [key for key in keys if _is_of(key, SETTINGS)]
    for setting in settings:
        if not any(_is_of(key, [setting]) for key in known):
            hint = did_you_mean(setting, known, f"there are {', '.join(known)}")
            raise UsageError(f"{setting!r} is not a setting in which cells may differ{hint}")


def unmatched(
    alone: Sequence[StoredRecord], others: Sequence[StoredRecord], names: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Return the names of cells without a partner, sorted, and the settings that keep them apart.

    The first names list how the most similar of ``others`` differs, if in at most
    ``MAX_DIFFERENCES`` settings. No settings are returned if one of them is not in
    ``SETTINGS``. ``names`` are by cell key."""
    candidates: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for other in others:
        cell = other.record.cell
        candidates[cell.encoding.name, cell.seed].append(_settings_of(other.record))
    called = [(names[cell_key(stored.record.cell)], stored.record) for stored in alone]
    called.sort(key=lambda item: natural(item[0]))
    words = [name for name, _ in called]
    found: dict[str, None] = {}
    for place, (_, record) in enumerate(called[:EXPLAINED]):
        cell, mine = record.cell, _settings_of(record)
        near = candidates.get((cell.encoding.name, cell.seed), [])
        choices = ((differing([mine, theirs]), theirs) for theirs in near)
        keys, theirs = min(choices, key=lambda item: len(item[0]), default=([], {}))
        if 0 < len(keys) <= MAX_DIFFERENCES:
            listed = "; ".join(f"{key} {mine.get(key)}, there {theirs.get(key)}" for key in keys)
            words[place] += f" ({listed})"
            found |= dict.fromkeys(keys)
    return words, list(found) if all(_is_of(key, SETTINGS) for key in found) else []


def results_of(record: Record) -> str:
    """Serialize status, steps, metrics, spectra and best value, all digits; NaN equals NaN."""
    spectra = [s.model_dump(exclude={"seconds", "method"}) for s in record.spectra]
    metrics = {name: metric.value for name, metric in record.metrics.items()}
    return sorted_json([metrics, spectra, record.best, record.status, record.steps])


def find_encoding(text: str, board: Board) -> tuple[str, list[str]]:
    """Return label and entries of the encoding of a board that a text names.

    The text is the name of an entry, else a label, else a selector; the last two can stand for
    several entries of one encoding, which differ in settings.

    Raises:
        UsageError: no encoding matches, or several do.
    """
    if text in board.entries:
        return text, [text]
    refs: dict[str, list[PluginRef]] = defaultdict(list)
    for task in board.tasks:
        for entry, one in zip(task.cells["entry"], task.facts, strict=True):
            refs[entry].append(one.cell.encoding)
    found = [entry for entry in board.entries if text in {ref.shown for ref in refs[entry]}]
    if not found:
        name, parameters = parse_selector(text)
        found = [entry for entry in board.entries if _fits(refs[entry][0], name, parameters)]
    if not found:
        known = board.entries
        hint = did_you_mean(text, known, f"there are: {'; '.join(known)}")
        raise UsageError(f"no encoding {text!r} in the folder{hint}")
    if len({identity(refs[entry][0]) for entry in found}) > 1:
        raise UsageError(
            f"{text!r} matches several encodings: {'; '.join(found)}; "
            "give one of them as it is printed here, or more parameters"
        )
    return found[0] if len(found) == 1 else refs[found[0]][0].shown, found


def _fits(ref: PluginRef, name: str, parameters: dict[str, Any]) -> bool:
    named = name in (ref.name, ref.qualified)
    return named and ref.parameters | parameters == ref.parameters


BySeed = dict[int, StoredRecord]


def sides_of(
    a: tuple[str, Sequence[str]], b: tuple[str, Sequence[str]], task: TaskBoard
) -> dict[str, tuple[BySeed, BySeed]]:
    """Return the cells that a task has of the entries of both sides, each with the text that names
    them, by the settings that distinguish the entries of a side; "" if there is one entry each.
    What only one side has stands beside an empty one.

    Raises:
        UsageError: a side has several entries here that differ in no setting.
    """
    sides = [
        {entry: found for entry in entries if (found := task.of_entry(entry))}
        for _, entries in (a, b)
    ]
    settings = [
        {entry: cell_settings(found[0].record) for entry, found in here.items()} for here in sides
    ]
    differ = list(dict.fromkeys(key for here in settings for key in differing(here.values())))
    by_settings = [
        {
            settings_text(of[entry], differ): {s.record.cell.seed: s for s in found}
            for entry, found in here.items()
        }
        for of, here in zip(settings, sides, strict=True)
    ]
    for (text, _), here, by_text in zip((a, b), sides, by_settings, strict=True):
        if len(by_text) < len(here):
            raise UsageError(
                f"{text!r} matches several entries on {task.label}: {'; '.join(here)}; give one of "
                "them as it is printed here"
            )
    mine, other = by_settings
    return {text: (mine.get(text, {}), other.get(text, {})) for text in {**mine, **other}}
