"""The command line: one verb a file; those of plug-ins are found in the same way."""

import atexit
import os
import signal
import sys

from encbench.errors import EncbenchError, require_platform

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``encbench`` script; Ctrl-C at any time is one line and code 130."""
    _open_standard_streams()
    try:
        require_platform()
    except EncbenchError as error:
        sys.exit(f"error: {error}")
    try:
        # here, for it may be interrupted, too
        from encbench.cli.app import start

        start()
    except BaseException as error:
        code = 128 + signal.SIGINT
        if not _interrupted(error) or (isinstance(error, SystemExit) and error.code != code):
            raise
        print("interrupted", file=sys.stderr)
        sys.exit(code)
    finally:
        atexit.register(_end_output)  # the last that is registered is called first


def _open_standard_streams() -> None:
    """Make a closed one the null device: a file opened later would get its number, and prints."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 # a descriptor
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _end_output() -> None:
    """Send what plug-ins print when Python ends to standard error."""
    try:
        sys.stdout.flush()
        os.dup2(2, 1)
    except BrokenPipeError:
        # or Python complains as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (OSError, ValueError):  # a full disk, a closed stream: Python says so
        pass


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused it; libraries make errors of their own of an interrupted import."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error is not None
