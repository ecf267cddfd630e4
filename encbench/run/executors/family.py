"""A process and those that it has started, ended together."""

from __future__ import annotations

import contextlib

import psutil

__all__ = ["end_children", "end_family"]


def end_family(process: psutil.Process) -> None:
    """Kill a process with all that it has started, such as a plug-in's data loaders.

    What they started in turn is killed, too; not what a process that is gone left behind, for
    nobody knows any more whose it was.
    """
    with contextlib.suppress(psutil.Error):
        # else it could start another between the look and the kill
        process.suspend()
    end_children(process)
    with contextlib.suppress(psutil.Error):
        process.kill()


def end_children(process: psutil.Process | None = None) -> None:
    """Kill all that a process has started; this one's unless told."""
    try:
        children = (process or psutil.Process()).children(recursive=True)
    except psutil.Error:
        return
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()
