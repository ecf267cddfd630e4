"""One worker process on this machine, watched from outside and replaced when it dies."""

from __future__ import annotations

import concurrent.futures as futures
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from encbench.results.records import CellResult, Status
from encbench.run.cell import STOPPED, Event
from encbench.run.executors.base import Terms, Watch, unfinished
from encbench.run.executors.process import WorkerProcess
from encbench.run.limits import (
    GRACE,
    CellStopped,
    Interrupted,
    Limits,
    exceeded,
    resident_bytes,
)
from encbench.suite.config import CellConfig

__all__ = ["LocalWorker"]

FAR_TOO_MUCH = 1.5
"""Times the memory limit, at which a process is killed without waiting for it to stop."""
REMINDER = 0.5
"""Seconds after which a cell is told again to stop; the first time may fall between two cells."""


class LocalWorker:
    """Runs cells one at a time in a process of its own.

    A cell is first told to stop by itself, from inside, which leaves a record with everything
    until then. One that does not (a call into C, a plug-in that catches everything) is killed
    ``GRACE`` seconds later. When the process dies, the cell is run again in a new one,
    ``terms.retries`` times.
    """

    def __init__(self, terms: Terms, watch: Watch, folder: str | None = None) -> None:
        self.terms = terms
        self.watch = watch
        self._folder = folder or str(Path.cwd())
        self._process: WorkerProcess | None = None
        self._cell: CellConfig | None = None
        self._attempt = _Attempt()
        self._lost: list[str] = []
        self._told: CellStopped | None = None

    @property
    def idle(self) -> bool:
        return self._cell is None

    def start(self, cell: CellConfig) -> None:
        """Begin with a cell; only while idle."""
        self._cell, self._lost, self._told = cell, [], None
        self._begin(cell)

    def wait(self, seconds: float) -> None:
        """Until the cell has ended, or so long."""
        futures.wait([self.future], timeout=seconds)

    @property
    def future(self) -> futures.Future[CellResult]:
        """Done when the cell may have ended: ``poll`` tells."""
        assert self._process is not None, "a cell was started"
        return self._process.future

    def poll(self) -> CellResult | None:
        """The cell's result once it has one; holds the cell to its limits meanwhile."""
        cell, process = self._cell, self._process
        assert cell is not None, "a cell was started"
        assert process is not None, "a cell was started"
        if not process.future.done():
            self._enforce(process)
            return None
        try:
            result = process.future.result()
        except BrokenProcessPool:
            process.close()
            self._process = None
            ended = self._ended_without_result(cell, process)
            if ended is None:
                self._begin(cell)
                return None
            result = ended
        except Exception as error:
            # run_cell never raises: what it gave could not be brought here
            message = f"the cell's result could not be sent: {type(error).__name__}: {error}"
            result = self._unfinished(cell, "failed", "ResultLost", message)
        result.record.lost_workers = [*self._lost, *result.record.lost_workers]
        self._cell = None
        if self.terms.isolate:
            self.close()
        return result

    def interrupt(self) -> None:
        """Tell the cell to stop and give what it has; may be called from a signal handler."""
        if self._cell is not None and self._told is None:
            self._tell(Interrupted("stopped by a signal"))

    def close(self) -> None:
        """End the process, also in the middle of a cell."""
        if self._process is not None:
            self._process.close()
            self._process = None
        self._cell = None

    def _begin(self, cell: CellConfig) -> None:
        if self._process is None:
            self._process = WorkerProcess(self.terms, self._folder, self._saw)
        self._attempt = _Attempt()
        self._process.submit(cell)

    def _saw(self, event: Event) -> None:
        # called from the thread that reads; only whole objects are put in place
        if self._attempt.started is None:
            self._attempt.started = time.monotonic()
        self._attempt.phase = event.phase
        self.watch(event)

    def _tell(self, reason: CellStopped) -> None:
        self._told, self._attempt.told = reason, time.monotonic()
        if self._process is not None:
            self._process.tell()

    def _enforce(self, process: WorkerProcess) -> None:
        attempt, now = self._attempt, time.monotonic()
        held = resident_bytes(process.pid)
        attempt.peak = max(attempt.peak, held)
        if attempt.killed is not None:
            return
        if self._told is not None:
            self._press(process, self._told, now)
        elif attempt.started is not None:
            attempt.killed = self._far_past(held, attempt.started, now)
            if attempt.killed is not None:
                process.kill()

    def _press(self, process: WorkerProcess, told: CellStopped, now: float) -> None:
        """Make a cell end that was told to, and has not yet."""
        attempt = self._attempt
        if attempt.started is None:
            # still importing: there is nothing to lose
            process.kill()
        elif now - attempt.told > GRACE:
            attempt.killed = told
            process.kill()
        elif now - attempt.reminded > REMINDER:
            attempt.reminded = now
            process.tell()

    def _far_past(self, held: int, started: float, now: float) -> CellStopped | None:
        """The limit that a cell has passed without stopping by itself, or None.

        A GPU's memory is limited by torch in the process itself.
        """
        limits, attempt = self.terms.limits, self._attempt
        if limits.memory is not None and not self.terms.device.startswith("cuda"):
            if held <= limits.memory:
                attempt.within = now
            long = attempt.within is not None and now - attempt.within > GRACE
            if held > limits.memory * FAR_TOO_MUCH or long:
                return exceeded(Limits(memory=limits.memory), 0, lambda: held)
        if limits.seconds is not None and now - started > limits.seconds + GRACE:
            return exceeded(Limits(seconds=limits.seconds), now - started, lambda: 0)
        return None

    def _ended_without_result(self, cell: CellConfig, process: WorkerProcess) -> CellResult | None:
        """The record of a cell whose process is gone; None where it is to be tried again."""
        reason = self._attempt.killed or self._told
        if reason is not None:
            message = str(reason)
            if self._attempt.killed is not None:
                message += ", and did not end when told to: its process was killed"
            return self._unfinished(cell, STOPPED[type(reason)], type(reason).__name__, message)
        starved = process.starved()
        message = f"the worker process died{process.cause()}"
        if starved:
            message += "; the kernel's out-of-memory killer struck meanwhile"
        if len(self._lost) < self.terms.retries:
            where = f", in {self._attempt.phase}" if self._attempt.phase else ""
            self._lost.append(f"{message}{where}")
            return None
        if not self._attempt.phase:
            message += (
                " before it began; a script that runs suites must do so under "
                '`if __name__ == "__main__":`, for its processes import it'
            )
        status: Status = "out_of_memory" if starved else "failed"
        again = f", {len(self._lost) + 1} times in a row" if self._lost else ""
        return self._unfinished(cell, status, "WorkerDied", f"{message}{again}")

    def _unfinished(self, cell: CellConfig, status: Status, kind: str, message: str) -> CellResult:
        attempt = self._attempt
        seconds = None if attempt.started is None else time.monotonic() - attempt.started
        return unfinished(
            cell,
            status,
            kind,
            message,
            terms=self.terms,
            phase=attempt.phase,
            peak_memory_bytes=attempt.peak,
            seconds=seconds,
        )


class _Attempt:
    """What was seen of one try at a cell; times of the monotonic clock."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.phase = ""
        self.peak = 0
        self.told = 0.0
        self.reminded = 0.0
        self.within: float | None = None
        """When it last held no more memory than it may."""
        self.killed: CellStopped | None = None
