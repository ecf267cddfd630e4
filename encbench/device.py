"""The device that torch computes on: its name, the number of GPUs, and memory.

All code that differs between CPU and GPU is here; other modules only pass on a ``torch.device``.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil
import torch

from encbench.errors import UsageError

# harmless: it appears if the first matrix product of a process is in a backward pass
warnings.filterwarnings("ignore", "Attempting to run cuBLAS, but there was no current CUDA context")

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def resolve_device(device: str) -> str:
    """The device to use: "auto" becomes "cuda" if there is a GPU, else "cpu".

    Raises:
        UsageError: the device is unknown or does not exist on this machine.
    """
    requested = parse_device(device)
    if requested is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if requested.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}: torch finds no CUDA device here; use --device cpu")
    names = gpus()
    if requested.type == "cuda" and (requested.index or 0) >= len(names):
        raise UsageError(f"device {device!r} does not exist; expected one of {', '.join(names)}")
    return device


def parse_device(device: str) -> torch.device | None:
    """The device of this name, which need not exist on this machine; None for "auto".

    Raises:
        UsageError: the device is unknown.
    """
    if device == "auto":
        return None
    try:
        found = torch.device(device)
    except RuntimeError:
        found = torch.device("meta")
    if found.type not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}; expected cpu, cuda, cuda:N or auto")
    return found


def gpus() -> list[str]:
    """Names "cuda:0", "cuda:1", … of all GPUs that torch finds."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def processes_share_gpus() -> bool:
    """Whether NVIDIA's Multi-Process Service runs; without it, processes take turns on a GPU."""
    folder = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"))
    try:
        pid = int((folder / "nvidia-cuda-mps-control.pid").read_text(encoding="ascii"))
        return psutil.pid_exists(pid)
    except (OSError, ValueError, OverflowError):
        return False


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def is_usable(device: torch.device) -> bool:
    """Whether this process can still use the device.

    After some errors, such as an index out of range in a kernel, every further CUDA call of the
    process fails.
    """
    try:
        finish(device)
    except RuntimeError:
        return False
    return True


def finish(device: torch.device) -> None:
    """Wait until all work queued on a GPU is done; timings must include this wait."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def prefers_large_pieces(device: torch.device) -> bool:
    """Whether chunks of a CPU cache's size are too small: launching takes longer than computing."""
    return device.type != "cpu"


def can_record(device: torch.device) -> bool:
    """Whether ``Recording`` works on this device."""
    return device.type == "cuda"


@cache
def _recording_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream shared by all recordings: torch keeps memory for each stream that was used."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch leaves it untyped


class Recording:
    """A CUDA graph of the kernels that a function launches, to launch them all in one call.

    Args:
        function: computes a tensor without synchronizing with the device; called once. The tensors
            that it reads and writes must keep their memory addresses.

    Raises:
        RuntimeError: an operation of the function cannot be recorded.
    """

    def __init__(self, function: Callable[[], torch.Tensor], device: torch.device) -> None:
        self._graph = torch.cuda.CUDAGraph()
        before, own = torch.cuda.current_stream(device), _recording_stream(device)
        try:
            # thread_local: other threads may use the device during the recording
            with torch.cuda.graph(self._graph, stream=own, capture_error_mode="thread_local"):
                self._result = function()
        except BaseException:
            # torch leaves its random generator in a state that is valid only during a recording
            generator = torch.cuda.default_generators[own.device_index]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        finally:
            torch.cuda.set_stream(before)

    def __call__(self) -> torch.Tensor:
        """Launch the kernels; the next call overwrites the returned tensor."""
        self._graph.replay()
        return self._result


def available_memory(device: torch.device) -> int:
    """Free bytes; on a GPU, including memory that torch's allocator reserved but does not use."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + unused
    return int(psutil.virtual_memory().available)


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak (Linux and GPU only; elsewhere the peak of the whole process is reported)."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call] # torch leaves it untyped
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
    """Bytes that count towards a cell's memory limit: tensors on the GPU, or resident memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def return_memory() -> None:
    """Return freed memory to the system; glibc otherwise keeps it."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def limit_gpu_memory(device: torch.device, size: int) -> None:
    """Make torch raise its out-of-memory error if the process needs more than ``size`` bytes."""
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / total), device)


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out."""
    # torch's CPU allocator raises a plain RuntimeError
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
