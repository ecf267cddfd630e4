"""The way to a Dask cluster: one that runs already, or one that a batch system starts."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from encbench.errors import ClusterError, UsageError
from encbench.run.executors.base import Terms
from encbench.run.limits import Limits

try:
    from distributed import Client, Security
    from distributed.core import rpc

    from encbench.run.executors.dask_executor import Dask
    from encbench.run.executors.dask_task import inventory
except ImportError as error:
    raise UsageError(
        f"running on a cluster needs Dask, which is not installed ({error}); "
        "pip install 'encbench[dask]'"
    ) from error

__all__ = ["connect"]

logger = logging.getLogger("encbench")
CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 20.0
"""To be told who is there, connecting included."""
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


def _client(where: Any) -> Client:
    """A client of a started cluster, or of the scheduler at an address or in a scheduler file.

    A client that finds nobody takes half a minute to give up, and prints a traceback when it is
    forgotten; so the address is tried first.
    """
    try:
        address = where
        if isinstance(where, str):
            address = _address(where)
            # a thread of its own: where this runs, a notebook's loop may be running
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, _knock(address)).result()
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    # ValueError no address, OSError nobody there, TypeError and RuntimeError no way to encrypt
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ClusterError(
            f"cannot reach a Dask scheduler at {where}: {error or type(error).__name__}; start one "
            "with `dask scheduler` and give the address it prints, such as tcp://10.0.0.5:8786"
        ) from None


def _address(where: str) -> str:
    """Itself, or what a scheduler file says."""
    if not Path(where).is_file():
        return where
    try:
        address = json.loads(Path(where).read_text(encoding="utf-8"))["address"]
    except (ValueError, KeyError, TypeError):
        address = None
    if not isinstance(address, str):
        raise ValueError("that is a file, but not one of `dask scheduler --scheduler-file`")
    return address


async def _knock(address: str) -> None:
    """Ask who is there.

    Raises:
        ValueError: it is something else.
        OSError: nobody is.
    """
    secrets = Security().get_connection_args("client")
    async with rpc(address, timeout=CONNECT_SECONDS, connection_args=secrets) as there:
        try:
            identity = await asyncio.wait_for(there.identity(), ANSWER_SECONDS)
        except TimeoutError:
            raise ValueError(
                "what is there does not answer as Dask does; its dashboard has another port"
            ) from None
    if identity["type"] != "Scheduler":
        raise ValueError(f"that is a Dask {identity['type'].lower()}")


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
        # what follows its first line is Python code
        reason = str(error).partition("\n")[0].removesuffix("for example:").rstrip(" ,.:")
        raise ClusterError(
            f"cannot start a {kind} cluster: {reason}; what a job is belongs in dask's "
            f"configuration, under jobqueue.{kind}: docs/running.md has an example"
        ) from error
    logger.info("asked %s for %d %s", kind, workers, "job" if workers == 1 else "jobs")
    return cluster
