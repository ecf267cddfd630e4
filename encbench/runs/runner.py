"""Run a suite: plan, skip finished cells, run the others, write each record once."""

from __future__ import annotations

import inspect
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from random import Random
from typing import Literal, Protocol

from encbench.device import parse_device, resolve_device
from encbench.errors import UsageError, bounded, plural
from encbench.plugins.isolation import process_state_kept
from encbench.plugins.registry import Registry, default_registry
from encbench.results.provenance import git_commit_of
from encbench.results.record_folder import WEIGHTS
from encbench.results.records import CellResult, Record, Status, StoredRecord
from encbench.results.store import Store
from encbench.runs.executors.local import InProcess, ProcessPool, default_jobs
from encbench.runs.executors.process import start_ahead
from encbench.runs.interface import (
    NO_MAIN_GUARD,
    Event,
    Executor,
    RunOptions,
    Watch,
    check_threads,
)
from encbench.runs.limits import Limits, RunStopped, orderly_stop
from encbench.runs.missing_data import refuse_missing_data
from encbench.suite.config import CellConfig, cell_key, changed_versions
from encbench.suite.file import Suite
from encbench.suite.plan import keyed_plan

logger = logging.getLogger("encbench")

OnFailure = Literal["continue", "stop"]
Rerun = Literal["never", "interrupted", "failed", "diverged", "all"]
_AGAIN: dict[Rerun, set[Status]] = {
    "never": set(),
    "interrupted": {"interrupted"},
    "failed": {"failed", "out_of_memory", "timeout", "interrupted"},
    "diverged": {"failed", "out_of_memory", "timeout", "interrupted", "diverged"},
    "all": {"ok", "failed", "out_of_memory", "timeout", "interrupted", "diverged"},
}


class Watcher(Protocol):
    """Observer of a run, such as a progress bar or a log."""

    def planned(self, cells: Mapping[str, CellConfig], finished: Sequence[StoredRecord]) -> None:
        """Called with the cells that will run, by key, and the records that exist already."""

    def event(self, event: Event) -> None:
        """Called with the progress of a running cell; may be called from another thread."""

    def recorded(self, record: StoredRecord) -> None:
        """Called when a cell's record is on disk."""

    def kept(self, record: StoredRecord, attempt: Record | None) -> None:
        """Called instead if a cell keeps a record that this run has not made.

        Args:
            record: the record that is kept.
            attempt: what this run has made of the cell; None if it has not run the cell, because
                another process had.
        """


class Unwatched:
    """Watcher that does nothing."""

    def planned(
        self, cells: Mapping[str, CellConfig], finished: Sequence[StoredRecord]
    ) -> None: ...
    def event(self, event: Event) -> None: ...
    def recorded(self, record: StoredRecord) -> None: ...
    def kept(self, record: StoredRecord, attempt: Record | None) -> None: ...


@dataclass
class RunResult:
    """The run's records, in the order of its cells."""

    directory: Path
    records: list[StoredRecord] = field(default_factory=list)
    reused: int = 0
    """Number of records that existed already, or that another process has made meanwhile."""
    not_run: int = 0
    """Number of cells without a record, because the run stopped at a failure."""
    kept_earlier: int = 0
    """Number of cells that were run again without success, whose earlier record was kept."""
    made_meanwhile: int = 0
    """Number of the reused records that another process has made meanwhile."""
    reported: bool = True
    """Whether all requested reports at the end, such as the leaderboard, were made."""

    @property
    def all_ok(self) -> bool:
        run = not self.not_run and not self.kept_earlier
        return run and all(s.outline.status == "ok" for s in self.records)


def run_suite(
    suite: Suite,
    directory: Path | str,
    *,
    registry: Registry | None = None,
    jobs: int | None = None,
    threads: int = 1,
    device: str = "auto",
    limits: Limits | None = None,
    isolate: bool = False,
    retries: int = 1,
    executor: Executor | None = None,
    rerun: Rerun = "failed",
    keep_versions: bool = False,
    save_weights: bool = False,
    on_failure: OnFailure = "continue",
    shard: tuple[int, int] | None = None,
    report: bool = True,
    watcher: Watcher | None = None,
) -> RunResult:
    """Run a suite's cells that have no record yet in ``directory``.

    Args:
        suite: what to run; ``load_suite`` reads one.
        directory: the results folder; created if missing.
        registry: plug-ins to use; default: this environment's. Worker processes and clusters
            always use those of their own environment.
        jobs: number of cells run at a time; default: one per GPU, or cores / threads, or 1 with
            another registry. 1 on a CPU: cells run in this process; records have no peak memory.
        threads: number of threads of each cell. Results are reproducible to the last digit only
            for the same number of threads; ``jobs`` does not change them.
        device: "cpu", "cuda", "cuda:1", or "auto": a GPU if there is one.
        limits: limits of a cell's time and memory; if there is any, cells run in worker processes.
        isolate: use a new process for every cell, so that no earlier cell can affect it.
        retries: number of times a cell is run again after its process died.
        executor: another executor, such as one of ``encbench.runs.executors.dask``, which has its
            own ``jobs``, ``threads``, ``device``, ``limits``, ``isolate``, ``retries`` and
            ``save_weights``.
        rerun: which cells with a record are run again: "interrupted", "failed" (the default: also
            failed ones), "diverged" (also diverged ones), "all" or "never".
        keep_versions: keep records made with other versions of the plug-ins of the encoding or
            the task, which are otherwise run again unless ``rerun`` is "never".
        save_weights: keep the trained networks in the records, for ``load_model``; cells whose
            record has no weights are run again, unless ``rerun`` is "never".
        on_failure: "continue" with the other cells after one that is not ok, or "stop": running
            cells finish, and no other starts.
        shard: (i, n) runs the i-th of n shares of the cells, counted from 1. n runs, one for each
            i, make the same records as one run without ``shard``, even if they run at the same
            time and into the same folder.
        report: let plug-ins, such as the leaderboard, report on the finished run.
        watcher: receives progress.

    Returns:
        All records of the suite's cells, including those that existed already.

    Raises:
        UsageError: a name, parameter or setting is wrong, data that its cells need do not exist,
            cells that need worker processes use plug-ins that only ``registry`` has, or the script
            that calls this has no ``if __name__ == "__main__":``; nothing has been run.
        StoreError: the folder cannot be written, or is in use. Records already written are kept.
        ClusterError: the cluster can no longer be used. Records already written are kept.
        RunStopped: a KeyboardInterrupt: one Ctrl-C or SIGTERM; running cells leave an
            "interrupted" record. After a second Ctrl-C, another KeyboardInterrupt is raised, and
            they leave none.
    """
    if _main_is_imported():
        # not sys.exit, which the fork server would turn into exit code 1
        os._exit(NO_MAIN_GUARD)
    registry = registry or default_registry()
    watcher = watcher or Unwatched()
    if executor is None:
        check_machine(device, threads, jobs)
        terms = RunOptions(
            resolve_device(device), threads, limits or Limits(), isolate, retries, save_weights
        )
        shared = registry is default_registry()
        at_once = jobs or (default_jobs(terms.device, terms.threads) if shared else 1)
        if shared and _in_processes(terms, jobs, at_once, shared) and not Path(directory).exists():
            start_ahead()
    else:
        save_weights = executor.options.save_weights
    git_commit_of.cache_clear()
    with process_state_kept():
        cells = share_of(keyed_plan(suite, registry), shard)
        if executor is None:  # the workers of a cluster may have data that are not here
            refuse_missing_data(cells.values(), registry, directory)
            in_processes = _in_processes(terms, jobs, min(at_once, len(cells)), shared)
            if in_processes and not shared:
                _check_installed(cells.values())
    store = Store(directory)
    with store.writing(shared=shard is not None):
        existing = by_cell(store.listed(set_aside=True), cells)
        for key in cells.keys() & existing.keys():
            _remove_superseded(existing[key], store)
        store.write_suite(suite.as_asked())
        wanted = reusable_records(cells, existing, rerun, keep_versions, save_weights)
        kept = {s.outline.cell_key: s for s in store.whole(wanted.values())}
        for key in kept:
            for unread in existing.get(_unread_key(cells[key]), ()):
                store.remove(unread.outline.key)
        missing = [(key, cell) for key, cell in cells.items() if key not in kept]
        if shard is not None:
            missing = _shuffled(missing)
        pending = _longest_first(dict(missing))
        watcher.planned(pending, list(kept.values()))
        if executor is None:
            executor = ProcessPool(terms, at_once) if in_processes else InProcess(terms, registry)
            if pending and shared and isinstance(executor, InProcess):
                logger.warning(
                    "-j 1: cells run in this process, so that their records have no peak memory; "
                    "--isolate measures it"
                )
        done = dict(kept)
        existed = len(kept)
        warned: set[str] = set()
        kept_earlier = 0

        def is_done(cell: CellConfig) -> bool:
            key = cell_key(cell)
            stored = _made_meanwhile(store, cell, existing.get(key, ()), rerun, save_weights)
            if stored is None:
                return False
            done[key] = kept[key] = stored
            watcher.kept(stored, None)
            return True

        executor.ready()
        executor.is_done = is_done if shard is not None else lambda cell: False
        with (
            orderly_stop(executor.interrupt) as stopping,
            closing(executor.run(list(pending.values()), _events_for(watcher))) as results,
        ):
            for result in results:
                stored, written = _write(store, result, existing, asked_again=rerun == "all")
                kept_earlier += not written
                done[stored.outline.cell_key] = stored
                _note_large_batch(cells[result.record.key], result.record, warned)
                if written:
                    registry.host.notify("encbench_cell_finished", record=stored)
                    watcher.recorded(stored)
                else:
                    watcher.kept(stored, result.record)
                if on_failure == "stop" and result.record.status != "ok":
                    executor.drain()
        if stopping.number is not None:
            raise RunStopped(stopping.number)
    records = [done[key] for key in cells if key in done]
    not_run = len(cells) - len(records)
    meanwhile = len(kept) - existed
    run = RunResult(Path(directory), records, len(kept), not_run, kept_earlier, meanwhile)
    if report:
        told = {"directory": run.directory, "records": run.records}
        run.reported = registry.host.notify("encbench_run_finished", **told)
    return run


def _note_large_batch(cell: CellConfig, record: Record, warned: set[str]) -> None:
    """Warn if the batch size was set and was reduced to an epoch's points, once per task.

    Args:
        cell: the cell as planned; a record does not say what was set.
        warned: what has been said; added to.
    """
    config, used = cell.training, record.batch_size
    asked = config.batch_size if "batch_size" in config.model_fields_set else "all"
    if asked != "all" and used is not None and used < asked:
        text = (
            f"{record.task_label}: batch_size = {asked} is reduced to the {used} points of an epoch"
        )
        if text not in warned:
            warned.add(text)
            logger.warning("%s", text)


def _main_is_imported() -> bool:
    """Whether this is a worker process whose import of the main script runs a suite."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__mp_main__":
            return True
        frame = frame.f_back
    return False


def _events_for(watcher: Watcher) -> Watch:
    """The watcher's ``event``, not called again once it has raised, which must not end a cell.

    A cell in another process would otherwise wait forever, since nobody reads what it sends.
    """
    listening = True

    def tell(event: Event) -> None:
        nonlocal listening
        if not listening:
            return
        try:
            watcher.event(event)
        # rich raises SystemExit if the reader of the terminal's output is gone
        except (Exception, SystemExit) as error:
            listening = False
            with suppress(SystemExit):
                logger.warning(
                    "the run's watcher failed and is not called again for running cells: %s: %s",
                    type(error).__name__,
                    error,
                )

    return tell


def _in_processes(terms: RunOptions, jobs: int | None, at_once: int, shared: bool) -> bool:
    """Whether cells run in separate processes rather than in this one.

    On a CPU, the peak memory of a cell can be measured only in a process that runs nothing else.
    After some GPU errors, a process cannot compute on the GPU any more.

    Args:
        jobs: number of jobs requested; 1 requests this process.
        at_once: maximum number of cells at a time.
        shared: whether other processes have the same plug-ins.
    """
    if terms.limits.any or terms.isolate or at_once > 1:
        return True
    return shared and (jobs != 1 or terms.device.startswith("cuda"))


def _check_installed(cells: Iterable[CellConfig]) -> None:
    """Refuse plug-ins that worker processes lack, which find only those of the environment."""
    parts = {("encoding", cell.encoding.qualified) for cell in cells}
    parts |= {("task", cell.task.qualified) for cell in cells}
    for kind, name in sorted(parts):
        try:
            default_registry().find(kind, name)
        except UsageError:
            raise UsageError(
                f"worker processes have no {kind} {name}: it is in the registry that was given, "
                "but not installed; run with jobs=1 and without limits and isolate, or install it"
            ) from None


def _longest_first(cells: Mapping[str, CellConfig]) -> dict[str, CellConfig]:
    """Sort cells by size of the network, then length of training, largest first: a long cell that
    starts last would leave the other processes idle."""

    def work(cell: CellConfig) -> tuple[int, int]:
        network, training = cell.network, cell.training
        size = (network.width or 0) ** 2 * (network.depth or 0)
        return size, training.steps or training.epochs or 0

    return dict(sorted(cells.items(), key=lambda keyed: work(keyed[1]), reverse=True))


def _shuffled(cells: Iterable[tuple[str, CellConfig]]) -> list[tuple[str, CellConfig]]:
    """Shuffle the tasks, and the cells of each: two processes that run the same share at once then
    meet at few cells, and each still loads a task's data once."""
    by_task = [list(same) for _, same in groupby(cells, key=lambda keyed: keyed[1].task)]
    Random().shuffle(by_task)
    for group in by_task:
        Random().shuffle(group)
    return list(chain.from_iterable(by_task))


def _remove_superseded(group: list[StoredRecord], store: Store) -> None:
    """Remove the records of one cell that the first replaces: older ones of the same versions."""
    first = group[0].outline.versions
    for stored in [s for s in group[1:] if s.outline.versions == first]:
        store.remove(stored.outline.key)
        group.remove(stored)


def _made_meanwhile(
    store: Store,
    cell: CellConfig,
    earlier: Iterable[StoredRecord],
    rerun: Rerun,
    save_weights: bool,
) -> StoredRecord | None:
    """The record, not among ``earlier``, that another process has made of a cell, if it will do."""
    stored = store.find(cell_key(cell))
    # "diverged" and "all" ask for one repetition, which this record is
    if stored is None or stored.outline.status in _AGAIN[rerun] & _AGAIN["failed"]:
        return None
    if stored.outline in [s.outline for s in earlier] or (save_weights and _lacks_weights(stored)):
        return None
    return None if changed_versions(stored.outline.versions, cell) else stored


def _write(
    store: Store,
    result: CellResult,
    existing: Mapping[str, list[StoredRecord]],
    *,
    asked_again: bool,
) -> tuple[StoredRecord, bool]:
    """Write a result, unless an earlier record is better; returns the cell's record, and whether it
    was written."""
    earlier = existing.get(result.record.key, [])
    with store.turn():
        better = _better(store, result.record, earlier, asked_again)
        if better is not None:
            _say_kept(better, result.record)
            return better, False
        stored = store.write(result.record, result.arrays, result.pictures, result.weights)
    for replaced in (*earlier, *existing.get(_unread_key(stored.record.cell), ())):
        if replaced.outline.key != stored.outline.key:
            store.remove(replaced.outline.key)
    return stored, True


def _better(
    store: Store, record: Record, earlier: Iterable[StoredRecord], asked_again: bool
) -> StoredRecord | None:
    """The record that a new one of its cell must not replace; None if there is none.

    A cell that did not finish replaces none that did. One that diverged replaces one that is ok
    only if ``asked_again``, or if a plug-in or encbench has changed.
    """
    if record.status == "ok":
        return None
    for key in dict.fromkeys([record.key, *(s.outline.key for s in earlier)]):
        stored = store.find(key)
        if stored is None or stored.outline.status not in ("ok", "diverged"):
            continue
        if record.status != "diverged":
            return stored
        encbench = stored.record.provenance.encbench, record.provenance.encbench
        changed = changed_versions(stored.outline.versions, record.cell) or len({*encbench}) > 1
        if stored.outline.status == "ok" and not (asked_again or changed):
            return stored
    return None


def _say_kept(stored: StoredRecord, record: Record) -> None:
    """Warn that a record is kept in place of a new one, and why."""
    versions = sorted(changed_versions(stored.outline.versions, record.cell))
    why = f": {bounded(' '.join(record.error.message.split()), 1000)}" if record.error else ""
    logger.warning(
        "%s: %s in %s%s; its earlier record (%s) is kept",
        record.cell.label.removesuffix(" seed 0"),
        record.status.replace("_", " "),
        record.phase,
        why,
        ", ".join([stored.outline.status, *versions]),
    )


def _unread_key(cell: CellConfig) -> str:
    """The key under which the cell is recorded if its data cannot be read; "" for such a cell."""
    if cell.data_hash is None:
        return ""
    return cell_key(cell.model_copy(update={"data_hash": None}))


def check_machine(device: str, threads: int, jobs: int | None) -> None:
    """Refuse what no machine could run; the device need not exist on this one.

    Raises:
        UsageError: the device is unknown, there are too few or too many threads, or ``jobs`` is
            below 1 (None stands for a default that depends on the machine).
    """
    parse_device(device)
    check_threads(threads)
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs must be at least 1, got {jobs}")


def share_of(
    cells: Mapping[str, CellConfig], shard: tuple[int, int] | None
) -> Mapping[str, CellConfig]:
    """The given share of the cells, in their order; all cells if ``shard`` is None.

    The sizes of shares differ by at most one; an empty share is a warning. Cells are distributed by
    a hash of what the suite says of them, so that shares are disjoint on machines that hold
    different data, too.

    Raises:
        UsageError: the share does not exist.
    """
    if shard is None:
        return cells
    number, count = shard
    if not 1 <= number <= count:
        raise UsageError(f"shard {number}/{count}: expected I/N, where I is one of 1 to N")
    # by a hash: every n-th cell of the plan could have the same encoding
    hashes = {
        key: cell_key(cell.model_copy(update={"data_hash": None})) for key, cell in cells.items()
    }
    mine = set(sorted(cells, key=hashes.__getitem__)[number - 1 :: count])
    if not mine:
        all_cells = plural(len(cells), "cell")
        logger.warning("share %d/%d holds none of the %s", number, count, all_cells)
    return {key: cell for key, cell in cells.items() if key in mine}


def left_to_run(
    cells: Sequence[CellConfig],
    directory: Path | str,
    rerun: Rerun = "failed",
    keep_versions: bool = False,
    save_weights: bool = False,
) -> list[CellConfig]:
    """The cells that ``run_suite`` would run in ``directory``; nothing is written."""
    if not Path(directory).is_dir():
        return list(cells)
    by_key = {cell_key(cell): cell for cell in cells}
    existing = by_cell(Store(directory).listed(), by_key)
    kept = reusable_records(by_key, existing, rerun, keep_versions, save_weights)
    return [cell for key, cell in by_key.items() if key not in kept]


def by_cell(
    records: Sequence[StoredRecord], cells: Mapping[str, CellConfig]
) -> dict[str, list[StoredRecord]]:
    """Records by the current key of their cell, the one to use first.

    A cell can have several records: up to schema version 2 the key depended on the plug-ins'
    versions, and a run killed while it replaces such a record leaves both.
    """
    groups: dict[str, list[StoredRecord]] = defaultdict(list)
    for stored in records:
        groups[stored.outline.cell_key].append(stored)
    for key, group in ((key, group) for key, group in groups.items() if len(group) > 1):
        versions = cells[key].versions if key in cells else None
        group.sort(
            key=lambda s: (
                s.outline.versions == versions,
                s.outline.key == key,
                s.outline.started,
            ),
            reverse=True,
        )
    return dict(groups)


def reusable_records(
    cells: Mapping[str, CellConfig],
    existing: Mapping[str, list[StoredRecord]],
    rerun: Rerun,
    keep_versions: bool,
    save_weights: bool,
) -> dict[str, StoredRecord]:
    """Records of the cells that need not run again, by key of the cell."""
    found = {}
    others: Counter[str] = Counter()
    lacking = 0
    for key, cell in cells.items():
        if key not in existing:
            continue
        stored = existing[key][0]
        if stored.outline.status in _AGAIN[rerun]:
            continue
        changed = changed_versions(stored.outline.versions, cell)
        if changed and not keep_versions and rerun != "never":
            others.update(changed)
        elif save_weights and rerun != "never" and _lacks_weights(stored):
            lacking += 1
        else:
            found[key] = stored
    for change, count in others.items():
        logger.warning(
            "cells run again because their record is of %s: %d; --keep-versions keeps them",
            change,
            count,
        )
    if lacking:
        logger.warning("cells run again because their record has no weights: %d", lacking)
    return found


def _lacks_weights(stored: StoredRecord) -> bool:
    return stored.outline.status == "ok" and WEIGHTS not in stored.files
