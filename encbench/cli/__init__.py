"""The command line: one verb a file; those of plug-ins are found in the same way."""

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``encbench`` script; Ctrl-C at any moment is one line and exit code 130."""
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


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused it; libraries make errors of their own of an interrupted import."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error is not None
