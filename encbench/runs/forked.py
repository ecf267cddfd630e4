"""Map a function over items, in processes that are forked from this one."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, TypeVar

from encbench.runs.limits import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
_inherited: dict[str, Any] = {}
"""In a forked process, the function and the items."""


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
    done, count = 0, min(cores(), most, len(items))
    if count > 1 and sys.platform == "linux" and not multiprocessing.current_process().daemon:
        others = set(multiprocessing.active_children())
        context = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(count, context, _begin, (function, items))
        results: Iterator[Result] = iter(())
        try:
            # no process can be started; Python 3.12 warns of numpy's threads, which do no harm here
            with suppress(OSError), warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                results = pool.map(_compute, range(len(items)))
            with suppress(BrokenProcessPool):
                for result in results:
                    yield result
                    done += 1
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
    for item in items[done:]:
        yield function(item)


def _begin(function: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Prepare a forked process."""
    # both signals reach the whole process group; the parent acts on them
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # keeps inherited memory shared with the parent
    _inherited.update(function=function, items=items)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this process was forked"
    parent.join()
    os._exit(1)


def _compute(place: int) -> Any:
    return _inherited["function"](_inherited["items"][place])
