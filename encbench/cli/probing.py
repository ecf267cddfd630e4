"""Running the probe: what importing the required libraries in another process gave."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from encbench.cli import probe

__all__ = ["installed", "module_of", "required", "requirements", "run_probe"]

PROBE_TIMEOUT = 180.0
"""Seconds for importing everything; a network drive takes its time, a hanging driver for ever."""
MODULES = {
    "pillow": "PIL",
    "scikit-image": "skimage",
    "libigl": "igl",
    "markdown-it-py": "markdown_it",
}
"""Distributions whose module has another name."""


def run_probe() -> dict[str, Any]:
    """What importing the required libraries in another process gave."""
    # what ends the process is named as what was being imported: torch before what imports it
    names = sorted(required(), key=lambda name: (name != "torch", name))
    modules = [module for name in names if (module := module_of(name))]
    command = [sys.executable, "-P", probe.__file__, *modules]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        return _unfinished(said, f"did not end within {PROBE_TIMEOUT:g} s")
    except OSError as error:
        return _unfinished("", str(error))
    lines = _marked(done.stdout)
    if done.returncode != 0 or not lines or not lines[-1].startswith("{"):
        how = f"ended the process (exit code {done.returncode})"
        return _unfinished(done.stdout, how)
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _unfinished(said: str, how: str) -> dict[str, Any]:
    last = (_marked(said) or ["python"])[-1]
    return {"broken": {last: f"importing it {how}"}, "torch": {"problem": f"{last} {how}"}}


def _marked(said: str) -> list[str]:
    return [
        line.removeprefix(probe.MARK).strip()
        for line in said.splitlines()
        if line.startswith(probe.MARK)
    ]


def requirements() -> Iterator[tuple[str, str | None]]:
    """Distribution and the extra that asks for it, None for what every installation needs."""
    for requirement in metadata.requires("encbench") or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        yield name, extra[1] if extra else None


def required() -> list[str]:
    """Distributions that every installation needs."""
    return [name for name, extra in requirements() if extra is None]


def module_of(distribution: str) -> str | None:
    """What to import of a distribution; None where it is not installed."""
    if installed(distribution) is None:
        return None
    return MODULES.get(distribution, distribution.replace("-", "_"))


def installed(distribution: str) -> str | None:
    """Its version here, None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
