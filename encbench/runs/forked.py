"""Map a function over items, in processes that are forked from this one."""

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

Item = TypeVar("Item")
Result = TypeVar("Result")
_inherited: Callable[[int], object]
"""Set in a forked process, which inherits the function and its items: they are not pickled."""


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
    done = 0
    if most > 1 and _may_fork() and (processes := min(cores(), most, len(items))) > 1:
        context = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(
            processes, context, _begin, (lambda place: function(items[place]),)
        )
        before = multiprocessing.active_children()
        results: Iterable[object] = ()
        started = False
        try:
            try:
                with warnings.catch_warnings():
                    # Python 3.12 warns about numpy's threads, which do no harm here
                    warnings.simplefilter("ignore", DeprecationWarning)
                    results = pool.map(_call, range(len(items)))
                started = True
            except (OSError, RuntimeError):
                pass  # no further process or thread could be started
            for result in results:
                yield result  # type: ignore[misc] # the result of ``function`` in the other process
                done += 1
        except BrokenProcessPool:
            pass
        finally:
            if not started:
                # without its thread, the pool does not end its processes
                for process in multiprocessing.active_children():
                    if process not in before:
                        process.kill()
            pool.shutdown(wait=started, cancel_futures=True)
    for item in items[done:]:
        yield function(item)


def _may_fork() -> bool:
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def _begin(inherited: Callable[[int], object]) -> None:
    global _inherited
    _inherited = inherited
    # both signals reach the whole process group; the parent acts on them
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # keeps inherited memory shared with the parent
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    except RuntimeError:  # no more threads: the parent goes on by itself
        os._exit(1)


def _call(place: int) -> object:
    return _inherited(place)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
