"""Memory of a cell: what its process holds now, the most it held, and when the system ran out."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import psutil
import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak_memory(device: torch.device) -> None:
    """Start counting anew (on Linux and on a GPU; elsewhere the process's peak is reported)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        _CLEAR.write_text("5", encoding="ascii")  # 5 resets the peak resident set: man 5 proc
    except OSError:
        return


def peak_memory_bytes(device: torch.device) -> int:
    """Peak bytes since the reset: allocated on the GPU, or resident in memory on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def held_bytes(device: torch.device) -> int:
    """What counts towards a cell's limit now: tensors on the GPU, or resident memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def limit_gpu_memory(device: torch.device, size: int) -> None:
    """Make torch raise its out-of-memory error where a cell asks for more than ``size`` bytes."""
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / total), device)


def oom_kills() -> int | None:
    """Processes that the kernel's out-of-memory killer has ended since boot; None if unknown."""
    try:
        text = Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None
