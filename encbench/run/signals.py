"""Ctrl-C and SIGTERM during a run: first stop in good order, then at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["RunStopped", "Stopping", "orderly_stop"]


class RunStopped(KeyboardInterrupt):
    """A run ended before its cells had all run, because a signal asked for it.

    Every cell that had begun has its record by then, unless the signal came twice.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


class Stopping:
    """What signals have asked for."""

    number: int | None = None
    """The first signal that came."""

    @property
    def asked(self) -> bool:
        return self.number is not None


@contextmanager
def orderly_stop(stop: Callable[[], None]) -> Iterator[Stopping]:
    """While inside, Ctrl-C calls ``stop`` once, and the second time raises KeyboardInterrupt.

    SIGTERM calls ``stop`` too, however often it comes: whoever sends it does not type. Outside
    the main thread, where Python has no signal handlers, nothing changes.
    """
    state = Stopping()

    def handle(number: int, frame: FrameType | None) -> None:
        if not state.asked:
            state.number = number
            stop()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    previous = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield state
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
