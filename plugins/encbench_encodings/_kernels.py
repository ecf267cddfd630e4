"""Triton kernel of multilevel grids: features or the table's gradient in one pass over points.

torch's operations store the rows and weights of all corners, L · 2^d of each per point; the kernel
computes them when they are needed. A program handles ``BLOCK`` points at one level. Levels are
processed one after another, so that the table of one level stays in the cache.

Positions are rounded as in torch, product and sum separately (``enable_fp_fusion=False``): a fused
multiply-add would move points at cell borders to another cell. Indices are exact in uint32: a
corner's index is below twice the number of vertices, and a level has fewer than 2^31 vertices.

Importing this module imports Triton; ``MultilevelGrid.forward`` imports it only for a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from encbench.errors import error_line
from encbench_encodings._tables import WITHOUT_KERNELS, gather_and_sum, gradient_of_rows

if TYPE_CHECKING:
    from encbench_encodings._multilevel import MultilevelGrid

logger = logging.getLogger("encbench")

BLOCK = 256
WARPS = 8
SMOOTHNESS = {"nearest": 0, "linear": 1, "smoothstep": 2}

failure = ""
"""Why the kernels could not be built, so that torch's operations are used instead; else ""."""


def fused_features(table: Tensor, x: Tensor, grid: MultilevelGrid) -> Tensor:
    """``grid.interpolated(table, x)``, differentiable with respect to the table to any order.

    Args:
        table: (rows, F) float32.
        x: (N, d) float32, on the same device.
        grid: a grid with a ``layout``.
    """
    if failure:
        return grid.interpolated(table, x)
    out: Tensor = _Features.apply(table, x, grid)  # type: ignore[no-untyped-call] # autograd.Function.apply carries no types
    return out


class _Features(torch.autograd.Function):
    """Maps (rows, F) to (N, L · F), linear in the table; ``_Gradient`` is the transpose."""

    @staticmethod
    def forward(table: Tensor, x: Tensor, grid: MultilevelGrid) -> Tensor:
        out = table.new_empty(len(x), (len(grid.starts) - 1) * grid.features)
        if _launched(table, x, out, grid):
            return out
        return _plain_features(table, x, grid)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, x, ctx.grid = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return _Gradient.apply(grads[0], x, ctx.grid), None, None  # type: ignore[no-untyped-call] # as above

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return fused_features(tangents[0], ctx.saved_tensors[0], ctx.grid)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _batched(_plain_features, in_dims, *inputs), 0


class _Gradient(torch.autograd.Function):
    """Maps (N, L · F) to (rows, F): the features' gradient to the table's gradient."""

    @staticmethod
    def forward(grad: Tensor, x: Tensor, grid: MultilevelGrid) -> Tensor:
        out = grad.new_zeros(grid.starts[-1], grid.features)
        if _launched(grad, x, out, grid, transposed=True):
            return out
        return _plain_gradient(grad, x, grid)

    setup_context = _Features.setup_context

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return fused_features(grads[0], ctx.saved_tensors[0], ctx.grid), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        out: Tensor = _Gradient.apply(tangents[0], ctx.saved_tensors[0], ctx.grid)  # type: ignore[no-untyped-call] # as above
        return out

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _batched(_plain_gradient, in_dims, *inputs), 0


def _batched(
    plain: Callable[..., Tensor], in_dims: tuple[Any, ...], source: Tensor, x: Tensor, grid: Any
) -> Tensor:
    of_one = partial(plain, grid=grid)
    out: Tensor = torch.vmap(of_one, in_dims=in_dims[:2])(source, x)
    return out


def _plain_features(table: Tensor, x: Tensor, grid: MultilevelGrid) -> Tensor:
    """The features, in torch operations, which support ``vmap``."""
    rows, weights = grid.rows_and_weights(x)
    values = gather_and_sum(table, rows, weights)
    return values.reshape(len(x), -1)


def _plain_gradient(grad: Tensor, x: Tensor, grid: MultilevelGrid) -> Tensor:
    """The table's gradient, in torch operations, which support ``vmap``."""
    rows, weights = grid.rows_and_weights(x)
    return gradient_of_rows(grad.reshape(*rows.shape[:2], -1), rows, weights, grid.starts[-1])


def _launched(
    source: Tensor, x: Tensor, out: Tensor, grid: MultilevelGrid, *, transposed: bool = False
) -> bool:
    """Launch the kernel to fill ``out``; False if it, or one before it, could not be built."""
    global failure
    layout = grid.layout
    # batched tensors of ``torch.autograd.grad(is_grads_batched=True)`` have no storage
    if failure or layout is None or torch._C._functorch.is_legacy_batchedtensor(source):
        return False
    programs = (triton.cdiv(len(x), BLOCK), len(grid.starts) - 1)
    source, x = source.contiguous(), x.contiguous()
    try:
        # Triton launches on the current device
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call] # torch leaves it untyped
            _interpolate[programs](
                source,
                x,
                grid._levels,
                out,
                layout.offset,
                layout.dense,
                len(x),
                D=x.shape[1],
                F=grid.features,
                COLUMNS=triton.next_power_of_2(grid.features),
                SMOOTHNESS=SMOOTHNESS[layout.interpolation],
                HASHED=layout.dense < programs[1],
                WRAPS_ONCE=layout.wraps_once,
                TRANSPOSED=transposed,
                BLOCK=BLOCK,
                num_warps=WARPS,
                enable_fp_fusion=False,
            )
    except Exception as error:
        # Triton's compiler, the C compiler, the driver and subprocesses may raise anything
        failure = error_line(error)
        logger.warning("%s: %s", WITHOUT_KERNELS, failure)
        return False
    return True


@triton.jit(do_not_specialize=["dense", "count"])
def _interpolate(
    source,  # the table, or the features' gradient, float32
    x,  # (N, D) float32
    levels,  # (L, 4 + D) int64: first row, entries, last cell, bits of scale, factors
    out,  # the features, or the table's gradient
    offset,
    dense,
    count,  # N
    D: tl.constexpr,
    F: tl.constexpr,
    COLUMNS: tl.constexpr,  # F rounded up to a power of 2
    SMOOTHNESS: tl.constexpr,
    HASHED: tl.constexpr,
    WRAPS_ONCE: tl.constexpr,
    TRANSPOSED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Map the table (rows, F) to features (N, L · F), or, transposed, add features to the table."""
    level = tl.program_id(1)
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, COLUMNS)[None, :]
    mask = (point < count)[:, None] & (column < F)
    ends = _ends(x, levels, level, point, count, offset, D, SMOOTHNESS)
    entries = tl.load(levels + level * (D + 4) + 1).to(tl.uint32)
    first = tl.load(levels + level * (D + 4)) * F
    features = point[:, None] * (tl.num_programs(1) * F) + level * F + column
    if TRANSPOSED:
        table = out + first
        values = tl.load(source + features, mask=mask, other=0.0)
    else:
        table = source + first
        total = tl.zeros((BLOCK, COLUMNS), tl.float32)
    for corner in tl.static_range(1 << D if SMOOTHNESS else 1):
        entry, weight = _corner(ends, corner, entries, level >= dense, D, HASHED, WRAPS_ONCE)
        places = table + entry[:, None] * F + column
        if TRANSPOSED:
            tl.atomic_add(places, weight[:, None] * values, mask=mask, sem="relaxed")
        else:
            values = tl.load(places, mask=mask, other=0.0)
            total = tl.fma(tl.broadcast_to(weight[:, None], (BLOCK, COLUMNS)), values, total)
    if not TRANSPOSED:
        tl.store(out + features, total, mask=mask)


@triton.jit
def _ends(
    x,
    levels,
    level,
    point,
    count,
    offset,
    D: tl.constexpr,
    SMOOTHNESS: tl.constexpr,
):
    """For each axis, the terms of the index and the weights at both ends of the cell.

    A tuple (lower term, upper term, lower weight, upper weight) per axis. With "nearest" only the
    lower end is used, with weight 1, or NaN if the coordinate is NaN or infinite.
    """
    constants = levels + level * (D + 4)
    last = tl.load(constants + 2).to(tl.uint32)
    scale = tl.load(constants + 3).to(tl.int32).to(tl.float32, bitcast=True)
    ends = ()
    for axis in tl.static_range(D):
        factor = tl.load(constants + 4 + axis).to(tl.uint32)
        coordinate = tl.load(x + point * D + axis, mask=point < count, other=0.0)
        position = coordinate * scale + offset
        # representable in uint32, even for NaN
        bounded = tl.minimum(tl.maximum(tl.floor(position), 0.0), 4294967040.0)
        cell = tl.minimum(bounded.to(tl.uint32), last)
        place = position - cell.to(tl.float32)
        if SMOOTHNESS == 2:
            place = place * place * (3 - 2 * place)
        at_lower = 1 - place if SMOOTHNESS else 1 + 0 * place
        ends += ((cell * factor, cell * factor + factor, at_lower, place),)  # type: ignore[assignment] # Triton knows no longer spelling
    return ends


@triton.jit
def _corner(
    ends,
    corner: tl.constexpr,
    entries,
    hashed,
    D: tl.constexpr,
    HASHED: tl.constexpr,
    WRAPS_ONCE: tl.constexpr,
):
    """Entry (BLOCK,) int64 within the level and weight of a corner; bit a selects axis a's end."""
    index = ends[0][corner & 1]
    weight = ends[0][2 + (corner & 1)]
    for axis in tl.static_range(1, D):
        other = ends[axis][(corner >> axis) & 1]
        index = tl.where(hashed, index ^ other, index + other) if HASHED else index + other
        weight = ends[axis][2 + ((corner >> axis) & 1)] * weight
    wrapped = tl.where(index >= entries, index - entries, index) if WRAPS_ONCE else index % entries
    entry = tl.where(hashed, index & (entries - 1), wrapped) if HASHED else wrapped
    return entry.to(tl.int64), weight
