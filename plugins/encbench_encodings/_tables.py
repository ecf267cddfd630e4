"""Lookup in tables of grid values: cells, corners, interpolation weights and weighted sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from encbench.plugins.parameters import InitialSpread

WITHOUT_KERNELS = "grids are computed without Triton kernels"
"""Warning if a GPU cannot use the kernels; the reason follows."""
InitStd = Annotated[InitialSpread, Field(description="standard deviation of the initial values")]


def cells_and_places(position: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The cell, 0 to ``last``, of each position [cells], and the place within it, in [0, 1].

    Positions outside the grid belong to its border cell, at places outside [0, 1].
    """
    # Clamped as integers, because the conversion makes even NaN an integer.
    cells = position.detach().floor().long().minimum(last).clamp(min=0)
    return cells, position - cells


def over_corners(combine: Callable[[Tensor, Tensor], Tensor], ends: Tensor) -> Tensor:
    """Combine t values per axis into one value for each of the t^d corners of a cell.

    Digit a, base t, of a corner's number is its node along axis a. Corners are the first dimension:
    CPU operations run along the last dimension, which should be long (measured with 1024 to 8192
    points: 2 to 6 times faster than corners last, including the final copy).

    Args:
        combine: an elementwise, broadcasting, associative operation of two tensors.
        ends: (t, d, N, L), the contribution of each axis at each of its nodes; t = 2 for the lower
            and the upper end of a cell.

    Returns:
        (t^d, N, L).
    """
    corners = ends[:, 0]
    for axis in range(1, ends.shape[1]):
        corners = combine(ends[:, axis].unsqueeze(1), corners.unsqueeze(0)).flatten(0, 1)
    return corners


def cubic_bspline(place: Tensor) -> Tensor:
    """(4, …), the four uniform cubic B-splines that are nonzero at places (…) within a cell.

    The support of the first ends with the cell; that of the last begins with it.
    """
    f, g = place, 1 - place
    left = (3 * f - 6) * f * f + 4
    right = (3 * g - 6) * g * g + 4
    return torch.stack((g**3, left, right, f**3)) / 6


def strides_of(nodes: Sequence[int], dim: int) -> Tensor:
    """Strides (d, 1, L) int64: n_l^a for axis a; the first coordinate is the fastest."""
    of_levels = torch.tensor([powers(count, dim) for count in nodes], dtype=torch.int64)
    return of_levels.view(-1, dim).t().contiguous().unsqueeze(1)


def powers(count: int, dim: int) -> list[int]:
    """``count`` to the powers 0 to ``dim`` - 1."""
    return [count**axis for axis in range(dim)]


def weighted_rows(table: Tensor, rows: Tensor, weights: Tensor, *, sparse: bool = False) -> Tensor:
    """out[…, c] = Σ_j weights[…, j] · table[rows[…, j], c].

    Differentiable twice in table and weights, forward and backward, and under ``torch.func``.

    Args:
        table: (R, F), of any floating type.
        rows: (…, m) int64 in [0, R); a row that occurs twice at a point counts twice.
        weights: (…, m), converted to the table's dtype.
        sparse: whether the table's gradient is a sparse COO tensor of the rows that were read.
            Other rows then cost nothing in a step, but of ``torch.optim`` only SGD and SparseAdam
            accept it.

    Returns:
        (…, F), of the table's dtype.
    """
    out: Tensor = _WeightedRows.apply(  # type: ignore[no-untyped-call] # autograd.Function.apply carries no types
        table, rows.flatten(0, -2), weights.flatten(0, -2).to(table.dtype), sparse
    )
    return out.view(*rows.shape[:-1], table.shape[1])


def gather_and_sum(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """``weighted_rows`` in ordinary operations, which support ``vmap`` and all derivatives."""
    return (weights.unsqueeze(-1) * functional.embedding(rows, table)).sum(-2)


def gradient_of_rows(grad: Tensor, rows: Tensor, weights: Tensor, count: int) -> Tensor:
    """The table's gradient (count, F) from the sums' gradient (…, F), in ordinary operations."""
    values = (weights.unsqueeze(-1) * grad.unsqueeze(-2)).reshape(-1, grad.shape[-1])
    # ``values.new_zeros``, so that under vmap the zeros are batched like ``values``.
    return values.new_zeros(count, grad.shape[-1]).index_add_(0, rows.reshape(-1), values)


class _WeightedRows(torch.autograd.Function):
    """``embedding_bag`` with another backward pass.

    On a CPU, the forward pass of ``embedding_bag`` is 4 to 10 times faster than a gather and sum.
    Its dense backward pass is 3 to 6 times slower than ``index_add_``, and it supports neither
    forward mode nor second derivatives nor ``vmap``.
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
            if ctx.sparse:
                values = (weights.unsqueeze(-1) * grad.unsqueeze(-2)).reshape(-1, table.shape[1])
                grad_table = torch.sparse_coo_tensor(
                    rows.reshape(1, -1), values, table.shape, check_invariants=False
                )
            else:
                grad_table = gradient_of_rows(grad, rows, weights, len(table))
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
