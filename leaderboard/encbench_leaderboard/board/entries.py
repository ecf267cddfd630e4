"""Names of entries: an encoding with one choice of the settings that vary among its cells.

An entry has the same name on all tasks of a board, and no two entries have the same name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from encbench.suite.config import PluginRef, differing
from encbench.suite.labels import label, labels_with_differences, numbered, settings_text
from encbench_leaderboard.board.facts import Facts

Kind = tuple[str, int]
"""Identity of an encoding, and id of the settings: ``entry_key`` a record."""
Choice = tuple[str, str]
"""Identity of an encoding, and the settings that distinguish its entries, in words."""


def entry_key(one: Facts) -> Kind:
    return one.encoding, id(one.settings)


def entry_names(groups: Sequence[Sequence[Facts]]) -> dict[Kind, str]:
    """The name of each entry: the label of its encoding and the settings that vary among its cells;
    or the user's label, if each choice of those settings has its own.

    Settings distinguish entries if they vary within a group: a task or a category. Those that vary
    only between groups, such as the number of steps, do not.
    """
    varying = _varying(groups)
    chosen: dict[Kind, Choice] = {}
    labels: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    refs: dict[str, PluginRef] = {}
    for one in chain.from_iterable(groups):
        kind = entry_key(one)
        if kind not in chosen:
            keys = [key for key in one.settings if key in varying[one.encoding]]
            chosen[kind] = one.encoding, settings_text(one.settings, keys)
        labels[one.encoding][chosen[kind][1]].add(one.cell.encoding.label or "")
        refs[one.encoding] = one.cell.encoding
    own: dict[Choice, str] = {}
    settings: dict[Choice, str] = {}
    for encoding, by_text in labels.items():
        enough = _tell_apart(list(by_text.values()))
        for text, of in by_text.items():
            choice = encoding, text
            own[choice] = min(of) if len(of) == 1 and "" not in of else label(refs[encoding])
            settings[choice] = f" · {text}" if text and not enough else ""
    distinct = _distinct(own, refs)
    names = numbered({choice: distinct[choice] + settings[choice] for choice in own})
    return {kind: names[choice] for kind, choice in chosen.items()}


def _varying(groups: Sequence[Sequence[Facts]]) -> dict[str, set[str]]:
    """Settings that vary within a group, by encoding."""
    varying: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        settings: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
        for one in group:
            settings[one.encoding][id(one.settings)] = one.settings
        for encoding, found in settings.items():
            varying[encoding].update(differing(found.values()))
    return varying


def _tell_apart(labels: Sequence[set[str]]) -> bool:
    """Whether there are several choices of settings, each with one label, all different."""
    single = {min(of) for of in labels if len(of) == 1}
    return len(labels) > 1 and len(single) == len(labels) and "" not in single


def _distinct(own: Mapping[Choice, str], refs: Mapping[str, PluginRef]) -> dict[Choice, str]:
    """The label of each entry; one that stands for several encodings says which is meant."""
    encodings: dict[str, dict[str, PluginRef]] = defaultdict(dict)
    for (encoding, _), text in own.items():
        encodings[text][encoding] = refs[encoding]
    labels = {text: labels_with_differences(text, same) for text, same in encodings.items()}
    return {choice: labels[text][choice[0]] for choice, text in own.items()}
