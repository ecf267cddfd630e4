"""The device that torch computes on: its name, the number of GPUs, and memory.

Everything that differs between a CPU and a GPU is here; the rest hands a ``torch.device`` on.
"""

from __future__ import annotations

import ctypes
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

# harmless, where the first product of a process is one of a backward pass
warnings.filterwarnings("ignore", "Attempting to run cuBLAS, but there was no current CUDA context")

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def resolve_device(device: str) -> str:
    """ "auto" to what there is; anything else checked.

    Raises:
        UsageError: no such device here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        asked = torch.device(device)
    except RuntimeError:
        asked = torch.device("meta")
    if asked.type not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}; expected cpu, cuda, cuda:N or auto")
    if asked.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}: torch finds no CUDA device here; use --device cpu")
    there = gpus()
    if asked.type == "cuda" and (asked.index or 0) >= len(there):
        raise UsageError(f"device {device!r} does not exist; expected one of {', '.join(there)}")
    return device


def gpus() -> list[str]:
    """ "cuda:0", "cuda:1", … of all GPUs that torch finds."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def is_usable(device: torch.device) -> bool:
    """Whether this process can still compute on it.

    After some errors, such as an index outside a table in a kernel, a GPU refuses whatever a
    process asks of it from then on.
    """
    try:
        finish(device)
    except RuntimeError:
        return False
    return True


def finish(device: torch.device) -> None:
    """Wait until everything queued on a GPU is done, without which its time is not measured."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def prefers_large_pieces(device: torch.device) -> bool:
    """Whether a piece of work that fits a CPU's cache takes longer to launch than to compute."""
    return device.type != "cpu"


def can_record(device: torch.device) -> bool:
    """Whether ``Recording`` works there."""
    return device.type == "cuda"


@cache
def _recording_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all recordings: torch keeps some memory for each stream that it has used."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch leaves it untyped


class Recording:
    """The kernels that a function launches on a GPU, recorded to be launched at once.

    Args:
        function: computes a tensor, without waiting for the device; called once. What it reads and
            writes must stay where it is.

    Raises:
        RuntimeError: something that it does cannot be recorded.
    """

    def __init__(self, function: Callable[[], torch.Tensor], device: torch.device) -> None:
        self._graph = torch.cuda.CUDAGraph()
        before, own = torch.cuda.current_stream(device), _recording_stream(device)
        try:
            # other threads may go on using the device meanwhile
            with torch.cuda.graph(self._graph, stream=own, capture_error_mode="thread_local"):
                self._result = function()
        except BaseException:
            # torch leaves its random generator in a state that only a recording may use
            generator = torch.cuda.default_generators[own.device_index]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        finally:
            torch.cuda.set_stream(before)

    def __call__(self) -> torch.Tensor:
        """Launch them; the result is overwritten by the next call."""
        self._graph.replay()
        return self._result


def available_memory(device: torch.device) -> int:
    """Free bytes: on a GPU what torch's allocator has reserved and not used included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + unused
    return int(psutil.virtual_memory().available)


def reset_peak_memory(device: torch.device) -> None:
    """Start counting anew (on Linux and on a GPU; elsewhere the process's peak is reported)."""
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
    """What counts towards a cell's limit now: tensors on the GPU, or resident memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def return_memory() -> None:
    """Give memory that was freed back to the system, where the C library is glibc: it keeps it."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def limit_gpu_memory(device: torch.device, size: int) -> None:
    """Make torch raise its out-of-memory error where a cell asks for more than ``size`` bytes."""
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / total), device)


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out."""
    # torch's CPU allocator has no exception of its own
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
