"""Where a result came from: enough to run it again and to know what differs if it does."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from encbench.results import environment

__all__ = ["Provenance", "now"]


class Provenance(BaseModel):
    """The circumstances of one cell."""

    model_config = ConfigDict(extra="forbid")

    encbench: str
    python: str
    libraries: dict[str, str]
    """Versions of the libraries that can change a number; torch, numpy and scipy at least, and
    no others in records of schema version 1."""
    plugins: dict[str, str] = Field(default_factory=dict)
    """Version of every distribution that had plug-ins: parts of a composite encoding may come
    from any of them."""
    cpu_capability: str | None = None
    """Instruction set that torch's kernels were chosen for: "AVX2", "AVX512", "DEFAULT"."""
    blas: dict[str, str] = Field(default_factory=dict)
    """Library to the BLAS it brought: "mkl 2024.2", "openblas 0.3.30 SkylakeX"."""
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
    """Commit of the working directory, with "+changes" where tracked files had some, "+unknown"
    where git could not tell in time."""
    suite: str | None = None
    """Name of the suite that asked for the cell."""
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
        """The circumstances here and now: of a process that has imported torch.

        Quick after the first call in a process, which asks git and reads what is installed.

        Args:
            device: "cpu", or the name of the GPU.
            threads: of the cell.
        """
        return cls(
            **_standing(),
            cpu_capability=environment.cpu_capability(),
            blas=environment.blas(),
            cuda={} if device == "cpu" else environment.cuda_versions(),
            matmul_precision=environment.matmul_precision(),
            device=device,
            threads=threads,
            git_commit=environment.git_commit(),
            started=now(),
        )


@cache
def _standing() -> dict[str, Any]:
    """What stays as it is as long as a process lives; pydantic copies what it validates."""
    plugins = environment.distributions()
    return {
        "encbench": plugins["encbench"],
        "python": platform.python_version(),
        "libraries": environment.libraries(),
        "plugins": plugins,
        "os": environment.system(),
        "machine": platform.node(),
        "processor": environment.processor(),
    }


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
