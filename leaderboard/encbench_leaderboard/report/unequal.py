"""The settings that differ between entries beyond the encoding, and which entry has which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from encbench.runs.tuning_report import TuneResult
from encbench.suite.config import differing, sorted_json
from encbench.suite.labels import settings_text
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.pareto import equally_large
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.format import MISSING, code, listed, plain, significant

RATE = ("training.lr", "training.lr_factor")
NO_EFFECT = ("ntk.", "training.evaluations")
"""Settings of what is measured during training, by how their names begin."""
SIZES = ("network.width", "network.depth")
NAMED = 3
"""Maximum number of choices of settings, and of entries that have one, in a sentence."""
USED: Mapping[str, Callable[[Facts], Any]] = {
    "network.activation": lambda one: one.activation,
    "training.batch_size": lambda one: one.batch_size,
    **dict.fromkeys(RATE, lambda one: one.learning_rate.value if one.learning_rate else None),
}
"""Settings such as "auto" and "all", of which records state the value."""


def used(key: str, cells: Sequence[Facts]) -> frozenset[Any]:
    """The values of a setting in ``USED`` that cells were trained with; those asked for if no
    record states them: they are older, or training did not begin."""
    stated = {USED[key](one) for one in cells} - {None}
    return frozenset(stated or {one.settings.get(key) for one in cells})


def unequal(task: TaskBoard, entries: Sequence[str], tuned: TuneResult | None) -> str:
    """Which of the entries was trained with which settings, if these differ: "`a`: optimizer=sgd,
    learning rate 1.5 × lr_crit; `b`: optimizer=adam, learning rate 0.005"; else "".

    Left out are settings that were tuned, sizes of networks with equally many parameters, and a
    sweep: a setting that has the same values with each encoding, and is part of the entries' names.
    """
    cells = {entry: task.facts_of_entry(entry) for entry in entries}
    facts = {entry: of[0] for entry, of in cells.items()}
    settings = {entry: _in_effect(one, tuned) for entry, one in facts.items()}
    equal = equally_large([one.parameters for one in facts.values()])
    keys = [
        key
        for key in differing(settings.values())
        if not (equal and key in SIZES)
        and not _swept(key, facts, settings)
        and not (key in USED and len({used(key, of) for of in cells.values()}) == 1)
    ]
    having: dict[str, list[str]] = defaultdict(list)
    for entry, one in facts.items():
        values = {key: used(key, cells[entry]) for key in keys if key in USED}
        settings[entry] |= {key: next(iter(of)) for key, of in values.items() if len(of) == 1}
        having[_in_words(one, settings[entry], keys)].append(entry)
    if len(having) < 2:
        return ""
    # the most frequent settings last, as those of all others
    *few, (most, others) = sorted(having.items(), key=lambda item: len(item[1]))
    parts = [f"{listed(list(map(code, of)), NAMED)}: {what}" for what, of in few[:NAMED]]
    if len(few) > NAMED:
        parts.append(f"{len(few) - NAMED:,} other choices of settings")
    which = "the others" if len(others) > 1 else code(others[0])
    return "; ".join([*parts, f"{which}: {most}"])


def _in_effect(one: Facts, tuned: TuneResult | None) -> dict[str, Any]:
    """The settings that matter for the result, without those that were searched."""
    searched = {name for each in tuned.encodings for name in each.space} if tuned else set()
    names = {name for key in searched for name in (RATE if key in RATE else (key,))}
    # lr_factor applies to lr_crit, and that to gradient descent
    descends = one.cell.training.optimizer.partition(":")[0] == "sgd"
    return {
        key: value
        for key, value in one.settings.items()
        if not key.startswith(NO_EFFECT)
        and not any(name == key or name.startswith(f"{key}.") for name in names)
        and (descends or key != "training.lr_factor")
    }


def _swept(key: str, facts: Mapping[str, Facts], settings: Mapping[str, Mapping[str, Any]]) -> bool:
    values: dict[str, set[str]] = defaultdict(set)
    for entry, one in facts.items():
        values[one.encoding].add(sorted_json(settings[entry].get(key)))
    name = f"{key.partition('.')[2]}="
    shown = all(name in entry for entry in facts if key in settings[entry])
    return shown and all(of == next(iter(values.values())) for of in values.values())


def _in_words(one: Facts, settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    """ "optimizer=sgd, learning rate 1.5 × lr_crit": a cell's values of some settings."""
    others = settings_text(settings, [key for key in keys if key not in RATE])
    parts = [plain(others)] if others else []
    if any(key in RATE for key in keys) and one.learning_rate:
        training = one.cell.training
        of_critical = training.lr == "auto" and training.optimizer.partition(":")[0] == "sgd"
        value = significant(one.learning_rate.value)
        rate = f"{training.lr_factor:g} × lr_crit" if of_critical else value
        parts.append(f"learning rate {rate}")
    return ", ".join(parts) or MISSING
