"""Cells on this machine: one after another in this process, or several in processes of theirs."""

from __future__ import annotations

import contextlib
import pickle
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from encbench.device import gpus, held_bytes
from encbench.errors import UsageError
from encbench.plugins.registry import Registry, default_registry
from encbench.results.records import CellResult, Record, Status
from encbench.runs.cell import STOPPED, memory_as_new, run_cell
from encbench.runs.executors.process import WorkerProcess
from encbench.runs.interface import (
    NO_MAIN_GUARD,
    Executor,
    RunOptions,
    Watch,
    unfinished,
)
from encbench.runs.limits import GRACE, POLL, CellStopped, Interrupted, Supervision, cores
from encbench.suite.config import CellConfig

FAR_TOO_MUCH = 1.5
"""Times the memory limit at which a process is killed without waiting for its cell to stop."""
REMINDER = 0.5
"""Seconds after which a cell is asked again to stop; the first time may come between two cells."""


class InProcess(Executor):
    """The simplest executor: easy to debug, but a plug-in that crashes ends the whole run.

    On a CPU its records have no peak memory: it would be that of a process which holds much else.
    """

    name = "in process"

    def __init__(self, options: RunOptions, registry: Registry | None = None) -> None:
        super().__init__(options)
        self._registry = registry or default_registry()
        self._device = torch.device(options.device)
        self._supervision = Supervision(options.limits, lambda: held_bytes(self._device))

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        threads = torch.get_num_threads()
        torch.set_num_threads(self.options.threads)
        try:
            with threadpool_limits(self.options.threads):
                for cell in cells:
                    if self.draining:
                        return
                    result = run_cell(
                        cell,
                        self._registry,
                        self.options,
                        watch=watch,
                        supervision=self._supervision,
                    )
                    if self._device.type == "cpu":
                        result.record.peak_memory_bytes = None
                    yield self.with_provenance(result)
        finally:
            torch.set_num_threads(threads)

    def interrupt(self) -> None:
        self.drain()
        self._supervision.end(Interrupted("stopped by a signal"))


class ProcessPool(Executor):
    """Worker processes, each with one cell at a time; one that dies costs no other its cell.

    On several GPUs the workers take turns at them.
    """

    name = "process pool"

    def __init__(self, options: RunOptions, jobs: int) -> None:
        super().__init__(options)
        self.jobs = jobs
        self._workers: list[Worker] = []
        self._interrupted = False

    def ready(self) -> None:
        super().ready()
        self._interrupted = False

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        waiting = deque(cells)
        # "cuda" is all GPUs there are
        devices = gpus() if self.options.device == "cuda" else [self.options.device]
        self._workers = [
            Worker(replace(self.options, device=devices[i % len(devices)]), watch)
            for i in range(min(self.jobs, len(cells)))
        ]
        try:
            for worker in self._workers:
                self._feed(worker, waiting)
            while busy := [worker for worker in self._workers if not worker.idle]:
                connection.wait([each for worker in busy for each in worker.waitable()], POLL)
                for worker in busy:
                    result = worker.poll()
                    if result is not None:
                        # before the result is written, so that the worker need not wait for that
                        self._feed(worker, waiting)
                        yield self.with_provenance(result)
        finally:
            for worker in self._workers:
                worker.close()

    def interrupt(self) -> None:
        self.drain()
        self._interrupted = True
        for worker in self._workers:
            worker.interrupt()

    def _feed(self, worker: Worker, waiting: deque[CellConfig]) -> None:
        if waiting and not self.draining:
            worker.start(waiting.popleft())
            if self._interrupted:
                # the signal came between the look and the start
                worker.interrupt()


class Worker:
    """Runs cells one at a time in a process of its own.

    A cell past a limit is first stopped from inside (``Supervision``), so its record holds
    everything until then. One that does not stop (a call into C, a plug-in that catches
    everything) is killed ``GRACE`` seconds later. When the process dies, the cell is run again in
    a new one, up to ``options.retries`` times. On a CPU also a cell whose peak memory would be
    too large for what the last one left gets a new one.
    """

    def __init__(self, options: RunOptions, watch: Watch, folder: str | None = None) -> None:
        """
        Args:
            options: how its cells are run.
            watch: called by ``poll`` with the cell's progress.
            folder: working directory of the process; default: this one's.
        """
        self.options = options
        self.watch = watch
        self._folder = folder or str(Path.cwd())
        self._process: WorkerProcess | None = None
        self._cell: CellConfig | None = None
        self._last: Record | None = None
        self._attempt = _Attempt()
        self._lost: list[str] = []
        self._asked: tuple[CellStopped, float] | None = None
        """Why the cell was asked from outside to stop, and when."""

    @property
    def idle(self) -> bool:
        return self._cell is None

    def start(self, cell: CellConfig) -> None:
        """Begin with a cell; only while idle."""
        on_cpu = not self.options.device.startswith("cuda")
        if on_cpu and self._process is not None and self._last is not None:
            held = self._process.resident_bytes()
            if not memory_as_new(self._last, held, cell):
                self.close()
        self._cell, self._lost, self._asked = cell, [], None
        self._begin(cell)

    def interrupt(self) -> None:
        """Ask the cell to stop and give what it has; may be called from a signal handler."""
        if self._cell is not None and self._asked is None:
            self._asked = Interrupted("stopped by a signal"), time.monotonic()

    def close(self) -> None:
        """End the process, even in the middle of a cell."""
        if self._process is not None:
            self._process.close()
            self._process = None
        self._cell = None

    def waitable(self) -> list[Connection | int]:
        """What ``multiprocessing.connection.wait`` takes: ready when ``poll`` has news."""
        return [] if self._process is None else [self._process.pipe, self._process.sentinel]

    def poll(self) -> CellResult | None:
        """The cell's result once there is one; otherwise report progress and enforce limits."""
        cell, process = self._cell, self._process
        assert cell is not None, "a cell was started"
        assert process is not None, "a cell was started"
        result: CellResult | None = None
        messages, died = process.receive()
        for message in messages:
            result = self._received(cell, message)
        if result is None and not died:
            self._enforce(process)
            return None
        if result is None:
            process.close()
            self._process = None
            result = self._died(cell, process)
            if result is None:
                self._begin(cell)
                return None
        result.record.lost_workers = (*self._lost, *result.record.lost_workers)
        self._cell, self._last = None, result.record
        if self.options.isolate:
            self.close()
        return result

    def _begin(self, cell: CellConfig) -> None:
        self._attempt = _Attempt(reused=self._process is not None)
        if self._process is None:
            self._process = WorkerProcess(self.options, self._folder)
        # one that dies at this moment shows in the next poll
        with contextlib.suppress(OSError):
            self._process.pipe.send(cell)

    def _received(self, cell: CellConfig, message: bytes) -> CellResult | None:
        """The result, if that is what the process sent."""
        try:
            content = pickle.loads(message)
        except Exception as error:
            content = f"{type(error).__name__}: {error}"
        if isinstance(content, CellResult):
            return content
        if isinstance(content, str):
            reason = f"the cell's result could not be sent: {content}"
            return self._unfinished(cell, "failed", "ResultLost", reason)
        if self._attempt.started is None:
            self._attempt.started = time.monotonic()
        self._attempt.phase = content.phase
        self.watch(content)
        return None

    def _enforce(self, process: WorkerProcess) -> None:
        """Kill a cell that was asked to stop, or is past a limit, and goes on."""
        attempt, now = self._attempt, time.monotonic()
        held = process.resident_bytes()
        attempt.peak = max(attempt.peak, held)
        if attempt.killed is not None:
            return
        if self._asked is not None:
            reason, since = self._asked
            if attempt.started is None:
                # still importing: there is nothing to lose
                process.kill()
            elif now - since > GRACE:
                attempt.killed = reason
            elif now - attempt.reminded > REMINDER:
                attempt.reminded = now
                process.ask_to_stop()
        elif attempt.started is not None:
            attempt.killed = self._far_past(held, now - attempt.started, now)
        if attempt.killed is not None:
            process.kill()

    def _far_past(self, held: int, seconds: float, now: float) -> CellStopped | None:
        """The limit that the cell has passed without stopping by itself, or None."""
        limits, attempt = self.options.limits, self._attempt
        # a GPU's memory is limited by torch in the process itself
        if limits.memory is not None and not self.options.device.startswith("cuda"):
            if held <= limits.memory:
                attempt.within = now
            long = attempt.within is not None and now - attempt.within > GRACE
            if held > limits.memory * FAR_TOO_MUCH or long:
                return limits.exceeded(0, held)
        return limits.exceeded(seconds - GRACE, 0)

    def _died(self, cell: CellConfig, process: WorkerProcess) -> CellResult | None:
        """The result of a cell whose process is gone; None where it is to be tried again."""
        attempt = self._attempt
        reason = attempt.killed or (self._asked and self._asked[0])
        if reason is not None:
            message = str(reason)
            if attempt.killed is not None:
                message += ", and did not stop when asked to: its process was killed"
            return self._unfinished(cell, STOPPED[type(reason)], type(reason).__name__, message)
        if attempt.reused and not attempt.phase:
            # after its last cell and before this one, which is not this one's fault
            return None
        if process.exit_code == NO_MAIN_GUARD and not attempt.phase:
            raise UsageError(
                'a script that runs suites must do so under `if __name__ == "__main__":`, for the '
                "processes of its cells import it"
            )
        starved = process.starved()
        message = f"the worker process died{process.cause()}"
        if starved:
            message += "; the kernel's out-of-memory killer struck meanwhile"
        if len(self._lost) < self.options.retries:
            where = f", in {attempt.phase}" if attempt.phase else ""
            self._lost.append(f"{message}{where}")
            return None
        if not attempt.phase:
            message += (
                " before it began; a script that runs suites must do so under "
                '`if __name__ == "__main__":`, for its processes import it'
            )
        status: Status = "out_of_memory" if starved else "failed"
        again = f", {len(self._lost) + 1} times in a row" if self._lost else ""
        return self._unfinished(cell, status, "WorkerDied", f"{message}{again}")

    def _unfinished(self, cell: CellConfig, status: Status, kind: str, message: str) -> CellResult:
        attempt = self._attempt
        return unfinished(
            cell,
            status,
            kind,
            message,
            options=self.options,
            phase=attempt.phase,
            peak_memory_bytes=attempt.peak,
            seconds=None if attempt.started is None else time.monotonic() - attempt.started,
        )


@dataclass
class _Attempt:
    """What was seen of one try at a cell; times of the monotonic clock."""

    reused: bool = False
    """Whether the process had run another cell before."""
    started: float | None = None
    phase: str = ""
    peak: int = 0
    """Bytes."""
    reminded: float = 0.0
    within: float | None = None
    """When it last held no more memory than it may."""
    killed: CellStopped | None = None


def default_jobs(device: str, threads: int) -> int:
    """One worker a GPU; on the CPU one for every ``threads`` cores."""
    if device.startswith("cuda"):
        return len(gpus()) if device == "cuda" else 1
    return max(1, cores() // threads)
