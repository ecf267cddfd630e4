"""Run plug-in code without lasting effects on the process and without output to stdout.

This module must not import torch: plug-ins are discovered and listed without it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from encbench.errors import PluginError, error_line


@contextmanager
def isolated() -> Iterator[None]:
    """Context in which a plug-in is imported or its hooks are called.

    Output goes to standard error, because a program may read standard output. Process state is
    restored. Everything raised becomes an ``Exception``, except the user's Ctrl-C.
    """
    folders = [*sys.path]
    with output_to_stderr(), process_state_kept(), ctrl_c_noted() as pressed:
        try:
            yield
        except BaseException as error:
            if pressed:
                # the import that it interrupted may have turned it into an ImportError
                raise pressed[0] from error
            if isinstance(error, Exception):
                raise
            raise PluginError(f"raised {error_line(error)}") from error
        finally:
            sys.path.extend(folder for folder in folders if folder not in sys.path)


@contextmanager
def output_to_stderr() -> Iterator[None]:
    """Context that redirects stdout to stderr: for Python, C, and subprocesses started in it."""
    with _redirecting:
        # if several threads are inside, the first redirects and the last restores
        _redirected.append(ExitStack() if _redirected else _redirect())
    try:
        yield
    finally:
        with _redirecting:
            _redirected.pop().close()


_redirecting = threading.Lock()
_redirected: list[ExitStack] = []
"""One per active ``with``. Closing the first, which is closed last, restores standard output."""


def _redirect() -> ExitStack:
    stack, stream = ExitStack(), sys.stdout
    with suppress(OSError, ValueError, AttributeError):  # a stream may be closed, or None
        stream.flush()
        kept = os.dup(1)
        stack.callback(os.close, kept)
        stack.callback(os.dup2, kept, 1)
        os.dup2(2, 1)
    stack.callback(_flush, stream)
    stack.enter_context(redirect_stdout(sys.stderr))
    return stack


def _flush(stream: Any) -> None:
    """Flush the buffers of the Python stream and of C."""
    with suppress(OSError, ValueError, AttributeError):
        stream.flush()
    ctypes.CDLL(None).fflush(None)


@contextmanager
def process_state_kept(*, known: bool = False) -> Iterator[None]:
    """Context that restores ``SETTINGS``, process state that a plug-in may change, at its end.

    Args:
        known: whether to also start with the settings of a freshly imported torch and matplotlib,
            and restore ``LEFT_BY_IMPORTS``, which an import may have to change.
    """
    before = process_state()
    if known:
        _restore({})
    else:
        before = {name: value for name, value in before.items() if name not in LEFT_BY_IMPORTS}
    try:
        yield
    finally:
        _restore(before)


def process_state() -> dict[str, Any]:
    """The values of ``SETTINGS`` by name, without those of modules that are not imported."""
    state = {}
    for name, setting in SETTINGS.items():
        if (module := sys.modules.get(setting.module)) is not None:
            with suppress(OSError):  # the working directory may be gone
                state[name] = setting.get(module)
    return state


def _restore(before: dict[str, Any]) -> None:
    """Restore only what differs: a default device slows torch down, even if it is the CPU."""
    for name, value in process_state().items():
        setting = SETTINGS[name]
        module = sys.modules[setting.module]
        wanted = before[name] if name in before else setting.fresh and setting.fresh(module)
        if wanted is not None and wanted != value:
            with suppress(OSError, ValueError):  # ValueError: signals belong to the main thread
                setting.put(module, wanted)


class Setting(NamedTuple):
    """Process-wide state that belongs to a module, with functions to read and set it."""

    module: str
    get: Callable[[Any], Any]
    put: Callable[[Any, Any], object]
    fresh: Callable[[Any], Any] | None = None
    """Its value after a fresh import of the module; None: start with the current value."""


def _setter(name: str) -> Callable[[Any, Any], object]:
    """A function that sets a module's setting with the module's function of this name."""
    return lambda module, value: getattr(module, name)(value)


def _by_functions(
    module: str, get: str, put: str, fresh: Callable[[Any], Any] | None = None
) -> Setting:
    """A setting that two functions of a module read and write."""
    return Setting(module, lambda loaded: getattr(loaded, get)(), _setter(put), fresh)


def _default_device(torch: Any) -> Any:
    try:
        return torch.get_default_device()
    except AttributeError:
        # torch 2.6 raises it after the device has been reset to None
        return torch.device("cpu")


def _put_filters(warnings: Any, value: list[Any]) -> None:
    warnings.resetwarnings()  # also invalidates the caches of modules
    warnings.filters[:] = value


def _put_signals(signal: Any, value: dict[int, Any]) -> None:
    for number, handler in value.items():
        if handler is not None:  # None: not installed from Python
            signal.signal(number, handler)


def _put_autocast(torch: Any, value: dict[str, bool]) -> None:
    for kind, on in value.items():
        torch.set_autocast_enabled(kind, on)


def _put_environment(module: Any, value: dict[str, str]) -> None:
    module.environ.clear()
    module.environ.update(value)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
DEVICES = ("cpu", "cuda")
SETTINGS = {
    "the working directory": Setting("os", lambda _: str(Path.cwd()), _setter("chdir")),
    "standard output": Setting(
        "sys", lambda sys: sys.stdout, lambda sys, value: setattr(sys, "stdout", value)
    ),
    "standard error": Setting(
        "sys", lambda sys: sys.stderr, lambda sys, value: setattr(sys, "stderr", value)
    ),
    "arguments of the program": Setting(
        "sys", lambda sys: [*sys.argv], lambda sys, value: setattr(sys, "argv", value)
    ),
    "built-in functions": Setting(
        "builtins",
        # "_" is the interpreter's last result
        lambda builtins: {name: value for name, value in vars(builtins).items() if name != "_"},
        lambda builtins, value: vars(builtins).update(value),
    ),
    "the recursion limit": _by_functions("sys", "getrecursionlimit", "setrecursionlimit"),
    "garbage collection": Setting(
        "gc", lambda gc: gc.isenabled(), lambda gc, on: gc.enable() if on else gc.disable()
    ),
    "the locale": Setting(
        "locale",
        lambda locale: locale.setlocale(locale.LC_ALL),
        lambda locale, value: locale.setlocale(locale.LC_ALL, value),
    ),
    "environment variables": Setting("os", lambda _: dict(os.environ), _put_environment),
    "filters of warnings": Setting("warnings", lambda warnings: [*warnings.filters], _put_filters),
    "the level of logging": Setting(
        "logging", lambda logging: logging.root.manager.disable, _setter("disable")
    ),
    "handlers of signals": Setting(
        "signal", lambda signal: {n: signal.getsignal(n) for n in SIGNALS}, _put_signals
    ),
    "NumPy's handling of errors": Setting(
        "numpy", lambda numpy: numpy.geterr(), lambda numpy, value: numpy.seterr(**value)
    ),
    # as plain dictionaries, because reading rcParams["backend"] imports a backend
    "matplotlib's rcParams": Setting(
        "matplotlib",
        lambda matplotlib: dict(dict.items(matplotlib.rcParams)),
        lambda matplotlib, value: dict.update(matplotlib.rcParams, value),
        lambda matplotlib: dict(dict.items(matplotlib.rcParamsOrig)),
    ),
    "torch's default_dtype": _by_functions(
        "torch", "get_default_dtype", "set_default_dtype", lambda torch: torch.float32
    ),
    "torch's default_device": Setting(
        "torch",
        _default_device,
        lambda torch, v: torch.set_default_device(None if v == torch.device("cpu") else v),
        lambda torch: torch.device("cpu"),
    ),
    "torch's grad_enabled": _by_functions(
        "torch", "is_grad_enabled", "set_grad_enabled", lambda torch: True
    ),
    "torch's num_threads": _by_functions("torch", "get_num_threads", "set_num_threads"),
    "torch's float32_matmul_precision": _by_functions(
        "torch", "get_float32_matmul_precision", "set_float32_matmul_precision"
    ),
    "torch's deterministic mode": _by_functions(
        "torch", "get_deterministic_debug_mode", "set_deterministic_debug_mode"
    ),
    "torch's anomaly mode": Setting(
        "torch",
        lambda torch: torch.is_anomaly_enabled(),
        lambda torch, value: torch.autograd.set_detect_anomaly(value),
    ),
    "torch's autocast": Setting(
        "torch",
        lambda torch: {kind: torch.is_autocast_enabled(kind) for kind in DEVICES},
        _put_autocast,
        lambda torch: dict.fromkeys(DEVICES, False),
    ),
}
"""Name to setting. Without ``sys.path``, which plug-ins may extend for later imports."""
LEFT_BY_IMPORTS = ("environment variables", "filters of warnings")
"""Settings that imports may change permanently."""


@contextmanager
def ctrl_c_noted() -> Iterator[list[KeyboardInterrupt]]:
    """Context that lists the KeyboardInterrupt of the user's Ctrl-C, if any: a plug-in may raise
    its own, or turn the user's into another exception."""
    pressed: list[KeyboardInterrupt] = []
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield pressed
        return

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            previous(number, frame)
        except KeyboardInterrupt as error:
            pressed.append(error)
            raise

    signal.signal(signal.SIGINT, handle)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, previous)
