"""Merge several results folders into one, with one record per cell."""

from __future__ import annotations

import filecmp
import logging
import shutil
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from encbench.errors import StoreError, UsageError
from encbench.results.record_folder import (
    MANIFEST,
    WEIGHTS,
    NewerRecord,
    check_files,
    reason_of,
    write_manifest,
)
from encbench.results.records import Record, StoredRecord
from encbench.results.store import Store
from encbench.suite.config import cell_key
from encbench.suite.file import Suite, explicit_settings

Prefer = Literal["ok", "newer", "first"]
logger = logging.getLogger("encbench")


class Part(StrEnum):
    """Files of a record beside its record.json."""

    PICTURES = "pictures"
    ARRAYS = "arrays"
    WEIGHTS = "weights"


@dataclass(frozen=True)
class _Found:
    stored: StoredRecord
    source: Path

    @property
    def record(self) -> Record:
        return self.stored.record

    @property
    def finished(self) -> datetime:
        source = self.record.provenance
        return _time(source.finished or source.started)


@dataclass(frozen=True)
class Dropped:
    """A record that is left out because another record of the same cell is kept."""

    record: Record
    source: Path
    kept: Record
    kept_source: Path
    """The input with the kept record."""
    because: str


@dataclass
class Merge:
    """Result of a merge."""

    taken: dict[Path, int] = field(default_factory=dict)
    """Number of records taken from each input, in the order given."""
    identical: int = 0
    """Number of records left out because the kept one has all their values and files."""
    dropped: list[Dropped] = field(default_factory=list)
    damaged: dict[Path, str] = field(default_factory=dict)
    """What is wrong with each record left out as damaged, by its folder."""
    moved: dict[Path, Path] = field(default_factory=dict)
    """Where damaged records of ``out`` are now that others are in their places."""
    one_suite: bool = False
    """Whether a single suite describes what all the inputs ran."""


def merge(
    inputs: Sequence[Path], out: Path, prefer: Prefer = "ok", without: Collection[str] = ()
) -> Merge:
    """Merge the records of several results folders into one folder.

    Args:
        inputs: results folders; none is changed except ``out``.
        out: one of the inputs, or a folder that does not exist, or one that has no records except
            those copied by the same merge when it was interrupted.
        prefer: which record of a cell to keep, whatever the versions of the plug-ins: "ok" keeps
            one that is ok, then the newer; "newer" the one that ended later, by the clock of the
            machine that ran it; "first" the one from the input named first.
        without: ``Part`` names, whose files are left out of the copied records; record.json is
            copied in full.

    Raises:
        UsageError: there is no input; files are to be left out and ``out`` is an input; or ``out``
            is not an input, but has other records or lies in an input.
        StoreError: an input is not a results folder, none has records, or one has records of a
            newer encbench; ``out`` is in use or cannot be written. Records merged until then are
            complete.
    """
    sources = _distinct(inputs)
    into = next((s for s in sources if out.exists() and s.samefile(out)), None)
    for source in sources:
        if source != into and out.resolve().is_relative_to(source.resolve()):
            raise UsageError(
                f"{out} lies in {source}, which a merge must not change; "
                "choose another folder with -o"
            )
    begun = into is None and out.is_dir() and bool(Store(out).keys())
    if begun and Store(out).suites():
        raise _holds_records(out)
    if into is not None and without:
        raise UsageError(
            f"{out} is one of the folders to merge, whose records stay as they are; choose a new "
            "folder with -o to leave files out"
        )
    empty = [source for source in sources if not Store(source).keys()]
    if len(empty) == len(sources):
        raise StoreError(
            f"no records in {', '.join(map(str, empty))}; expected results folders, such as "
            "`encbench run -o DIR` makes"
        )
    for source in empty:
        logger.warning("%s holds no records", source)
    result = Merge(taken=dict.fromkeys(sources, 0))
    found = {s: _read(s, result) for s in sources if s != into}
    if begun and not _copied(out, [one for several in found.values() for one in several]):
        raise _holds_records(out)
    store = Store(into or out)
    with store.writing():
        if into is not None:
            # from here on no other process can write it
            found[into] = _read(into, result)
        # not by the records' own keys: up to schema version 2 they depend on plug-in versions
        by_key: dict[str, list[_Found]] = defaultdict(list)
        for source in sources:
            for one in found[source]:
                by_key[cell_key(one.record.cell)].append(one)
        for key in sorted(by_key):
            best = _choose(by_key[key], prefer, result)
            result.taken[best.source] += 1
            if best.source != into:
                place = store.place(best.record.key)
                if place in result.damaged:
                    result.moved[place] = store.set_aside(best.record.key)
                _copy(best, store, without)
            for other in by_key[key]:
                if other.source == into and other.record.key != best.record.key:
                    store.remove(other.record.key)
        suites = [Store(s).suites() for s in sources if found[s]]
        together = merged_suites([suite for several in suites for suite in several])
        result.one_suite = len(together) == 1 and all(suites)
        store.write_suites(together)
    return result


def _holds_records(out: Path) -> UsageError:
    return UsageError(
        f"{out} holds records already; name it among the folders to merge, too, "
        "or choose another with -o"
    )


def _copied(out: Path, originals: Sequence[_Found]) -> bool:
    """Whether every record of a folder is a copy of one of these."""
    by_key: dict[str, list[_Found]] = defaultdict(list)
    for one in originals:
        by_key[one.record.key].append(one)
    damaged = Merge()
    copies = _read(out, damaged)
    return not damaged.damaged and all(
        any(_identical(one, copy) for one in by_key.get(copy.record.key, ())) for copy in copies
    )


def merged_suites(suites: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one suite that plans exactly the cells of all suites if there is one, else all suites.

    There is one if their settings agree, and either one plans all cells of the other or they differ
    only in encodings, only in tasks or only in seeds: the cross product of both is then the union.
    """
    different = _unique(suites)
    together = _normal(different[0]) if different else None
    for suite in different[1:]:
        other = _normal(suite)
        together = _united(together, other) if together and other else None
    return [together] if together and len(different) > 1 else different


def _normal(suite: dict[str, Any]) -> dict[str, Any] | None:
    """A suite in a normal form, equal for suites that plan the same cells; None if invalid."""
    try:
        valid = Suite.model_validate(suite)
    except ValueError:
        return None
    # a setting that equals its default still takes precedence over the task's own
    asked = valid.as_asked()
    given = {
        section: {key: value for key, value in asked.get(section, {}).items() if value is not None}
        for section in ("network", "training")
    }
    return {"description": "", "seeds": [0]} | explicit_settings(suite) | given


def _united(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any] | None:
    differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    differing -= {"name", "description"}
    if not differing <= {"encodings", "tasks", "seeds"}:
        return None
    if len(differing) > 1 and not (
        _within(one, other, differing) or _within(other, one, differing)
    ):
        return None
    both = {key: _unique([*one[key], *other[key]]) for key in differing}
    names = " + ".join(_unique([*one["name"].split(" + "), *other["name"].split(" + ")]))
    same = one["description"] == other["description"]
    return one | both | {"name": names, "description": one["description"] if same else ""}


def _within(one: dict[str, Any], other: dict[str, Any], lists: set[str]) -> bool:
    return all(item in other[name] for name in lists for item in one[name])


def _unique(items: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _distinct(inputs: Sequence[Path]) -> list[Path]:
    distinct: list[Path] = []
    for path in inputs:
        if not path.is_dir():
            raise StoreError(f"there is no results folder {path}")
        if any(path.samefile(other) for other in distinct):
            logger.warning("%s is named more than once", path)
        else:
            distinct.append(path)
    if not distinct:
        raise UsageError("give at least one results folder to merge")
    return distinct


def _read(source: Path, result: Merge) -> list[_Found]:
    store = Store(source)
    found, keys = [], store.keys()
    for key in keys:
        folder = store.place(key)
        try:
            stored = store.read(key)
            check_files(stored)
        except NewerRecord as error:
            raise StoreError(
                f"{folder} was written by a newer encbench ({error}); update encbench to merge it"
            ) from None
        except (OSError, ValueError) as error:
            result.damaged[folder] = reason_of(error)
        else:
            found.append(_Found(stored, source))
    return found


def _choose(candidates: list[_Found], prefer: Prefer, result: Merge) -> _Found:
    def rank(one: _Found) -> tuple[bool, datetime]:
        return prefer == "ok" and one.record.status == "ok", one.finished

    # if they rank equal, the one with most files, then the first
    best = candidates[0]
    if prefer != "first":
        best = max(candidates, key=lambda one: (*rank(one), len(one.stored.files)))
    for other in candidates:
        if other is best:
            continue
        if _identical(best, other):
            result.identical += 1
            continue
        why = "ok" if rank(best)[0] > rank(other)[0] else "newer"
        if prefer == "first" or rank(best) == rank(other):
            why = "first"
        result.dropped.append(Dropped(other.record, other.source, best.record, best.source, why))
    return best


def _identical(one: _Found, other: _Found) -> bool:
    """Whether the records are equal and this one has all files of the other."""
    if one.record != other.record or not other.stored.files.keys() <= one.stored.files.keys():
        return False
    return all(
        filecmp.cmp(one.stored.path / name, other.stored.path / name, shallow=False)
        for name in other.stored.files
    )


def _copy(one: _Found, store: Store, without: Collection[str]) -> None:
    folder = one.stored.path
    listed = (folder / MANIFEST).exists()  # up to schema version 2 record.json names the files
    kept = [name for name in one.stored.files if not listed or _part(name) not in without]
    with store.new_folder(one.record.key) as temporary:
        for name in ("record.json", *kept, *([MANIFEST] if listed else [])):
            shutil.copyfile(folder / name, temporary / name, follow_symlinks=False)
        if len(kept) < len(one.stored.files):
            write_manifest(temporary)


def _part(name: str) -> Part:
    if name == WEIGHTS:
        return Part.WEIGHTS
    return Part.PICTURES if name.endswith(".png") else Part.ARRAYS


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
