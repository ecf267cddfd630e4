"""Where a result came from: enough to run it again and to know what differs if it does."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field
from threadpoolctl import threadpool_info

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
"""Seconds for each call of git, so that a huge or remote working tree does not delay a run."""


class Data(BaseModel):
    """Base of what is recorded; NaN and infinity are written to JSON as texts."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Provenance(Data):
    """The environment in which one cell ran."""

    encbench: str
    python: str
    libraries: dict[str, str]
    """Versions of the libraries that can change a number; only torch, numpy and scipy in records
    of schema version 1."""
    plugins: dict[str, str] = Field(default_factory=dict)
    """Version of every distribution that had plug-ins: parts of a composite encoding may come
    from any of them."""
    cpu_capability: str | None = None
    """Instruction set of torch's kernels: "AVX2", "AVX512", "DEFAULT". With another one sums are
    taken in another order, and results differ in the last digits."""
    blas: dict[str, str] = Field(default_factory=dict)
    """By library, its BLAS: "mkl 2024.2", "openblas 0.3.30 SkylakeX"."""
    cuda: dict[str, str] = Field(default_factory=dict)
    """Versions of "cuda" and "cudnn", or "rocm"; empty on a CPU."""
    matmul_precision: str | None = None
    """torch's float32 matrix products: "highest" is float32; others may use TF32 or bfloat16.
    None where it was not recorded."""
    os: str
    machine: str
    """Name of the host: times of different machines must not be compared."""
    processor: str
    device: str
    """"cpu" or the name of the GPU."""
    threads: int
    git_commit: str | None = None
    """Commit of the working directory; see ``git_commit``."""
    suite: str | None = None
    """Name of the suite that asked for the cell."""
    worker: str | None = None
    """Name of the worker that ran the cell, "host:pid" or a Dask worker's; set by the coordinating
    process."""
    executor: str = "in process"
    """Where cells ran; "not recorded" in records of schema version 1."""
    timeout_s: float | None = None
    """Time limit of the cell [s]; None: no limit."""
    memory_limit_bytes: int | None = None
    """Memory limit of the cell; None: no limit."""
    started: str
    """UTC, ISO 8601."""
    finished: str | None = None

    @classmethod
    def collect(cls, device: str, threads: int) -> Provenance:
        """The environment of this process; ``device`` is "cpu" or the name of the GPU.

        The first call in a process asks git and reads what is installed; later calls are quick.
        """
        import torch  # reading records does without

        return cls(
            **deepcopy(_of_process()),
            cuda={} if device == "cpu" else _cuda_versions(),
            matmul_precision=torch.get_float32_matmul_precision(),
            device=device,
            threads=threads,
            git_commit=git_commit(),
            started=now(),
        )


@cache
def _of_process() -> dict[str, Any]:
    """What does not change in the life of a process."""
    import torch

    plugins = distributions()
    return {
        "encbench": plugins["encbench"],
        "python": platform.python_version(),
        "libraries": libraries(),
        "plugins": plugins,
        "os": system(),
        "machine": platform.node(),
        "processor": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "blas": _blas(torch.__config__.show()),
    }


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def distributions() -> dict[str, str]:
    """By name, the version of every distribution with plug-ins of encbench."""
    found = {}
    for distribution in metadata.distributions():
        # of one whose metadata cannot be read, the plug-in host tells the user
        with suppress(Exception):
            name, version = distribution.metadata["Name"], distribution.version
            if name and version and distribution.entry_points.select(group="encbench"):
                found[name] = version
    return dict(sorted({"encbench": metadata.version("encbench"), **found}.items()))


@cache
def libraries() -> dict[str, str]:
    """By name, the version of every library that can change a number.

    Those that encbench computes with, and those that other distributions with plug-ins require.
    """
    names = dict.fromkeys(NUMERICAL)
    for distribution in distributions():
        if distribution == "encbench":
            continue
        for requirement in map(Requirement, metadata.requires(distribution) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                names[canonicalize_name(requirement.name)] = None
    versions = {name: _version(name) for name in names if name not in distributions()}
    return {name: version for name, version in versions.items() if version is not None}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def system() -> str:
    """The operating system as its users name it, and the kind of processor."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.platform(terse=True)
    return f"{name}, {platform.machine()}"


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


def _blas(built_with: str) -> dict[str, str]:
    """By library, the BLAS that it has loaded: torch, numpy and scipy often have their own.

    Torch's is linked statically, where threadpoolctl does not find it; torch says it itself.
    """
    found = {}
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


def _cuda_versions() -> dict[str, str]:
    """Versions of CUDA (or ROCm) and cuDNN that torch uses."""
    import torch

    cudnn: Any = torch.backends.cudnn
    built = cudnn.version() if torch.version.cuda else None
    found = {"cuda": torch.version.cuda, "rocm": torch.version.hip, "cudnn": built}
    return {name: str(version) for name, version in found.items() if version}


def git_commit() -> str | None:
    """Commit of the working directory, None outside of a repository.

    "+changes" follows where tracked files differ from it, "+unknown" where git took too long to
    say. Untracked files do not count, since a run's own results would be some. Each run asks
    anew; what is committed while it runs is not the code that it has loaded.
    """
    try:
        return git_commit_of(str(Path.cwd()))
    except OSError:
        return None


@cache
def git_commit_of(directory: str) -> str | None:
    """As ``git_commit``, of this directory."""
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
        # status would write the index, which may collide with a commit at the same time
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        # with core.quotePath off, git prints file names of any encoding
        errors="replace",
        timeout=GIT_TIMEOUT,
        check=True,
    )
    return done.stdout.strip()
