"""Tables of learned values at the nodes of grids: which rows a point reads, and their sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from encbench.plugins.parameters import InitialSpread

WITHOUT_KERNELS = "grids are computed without kernels of their own"
"""Said where a GPU cannot use them, with the reason."""
InitStd = Annotated[InitialSpread, Field(description="standard deviation of the initial values")]


def cells_and_places(position: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The cell, from 0 to ``last``, of each position in cells, and the place within it.

    Positions outside the grid belong to its border cell, at places outside [0, 1].
    """
    # Clamped as integers, where even NaN has become a number.
    cells = position.detach().floor().long().minimum(last).clamp(min=0)
    return cells, position - cells


def over_corners(combine: Callable[[Tensor, Tensor], Tensor], ends: Tensor) -> Tensor:
    """One value for each of the t^d corners of a cell, combined from t values an axis.

    Digit a, base t, of a corner's number says which of the t it is along axis a. Corners come
    first: on a CPU the operations run along the last axis, which must not be the short one
    (measured, 1024 to 8192 points: 2 to 6 times faster than corners last, the copy at the end
    included).

    Args:
        combine: an elementwise, broadcasting, associative operation of two tensors.
        ends: (t, d, N, L), what each axis contributes at each of its nodes; t = 2 for the lower
            and the upper end of a cell.

    Returns:
        (t^d, N, L).
    """
    corners = ends[:, 0]
    for axis in range(1, ends.shape[1]):
        corners = combine(ends[:, axis].unsqueeze(1), corners.unsqueeze(0)).flatten(0, 1)
    return corners


def cubic_bspline(place: Tensor) -> Tensor:
    """(4, …), the four uniform cubic B-splines that are not 0 at places (…) within a cell.

    The first is that which ends with the cell, the last that which begins with it.
    """
    f, g = place, 1 - place
    left = (3 * f - 6) * f * f + 4
    right = (3 * g - 6) * g * g + 4
    return torch.stack((g**3, left, right, f**3)) / 6


def strides_of(nodes: Sequence[int], dim: int) -> Tensor:
    """(d, 1, L) int64: n_l^a for axis a, the first coordinate running fastest."""
    powers = [[count**axis for count in nodes] for axis in range(dim)]
    return torch.tensor(powers, dtype=torch.int64).unsqueeze(1)


def weighted_rows(table: Tensor, rows: Tensor, weights: Tensor, *, sparse: bool = False) -> Tensor:
    """out[…, c] = Σ_j weights[…, j] · table[rows[…, j], c].

    Differentiable twice in table and weights, forward and backward, and under ``torch.func``.

    Args:
        table: (R, F), of any floating type.
        rows: (…, m) int64 in [0, R); a row that stands twice at one point counts twice.
        weights: (…, m), taken in the table's dtype.
        sparse: the table's gradient is a sparse COO tensor of the rows that were read. A step
            then costs nothing for the rows that were not, but ``torch.optim`` takes it in SGD
            and SparseAdam only.

    Returns:
        (…, F), of the table's dtype.
    """
    out: Tensor = _WeightedRows.apply(  # type: ignore[no-untyped-call] # autograd.Function.apply carries no types
        table, rows.flatten(0, -2), weights.flatten(0, -2).to(table.dtype), sparse
    )
    return out.view(*rows.shape[:-1], table.shape[1])


def gather_and_sum(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """The same in ordinary operations, which batch and differentiate of themselves."""
    return (weights.unsqueeze(-1) * functional.embedding(rows, table)).sum(-2)


def gradient_of_rows(grad: Tensor, rows: Tensor, weights: Tensor, count: int) -> Tensor:
    """Gradient (count, F) of the table from that of the sums (…, F), in ordinary operations."""
    values = (weights.unsqueeze(-1) * grad.unsqueeze(-2)).reshape(-1, grad.shape[-1])
    # From ``values``, so that under vmap the zeros are batched as they are.
    return values.new_zeros(count, grad.shape[-1]).index_add_(0, rows.reshape(-1), values)


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
