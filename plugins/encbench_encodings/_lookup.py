"""Weighted sums of table rows: what every interpolated grid comes down to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["weighted_rows"]


def weighted_rows(table: Tensor, rows: Tensor, weights: Tensor, *, sparse: bool = False) -> Tensor:
    """out[n, c] = Σ_j weights[n, j] · table[rows[n, j], c].

    Differentiable twice in table and weights, forward and backward, and under ``torch.func``.

    Args:
        table: (R, F), of any floating type.
        rows: (N, m) int64 in [0, R); a row that stands twice in rows[n] counts twice.
        weights: (N, m), of the table's dtype.
        sparse: the table's gradient is a sparse COO tensor of the rows that were read. A step
            then costs nothing for the rows that were not, but ``torch.optim`` takes it in SGD
            and SparseAdam only.

    Returns:
        (N, F), of the table's dtype.
    """
    out: Tensor = _WeightedRows.apply(table, rows, weights, sparse)  # type: ignore[no-untyped-call] # autograd.Function.apply carries no types
    return out


def gather_and_sum(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """The same in ordinary operations, which batch and differentiate of themselves."""
    return (weights.unsqueeze(-1) * functional.embedding(rows, table)).sum(-2)


class _WeightedRows(torch.autograd.Function):
    """``embedding_bag`` with a backward of its own.

    The forward of ``embedding_bag`` is the fastest on a CPU (4 to 10 times a gather and sum); its
    dense backward is 3 to 6 times slower than ``index_add_``, and it knows neither forward mode
    nor second derivatives nor batching.
    """

    @staticmethod
    def forward(table: Tensor, rows: Tensor, weights: Tensor, sparse: bool) -> Tensor:
        return functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        table, rows, weights, ctx.sparse = inputs
        ctx.save_for_backward(table, rows, weights)
        ctx.save_for_forward(table, rows, weights)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        (grad,) = grads  # (N, F)
        table, rows, weights = ctx.saved_tensors
        grad_table: Tensor | None = None
        grad_weights: Tensor | None = None
        if ctx.needs_input_grad[0]:
            values = (weights.unsqueeze(-1) * grad.unsqueeze(-2)).reshape(-1, table.shape[1])
            if ctx.sparse:
                grad_table = torch.sparse_coo_tensor(
                    rows.reshape(1, -1), values, table.shape, check_invariants=False
                )
            else:
                # From ``values``, so that under vmap the zeros are batched as they are.
                zeros = values.new_zeros(table.shape)
                grad_table = zeros.index_add_(0, rows.reshape(-1), values)
        if ctx.needs_input_grad[2]:
            grad_weights = (grad.unsqueeze(-2) * functional.embedding(rows, table)).sum(-1)
        return grad_table, None, grad_weights, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        table, rows, weights = ctx.saved_tensors
        table_tangent, _, weights_tangent, _ = tangents
        parts = []
        if table_tangent is not None:
            parts.append(gather_and_sum(table_tangent, rows, weights))
        if weights_tangent is not None:
            parts.append(gather_and_sum(table, rows, weights_tangent))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return torch.vmap(gather_and_sum, in_dims=in_dims[:3])(*inputs[:3]), 0
