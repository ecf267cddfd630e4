"""The next epoch is made in the background while this one is learned from."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

__all__ = ["Ahead"]

T = TypeVar("T")


class Ahead(Generic[T]):
    """What ``make`` gives for the seeds drawn from a generator, one call ahead.

    The result depends on the generator alone: a call draws one seed, and the background thread
    works on the seed that the *next* call will draw, read from a copy of the generator. Should
    the next call come with another generator, its seed differs, and the guess is dropped.
    """

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encbench-points")
        self._guess: tuple[int, Future[T]] | None = None

    def next(self, generator: torch.Generator) -> T:
        """Draw one seed, and give what belongs to it."""
        seed = _draw(generator)
        guess, self._guess = self._guess, None
        if guess is not None and guess[0] == seed:
            result = guess[1].result()
        else:
            if guess is not None:
                guess[1].cancel()
            result = self._make(seed)
        copy = torch.Generator().set_state(generator.get_state())
        following = _draw(copy)
        self._guess = following, self._thread.submit(self._make, following)
        return result


def _draw(generator: torch.Generator) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator))
