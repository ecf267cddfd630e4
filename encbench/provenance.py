"""Where a result came from: enough to run it again and to know what differs if it does."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict

__all__ = ["Provenance", "now"]


class Provenance(BaseModel):
    """The circumstances of one cell."""

    model_config = ConfigDict(extra="forbid")

    encbench: str
    python: str
    libraries: dict[str, str]
    """Versions of torch, numpy and scipy."""
    os: str
    machine: str
    """Name of the host: times of different machines must not be compared."""
    processor: str
    device: str
    """"cpu" or the name of the GPU."""
    threads: int
    git_commit: str | None = None
    """Commit of the working directory, with "+changes" where it has some."""
    worker: str | None = None
    """Who ran the cell, "host:pid" or a Dask worker's name; set by the coordinating process."""
    executor: str = "in process"
    """Where cells ran; "not recorded" in records of schema version 1."""
    timeout_s: float | None = None
    """Seconds that the cell was given; None: as many as it takes."""
    memory_limit_bytes: int | None = None
    """Memory that the cell was given; None: all there is."""
    started: str
    """UTC, ISO 8601."""
    finished: str | None = None

    @classmethod
    def collect(cls, device: str, threads: int) -> Provenance:
        """The circumstances here and now."""
        return cls(
            encbench=metadata.version("encbench"),
            python=platform.python_version(),
            libraries={name: metadata.version(name) for name in ("torch", "numpy", "scipy")},
            os=_system(),
            machine=platform.node(),
            processor=_processor(),
            device=device,
            threads=threads,
            git_commit=_git_commit(),
            started=now(),
        )


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.platform(terse=True)
    return f"{name}, {platform.machine()}"


@cache
def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def _git_commit() -> str | None:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain") else commit
    except (OSError, subprocess.SubprocessError):
        return None
