"""Run cells one at a time in a separate process; used by every executor with such processes.

Nothing here imports torch: a process that only starts others does not need it.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from encbench.errors import UsageError
from encbench.results.records import CellResult, Record, Status
from encbench.runs.executors.process import WorkerProcess
from encbench.runs.interface import NO_MAIN_GUARD, RunOptions, Watch, unfinished
from encbench.runs.limits import GRACE, CellStopped, Interrupted
from encbench.suite.config import CellConfig, cell_key

FAR_TOO_MUCH = 1.5
"""Multiple of the memory limit at which a process is killed at once."""
REMINDER = 0.5
"""Interval at which a cell is asked again to stop [s]; the first request may come between cells."""
FREED = 1.03
"""Maximum ratio of a process's peak memory to what it holds after the cell for the next cell to
run in it: with more, fragments of the heap and caches could hide the next cell's peak."""


class Worker:
    """Runs cells one at a time in a separate process.

    A cell past a limit is first stopped from inside (``Supervision``), so its record has all
    results until then. If it does not stop (a call into C, a plug-in that catches everything), it
    is killed ``GRACE`` seconds later. If the process dies, the cell is run again in a new one, up
    to ``options.retries`` times. On a CPU, a cell also gets a new process if memory left by the
    last cell would distort its peak memory.
    """

    def __init__(self, options: RunOptions, watch: Watch, folder: str | None = None) -> None:
        """
        Args:
            options: settings for its cells.
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
        """Why and when the cell was asked from outside to stop."""

    @property
    def idle(self) -> bool:
        return self._cell is None

    def start(self, cell: CellConfig) -> None:
        """Start a cell; only while idle."""
        on_cpu = not self.options.device.startswith("cuda")
        if on_cpu and self._process is not None and self._last is not None:
            held = self._process.resident_bytes()
            if not memory_as_new(self._last, held, cell):
                self.close()
        self._cell, self._lost, self._asked = cell, [], None
        self._begin(cell)

    def interrupt(self) -> None:
        """Ask the cell to stop and return what it has; may be called from a signal handler."""
        if self._cell is not None and self._asked is None:
            self._asked = Interrupted("stopped by a signal"), time.monotonic()

    def close(self) -> None:
        """End the process, even in the middle of a cell."""
        if self._process is not None:
            self._process.close()
            self._process = None
        self._cell = None

    def waitable(self) -> list[Connection | int]:
        """Objects for ``multiprocessing.connection.wait``; ready when ``poll`` has news."""
        return [] if self._process is None else [self._process.pipe, self._process.sentinel]

    def poll(self) -> CellResult | None:
        """Return the cell's result, or None after reporting progress and enforcing limits."""
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
        # if the process dies at this moment, the next poll detects it
        with contextlib.suppress(OSError):
            self._process.pipe.send(cell)

    def _received(self, cell: CellConfig, message: bytes) -> CellResult | None:
        """Handle a message of the process; returns the result if it is the last message."""
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
        """Kill a cell that was asked to stop or is past a limit, but does not stop."""
        attempt, now = self._attempt, time.monotonic()
        held = process.resident_bytes()
        attempt.peak = max(attempt.peak, held)
        if attempt.killed is not None:
            return
        if self._asked is not None:
            reason, since = self._asked
            if attempt.started is None:
                # still importing: no results are lost
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
        """The limit that the cell exceeded without stopping by itself, or None."""
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
        """Result of a cell whose process has died; None if the cell is to be run again."""
        attempt = self._attempt
        reason = attempt.killed or (self._asked and self._asked[0])
        if reason is not None:
            message = str(reason)
            if attempt.killed is not None:
                message += ", and did not stop when asked to: its process was killed"
            return self._unfinished(cell, reason.status, type(reason).__name__, message)
        if attempt.reused and not attempt.phase:
            # it died between its last cell and this one, which is not this one's fault
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
    """Observations of one attempt to run a cell; times are of the monotonic clock."""

    reused: bool = False
    """Whether the process had run another cell before."""
    started: float | None = None
    phase: str = ""
    peak: int = 0
    """Peak memory seen [bytes]."""
    reminded: float = 0.0
    within: float | None = None
    """When its memory was last within the limit."""
    killed: CellStopped | None = None


def memory_as_new(before: Record, held: int, cell: CellConfig) -> bool:
    """Whether a cell in the process that ran ``before`` has the peak memory of a new process.

    On a CPU the peak is that of the whole process. It is the same if the process now holds almost
    its peak, in bytes, and the cells differ only in their seed, so that a new process would come to
    hold the same: modules and caches, of the task and of plug-ins.
    """
    peak = before.peak_memory_bytes
    alike = cell_key(before.cell.model_copy(update={"seed": cell.seed})) == cell_key(cell)
    return alike and peak is not None and peak <= FREED * held
