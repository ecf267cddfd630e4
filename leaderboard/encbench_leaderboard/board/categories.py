"""Which tasks are the same but for their target: the images of one folder.

A record does not say that its task came from a folder, so categories are found in what the
records do say. Tasks form a category where

- plug-in (distribution, name and version) and all parameters but one are equal,
- that one, the *target parameter*, is a text (the name or path of the data), and
- at least two different data hashes occur among its values.

The third rule tells a target from a setting: the same photograph in grey and in RGB differs in
a text parameter, but its data are the same. A number (``side=64``, ``side=128``) never is a
target. Two files of equal content are one target, however they are called: copies are no
replication. One name with two data hashes, a file that was changed between two runs, is
ambiguous and belongs to no category. Tasks that differ in two parameters belong to none either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from encbench.errors import UsageError
from encbench.plugins.selector import format_selector, parse_selector
from encbench.suite.config import PluginRef
from encbench_leaderboard.board.cells import canonical


@dataclass(frozen=True)
class Target:
    """One task on one set of data."""

    ref: PluginRef
    data_hash: str | None
    """None where the data could not be read."""


@dataclass(frozen=True)
class Category:
    """Tasks that differ in their target alone."""

    label: str
    """The first task's label with ``*`` in place of the target."""
    parameter: str
    members: tuple[int, ...]
    """Places in the sequence of targets, ascending."""
    units: tuple[str, ...]
    """Of each member: what tells its target from the others'. Copies have the same."""


def find_categories(targets: Sequence[Target]) -> list[Category]:
    """Categories with at least two different targets; a task is in at most one, the largest."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, target in enumerate(targets):
        ref = target.ref
        for parameter, value in ref.parameters.items():
            if isinstance(value, str):
                rest = {k: v for k, v in ref.parameters.items() if k != parameter}
                identity = canonical([ref.distribution, ref.name, ref.version, rest])
                groups[parameter, identity].append(place)
    found = [
        category
        for (parameter, _), members in groups.items()
        if len(members) > 1 and (category := _category(targets, parameter, members)) is not None
    ]
    found.sort(key=lambda category: (-len(category.members), category.members))
    taken: set[int] = set()
    chosen = []
    for category in found:
        if taken.isdisjoint(category.members):
            taken.update(category.members)
            chosen.append(category)
    return sorted(chosen, key=lambda category: category.members)


def _category(targets: Sequence[Target], parameter: str, members: Sequence[int]) -> Category | None:
    hashes: dict[str, set[str]] = defaultdict(set)
    for place in members:
        value = targets[place].ref.parameters[parameter]
        hashes[value] |= {h for h in [targets[place].data_hash] if h is not None}
    # A target whose data could not be read stays in: its failures belong to the category.
    units = {v: next(iter(h), f"unread {v}") for v, h in hashes.items() if len(h) < 2}
    kept = [p for p in members if targets[p].ref.parameters[parameter] in units]
    if len({units[v] for v, h in hashes.items() if len(h) == 1}) < 2:
        return None
    return Category(
        label=_label(targets[kept[0]].ref, parameter),
        parameter=parameter,
        members=tuple(kept),
        units=tuple(units[targets[p].ref.parameters[parameter]] for p in kept),
    )


def _label(ref: PluginRef, parameter: str) -> str:
    """``image:image=*,side=128``: what was asked for, the target left open."""
    try:
        name, parameters = parse_selector(ref.label or ref.name)
    except UsageError:
        name, parameters = ref.name, {}
    return format_selector(name, {parameter: "*"} | parameters | {parameter: "*"})
