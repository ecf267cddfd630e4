"""Cells on a Dask cluster: one that runs already, or one that a batch system starts."""

from __future__ import annotations

import inspect
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from encbench.cell import CellResult, Event
from encbench.config import CellConfig
from encbench.errors import ClusterError, UsageError
from encbench.executors.base import Executor, Terms, Watch, unfinished
from encbench.limits import GRACE, Limits
from encbench.planning import cell_key

try:
    from distributed import Client, Future, KilledWorker

    from encbench.executors.dask_task import (
        Assignment,
        Delivery,
        dismiss,
        inventory,
        run_here,
        stop_run,
    )
except ImportError as error:
    raise UsageError(
        f"running on a cluster needs Dask, which is not installed ({error}); "
        "pip install 'encbench[dask]'"
    ) from error

__all__ = ["Dask", "connect"]

logger = logging.getLogger("encbench")
CONNECT_SECONDS = 15.0
POLL = 0.2
"""Seconds after which signals are looked at, whether or not a result has come."""
DEVICES = ("auto", "cpu", "cuda")


@contextmanager
def connect(
    scheduler: str | None = None,
    cluster: str | None = None,
    *,
    workers: int = 1,
    device: str = "auto",
    threads: int = 1,
    limits: Limits | None = None,
    isolate: bool = False,
    retries: int = 1,
) -> Iterator[Dask]:
    """An executor on a cluster; what was started for it ends with it.

    Args:
        scheduler: address of a running one, as ``dask scheduler`` prints it, or the file that
            ``dask scheduler --scheduler-file`` wrote.
        cluster: instead, a batch system that dask-jobqueue knows ("slurm", "pbs", …), set up in
            dask's configuration (``~/.config/dask/jobqueue.yaml``).
        workers: jobs to ask that batch system for.
        device: "cuda" asks each worker for one of its resource GPU (``--resources GPU=1``);
            "auto" does where a worker has it.
        threads, limits, isolate, retries: as in ``run_suite``.

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
    Terms(threads=threads, retries=retries)  # refused before anything is started
    loggers = _quieten()
    started = _start(cluster, workers) if cluster is not None else None
    client: Client | None = None
    try:
        client = _client(started if started is not None else scheduler)
        _check_workers(client)
        if device == "auto":
            device = "cuda" if _gpus(client) else "cpu"
        elif device == "cuda" and not _gpus(client):
            logger.warning(
                "no worker has the resource GPU yet; cells wait for one started with "
                "`dask worker %s --resources GPU=1`",
                client.scheduler.address if client.scheduler else scheduler,
            )
        yield Dask(client, Terms(device, threads, limits or Limits(), isolate, retries))
    finally:
        if client is not None:
            client.close()
        if started is not None:
            started.close()
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)


class Dask(Executor):
    """Every cell a task of the scheduler; results come back to this process, which writes them.

    When a worker is lost with a cell, the scheduler gives the cell to another, as often as its
    setting ``distributed.scheduler.allowed-failures`` says, and the record names the lost ones.
    """

    name = "dask"

    def __init__(self, client: Client, terms: Terms) -> None:
        super().__init__(terms)
        self._client = client
        self.ready()

    def ready(self) -> None:
        super().ready()
        self._run = f"encbench-{uuid.uuid4().hex[:12]}"
        self._interrupted = False
        self._began: dict[str, dict[str, str]] = {}
        """By cell: attempts that were seen to begin, with their workers, in order."""
        self._phases: dict[str, str] = {}

    def interrupt(self) -> None:
        # no word to the cluster from a signal handler: the loop in run sees it
        self._interrupted = True
        self.drain()

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        by_key = {cell_key(cell): cell for cell in cells}
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._client.subscribe_topic(self._run, lambda said: self._saw(said, watch))
        waiting = self._submit(by_key, ended)
        told: float | None = None
        try:
            while waiting:
                try:
                    key = ended.get(timeout=POLL)
                except queue.Empty:
                    self._check_connection()
                else:
                    future = waiting.pop(key, None)
                    if future is not None:
                        yield self._result(by_key[key], future)
                if self.draining:
                    for key in [key for key in waiting if key not in self._began]:
                        waiting.pop(key).cancel()
                if self._interrupted and told is None:
                    told = time.monotonic()
                    self._tell_workers(stop_run)
                if told is not None and time.monotonic() - told > 2 * GRACE:
                    for key in list(waiting):
                        waiting.pop(key).cancel()
                        yield self._unheard_of(by_key[key])
        finally:
            self._leave(waiting)

    def _submit(
        self, cells: dict[str, CellConfig], ended: queue.SimpleQueue[str]
    ) -> dict[str, Future]:
        folder = str(Path.cwd())
        resources = {"GPU": 1} if self.terms.device == "cuda" else None
        futures = {}
        for key, cell in cells.items():
            future = self._client.submit(
                run_here,
                Assignment(cell, self.terms, self._run, folder),
                key=f"{self._run}-{key}",
                pure=False,
                resources=resources,
            )
            future.add_done_callback(lambda _, key=key: ended.put(key))
            futures[key] = future
        return futures

    def _result(self, cell: CellConfig, future: Future) -> CellResult:
        key = cell_key(cell)
        began = self._began.get(key, {})
        try:
            delivery: Delivery | None = future.result()
        except KilledWorker as error:
            message = (
                f"the cluster lost {error.allowed_failures + 1} workers that ran this cell, "
                "and its scheduler gave it up"
            )
            result = self._unfinished(cell, "failed", "WorkersLost", message)
            result.record.lost_workers = list(began.values())
            return self.noted(result)
        except Exception as error:
            self._check_connection()
            message = f"the cluster could not run it: {type(error).__name__}: {error}"
            return self.noted(self._unfinished(cell, "failed", type(error).__name__, message))
        finally:
            future.release()
        if delivery is None:
            message = "its worker was told that nobody waits for it"
            return self.noted(self._unfinished(cell, "interrupted", "Interrupted", message))
        result = delivery.result
        lost = [
            f"{worker}: lost while it ran this cell"
            for attempt, worker in began.items()
            if attempt != delivery.attempt
        ]
        result.record.lost_workers = [*lost, *result.record.lost_workers]
        return self.noted(result)

    def _unheard_of(self, cell: CellConfig) -> CellResult:
        message = "stopped by a signal, and did not end when told to"
        return self.noted(self._unfinished(cell, "interrupted", "Interrupted", message))

    def _unfinished(self, cell: CellConfig, status: Any, kind: str, message: str) -> CellResult:
        phase = self._phases.get(cell_key(cell), "")
        return unfinished(cell, status, kind, message, terms=self.terms, phase=phase)

    def _saw(self, said: tuple[float, dict[str, Any]], watch: Watch) -> None:
        _, content = said
        event = Event(**content["event"])
        self._began.setdefault(event.key, {})[content["attempt"]] = content["where"]
        self._phases[event.key] = event.phase
        watch(event)

    def _tell_workers(self, what: Callable[[str], None]) -> threading.Thread:
        """Call a function with the run's name on all workers, without waiting for a frozen one."""

        def tell() -> None:
            with suppress(Exception):  # a worker may go meanwhile
                self._client.run(what, self._run, on_error="ignore")

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        return thread

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise ClusterError(
                "the Dask scheduler is gone; what had finished is recorded, and the same command "
                "goes on from there once the cluster is back"
            )

    def _leave(self, waiting: dict[str, Future]) -> None:
        """Leave nothing on the cluster."""
        if self._client.status != "running":
            return
        with suppress(Exception):  # it may go at this moment
            self._client.unsubscribe_topic(self._run)
            if waiting:
                self._client.cancel(list(waiting.values()))
            self._tell_workers(dismiss).join(timeout=GRACE)


def _client(where: Any) -> Client:
    if isinstance(where, str) and Path(where).is_file():
        how: dict[str, Any] = {"scheduler_file": where}
    else:
        how = {"address": where}
    try:
        return Client(**how, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"cannot reach a Dask scheduler at {where}: {error or type(error).__name__}; start one "
            "with `dask scheduler` and give the address it prints, such as tcp://10.0.0.5:8786"
        ) from None


def _quieten() -> dict[str, int]:
    """Dask's loggers and their levels until now.

    They print the traceback of every lost connection; what matters of that is said here.
    """
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return levels


def _workers(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def _gpus(client: Client) -> bool:
    return any(worker["resources"].get("GPU") for worker in _workers(client).values())


def _check_workers(client: Client) -> None:
    """Refuse workers that cannot run cells, and warn of those that might run them otherwise."""
    if not _workers(client):
        logger.warning("the cluster has no workers yet; cells wait for them")
        return
    ours = inventory()
    for address, theirs in client.run(inventory, on_error="return").items():
        if isinstance(theirs, BaseException):
            raise ClusterError(
                f"worker {address} cannot run cells: {type(theirs).__name__}: {theirs}; install "
                f"there: pip install 'encbench[dask]=={ours['encbench']}' and your plug-ins"
            )
        differ = [
            f"{name} {theirs[name]}, here {ours[name]}"
            for name in ours
            if theirs[name] != ours[name]
        ]
        if differ:
            logger.warning(
                "worker %s has other versions (%s): results may differ", address, "; ".join(differ)
            )


def _start(kind: str, workers: int) -> Any:
    """A cluster of dask-jobqueue, its settings from dask's configuration."""
    try:
        import dask_jobqueue
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
        # adapt, not scale: a job that reached its wall time is asked for again
        cluster.adapt(minimum_jobs=workers, maximum_jobs=workers)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise ClusterError(
            f"cannot start a {kind} cluster: {str(error).partition(chr(10))[0]} Settings of a job "
            f"belong in dask's configuration, under jobqueue.{kind}"
        ) from error
    logger.info("asked %s for %d %s", kind, workers, "job" if workers == 1 else "jobs")
    return cluster
