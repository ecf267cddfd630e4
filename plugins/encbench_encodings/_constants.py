"""Constants of encodings under ``half()`` and ``bfloat16()``: they keep their precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from encbench import Encoding


class ConstantsKept(Encoding):
    """An encoding whose buffers (scales, shifts, frequencies) are never rounded to 16 bits.

    ``half()`` and ``bfloat16()`` convert its parameters only: where a point lies in a grid or
    within a period decides about everything else, and ``float()`` could not bring it back.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before: dict[str, Any] = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # torch leaves it untyped
        for name, buffer in self._buffers.items():
            if buffer is not None and buffer.dtype in (torch.float16, torch.bfloat16):
                self._buffers[name] = before[name].to(buffer.device)
        return self


def at_least_float32(x: Tensor) -> Tensor:
    """x, in float32 if it has 16 bits: a fine grid has more nodes than those can tell apart."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
