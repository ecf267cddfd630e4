"""Run a suite: plan, skip finished cells, run the others, write each record once."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from encbench.device import parse_device, resolve_device
from encbench.errors import UsageError
from encbench.plugins.isolation import process_state_kept
from encbench.plugins.registry import Registry, default_registry
from encbench.results.provenance import git_commit_of
from encbench.results.records import Record, StoredRecord
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
from encbench.runs.reuse import CellRecords, Rerun, Reuse
from encbench.runs.shares import longest_first, share_of, shuffled
from encbench.suite.config import CellConfig, cell_key
from encbench.suite.file import Suite
from encbench.suite.plan import keyed_plan

logger = logging.getLogger("encbench")

OnFailure = Literal["continue", "stop"]


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
        records = CellRecords(store, cells, Reuse(rerun, keep_versions, save_weights))
        records.remove_superseded()
        store.write_suite(suite.as_asked())
        kept = records.reused()
        missing = [(key, cell) for key, cell in cells.items() if key not in kept]
        if shard is not None:
            missing = shuffled(missing)
        pending = longest_first(dict(missing))
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
            stored = records.made_meanwhile(cell)
            if stored is None:
                return False
            done[cell_key(cell)] = kept[cell_key(cell)] = stored
            watcher.kept(stored, None)
            return True

        executor.ready()
        executor.is_done = is_done if shard is not None else lambda cell: False
        with (
            orderly_stop(executor.interrupt) as stopping,
            closing(executor.run(list(pending.values()), _events_for(watcher))) as results,
        ):
            for result in results:
                stored, written = records.write(result)
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
    run = RunResult(
        Path(directory),
        [done[key] for key in cells if key in done],
        reused=len(kept),
        not_run=len(cells.keys() - done.keys()),
        kept_earlier=kept_earlier,
        made_meanwhile=len(kept) - existed,
    )
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
