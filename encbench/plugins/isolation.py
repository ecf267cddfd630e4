"""Running code of plug-ins so that it changes nothing for others and prints nothing of ours.

Nothing here imports torch: plug-ins are found and listed without it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from encbench.errors import PluginError, error_line


@contextmanager
def isolated() -> Iterator[None]:
    """Inside, a plug-in is imported or asked for what it offers.

    What it prints goes to standard error, for standard output may be read by a program. What it
    changes of the process is put back. Whatever it raises comes out as an ``Exception``, except
    Ctrl-C of the user.
    """
    with redirect_stdout(sys.stderr), process_state_kept(), _ctrl_c() as pressed:
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and pressed:
                raise
            raise PluginError(f"raised {error_line(error)}") from error


@contextmanager
def process_state_kept(*, known: bool = False) -> Iterator[None]:
    """Put back, at the end, what a plug-in may change for everything after it.

    The working directory, and torch's default dtype and device, grad mode, number of threads and
    precision of products.

    Args:
        known: also begin with float32 on the CPU, with gradients.
    """
    folder: Path | None = None
    with suppress(OSError):
        folder = Path.cwd()
    before = _torch_state(sys.modules.get("torch"))
    if known:
        _restore(sys.modules.get("torch"), {})
    try:
        yield
    finally:
        with suppress(OSError):
            if folder is not None and Path.cwd() != folder:
                os.chdir(folder)
        _restore(sys.modules.get("torch"), before)


def process_state() -> dict[str, Any]:
    """What ``process_state_kept`` puts back, by name."""
    folder: str | None = None
    with suppress(OSError):
        folder = str(Path.cwd())
    torch = _torch_state(sys.modules.get("torch"))
    return {"working directory": folder, **{f"torch's {k}": v for k, v in torch.items()}}


def _torch_state(torch: Any) -> dict[str, Any]:
    """Name of a setting to its value; empty before torch is imported."""
    if torch is None:
        return {}
    return {
        "default_dtype": torch.get_default_dtype(),
        "default_device": torch.get_default_device(),
        "grad_enabled": torch.is_grad_enabled(),
        "num_threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _restore(torch: Any, before: dict[str, Any]) -> None:
    if torch is None:
        return
    if not before:
        # as torch is when it has just been imported
        before = {"default_dtype": torch.float32, "default_device": torch.device("cpu")}
        before |= {"grad_enabled": True}
    now = _torch_state(torch)
    for name, value in before.items():
        # a default device that is set costs time, even where it is the CPU
        if now[name] != value:
            getattr(torch, f"set_{name}")(None if value == torch.device("cpu") else value)


@contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """Inside, the list says whether Ctrl-C was pressed: plug-ins raise KeyboardInterrupt, too."""
    pressed: list[int] = []
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield pressed
        return

    def handle(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        previous(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, previous)
