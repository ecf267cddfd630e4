"""Sparse blocks of an encoding: taken at their word only where it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.errors import PluginError

__all__ = ["Grads", "close", "prove_tables", "sparse_blocks"]

Grads = Mapping[str, Tensor | None]


def close(predicted: Tensor, true: Tensor | None) -> bool:
    """Whether a gradient is the one that was predicted, to rounding; None stands for zero."""
    if true is None:
        return not bool(predicted.any())
    scale = float(true.abs().max())
    error = float((predicted - true.reshape(predicted.shape)).abs().max())
    return error <= 1e5 * torch.finfo(true.dtype).eps * scale


def sparse_blocks(encoding: Encoding, x: Tensor, trainable: set[str]) -> list[SparseBlock]:
    """The encoding's blocks for trained tables at x (N, d), checked against their contract.

    Raises:
        PluginError: a block names no parameter, or its rows, weights or features cannot be.
    """
    with torch.no_grad():
        blocks = encoding.sparse_jacobian(x) or []
    named = dict(encoding.named_parameters())
    for block in blocks:
        _check_block(encoding, block, named.get(block.parameter), len(x))
    kept = [block for block in blocks if "encoding." + block.parameter in trainable]
    for parameter in {block.parameter for block in kept}:
        _check_disjoint(encoding, [block for block in kept if block.parameter == parameter])
    return kept


def _broken(encoding: Encoding, text: str) -> PluginError:
    return PluginError(f"{type(encoding).__name__}.sparse_jacobian: {text}")


def _check_block(
    encoding: Encoding, block: SparseBlock, table: nn.Parameter | None, points: int
) -> None:
    if table is None:
        raise _broken(encoding, f"there is no parameter {block.parameter!r}")
    if table.numel() != block.num_rows * block.width:
        raise _broken(
            encoding,
            f"{block.parameter!r} has {table.numel()} entries, not {block.num_rows} rows of "
            f"{block.width}",
        )
    shape = tuple(block.rows.shape)
    if len(shape) != 2 or shape[0] != points or tuple(block.weights.shape) != shape:
        raise _broken(
            encoding,
            f"rows and weights must be ({points}, m), got {shape} and {tuple(block.weights.shape)}",
        )
    if block.start < 0 or block.start + block.width > encoding.out_dim:
        raise _broken(
            encoding,
            f"features {block.start} to {block.start + block.width} of {encoding.out_dim}",
        )
    low, high = int(block.rows.min()), int(block.rows.max())
    if low < 0 or high >= block.num_rows:
        raise _broken(encoding, f"rows {low} to {high} of a table of {block.num_rows}")


def _check_disjoint(encoding: Encoding, blocks: Sequence[SparseBlock]) -> None:
    spans = sorted((int(block.rows.min()), int(block.rows.max())) for block in blocks)
    if all(before[1] < after[0] for before, after in pairwise(spans)):
        return
    uses = torch.zeros(blocks[0].num_rows, dtype=torch.int64, device=blocks[0].rows.device)
    for block in blocks:
        used = torch.zeros_like(uses)
        used[block.rows.flatten()] = 1
        uses += used
    if int(uses.max()) > 1:
        raise _broken(
            encoding, f"blocks of {blocks[0].parameter!r} share rows; give each row to one block"
        )


def prove_tables(
    encoding: Encoding,
    blocks: Sequence[SparseBlock],
    delta: Tensor | None,
    true: Grads,
) -> None:
    """Raise PluginError unless the blocks predict the gradients of their tables.

    Args:
        blocks: at the points where the gradients were taken.
        delta: (n, out_dim), what came back to the features; None for nothing.
        true: gradients by full name of the parameter.
    """
    for parameter in {block.parameter for block in blocks}:
        mine = [block for block in blocks if block.parameter == parameter]
        size = (mine[0].num_rows, mine[0].width)
        got = true["encoding." + parameter]
        if delta is None:
            continue
        predicted = torch.zeros(size, dtype=delta.dtype, device=delta.device)
        for block in mine:
            g = delta[:, None, block.start : block.start + block.width]
            values = (block.weights[:, :, None] * g).flatten(0, 1)
            predicted.index_add_(0, block.rows.flatten(), values)
        if not close(predicted, got):
            raise _broken(
                encoding, f"the blocks of {parameter!r} disagree with autograd; compare the two"
            )
