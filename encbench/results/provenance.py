"""Provenance of a result: what is needed to run it again and to explain differences."""

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
"""Distributions whose version can change a number, if they are installed."""
GIT_TIMEOUT = 2.0
"""Time limit per call of git [s], so that a huge or remote working tree does not delay a run."""


class Data(BaseModel):
    """Base class of recorded data; NaN and infinity are written to JSON as strings."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Provenance(Data):
    """The environment in which one cell ran."""

    encbench: str
    python: str
    libraries: dict[str, str]
    """Versions of the libraries that can change a number; only torch, numpy and scipy in records
    of schema version 1."""
    plugins: dict[str, str] = Field(default_factory=dict)
    """Version of every distribution with plug-ins: parts of a composite encoding may come from any
    of them."""
    cpu_capability: str | None = None
    """Instruction set of torch's kernels: "AVX2", "AVX512", "DEFAULT". With another one sums are
    computed in another order, and results differ in the last digits."""
    blas: dict[str, str] = Field(default_factory=dict)
    """BLAS by library: "mkl 2024.2", "openblas 0.3.30 SkylakeX"."""
    cuda: dict[str, str] = Field(default_factory=dict)
    """Versions of "cuda" and "cudnn", or "rocm"; empty on a CPU."""
    matmul_precision: str | None = None
    """Precision of torch's float32 matrix products: "highest" is float32; others may use TF32 or
    bfloat16. None if it was not recorded."""
    os: str
    machine: str
    """Host name: times of different machines must not be compared."""
    processor: str
    device: str
    """"cpu" or the name of the GPU."""
    threads: int
    git_commit: str | None = None
    """Commit of the working directory; see ``git_commit``."""
    suite: str | None = None
    """Name of the suite that planned the cell."""
    worker: str | None = None
    """Name of the worker that ran the cell, "host:pid" or a Dask worker's; set by the coordinating
    process."""
    executor: str = "in process"
    """Description of the executor; "not recorded" in records of schema version 1."""
    timeout_s: float | None = None
    """Time limit of the cell [s]; None: no limit."""
    memory_limit_bytes: int | None = None
    """Memory limit of the cell; None: no limit."""
    started: str
    """UTC, ISO 8601."""
    finished: str | None = None

    @classmethod
    def collect(cls, device: str, threads: int) -> Provenance:
        """Record the environment of this process; ``device`` is "cpu" or the name of the GPU.

        The first call in a process runs git and lists the distributions; later calls are cached.
        """
        import torch  # not needed to read records

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
    """The fields that are constant within a process."""
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
    """Current UTC time to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def distributions() -> dict[str, str]:
    """Version of every distribution with encbench plug-ins, by name."""
    found = {}
    for distribution in metadata.distributions():
        # the plug-in host warns about metadata that cannot be read
        with suppress(Exception):
            # entry points first: metadata hold the whole description, which takes long to parse
            if not distribution.entry_points.select(group="encbench"):
                continue
            name, version = distribution.metadata["Name"], distribution.version
            if name and version:
                found[name] = version
    return dict(sorted({"encbench": metadata.version("encbench"), **found}.items()))


@cache
def libraries() -> dict[str, str]:
    """Version of every library that can change a number, by name.

    Includes the requirements of other distributions with plug-ins.
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
    """Common name of the operating system, and the machine type."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.platform(terse=True)
    return f"{name}, {platform.machine()}"


def processor() -> str:
    """Model name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _blas(built_with: str) -> dict[str, str]:
    """BLAS loaded by each library: torch, numpy and scipy often have their own.

    Torch's is linked statically and unknown to threadpoolctl; ``built_with`` describes its build.
    """
    found = {}
    if mkl := re.search(r"Math Kernel Library Version (\S+?)-", built_with):
        found["torch"] = f"mkl {mkl[1]}"
    elif info := re.search(r"BLAS_INFO=(\w+)", built_with):
        found["torch"] = info[1]
    for library in threadpool_info():
        if library["user_api"] == "blas":
            path = Path(library["filepath"])
            # wheels keep their BLAS in numpy.libs, scipy.libs
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
    """Commit of the working directory; None outside a repository.

    "+changes" is appended if tracked files differ from it, "+unknown" if git failed or took too
    long to tell. Untracked files are ignored, since a run's own results are among them. Each run
    asks git once; what is committed later is not the code that it has loaded.
    """
    try:
        return git_commit_of(str(Path.cwd()))
    except OSError:
        return None


@cache
def git_commit_of(directory: str) -> str | None:
    """As ``git_commit``, of the given directory; cached."""
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
