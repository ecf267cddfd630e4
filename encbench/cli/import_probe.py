"""Import what a run needs, in a process of its own: a broken library can end the process.

For ``encbench doctor``, which calls ``run_probe``. That runs this file as a script, which imports
nothing of encbench. Each line that the script prints begins with MARK: first each module that is
about to be imported, at the end the result as JSON.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings
from collections.abc import Sequence
from typing import Any

MARK = "encbench-probe:"
TIMEOUT = 180.0
"""Seconds for importing everything; a network drive is slow, a hanging driver never answers."""
QUERY = "nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader"
NO_SUCH_COMMAND = 127


def run_probe(modules: Sequence[str]) -> dict[str, Any]:
    """``probe(modules)`` in another process; where that does not end well, what it was importing.

    Returns:
        As ``probe``; of a process that died only "broken", and "torch" with its "problem".
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
    """Import each of the modules; ask torch for its devices and BLAS libraries for their threads.

    A broken one does not keep the others from being tried: "broken" is module to error; "torch" and
    "threads" are what they say, or their "problem"; "warnings" the texts given meanwhile.
    """
    found: dict[str, Any] = {"broken": {}, "warnings": []}
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for name in modules:
            print(MARK, name, flush=True)
            try:
                importlib.import_module(name)
            # libraries raise what they like, and some end the program
            except (Exception, SystemExit) as error:
                found["broken"][name] = f"{type(error).__name__}: {error}"
        heard.clear()
        for part, ask in (("torch", _torch), ("threads", _threads)):
            try:
                found[part] = ask()
            except (Exception, SystemExit) as error:
                found[part] = {"problem": f"{type(error).__name__}: {error}"}
        # why there is no GPU, torch says in warnings alone
        found["warnings"] = [" ".join(str(w.message).split()) for w in heard]
    return found


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
            # a driver that is there can still be unable to compute
            torch.ones(8, device=f"cuda:{index}").sum().item()
    return facts


def _driver() -> str | None:
    """What nvidia-smi says of GPUs and driver; None where there is no nvidia-smi."""
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
    print(MARK, json.dumps(probe(sys.argv[1:])), flush=True)
