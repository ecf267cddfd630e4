"""Base class that keeps the precision of constants under ``half()`` and ``bfloat16()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from encbench import Encoding


class ConstantsKept(Encoding):
    """An encoding whose buffers (scales, shifts, frequencies) are never rounded to 16 bits.

    ``half()`` and ``bfloat16()`` convert only its parameters. Rounded buffers would move points to
    other cells or phases, and ``float()`` could not restore them.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before: dict[str, Any] = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # torch leaves it untyped
        for name, buffer in self._buffers.items():
            if buffer is not None and buffer.dtype in (torch.float16, torch.bfloat16):
                self._buffers[name] = before[name].to(buffer.device)
        return self


def at_least_float32(x: Tensor) -> Tensor:
    """x, in float32 if it has 16 bits, which cannot distinguish all nodes of a fine grid."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
