"""The interface of executors: cells in, results and progress out, and two ways to stop."""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from encbench.errors import UsageError
from encbench.results.provenance import Provenance, now
from encbench.results.records import CellResult, ErrorInfo, Record, Status
from encbench.runs.limits import Limits
from encbench.suite.config import CellConfig, cell_key


@dataclass(frozen=True)
class Event:
    """Progress of a running cell."""

    key: str
    phase: str
    done: int = 0
    total: int = 0
    loss: float | None = None


Watch = Callable[[Event], None]
NO_MAIN_GUARD = 78
"""Exit code of a worker process whose import of the main script begins another run."""
MAX_THREADS = 1024
"""Maximum number of threads; OpenMP ends the process if it cannot start all that are requested."""


@dataclass(frozen=True)
class RunOptions:
    """Settings for all cells of a run, on any machine."""

    device: str = "cpu"
    """"cpu", "cuda", or "cuda:N"."""
    threads: int = 1
    limits: Limits = field(default_factory=Limits)
    isolate: bool = False
    """Whether every cell gets a process of its own."""
    retries: int = 1
    """Number of times a cell is run again after the process or machine that ran it was lost."""
    save_weights: bool = False
    """Whether the records keep the trained networks."""

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if self.retries < 0:
            raise UsageError(f"retries must be at least 0, got {self.retries}")


def check_threads(threads: int) -> None:
    """Refuse a number of threads with which torch would crash the process.

    Raises:
        UsageError: below 1, or above ``MAX_THREADS``.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads must be at least 1 and at most {MAX_THREADS}, got {threads}")


def this_process() -> str:
    """ "host:pid" of this process, for the record of a cell that it runs."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Executor(ABC):
    """Runs cells. Results come back in any order, one for each cell that was started.

    An executor writes no files: the caller stores the results.
    """

    name: str
    """Name of the executor in records."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.draining = False
        self.is_done: Callable[[CellConfig], bool] = lambda cell: False
        """Says, before a cell starts, whether it need not, since another process has run it."""

    @abstractmethod
    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        """Yield results as cells finish. Ends early after ``drain`` or ``interrupt``.

        When the generator is closed, cells that still run are killed.

        Args:
            cells: the cells to run.
            watch: called with the progress of running cells.
        """

    def ready(self) -> None:
        """Undo an earlier ``drain`` or ``interrupt``; called before each run."""
        self.draining = False

    def drain(self) -> None:
        """Start no more cells; running ones finish normally."""
        self.draining = True

    def next_cell(self, waiting: deque[CellConfig]) -> CellConfig | None:
        """Take the first cell that must run; None if there is none, or after ``drain``."""
        while waiting and not self.draining:
            cell = waiting.popleft()
            if not self.is_done(cell):
                return cell
        return None

    @abstractmethod
    def interrupt(self) -> None:
        """Start no more cells and stop running ones; their results have what they had computed.

        Called from a signal handler in the main thread.
        """

    def with_provenance(self, result: CellResult) -> CellResult:
        """The result, with the executor and its limits added to the provenance."""
        source = result.record.provenance
        source.executor = self.name
        source.timeout_s = self.options.limits.seconds
        source.memory_limit_bytes = self.options.limits.memory
        return result


def unfinished(
    cell: CellConfig,
    status: Status,
    kind: str,
    message: str,
    *,
    options: RunOptions,
    phase: str = "",
    peak_memory_bytes: int | None = None,
    seconds: float | None = None,
) -> CellResult:
    """Make a result for a cell whose process returned none.

    ``kind`` is recorded as the type of the error; phase, peak memory and seconds were observed
    from outside the process.
    """
    record = Record(
        key=cell_key(cell),
        status=status,
        phase=phase or "start",
        error=ErrorInfo(type=kind, message=message),
        cell=cell,
        peak_memory_bytes=peak_memory_bytes or None,
        durations={} if seconds is None else {"lost": seconds},
        provenance=Provenance.collect(options.device, options.threads),
    )
    record.provenance.finished = now()
    return CellResult(record)
