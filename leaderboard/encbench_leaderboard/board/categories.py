"""Categories: tasks that differ only in their target, such as the images of one folder.

A record does not say that its task came from a folder, so categories are inferred from the
records. Tasks form a category if

- their plug-in (distribution, name and version) and all parameters but one are equal,
- that one, the *target parameter*, is a text (the name or path of the data), and
- at least two different data hashes occur among its values.

The third rule distinguishes targets from settings: the same photograph in grey and in RGB differs
in a text parameter, but its data are the same. A number (``side=64``, ``side=128``) is never a
target. Files of equal content are one target, whatever their names, since copies are not
replication. A name with two data hashes, such as a file that was changed between two runs, is
ambiguous and belongs to no category. Tasks that differ in two parameters belong to none either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from encbench.errors import UsageError
from encbench.plugins.selector import format_selector, parse_selector
from encbench.suite.config import PluginRef
from encbench_leaderboard.board.facts import identity


@dataclass(frozen=True)
class Target:
    """One task on one set of data."""

    ref: PluginRef
    data_hash: str | None  # None if the data could not be read


@dataclass(frozen=True)
class Category:
    """Tasks that differ only in their target."""

    label: str
    """The first task's label with ``*`` in place of the target: ``image:image=*,side=128``."""
    parameter: str
    members: tuple[int, ...]  # indices into the sequence of targets, ascending
    units: tuple[str, ...]  # target of each member, equal for copies


def find_categories(targets: Sequence[Target]) -> list[Category]:
    """Categories with at least two different targets; a task is in at most one, the largest."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, target in enumerate(targets):
        for parameter, value in target.ref.parameters.items():
            if isinstance(value, str):
                rest = {k: v for k, v in target.ref.parameters.items() if k != parameter}
                alike = target.ref.model_copy(update={"parameters": rest})
                groups[parameter, identity(alike)].append(place)
    found = [_category(targets, parameter, places) for (parameter, _), places in groups.items()]
    taken: set[int] = set()
    chosen = []
    for category in sorted(filter(None, found), key=lambda c: (-len(c.members), c.members)):
        if taken.isdisjoint(category.members):
            taken.update(category.members)
            chosen.append(category)
    return sorted(chosen, key=lambda category: category.members)


def _category(targets: Sequence[Target], parameter: str, members: Sequence[int]) -> Category | None:
    hashes: dict[str, set[str]] = defaultdict(set)
    for place in members:
        target = targets[place]
        hashes[target.ref.parameters[parameter]] |= {h for h in [target.data_hash] if h}
    # A target whose data could not be read stays in: its failures belong to the category.
    units = {v: next(iter(h), f"unread {v}") for v, h in hashes.items() if len(h) < 2}
    if len({units[v] for v, h in hashes.items() if len(h) == 1}) < 2:
        return None
    values = {p: targets[p].ref.parameters[parameter] for p in members}
    kept = [place for place in members if values[place] in units]
    ref = targets[kept[0]].ref
    try:
        name, asked = parse_selector(ref.shown)
    except UsageError:
        name, asked = ref.name, {}
    # the parameters that were given, with * for the target
    label = format_selector(name, {parameter: "*"} | asked | {parameter: "*"})
    return Category(label, parameter, tuple(kept), tuple(units[values[place]] for place in kept))
