"""Import what a run needs in a separate process, since a broken library can crash the process.

``encbench doctor`` calls ``run_probe``, which runs this file as a script; the script imports
nothing of encbench until torch is imported. Each line that it prints begins with MARK: the name of
each module and plug-in before it is imported, and at the end the result as JSON.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

MARK = "encbench-probe:"
TIMEOUT = 180.0
"""Time limit for all imports [s]: a network drive is slow; a hanging driver never answers."""
QUERY = "nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader"
NO_SUCH_COMMAND = 127


def run_probe(modules: Sequence[str]) -> dict[str, Any]:
    """Run ``probe(modules)`` in another process.

    Returns:
        As ``probe``; if the process crashed or timed out, only "broken", the module that it was
        importing, and the "problem" of "torch".
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, *modules],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        printed = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        return _unfinished(_marked(printed), f"did not end within {TIMEOUT:g} s")
    except OSError as error:
        return _unfinished([], str(error))
    lines = _marked(done.stdout)
    if done.returncode != 0 or not lines or not lines[-1].startswith("{"):
        return _unfinished(lines, f"ended the process (exit code {done.returncode})")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _unfinished(lines: Sequence[str], how: str) -> dict[str, Any]:
    last = lines[-1] if lines else "python"
    return {"broken": {last: f"importing it {how}"}, "torch": {"problem": f"{last} {how}"}}


def _marked(printed: str) -> list[str]:
    lines = (line.partition(MARK) for line in printed.splitlines())
    return [rest.strip() for before, mark, rest in lines if mark and not before]


def probe(modules: Sequence[str]) -> dict[str, Any]:
    """Import each module, even after one fails; then query torch's devices and BLAS threads, and
    load what plug-ins offer, which needs torch.

    Returns:
        "broken": error messages by module; "torch" and "threads": the answers, or a "problem" each;
        "warnings": texts of the warnings during the queries; "offers": distribution, text and error
        message of each offer that cannot be loaded.
    """
    found: dict[str, Any] = {"broken": {}, "warnings": []}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in modules:
            _print(name)
            try:
                importlib.import_module(name)
            # libraries may raise anything, and some exit
            except (Exception, SystemExit) as error:
                found["broken"][name] = f"{type(error).__name__}: {error}"
        caught.clear()
        for part, ask in (("torch", _torch), ("threads", _threads)):
            try:
                found[part] = ask()
            except (Exception, SystemExit) as error:
                found[part] = {"problem": f"{type(error).__name__}: {error}"}
        # torch explains only in warnings why it finds no GPU
        found["warnings"] = [" ".join(str(w.message).split()) for w in caught]
        found["offers"] = [] if "problem" in found["torch"] else list(_broken_offers())
    return found


def _broken_offers() -> Iterator[tuple[str, str, str]]:
    registry = importlib.import_module("encbench.plugins.registry").default_registry()
    for kind in ("encoding", "task", "metric"):
        for offer in registry.offers(kind):
            _print(str(offer))
            try:
                offer.load()
            except Exception as error:
                yield offer.distribution, f"{kind} {offer.name!r}", str(error)


def _print(text: str) -> None:
    # on a line of its own, whatever a module has printed before
    print(f"\n{MARK} {text}", flush=True)


def _torch() -> dict[str, Any]:
    torch: Any = importlib.import_module("torch")
    facts: dict[str, Any] = {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "rocm": torch.version.hip,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "available": bool(torch.cuda.is_available()),
        "driver": _driver(),
        "gpus": [],
    }
    if facts["available"]:
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            facts["gpus"].append({"name": properties.name, "memory": properties.total_memory})
            # an installed driver may still be unable to compute
            torch.ones(8, device=f"cuda:{index}").sum().item()
    return facts


def _driver() -> str | None:
    """Output of nvidia-smi about GPUs and driver; None if nvidia-smi is not installed."""
    collect_env: Any = importlib.import_module("torch.utils.collect_env")
    code, out, err = collect_env.run(QUERY)
    if code == NO_SUCH_COMMAND:
        return None
    text = "; ".join(line.strip() for line in (out or err).splitlines() if line.strip())
    return text if code == 0 else f"nvidia-smi fails ({text})"


def _threads() -> list[dict[str, Any]]:
    pools: Any = importlib.import_module("threadpoolctl")
    kept = ("user_api", "internal_api", "version", "num_threads", "architecture")
    return [{key: library.get(key) for key in kept} for library in pools.threadpool_info()]


if __name__ == "__main__":
    _print(json.dumps(probe(sys.argv[1:])))
