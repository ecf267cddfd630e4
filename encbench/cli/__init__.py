"""The command line: one file per verb; verbs of plug-ins are registered in the same way."""

import atexit
import os
import signal
import sys

from encbench.errors import EncbenchError, require_platform

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``encbench`` script; Ctrl-C prints one line and exits with code 130."""
    _open_standard_streams()
    try:
        require_platform()
    except EncbenchError as error:
        sys.exit(f"error: {error}")
    try:
        # imported here because Ctrl-C may also interrupt the import
        from encbench.cli.app import start

        start()
    except BaseException as error:
        code = 128 + signal.SIGINT
        if not _interrupted(error) or (isinstance(error, SystemExit) and error.code != code):
            raise
        print("interrupted", file=sys.stderr)
        sys.exit(code)
    finally:
        atexit.register(_end_output)  # atexit calls the last registered first


def _open_standard_streams() -> None:
    """Open the null device for closed streams, or a file opened later would get their output."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 # a descriptor
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _end_output() -> None:
    """Redirect to standard error what plug-ins print while Python exits."""
    try:
        sys.stdout.flush()
        os.dup2(2, 1)
    except BrokenPipeError:
        # otherwise Python reports the broken pipe when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (OSError, ValueError):  # a full disk or closed stream: Python reports it
        pass


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused the error, also if a library wrapped an interrupted import."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error is not None
