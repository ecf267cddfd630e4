"""One function on many things, in processes that are forked from this one."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from encbench.runs.limits import cores

Thing = TypeVar("Thing")
Result = TypeVar("Result")
_inherited: Callable[[int], object]
"""Set in a process that was forked, which inherits what it holds: that need not be pickled."""


def in_processes(
    function: Callable[[Thing], Result], things: Sequence[Thing], most: int
) -> Generator[Result, None, None]:
    """``function`` of each of the things, in their order, computed by other processes, up to one a
    core; only results are pickled.

    This process computes them itself on one core, where it may not start others (a daemon, a limit
    of processes), and where to start them takes long (not on Linux); and the rest once one of the
    others has died, as a rule for want of memory.

    Args:
        most: processes, at most.

    Raises:
        Exception: what the function raised, in place of the first result that there is not.
    """
    done = 0
    if most > 1 and _may_fork() and (processes := min(cores(), most, len(things))) > 1:
        context = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(
            processes, context, _begin, (lambda place: function(things[place]),)
        )
        before = multiprocessing.active_children()
        results: Iterable[object] = ()
        started = False
        try:
            try:
                with warnings.catch_warnings():
                    # numpy's threads, of which Python 3.12 warns, have no part in it
                    warnings.simplefilter("ignore", DeprecationWarning)
                    results = pool.map(_call, range(len(things)))
                started = True
            except (OSError, RuntimeError):
                pass  # no more processes, or no thread for the pool
            for result in results:
                yield result  # type: ignore[misc] # of ``function``, in the other process
                done += 1
        except BrokenProcessPool:
            pass
        finally:
            if not started:
                # without its thread the pool ends none of its processes
                for process in multiprocessing.active_children():
                    if process not in before:
                        process.kill()
            pool.shutdown(wait=started, cancel_futures=True)
    for thing in things[done:]:
        yield function(thing)


def _may_fork() -> bool:
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def _begin(inherited: Callable[[int], object]) -> None:
    global _inherited
    _inherited = inherited
    # both reach the whole group; the process that started this one acts on them
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # what was inherited stays shared memory
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    except RuntimeError:  # no more threads: the other process goes on by itself
        os._exit(1)


def _call(place: int) -> object:
    return _inherited(place)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
