"""Several results folders put together, a record a key."""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from encbench.errors import StoreError, UsageError
from encbench.results.reading import NewerRecord, check_files, reason_of
from encbench.results.records import Record
from encbench.results.store import Store, store_error
from encbench.suite.file import Suite

__all__ = ["Dropped", "Merge", "Prefer", "merge", "merged_suite"]

Prefer = Literal["ok", "newer", "first"]
logger = logging.getLogger("encbench")


@dataclass(frozen=True)
class _Found:
    record: Record
    folder: Path
    source: Path

    @property
    def finished(self) -> datetime:
        source = self.record.provenance
        return _time(source.finished or source.started)


@dataclass(frozen=True)
class Dropped:
    """A record that is not in the merged folder, for another of its key is."""

    record: Record
    source: Path
    kept: Path
    """The input whose record is there instead."""
    because: str


@dataclass
class Merge:
    """What became of the inputs' records."""

    taken: dict[Path, int] = field(default_factory=dict)
    """Records from each input, in the order given."""
    identical: int = 0
    """Records that a second input had too, to the last byte."""
    dropped: list[Dropped] = field(default_factory=list)
    damaged: dict[Path, str] = field(default_factory=dict)
    """Folder of each record that was left out to what is wrong with it."""
    one_suite: bool = False
    """Whether a single suite says what all the inputs ran."""


def merge(inputs: Sequence[Path], out: Path, prefer: Prefer = "ok") -> Merge:
    """Put the records of several results folders into one.

    Args:
        inputs: results folders; none is changed, but for ``out``.
        out: one of the inputs, or a folder that is not there or holds no records.
        prefer: of two records of one key "ok" keeps one that is ok over one that is not and else
            the newer, "newer" the one that ended later, by the clock of the machine that ran it,
            and "first" that of the input named first.

    Raises:
        UsageError: fewer than one input; or ``out`` is no input, and holds records or lies in one.
        StoreError: an input is no results folder, none holds records, or one holds records of a
            newer encbench; ``out`` is in use or cannot be written. What was merged until then is
            whole.
    """
    sources = _distinct(inputs)
    into = next((s for s in sources if out.exists() and s.samefile(out)), None)
    for source in sources:
        if source != into and out.resolve().is_relative_to(source.resolve()):
            raise UsageError(
                f"{out} lies in {source}, which a merge must not change; "
                "choose another folder with -o"
            )
    if into is None and out.is_dir() and Store(out).keys():
        raise UsageError(
            f"{out} holds records already; name it among the folders to merge, too, "
            "or choose another with -o"
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
    store = Store(out)
    with store.writing():
        if into is not None:
            # nobody else can write it from here on
            found[into] = _read(into, result)
        by_key: dict[str, list[_Found]] = defaultdict(list)
        for source in sources:
            for one in found[source]:
                by_key[one.record.key].append(one)
        for key in sorted(by_key):
            best = _choose(by_key[key], prefer, result)
            result.taken[best.source] += 1
            if best.source != into:
                _copy(best, store)
        suites = [Store(s).suite() for s in sources if found[s]]
        together = merged_suite(suites)
        result.one_suite = "merged" not in together
        store.write_suite(together)
    return result


def merged_suite(suites: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """One suite that asks for exactly the cells of all of these, where there is one.

    That is so where they agree in their settings, and one asks for all of the other's cells or
    they differ in their encodings alone, their tasks alone or their seeds alone: the cross product
    of both is then the union of theirs. Otherwise
    {"merged": […]} lists those that are known.
    """
    known = [suite for told in suites for suite in _parts(told)]
    whole = [_normal(suite) for suite in known]
    complete = all(s is not None and "merged" not in s for s in suites) and None not in whole
    together: dict[str, Any] | None = whole[0] if complete and whole else None
    for suite in whole[1:]:
        together = _united(together, suite) if together is not None and suite else None
    return together if together is not None else {"merged": _unique(known)}


def _parts(told: dict[str, Any] | None) -> list[dict[str, Any]]:
    if told is None:
        return []
    merged = told.get("merged")
    return [s for s in merged if isinstance(s, dict)] if isinstance(merged, list) else [told]


def _normal(suite: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return Suite.model_validate(suite).model_dump(mode="json")
    except ValueError:
        return None


def _united(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any] | None:
    told = {"name", "description"}
    differing = {key for key in one if key not in told and one[key] != other[key]}
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


def _unique(items: list[Any]) -> list[Any]:
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
        folder = source / "records" / key
        try:
            stored = store.read(key)
            check_files(stored.path, stored.record)
        except NewerRecord as error:
            raise StoreError(
                f"{folder} was written by a newer encbench ({error}); update encbench to merge it"
            ) from None
        except (OSError, ValueError) as error:
            result.damaged[folder] = reason_of(error)
        else:
            found.append(_Found(stored.record, stored.path, source))
    return found


def _choose(candidates: list[_Found], prefer: Prefer, result: Merge) -> _Found:
    best = candidates[0]
    for other in candidates[1:]:
        if _better(other, best, prefer):
            best = other
    # only now is it known beside which one the others are left out
    for other in candidates:
        if other is best:
            continue
        if _identical(best, other):
            result.identical += 1
        else:
            why = _better(best, other, prefer) or "first"
            result.dropped.append(Dropped(other.record, other.source, best.source, why))
    return best


def _better(one: _Found, other: _Found, prefer: Prefer) -> str:
    """Why one is to be kept rather than the other, in a word; "" where it is not."""
    if prefer == "first":
        return ""
    if prefer == "ok" and (one.record.status == "ok") != (other.record.status == "ok"):
        return "ok" if one.record.status == "ok" else ""
    return "newer" if one.finished > other.finished else ""


def _identical(one: _Found, other: _Found) -> bool:
    if one.record != other.record:
        return False
    return all(
        filecmp.cmp(one.folder / name, other.folder / name, shallow=False)
        for name in one.record.files
    )


def _copy(one: _Found, store: Store) -> None:
    key = one.record.key
    temporary = store.directory / "records" / f".new-{key}-{os.getpid()}"
    try:
        temporary.mkdir()
        for name in ("record.json", *one.record.files):
            shutil.copyfile(one.folder / name, temporary / name)
        store.put(temporary, key)
    except OSError as error:
        raise store_error(f"cannot copy {one.folder} to {store.directory}", error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
