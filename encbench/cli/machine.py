"""Devices and threads, for ``encbench doctor``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from encbench.cli.findings import Finding, guarded, size

__all__ = ["devices", "threads"]

PINNING = ("OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


def devices(facts: dict[str, Any]) -> Iterator[Finding]:
    """Processor, memory and GPUs, and why torch finds none."""
    section = "devices"
    yield Finding(section, "CPU", "ok", f"{_processor()}, {_cores()} cores for this process")
    yield guarded(section, "memory", _memory)
    torch = facts["torch"]
    if "problem" in torch:
        yield Finding(section, "torch", "failure", torch["problem"])
        return
    yield Finding(section, "CPU capability", "ok", torch["cpu_capability"])
    for index, gpu in enumerate(torch["gpus"]):
        text = f"{gpu['name']}, {size(gpu['memory'])}"
        yield Finding(section, f"cuda:{index}", "ok", text)
    driver = _driver()
    if torch["available"]:
        built = f"CUDA {torch['cuda']}" if torch["cuda"] else f"ROCm {torch['rocm']}"
        yield Finding(section, "GPU", "ok", f"torch computes with {built}; driver: {driver}")
    elif driver is None:
        yield Finding(section, "GPU", "absent", "none found; cells run on the CPU")
    else:
        yield Finding(section, "GPU", "warning", f"{driver}, but {_why_no_cuda(facts)}")


def _why_no_cuda(facts: dict[str, Any]) -> str:
    torch = facts["torch"]
    if not torch["cuda"] and not torch["rocm"]:
        return (
            f"torch {torch['version']} is built for the CPU alone; install a build with CUDA, "
            "as https://pytorch.org/get-started says"
        )
    said = "; ".join(facts["warnings"]) or "torch does not say why"
    return f"torch {torch['version']} (CUDA {torch['cuda']}) finds none: {said}"


def _driver() -> str | None:
    """What nvidia-smi says, None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = "--query-gpu=name,memory.total,driver_version"
    try:
        done = subprocess.run(
            [program, query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi does not answer ({error})"
    said = "; ".join(line.strip() for line in done.stdout.splitlines() if line.strip())
    return said if done.returncode == 0 else f"nvidia-smi fails ({said or done.stderr.strip()})"


def _processor() -> str:
    # finds threadpoolctl on the way, which may be what is broken
    from encbench.results.environment import processor

    return processor()


def _cores() -> int:
    # imports joblib, which may be what is broken
    from encbench.run.limits import cores

    return cores()


def _memory() -> str:
    import psutil  # may be what is broken

    memory = psutil.virtual_memory()
    text = f"{size(memory.total)}, {size(memory.available)} of it free"
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return text
    return f"{text}; limited to {size(int(limit))} by a control group" if limit != "max" else text


def threads(facts: dict[str, Any]) -> Iterator[Finding]:
    """What decides how many threads a cell gets, and what would go wrong with several cells."""
    section, cores = "threads", _cores()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        value = os.environ.get(name)
        if value is not None and not value.isdecimal():
            yield Finding(section, name, "warning", f"{value!r} is no number of threads")
        elif value is not None:
            yield Finding(section, name, "ok", f"{value}; `encbench run --threads` overrides it")
    for name in PINNING:
        if os.environ.get(name, "false").lower() not in ("false", "disabled", "none"):
            text = (
                f"{os.environ[name]!r} may pin the threads of all cells to the same cores; "
                "unset it for -j above 1"
            )
            yield Finding(section, name, "warning", text)
    if "threads" in facts["torch"]:
        yield Finding(section, "torch", "ok", _by_itself(facts["torch"]["threads"]))
    libraries = facts.get("threads", [])
    if isinstance(libraries, dict):
        yield Finding(section, "BLAS", "warning", libraries["problem"])
        libraries = []
    for library in libraries:
        version = " ".join(str(library[k]) for k in ("version", "architecture") if library[k])
        text = f"{version or 'version unknown'}, {_by_itself(library['num_threads'])}"
        yield Finding(section, f"{library['user_api']}: {library['internal_api']}", "ok", text)
    text = (
        f"each cell gets --threads threads (1) of all of these; {cores} cores bear -j {cores}, "
        f"or -j N with N × threads up to {cores}"
    )
    yield Finding(section, "-j", "ok", text)


def _by_itself(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'} by itself"
