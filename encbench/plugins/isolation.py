"""Running code of plug-ins so that it changes nothing for others and prints nothing of ours.

Nothing here imports torch: plug-ins are found and listed without it.
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
    """Inside, a plug-in is imported or asked for what it offers.

    What it prints goes to standard error, for standard output may be read by a program. What it
    changes of the process is put back. Whatever it raises comes out as an ``Exception``, except
    Ctrl-C of the user.
    """
    folders = [*sys.path]
    with output_to_stderr(), process_state_kept(), ctrl_c_noted() as pressed:
        try:
            yield
        except BaseException as error:
            if pressed:
                # a library whose import it interrupted may have made an ImportError of it
                raise pressed[0] from error
            if isinstance(error, Exception):
                raise
            raise PluginError(f"raised {error_line(error)}") from error
        finally:
            sys.path.extend(folder for folder in folders if folder not in sys.path)


@contextmanager
def output_to_stderr() -> Iterator[None]:
    """Inside, standard output is standard error: of Python, of C, and of processes begun here."""
    with _redirecting:
        # of threads that are inside at once, the first redirects and the last puts it back
        _redirected.append(ExitStack() if _redirected else _redirect())
    try:
        yield
    finally:
        with _redirecting:
            _redirected.pop().close()


_redirecting = threading.Lock()
_redirected: list[ExitStack] = []
"""One for each ``with`` that is inside. The first, closed last, puts standard output back."""


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
    """Write what Python, through ``sys.__stdout__``, and C still hold."""
    with suppress(OSError, ValueError, AttributeError):
        stream.flush()
    ctypes.CDLL(None).fflush(None)


@contextmanager
def process_state_kept(*, known: bool = False) -> Iterator[None]:
    """Put back, at the end, what a plug-in may change for everything after it: ``SETTINGS``.

    Args:
        known: also begin with torch as it is when it has just been imported, and put back what
            an import may have to change, ``LEFT_BY_IMPORTS``.
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
    """What ``process_state_kept`` puts back, by name; nothing of modules that nobody imported."""
    state = {}
    for name, setting in SETTINGS.items():
        if (module := sys.modules.get(setting.module)) is not None:
            with suppress(OSError):  # the working directory may be gone
                state[name] = setting.get(module)
    return state


def _restore(before: dict[str, Any]) -> None:
    """Set what differs: a default device that is set costs time, even where it is the CPU."""
    for name, value in process_state().items():
        setting = SETTINGS[name]
        module = sys.modules[setting.module]
        wanted = before[name] if name in before else setting.fresh and setting.fresh(module)
        if wanted is not None and wanted != value:
            with suppress(OSError, ValueError):  # ValueError: signals belong to the main thread
                setting.put(module, wanted)


class Setting(NamedTuple):
    """Something that all code of the process shares."""

    module: str
    get: Callable[[Any], Any]
    put: Callable[[Any, Any], object]
    fresh: Callable[[Any], Any] | None = None
    """What it is when the module has just been imported; None: as it was found."""


def _setter(name: str) -> Callable[[Any, Any], object]:
    """Sets a module's setting by its function of this name."""
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
        # torch 2.6 raises it once the device has been set back to None
        return torch.device("cpu")


def _put_filters(warnings: Any, value: list[Any]) -> None:
    warnings.resetwarnings()  # also tells modules to ask the filters again
    warnings.filters[:] = value


def _put_signals(signal: Any, value: dict[int, Any]) -> None:
    for number, handler in value.items():
        if handler is not None:  # None: installed by something that is not Python
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
    # as plain dictionaries: to read the backend imports one
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
"""By name. Not ``sys.path``, which plug-ins extend to import more later."""
LEFT_BY_IMPORTS = ("environment variables", "filters of warnings")


@contextmanager
def ctrl_c_noted() -> Iterator[list[KeyboardInterrupt]]:
    """Inside, the list holds the KeyboardInterrupt of a Ctrl-C: a plug-in may raise one of its own,
    or turn the user's into another exception."""
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
