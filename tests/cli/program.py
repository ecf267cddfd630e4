"""Run the program with a command line, in a separate process or in this one."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from encbench.cli import main
from tests.processes import call, outside

WIDE = 120
"""Width of the terminal [characters]."""


def encbench(
    *arguments: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m encbench arguments`` in a separate process."""
    return call(
        "encbench", *arguments, cwd=cwd, env={**outside(), "COLUMNS": str(WIDE), **environment}
    )


def here(
    *arguments: object, cwd: Path | None = None, encoding: str = "utf-8", columns: int = WIDE
) -> subprocess.CompletedProcess[str]:
    """The same in this process: five times as fast for a verb that runs no cell."""
    told = [str(argument) for argument in arguments]
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
    logger, code = logging.getLogger("encbench"), 0
    handlers, level = logger.handlers.copy(), logger.level
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd or Path.cwd())
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "argv", ["encbench", *told])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", errors)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logger.handlers[:] = handlers
            logger.setLevel(level)
    said = [stream.buffer.getvalue().decode(encoding) for stream in (out, errors)]
    return subprocess.CompletedProcess(told, code, *said)
