"""What this process computes with: machine, system, libraries and their versions.

Each fact is found once a process; none of them imports torch.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

__all__ = [
    "blas",
    "cpu_capability",
    "cuda_versions",
    "distributions",
    "git_commit",
    "libraries",
    "matmul_precision",
    "processor",
    "system",
]

NUMERICAL = (
    "torch",
    "numpy",
    "scipy",
    "pytorch-msssim",
    "scikit-image",
    "pillow",
    "trimesh",
    "libigl",
    "embreex",
    "networkx",
    "triton",
)
"""Distributions whose version can change a number, where they are installed."""
GIT_TIMEOUT = 2.0
"""Seconds for each question to git; a huge or remote working tree must not hold up a run."""


@cache
def distributions() -> dict[str, str]:
    """Name to version of every distribution that has plug-ins of encbench here."""
    found = {e.dist.name: e.dist.version for e in metadata.entry_points(group="encbench") if e.dist}
    return dict(sorted({"encbench": metadata.version("encbench"), **found}.items()))


@cache
def libraries() -> dict[str, str]:
    """Name to version of the libraries here that can change a number.

    Those that encbench computes with, and whatever other distributions with plug-ins require.
    """
    names = dict.fromkeys(NUMERICAL)
    for distribution in distributions():
        if distribution == "encbench":
            continue
        for requirement in metadata.requires(distribution) or ():
            if "extra ==" not in requirement:
                names[re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()] = None
    versions = {name: _version(name) for name in names if name not in distributions()}
    return {name: version for name, version in versions.items() if version is not None}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@cache
def system() -> str:
    """The operating system as its users name it, and the kind of processor."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.platform(terse=True)
    return f"{name}, {platform.machine()}"


@cache
def processor() -> str:
    """The processor's model."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_capability() -> str | None:
    """Instruction set that torch's kernels were chosen for, "AVX512"; None before torch is there.

    Sums are taken in another order with another one, and results differ in the last digits.
    """
    torch = _torch()
    return None if torch is None else str(torch.backends.cpu.get_cpu_capability())


def blas() -> dict[str, str]:
    """Library to the BLAS that it has loaded: torch, numpy, scipy, each often its own."""
    return dict(_blas(_torch()))


@cache
def _blas(torch: Any) -> dict[str, str]:
    found = {}
    if torch is not None:
        # torch's is linked into it, where threadpoolctl does not see it
        built_with = torch.__config__.show()
        if mkl := re.search(r"Math Kernel Library Version (\S+?)-", built_with):
            found["torch"] = f"mkl {mkl[1]}"
        elif info := re.search(r"BLAS_INFO=(\w+)", built_with):
            found["torch"] = info[1]
    for library in threadpool_info():
        if library["user_api"] == "blas":
            path = Path(library["filepath"])
            # wheels keep theirs in numpy.libs, scipy.libs
            owner = path.parent.name.removesuffix(".libs") if ".libs" in str(path) else path.name
            parts = (library["internal_api"], library["version"], library.get("architecture"))
            found[owner] = " ".join(str(part) for part in parts if part)
    return found


def cuda_versions() -> dict[str, str]:
    """Versions of CUDA (or ROCm) and cuDNN that torch computes with; empty on a CPU-only torch."""
    torch = _torch()
    if torch is None:
        return {}
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    found = {"cuda": torch.version.cuda, "rocm": torch.version.hip, "cudnn": cudnn}
    return {name: str(version) for name, version in found.items() if version}


def matmul_precision() -> str | None:
    """torch's setting for float32 matrix products; None before torch is there."""
    torch = _torch()
    return None if torch is None else str(torch.get_float32_matmul_precision())


def git_commit() -> str | None:
    """Commit of the working directory, None outside of a repository.

    With "+changes" where tracked files differ from it, "+unknown" where git could not say so in
    time. Files that git does not track do not count: a run's own results would be some.
    """
    try:
        return _git_commit(str(Path.cwd()))
    except OSError:
        return None


@cache
def _git_commit(directory: str) -> str | None:
    try:
        commit = _git(directory, "rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None
    try:
        changes = _git(directory, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return f"{commit}+unknown"
    return f"{commit}+changes" if changes else commit


def _git(directory: str, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        # status would write the index, and collide with a commit at the same time
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        # git prints names of files as they are where core.quotePath is off
        errors="replace",
        timeout=GIT_TIMEOUT,
        check=True,
    )
    return done.stdout.strip()


def _torch() -> Any:
    return sys.modules.get("torch")
