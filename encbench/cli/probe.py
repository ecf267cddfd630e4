"""Importing what a run needs, in a process of its own: a broken library can end the process.

Run as a script by ``encbench doctor``; knows nothing of encbench. Each line it prints begins with
MARK: the module that it is about to import, and at the end all it found out, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Sequence
from typing import Any

MARK = "encbench-probe:"


def probe(modules: Sequence[str]) -> dict[str, Any]:
    """Import each module, and ask torch about devices and BLAS libraries about threads.

    Args:
        modules: names; what is wrong with one does not keep the others from being tried.
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
        "gpus": [],
    }
    if facts["available"]:
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            facts["gpus"].append({"name": properties.name, "memory": properties.total_memory})
            # a driver that is there can still be unable to compute
            torch.ones(8, device=f"cuda:{index}").sum().item()
    return facts


def _threads() -> list[dict[str, Any]]:
    pools: Any = importlib.import_module("threadpoolctl")
    kept = ("user_api", "internal_api", "version", "num_threads", "architecture")
    return [{key: library.get(key) for key in kept} for library in pools.threadpool_info()]


if __name__ == "__main__":
    print(MARK, json.dumps(probe(sys.argv[1:])), flush=True)
