"""Calling a function in a fresh process, as a worker would: one process that checks share."""

from __future__ import annotations

import concurrent.futures as futures
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch

from encbench.testing.conformance import fail

T = TypeVar("T")
TIMEOUT = 120.0
"""Seconds: a new process imports torch first."""


def call_in_worker(function: Callable[..., T], subject: Any, *arguments: Any) -> T:
    """``function(subject, *arguments)``, computed in another process.

    Fails the check where the subject cannot be pickled, or the process dies.
    """
    name = subject.__name__ if isinstance(subject, type) else type(subject).__name__
    try:
        payload = pickle.dumps(subject)
    except Exception as error:
        fail(
            f"{name} cannot be pickled ({type(error).__name__}: {error}); define its class at "
            "module level and keep no lambdas, locks, open files or local functions in it"
        )
    try:
        return _pool().submit(_unpickle_and_call, function, payload, arguments).result(TIMEOUT)
    except BrokenProcessPool:
        _pool.cache_clear()
        fail(
            f"a worker process died while it used {name}: either native code crashed, or the "
            'main script cannot be imported there and lacks `if __name__ == "__main__":`'
        )
    except Exception as error:
        fail(
            f"{name} does not work in a worker process ({type(error).__name__}: {error}); it must "
            "be importable there and need nothing that only this process has"
        )


def features_there(encoding: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """The features of x (N, d)."""
    with torch.no_grad():
        features: np.ndarray = encoding(torch.from_numpy(x)).numpy()
    return features


def _unpickle_and_call(function: Callable[..., T], payload: bytes, arguments: Any) -> T:
    # unpickled here: an error is then an answer, and does not break the pool
    return function(pickle.loads(payload), *arguments)


@cache
def _pool() -> futures.ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return futures.ProcessPoolExecutor(
        1, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    )
