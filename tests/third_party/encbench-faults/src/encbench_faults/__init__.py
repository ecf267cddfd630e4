"""Encodings that misbehave, each in its own way."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor

import encbench


class Fault(encbench.Encoding):
    """Plain coordinates, until it misbehaves."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)

    def forward(self, x: Tensor) -> Tensor:
        self.misbehave()
        return x

    def misbehave(self) -> None:
        raise NotImplementedError


class Exits(Fault):
    """Ends the process, as if all were well."""

    def misbehave(self) -> None:
        os._exit(0)


class Crashes(Fault):
    """A segmentation fault."""

    def misbehave(self) -> None:
        ctypes.string_at(0)


class DiesSending(Fault):
    """Is killed in the middle of sending the cell's result."""

    def misbehave(self) -> None:
        # what the events' and the result's pipe have in common
        Connection._send = _half  # type: ignore[attr-defined]


def _half(self: Connection, data: bytes, write: object = None) -> None:
    if len(data) < 2000:  # an event
        os.write(self.fileno(), data)
        return
    os.write(self.fileno(), data[:1000])
    os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Fault):
    """Waits for ever, and can be woken."""

    def misbehave(self) -> None:
        time.sleep(3600)


def wait_in_c() -> None:
    """Lock a mutex twice: no signal ends that, and it takes no time of a processor."""
    python = ctypes.pythonapi  # calls of its functions keep the lock of the interpreter
    mutex = ctypes.create_string_buffer(256)
    python.pthread_mutex_init(mutex, None)
    python.pthread_mutex_lock(mutex)
    python.pthread_mutex_lock(mutex)


class HangsInC(Fault):
    """Waits for ever in one call into C that lets no other thread run."""

    def misbehave(self) -> None:
        wait_in_c()


class Refuses(Fault):
    """Goes on whatever is raised in it, beside a process whose number is in the folder FAULTS."""

    def misbehave(self) -> None:
        child = subprocess.Popen(["sleep", "3600"])
        mark = Path(os.environ["FAULTS"]) / "child"
        mark.with_suffix(".new").write_text(str(child.pid))
        mark.with_suffix(".new").rename(mark)
        while True:
            try:
                time.sleep(1)
            except BaseException:
                continue


class Learned(Fault):
    """Has something to learn: else features of fixed points are computed only once."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim)
        self.gain = torch.nn.Parameter(torch.ones(in_dim))

    def is_trained_on(self, x: Tensor) -> bool:
        """Whether this is a step of the training: neither a kernel, in float64, nor an evaluation,
        without gradients, nor the check of gradients, which replaces the parameters."""
        own = isinstance(self.gain, torch.nn.Parameter)
        return x.dtype == torch.float32 and torch.is_grad_enabled() and own


class Drops(Learned):
    """Drops the first exception that is raised in it during training."""

    def forward(self, x: Tensor) -> Tensor:
        folder = Path(os.environ["FAULTS"])
        if self.is_trained_on(x):
            (folder / "drops").touch()
            try:
                while not (folder / "dropped").exists():
                    time.sleep(0.02)
            except BaseException:
                (folder / "dropped").touch()
        return x * self.gain


class Waits(Learned):
    """Trains on when the folder FAULTS has a file "go", and says by a file that it waits."""

    def forward(self, x: Tensor) -> Tensor:
        folder = Path(os.environ["FAULTS"])
        while self.is_trained_on(x):
            if (folder / "go").exists():
                break
            (folder / "waits").touch()
            time.sleep(0.02)
        return x * self.gain


class Eats(Fault):
    """Takes ever more memory."""

    def misbehave(self) -> None:
        eaten = []
        while True:
            eaten.append(torch.ones(8 << 20))
            time.sleep(0.05)


class Devours(Fault):
    """Takes memory at once, far more than is good, and keeps it."""

    def misbehave(self) -> None:
        held = torch.ones(3 << 28)
        wait_in_c()
        del held


class Keeps(Fault):
    """Computes what it ought to, and keeps 256 MiB for good."""

    kept: Tensor | None = None

    def misbehave(self) -> None:
        if Keeps.kept is None:
            Keeps.kept = torch.ones(1 << 26)


class NotANumber(Fault):
    """Gives NaN."""

    def forward(self, x: Tensor) -> Tensor:
        return x * float("nan")


class ReadsOutside(Fault):
    """Reads a row that is not there; a GPU then computes nothing more for this process."""

    def forward(self, x: Tensor) -> Tensor:
        return x[torch.full((len(x),), len(x), device=x.device)]


class DiesOnce(Fault):
    """Kills its process the first time it runs, told by a file in the folder FAULTS."""

    def misbehave(self) -> None:
        mark = Path(os.environ["FAULTS"]) / "died"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@encbench.hookimpl
def encbench_encodings() -> dict[str, type[Fault]]:
    return {
        "exits": Exits,
        "crashes": Crashes,
        "dies_sending": DiesSending,
        "hangs": Hangs,
        "hangs_in_c": HangsInC,
        "refuses": Refuses,
        "drops": Drops,
        "waits": Waits,
        "eats": Eats,
        "devours": Devours,
        "not_a_number": NotANumber,
        "reads_outside": ReadsOutside,
        "keeps": Keeps,
        "dies_once": DiesOnce,
    }
