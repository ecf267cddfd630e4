"""Random streams of a cell, split by purpose, independent of order and parallelism."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator inside the context and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        seed_torch(seed)
        yield


def seed_torch(seed: int) -> None:
    """Seed torch's global generators, without a GPU faster than ``torch.manual_seed``.

    That imports torch._dynamo, which takes two seconds, and formats and stores the stack for each
    kind of device, in case the device is initialized later.
    """
    if torch.cuda.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


class Streams:
    """Seeds of one cell.

    Data, batches and NTK points depend on the task and the seed only, so that every encoding
    sees the same batches and the same points: comparisons between encodings are paired. Weights
    depend on the encoding and the network as well.

    Args:
        task: identity of the task and its data, in types of JSON.
        encoding: identity of the encoding and the network, in types of JSON.
        seed: the cell's seed.
    """

    def __init__(self, task: Any, encoding: Any, seed: int) -> None:
        shared = {"task": task, "seed": seed}
        self._identity = {
            "data": shared,
            "batches": shared,
            "ntk": shared,
            "weights": {**shared, "encoding": encoding},
        }

    def seed(self, purpose: str) -> int:
        """A 63-bit seed for "data", "batches", "ntk" or "weights"."""
        text = json.dumps([purpose, self._identity[purpose]], sort_keys=True)
        digest = hashlib.sha256(text.encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh CPU generator of that stream."""
        return torch.Generator().manual_seed(self.seed(purpose))


States = tuple[Any, Any, Tensor]
"""States of Python's, NumPy's and torch's global generators."""


def random_states() -> States:
    """The current states of all global generators."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def set_random_states(states: States) -> None:
    """Restore the states of all global generators."""
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


@contextmanager
def all_seeded(seed: int) -> Iterator[None]:
    """As ``seeded``, but for all global generators, since plug-ins may draw from any."""
    before = random_states()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 # plug-ins draw from it
    seed_torch(seed)
    try:
        yield
    finally:
        set_random_states(before)
