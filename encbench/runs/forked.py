"""Map a function over items, in processes that are forked from this one."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from encbench.runs.limits import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Processes = dict[Connection, BaseProcess]
AHEAD = 2
"""Number of items that each process is given at once, so that it need not wait for the next."""


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], most: int
) -> Generator[Result, None, None]:
    """Yield ``function`` of each item, in order, computed by other processes, at most one per
    core; only results are pickled.

    This process computes them itself if there is only one core, if it may not start processes (a
    daemon, a process limit), or if starting them is slow (systems other than Linux). It computes
    the rest if another process dies, usually for lack of memory.

    Args:
        most: maximum number of processes.

    Raises:
        Exception: what the function raised, in place of the first missing result.
    """
    done, processes = 0, Processes()
    try:
        if (count := min(cores(), most, len(items))) > 1 and _may_fork():
            _start(processes, count, function, items)
            for result in _results(processes, len(items)):
                yield result
                done += 1
    finally:
        for process in processes.values():
            process.kill()
        for connection, process in processes.items():
            process.join()
            connection.close()
    for item in items[done:]:
        yield function(item)


def _may_fork() -> bool:
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def _start(
    processes: Processes, count: int, function: Callable[[Item], object], items: Sequence[Item]
) -> None:
    """Add processes, fewer than ``count`` if no more can be started."""
    context = multiprocessing.get_context("fork")
    for _ in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(function, items, theirs, [*processes, ours]))
        try:
            with warnings.catch_warnings():
                # Python 3.12 warns about numpy's threads, which do no harm here
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
        except OSError:
            ours.close()
            return
        finally:
            theirs.close()
        processes[ours] = process


def _results(processes: Processes, count: int) -> Generator[Any, None, None]:
    """Yield the results of ``count`` items, in order; ends early if a process dies or there is
    none."""
    if not processes:
        return
    places = iter(range(count))
    found: dict[int, tuple[Exception | None, Any]] = {}
    for connection in AHEAD * [*processes]:
        _send_next(connection, places)
    for place in range(count):
        while place not in found:
            for ready in wait([*processes]):
                assert isinstance(ready, Connection)
                try:
                    computed, *outcome = ready.recv()
                except (EOFError, OSError):
                    return
                found[computed] = tuple(outcome)
                _send_next(ready, places)
        error, result = found.pop(place)
        if error is not None:
            raise error
        yield result


def _send_next(connection: Connection, places: Iterator[int]) -> None:
    if (place := next(places, None)) is not None:
        with suppress(OSError):  # the process has died; the next ``recv`` fails, too
            connection.send(place)


def _work(
    function: Callable[[Item], object],
    items: Sequence[Item],
    connection: Connection,
    inherited: Sequence[Connection],
) -> None:
    """Run in a forked process: send (place, error, result) for each place received."""
    # both signals reach the whole process group; the parent acts on them
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # keeps inherited memory shared with the parent
    for one in inherited:
        one.close()  # or the parent's end would not close the pipes
    with suppress(EOFError, OSError):  # the parent has ended
        while True:
            place = connection.recv()
            outcome: tuple[Exception | None, object]
            try:
                outcome = (None, function(items[place]))
            except Exception as error:
                outcome = (error, None)
            connection.send((place, *outcome))
