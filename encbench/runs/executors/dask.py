"""Run cells on a Dask cluster: a running one, or one that a batch system starts.

In the coordinating process, ``connect`` creates the executor ``Dask``. The cluster's workers call
``run_on_worker``, which runs each cell in a separate process.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import multiprocessing
import platform
import queue
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from functools import cache
from importlib import metadata
from multiprocessing import connection
from pathlib import Path
from typing import Any

from encbench.errors import ClusterError, UsageError, error_line
from encbench.results.records import CellResult, Status
from encbench.runs.executors.process import start_ahead
from encbench.runs.executors.worker import Worker
from encbench.runs.interface import Event, Executor, RunOptions, Watch, unfinished
from encbench.runs.limits import GRACE, POLL
from encbench.suite.config import CellConfig, cell_key

try:
    import dask.config

    # its loggers print a traceback for every lost connection; this module reports what matters
    silent = {"distributed": "critical", "distributed.client": "critical"}
    with dask.config.set({"logging": silent}):
        from distributed import Client, Future, KilledWorker, Security, get_worker
        from distributed.core import rpc
except ImportError as error:
    raise UsageError(
        f"running on a cluster needs Dask, which is not installed ({error}); "
        "pip install 'encbench[dask]'"
    ) from error

logger = logging.getLogger("encbench")
CONNECT_SECONDS = 30.0
"""Maximum time to connect [s], the same as Dask's own."""
ANSWER_SECONDS = 40.0
"""Maximum time to connect to a scheduler and get its identity [s]."""
RESULT_SECONDS = 0.2
"""Interval of checks for signals and for the connection while no result comes [s]."""
EVENT_INTERVAL = 1.0
"""Minimum time between two progress events of a cell [s]; all pass through one scheduler."""
WINDOW = 4
"""Number of cells submitted per thread of the workers: one runs, the others wait there."""
FEWEST = 8
"""Minimum number of cells submitted: a cluster that starts workers on demand must see some."""
MOST_WORKERS = 4
"""Maximum number of workers on which a cell is tried that could not be set up."""
LACKING = {"OtherEncbench", "UnknownNameError", "PluginError", "DataError", "MissingDataError"}
LACKING |= {"ImportError", "ModuleNotFoundError", "AttributeError", "TypeError"}
"""Errors in the setup of a cell that its worker can cause: a plug-in or data may be missing."""
DEVICES = ("auto", "cpu", "cuda")


# In the coordinating process


@contextmanager
def connect(
    scheduler: str | None = None,
    cluster: str | None = None,
    *,
    workers: int = 1,
    device: str = "auto",
    **options: Any,
) -> Iterator[Dask]:
    """Yield an executor on a cluster; a cluster started for it is closed on exit.

    Args:
        scheduler: address of a running scheduler, as ``dask scheduler`` prints it, or the file
            that ``dask scheduler --scheduler-file`` wrote.
        cluster: instead, a batch system that dask-jobqueue knows ("slurm", "pbs", …), configured
            in dask's configuration (``~/.config/dask/jobqueue.yaml``).
        workers: number of jobs to request from that batch system.
        device: with "cuda", each cell needs one unit of the resource GPU of a worker
            (``--resources GPU=1``); "auto" means "cuda" if any worker has it, else "cpu".
        options: threads, limits, isolate, retries and save_weights, as in ``RunOptions``.

    Raises:
        UsageError: Dask is not installed, or a setting is wrong.
        ClusterError: the cluster cannot be reached or started, or cannot run cells.
    """
    if device not in DEVICES:
        raise UsageError(
            f"device {device!r} on a cluster: expected {', '.join(DEVICES)}; which GPU is the "
            "worker's choice (CUDA_VISIBLE_DEVICES)"
        )
    if workers < 1:
        raise UsageError(f"workers must be at least 1, got {workers}")
    RunOptions(**options)  # refused before anything is started
    with ExitStack() as opened:
        where: Any = scheduler
        if cluster is not None:
            where = opened.enter_context(closing(_start(cluster, workers)))
        client = opened.enter_context(closing(_client(where)))
        fit = _fit_workers(client)
        gpus = any(each["resources"].get("GPU") for each in workers_of(client).values())
        if device == "cuda" and not gpus:
            logger.warning(
                "no worker has the resource GPU yet; cells wait for one started with "
                "`dask worker %s --resources GPU=1`",
                client.scheduler.address if client.scheduler else scheduler,
            )
        elif device == "auto":
            device = "cuda" if gpus else "cpu"
        yield Dask(client, RunOptions(device, **options), fit)


def _start(kind: str, workers: int) -> Any:
    """Start a cluster of dask-jobqueue with the settings in dask's configuration."""
    try:
        import dask_jobqueue  # an optional extra
        from dask_jobqueue.local import LocalCluster
    except ImportError as error:
        raise UsageError(
            f"--cluster needs dask-jobqueue, which is not installed ({error}); "
            "pip install 'encbench[jobqueue]'"
        ) from None
    known: dict[str, Any] = {
        name.removesuffix("Cluster").lower(): cls
        for name, cls in inspect.getmembers(dask_jobqueue, inspect.isclass)
        if name.endswith("Cluster") and name != "JobQueueCluster"
    }
    known["local"] = LocalCluster
    if kind not in known:
        raise UsageError(f"unknown cluster {kind!r}; expected {', '.join(sorted(known))}")
    try:
        cluster = known[kind]()
        # adapt, not scale: a job that reached its wall time is requested again
        cluster.adapt(minimum_jobs=workers, maximum_jobs=workers)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        # the lines after the first are Python code
        reason = str(error).partition("\n")[0].removesuffix("for example:").rstrip(" ,.:")
        raise ClusterError(
            f"cannot start a {kind} cluster: {reason}; set a job's properties in dask's "
            f"configuration, under jobqueue.{kind}: docs/running.md has an example"
        ) from error
    logger.info("requested %d %s from %s", workers, "job" if workers == 1 else "jobs", kind)
    return cluster


def _client(where: Any) -> Client:
    """A client of a started cluster, or of the scheduler at an address or in a scheduler file.

    The address is checked first, since a client that finds no scheduler fails after 30 seconds.
    """
    try:
        address = where
        if isinstance(where, str):
            address = _address(where)
            # in another thread, since a notebook's event loop may run in this one
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, _check_scheduler(address)).result()
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    # ValueError: not an address; OSError: no answer; TypeError, RuntimeError: cannot encrypt
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ClusterError(
            f"cannot reach a Dask scheduler at {where}: {error or type(error).__name__}; start one "
            "with `dask scheduler` and give the address it prints, such as tcp://10.0.0.5:8786"
        ) from None


def _address(where: str) -> str:
    """The given address, or the one in the given scheduler file."""
    if not Path(where).is_file():
        return where
    try:
        address = json.loads(Path(where).read_text(encoding="utf-8"))["address"]
    except (ValueError, KeyError, TypeError):
        address = None
    if not isinstance(address, str):
        raise ValueError("that is a file, but not one of `dask scheduler --scheduler-file`")
    return address


async def _check_scheduler(address: str) -> None:
    """Check what answers: ValueError if it is not a scheduler, OSError if nothing answers."""
    secrets = Security().get_connection_args("client")
    async with rpc(address, timeout=CONNECT_SECONDS, connection_args=secrets) as there:
        try:
            identity = await asyncio.wait_for(there.identity(), ANSWER_SECONDS)
        except TimeoutError:
            raise ValueError(
                "it does not answer like a Dask scheduler; the dashboard's port is another one"
            ) from None
    if identity["type"] != "Scheduler":
        raise ValueError(f"that is a Dask {identity['type'].lower()}")


def workers_of(client: Client) -> dict[str, Any]:
    """The scheduler's description of its workers, by address; the last known one if it is gone."""
    # the client also asks now and then, without workers, and that answer can replace the one that
    # scheduler_info is about to return
    info: dict[str, Any] | None = None
    if client.scheduler is not None:
        with suppress(OSError):
            info = client.sync(client.scheduler.identity, n_workers=-1)
    workers: dict[str, Any] = (info or client.scheduler_info(n_workers=-1))["workers"]
    return workers


def _fit_workers(client: Client) -> set[str]:
    """Addresses of the workers with the same version of encbench; warns about all that differ.

    Raises:
        ClusterError: there are workers, but none has the same version.
    """
    if not workers_of(client):
        logger.warning("the cluster has no workers yet; cells wait for them")
        return set()
    ours, fit, problems = versions(), set(), []
    for address, theirs in client.run(start_and_report, on_error="return").items():
        if isinstance(theirs, BaseException):
            problems.append(f"worker {address} cannot run cells: {error_line(theirs)}")
            continue
        names = [name for name in ours if theirs[name] != ours[name]]
        differ = "; ".join(f"{name} {theirs[name]}, here {ours[name]}" for name in names)
        if "encbench" in names:
            problems.append(f"worker {address} is not used: it has another encbench ({differ})")
            continue
        fit.add(address)
        if differ:
            logger.warning("worker %s has other versions (%s): results may differ", address, differ)
    install = f"pip install 'encbench[dask]=={ours['encbench']}' and your plug-ins"
    if not fit:
        raise ClusterError(f"{'; '.join(problems)}; install there: {install}")
    for problem in problems:
        logger.warning("%s; other workers are used", problem)
    return fit


class Dask(Executor):
    """Submits every cell as a task to the scheduler; results come back to this process.

    A few cells per worker thread are submitted; the others wait here. If a worker is lost with a
    cell, the scheduler gives the cell to another, as often as its setting
    ``distributed.scheduler.allowed-failures`` allows, and the record names the lost workers. If a
    worker cannot set up a cell, because it lacks a plug-in or data or has another encbench, the
    cell is tried on other workers before it fails.
    """

    name = "dask"

    def __init__(self, client: Client, options: RunOptions, fit: set[str]) -> None:
        super().__init__(options)
        self._client = client
        self._fit = fit
        """Addresses of workers known to have the same encbench, or that have run a cell."""
        self._unfit: set[str] = set()
        """Addresses of workers with another encbench."""
        self.ready()

    def ready(self) -> None:
        super().ready()
        self._run = f"encbench-{uuid.uuid4().hex[:12]}"
        self._interrupted = False
        self._looked = -math.inf
        """When the workers' threads were last counted, for ``_window``."""
        self._submitted = FEWEST
        self._began: dict[str, dict[str, str]] = {}
        """By cell, the workers of the attempts that have begun, by attempt, in order."""
        self._phases: dict[str, str] = {}
        self._ended: set[str] = set()
        """Attempts whose result was received."""
        self._tried: dict[str, set[str]] = defaultdict(set)
        """By cell, the addresses of workers that could not set it up."""

    def interrupt(self) -> None:
        # the loop in run acts on it: a signal handler must not use the client
        self._interrupted = True
        self.drain()

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        left = deque(cells)
        submitted: dict[str, CellConfig] = {}
        done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._client.subscribe_topic(self._run, lambda event: self._saw(event[1], watch))
        waiting: dict[str, Future] = {}
        asked: float | None = None
        try:
            while waiting or (left and not self.draining):
                while len(waiting) < self._window():
                    cell = self.next_cell(left)
                    if cell is None:
                        break
                    key = cell_key(cell)
                    submitted[key] = cell
                    waiting[key] = self._submit(key, cell, done)
                try:
                    key = done.get(timeout=RESULT_SECONDS)
                except queue.Empty:
                    self._check_connection()
                else:
                    future = waiting.pop(key, None)
                    if future is not None:
                        result, address = self._result(key, submitted[key], future)
                        if others := self._others(result, address):
                            waiting[key] = self._submit(key, submitted[key], done, others)
                        else:
                            yield self.with_provenance(result)
                if self.draining:
                    for key in [key for key in waiting if key not in self._began]:
                        waiting.pop(key).cancel()
                if self._interrupted and asked is None:
                    asked = time.monotonic()
                    # in a thread, since a frozen worker does not answer
                    threading.Thread(target=self._stop_cells, daemon=True).start()
                if asked is not None and time.monotonic() - asked > 2 * GRACE:
                    for key in list(waiting):
                        waiting.pop(key).cancel()
                        message = "stopped by a signal, and did not stop when asked to"
                        yield self.with_provenance(
                            self._unfinished(submitted[key], "interrupted", "Interrupted", message)
                        )
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.unsubscribe_topic(self._run)
                self._client.cancel(list(waiting.values()))

    def _window(self) -> int:
        """Maximum number of submitted cells. It follows the number of worker threads, since workers
        come and go, and is limited, since a scheduler with 100,000 tasks is slow."""
        if time.monotonic() - self._looked > RESULT_SECONDS:
            self._looked = time.monotonic()
            workers = workers_of(self._client).items()
            threads = sum(w["nthreads"] for address, w in workers if address not in self._unfit)
            self._submitted = max(FEWEST, WINDOW * threads)
        return self._submitted

    def _submit(
        self,
        key: str,
        cell: CellConfig,
        done: queue.SimpleQueue[str],
        workers: list[str] | None = None,
    ) -> Future:
        future = self._client.submit(
            run_on_worker,
            *(cell, self.options, self._run, str(Path.cwd()), versions()["encbench"]),
            key=f"{self._run}-{key}-{len(self._tried[key])}",
            pure=False,
            resources={"GPU": 1} if self.options.device == "cuda" else None,
            workers=workers,
            # if these are lost, any other worker may run it
            allow_other_workers=workers is not None,
        )
        future.add_done_callback(lambda _: done.put(key))
        return future

    def _others(self, result: CellResult, address: str) -> list[str]:
        """Workers on which to try a cell next, if one could not set it up; else none.

        ``address`` is "" if the worker could not even answer.
        """
        record, tried = result.record, self._tried[result.record.key]
        lacking = record.error is not None and record.error.type in LACKING
        if self.draining or not lacking or record.phase not in ("setup", "start"):
            return []
        tried.add(address)
        others = workers_of(self._client).keys() - tried - self._unfit
        if not address:
            others &= self._fit
        return sorted(others) if len(tried) < MOST_WORKERS else []

    def _result(self, key: str, cell: CellConfig, future: Future) -> tuple[CellResult, str]:
        """The result, and the address of the worker that returned it; "" if none did."""
        began = self._began.get(key, {})
        try:
            delivered: tuple[str, str, CellResult | str] | None = future.result()
        except KilledWorker as error:
            message = (
                f"the cluster lost {error.allowed_failures + 1} workers that ran this cell, "
                "and its scheduler gave it up"
            )
            result = self._unfinished(cell, "failed", "WorkersLost", message)
            result.record.lost_workers = tuple(began.values())
            return result, ""
        except Exception as error:
            self._check_connection()
            message = f"the cluster could not run it: {error_line(error)}"
            return self._unfinished(cell, "failed", type(error).__name__, message), ""
        finally:
            future.release()
        if delivered is None:
            message = "the cluster cancelled it"
            return self._unfinished(cell, "interrupted", "Interrupted", message), ""
        attempt, address, found = delivered
        if isinstance(found, str):
            if address not in self._unfit:
                logger.warning("%s; it is not used", found)
            self._unfit.add(address)
            return self._unfinished(cell, "failed", "OtherEncbench", found), address
        self._fit.add(address)
        self._ended.add(attempt)
        lost = [
            f"{worker}: lost while it ran this cell"
            for earlier, worker in began.items()
            if earlier not in self._ended
        ]
        found.record.lost_workers = (*lost, *found.record.lost_workers)
        return found, address

    def _unfinished(self, cell: CellConfig, status: Status, kind: str, message: str) -> CellResult:
        phase = self._phases.get(cell_key(cell), "")
        return unfinished(cell, status, kind, message, options=self.options, phase=phase)

    def _saw(self, content: dict[str, Any], watch: Watch) -> None:
        event = Event(**content["event"])
        self._began.setdefault(event.key, {})[content["attempt"]] = content["where"]
        self._phases[event.key] = event.phase
        watch(event)

    def _stop_cells(self) -> None:
        with suppress(Exception):  # a worker may go meanwhile
            self._client.run(stop_run, self._run, on_error="ignore")

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise ClusterError(
                "the Dask scheduler is gone; finished cells are recorded. Give the same command "
                "again once the cluster is back"
            )


# In a worker of the cluster

_thread = threading.local()
"""Each thread of a Dask worker runs one cell at a time; ``processes`` holds its ``Worker``."""
_stopped: set[str] = set()
"""Runs whose cells are to stop."""


def run_on_worker(
    cell: CellConfig, options: RunOptions, run: str, folder: str, encbench: str
) -> tuple[str, str, CellResult | str] | None:
    """Run a cell in a process separate from the Dask worker's, and wait for it.

    Dask's threads share one process, in which cells would share random numbers, memory and
    crashes. ``folder`` is the coordinator's working directory, used if this machine has it.
    Returns a name for this attempt, this worker's address, and the result; or, in place of the
    result, a message that this worker's version is not the coordinator's ``encbench``. Returns
    None if the task was cancelled.
    """
    dask_worker: Any = get_worker()
    task = dask_worker.get_current_task()
    attempt = uuid.uuid4().hex
    where = f"{dask_worker.name} ({platform.node()})"
    if (here := versions()["encbench"]) != encbench:
        reason = f"worker {where} has encbench {here}, but this run uses {encbench}"
        return attempt, dask_worker.address, reason
    sent = 0.0

    def watch(event: Event) -> None:
        nonlocal sent
        if time.monotonic() - sent > EVENT_INTERVAL:
            sent = time.monotonic()
            # not "worker": the scheduler writes the worker's address to that key
            content = {"attempt": attempt, "where": where, "event": asdict(event)}
            with suppress(OSError):  # the scheduler may be gone at this moment
                dask_worker.log_event(run, content)

    worker = _worker_of(run, options, folder)
    worker.watch = watch
    try:
        worker.start(cell)
        while (result := worker.poll()) is None:
            connection.wait(worker.waitable(), POLL)
            state = dask_worker.state.tasks.get(task)
            if run in _stopped:
                worker.interrupt()
            elif state is None or state.state in ("cancelled", "released", "forgotten"):
                # the coordinator has cancelled the task, or is gone
                return None
    finally:
        if not worker.idle:
            worker.close()
    if result.record.error is not None:
        # the reader must know where a path or a plug-in was missing
        result.record.error.message = f"on worker {where}: {result.record.error.message}"
    result.record.provenance.worker = where
    return attempt, dask_worker.address, result


def _worker_of(run: str, options: RunOptions, folder: str) -> Worker:
    """This thread's ``Worker``, whose process has run earlier cells of the same run."""
    # a nanny's worker is a daemon, which may not have children, since they could outlive it. Ours
    # end when it does
    multiprocessing.current_process().daemon = False
    held: tuple[str, Worker] | None = getattr(_thread, "processes", None)
    if held is not None and held[0] == run:
        return held[1]
    if held is not None:
        held[1].close()
    worker = Worker(options, lambda event: None, folder)
    _thread.processes = run, worker
    return worker


def stop_run(run: str) -> None:
    """Make the running cells of a run stop on this worker and return what they have."""
    _stopped.add(run)


def start_and_report() -> dict[str, str]:
    """Start importing torch for this worker's cells, and return its ``versions``."""
    start_ahead()
    return versions()


@cache
def versions() -> dict[str, str]:
    """Versions that must be equal here and on the coordinator for the same results."""
    found = {name: metadata.version(name) for name in ("encbench", "torch", "numpy")}
    return {**found, "python": ".".join(platform.python_version_tuple()[:2])}
