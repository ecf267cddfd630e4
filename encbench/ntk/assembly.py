"""From terms to a matrix, in tiles that stay in the cache, the lower triangle only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from encbench.ntk.guards import Outputs
from encbench.ntk.terms import Term, Workspace

__all__ = ["rectangle", "symmetric"]

ROWS = 256
COLUMNS = 1024


def symmetric(
    terms: Sequence[Term], points: int, out_dim: int, outputs: Outputs, like: Tensor
) -> Tensor:
    """The whole kernel, (N, N) or (N·O, N·O), in the dtype and on the device of ``like``."""
    kernel = _empty(points, points, out_dim, outputs, like)
    work = Workspace()
    for start in range(0, points, ROWS):
        rows = slice(start, min(start + ROWS, points))
        _fill(kernel, terms, rows, slice(0, rows.stop), (0, 0), out_dim, outputs, work)
    _mirror(kernel)
    return kernel


def rectangle(
    terms: Sequence[Term], rows: slice, cols: slice, out_dim: int, outputs: Outputs, like: Tensor
) -> Tensor:
    """The kernel between two ranges of points."""
    height, width = rows.stop - rows.start, cols.stop - cols.start
    kernel = _empty(height, width, out_dim, outputs, like)
    work = Workspace()
    for start in range(rows.start, rows.stop, ROWS):
        strip = slice(start, min(start + ROWS, rows.stop))
        _fill(kernel, terms, strip, cols, (rows.start, cols.start), out_dim, outputs, work)
    return kernel


def _empty(rows: int, cols: int, out_dim: int, outputs: Outputs, like: Tensor) -> Tensor:
    each = out_dim if outputs == "full" else 1
    return torch.empty(rows * each, cols * each, dtype=like.dtype, device=like.device)


def _fill(
    kernel: Tensor,
    terms: Sequence[Term],
    rows: slice,
    cols: slice,
    origin: tuple[int, int],
    out_dim: int,
    outputs: Outputs,
    work: Workspace,
) -> None:
    """Overwrite the strip rows × cols of the kernel, whose first entry is point pair origin."""
    for start in range(cols.start, cols.stop, COLUMNS):
        part = slice(start, min(start + COLUMNS, cols.stop))
        tile = _view(kernel, rows, part, origin, out_dim, outputs).zero_()
        _add([term for term in terms if not term.whole_rows], tile, rows, part, outputs, work)
    strip = _view(kernel, rows, cols, origin, out_dim, outputs)
    _add([term for term in terms if term.whole_rows], strip, rows, cols, outputs, work)


def _view(
    kernel: Tensor,
    rows: slice,
    cols: slice,
    origin: tuple[int, int],
    out_dim: int,
    outputs: Outputs,
) -> Tensor:
    """Points rows × cols of the kernel: (n, m) for "trace", (n, O, m, O) for "full"."""
    top, left = rows.start - origin[0], cols.start - origin[1]
    height, width = rows.stop - rows.start, cols.stop - cols.start
    if outputs == "trace":
        return kernel[top : top + height, left : left + width]
    blocks = kernel.view(len(kernel) // out_dim, out_dim, kernel.shape[1] // out_dim, out_dim)
    return blocks[top : top + height, :, left : left + width]


def _add(
    terms: Sequence[Term], tile: Tensor, rows: slice, cols: slice, outputs: Outputs, work: Workspace
) -> None:
    for term in terms:
        if outputs == "trace":
            term.add_trace(tile, rows, cols, work)
        else:
            term.add_full(tile, rows, cols, work)


def _mirror(kernel: Tensor) -> None:
    """Copy the lower triangle onto the upper, so that K = Kᵀ holds to the last bit."""
    size = len(kernel)
    for start in range(0, size, ROWS):
        stop = min(start + ROWS, size)
        corner = kernel[start:stop, start:stop]
        corner.copy_(corner.tril() + corner.tril(-1).t())
        for left in range(0, start, ROWS):
            kernel[left : left + ROWS, start:stop] = kernel[start:stop, left : left + ROWS].t()
