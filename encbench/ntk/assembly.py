"""From terms to a matrix, in tiles that stay in the cache, the lower triangle only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from encbench.ntk.guards import Outputs
from encbench.ntk.terms import Term, Workspace

__all__ = ["rectangle", "symmetric"]

ROWS = 256
COLUMNS = 2048


def symmetric(
    terms: Sequence[Term], points: int, out_dim: int, outputs: Outputs, like: Tensor
) -> Tensor:
    """The whole kernel, (N, N) or (N·O, N·O), in the dtype and on the device of ``like``."""
    kernel = _empty(points, points, out_dim, outputs, like)
    work = Workspace()
    for start in range(0, points, ROWS):
        middle, stop = min(start + ROWS // 2, points), min(start + ROWS, points)
        # Left of the diagonal a whole strip; on it two halves, each as far as it needs.
        for rows, cols in (
            (slice(start, stop), slice(0, start)),
            (slice(start, middle), slice(start, middle)),
            (slice(middle, stop), slice(start, stop)),
        ):
            if cols.stop > cols.start and rows.stop > rows.start:
                _fill(kernel, terms, rows, cols, (0, 0), out_dim, outputs, work)
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
    columns = COLUMNS if outputs == "trace" else COLUMNS // out_dim
    for start in range(cols.start, cols.stop, columns):
        part = slice(start, min(start + columns, cols.stop))
        tile = _view(kernel, rows, part, origin, out_dim, outputs)
        # In the full kernel outputs alternate; sums run on a tile where they do not.
        whole = tile
        if outputs == "full":
            whole = work.take("tile", 1, tile.numel(), tile).view(tile.shape)
        whole.zero_()
        _add([term for term in terms if not term.whole_rows], whole, rows, part, outputs, work)
        if outputs == "full":
            tile.copy_(whole)
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
    """Points rows × cols of the kernel: (n, m) for "trace", (O, O, n, m) for "full"."""
    top, left = rows.start - origin[0], cols.start - origin[1]
    height, width = rows.stop - rows.start, cols.stop - cols.start
    if outputs == "trace":
        return kernel[top : top + height, left : left + width]
    blocks = kernel.view(len(kernel) // out_dim, out_dim, kernel.shape[1] // out_dim, out_dim)
    return blocks[top : top + height, :, left : left + width].permute(1, 3, 0, 2)


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
