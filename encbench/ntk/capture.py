"""Activations and output gradients at many points, turned into the terms of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from encbench.contracts.encoding import SparseBlock
from encbench.errors import NtkError
from encbench.ntk.blocks import sparse_blocks
from encbench.ntk.fallback import JacobianTerm
from encbench.ntk.plan import (
    PARTS,
    Layer,
    Part,
    Plan,
    check_finite,
    encoding_of,
    part_of,
)
from encbench.ntk.taps import Taps
from encbench.ntk.terms import ConstantGradient, Product, SeparableProduct, SparseProduct, Term

__all__ = ["Terms", "capture", "separate"]

CHUNK = 1024  # points of one forward pass
SEPARATE_ROWS = 128  # rows of G that the cache holds with their temporaries
PAIR_COST = 250.0  # flops of a GEMM that take as long as one pair in a sparse product


@dataclass(frozen=True)
class Terms:
    """The terms of a kernel at N points, by part."""

    points: int
    outputs: int
    parts: dict[Part, list[Term]]

    def of(self, parts: Sequence[Part]) -> list[Term]:
        return [term for part in parts for term in self.parts[part]]

    def apply(self, v: Tensor) -> Tensor:
        """The full kernel's product with v (N, O)."""
        total = torch.zeros_like(v)
        for term in self.of(PARTS):
            total += term.apply(v)
        return total

    def apply_trace(self, v: Tensor) -> Tensor:
        """The trace kernel's product with v (N,)."""
        total = torch.zeros_like(v)
        for term in self.of(PARTS):
            total += term.apply_trace(v)
        return total


def capture(model: nn.Module, x: Tensor, plan: Plan, spare: int = 0) -> Terms:
    """The kernel's terms at x (N, d), by one pass forward and O passes back.

    Args:
        model: the private copy made by ``prepare``, all parameters frozen.
        x: in the copy's dtype, on its device.
        spare: bytes that Jacobians of unknown parameters may take; beyond, they are recomputed.
    """
    parts: dict[Part, list[Term]] = {"mlp": [], "encoding": []}
    encoding = encoding_of(model)
    blocks: list[SparseBlock] = []
    if encoding is not None and plan.tables:
        blocks = sparse_blocks(encoding, x, set(plan.tables))
    inputs, grads = _passes(model, x, plan, features=bool(blocks))
    for layer in plan.layers:
        term = _layer_term(layer, inputs.pop(layer.name), grads.pop(layer.name))
        if term is not None:
            parts[layer.part].append(term)
    if blocks:
        features = grads.pop(Taps.FEATURES)
        parts["encoding"] += [_block_term(block, features) for block in blocks]
    for part in PARTS:
        names = [name for name in plan.rest if part_of(name) == part]
        if names:
            parts[part].append(JacobianTerm(model, names, x, plan.out_dim, spare))
    return Terms(len(x), plan.out_dim, parts)


def _passes(
    model: nn.Module, x: Tensor, plan: Plan, features: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A (N, n_in), scaled and with β beside it, and G (N, O, n_out) of each tapped module."""
    names = [layer.name for layer in plan.layers]
    inputs: dict[str, Tensor] = {}
    grads: dict[str, Tensor] = {}
    if not names and not features:
        return inputs, grads
    with Taps(model, names, features) as taps:
        for part in _slices(len(x), CHUNK):
            taps.clear()
            with torch.enable_grad():
                f = model(x[part])
            check_finite(f)
            if not all(taps.valid(name, len(f)) for name in taps.outputs):
                raise NtkError("the model runs differently at different points; it has no kernel")
            for layer in plan.layers:
                _store_input(inputs, layer, taps.inputs[layer.name], part, len(x))
            heard = list(taps.outputs)
            for a in range(plan.out_dim):
                found = torch.autograd.grad(
                    f[:, a].sum(),
                    [taps.outputs[name] for name in heard],
                    retain_graph=a + 1 < plan.out_dim,
                    allow_unused=True,
                    materialize_grads=True,
                )
                for name, grad in zip(heard, found, strict=True):
                    if name not in grads:
                        size = (len(x), plan.out_dim, grad.shape[1])
                        grads[name] = torch.empty(size, dtype=x.dtype, device=x.device)
                    grads[name][part, a] = grad
    return inputs, grads


def _store_input(
    inputs: dict[str, Tensor], layer: Layer, a: Tensor, part: slice, points: int
) -> None:
    # β² joins the product as one more column, which saves a pass over every tile.
    width = (a.shape[1] if layer.weight else 0) + (1 if layer.bias else 0)
    if layer.name not in inputs:
        inputs[layer.name] = torch.empty(points, width, dtype=a.dtype, device=a.device)
    store = inputs[layer.name][part]
    if layer.weight:
        torch.mul(a, layer.scale, out=store[:, : a.shape[1]])
    if layer.bias:
        store[:, -1] = layer.shift


def _layer_term(layer: Layer, a: Tensor, g: Tensor) -> Term | None:
    if bool(torch.equal(g[0], g[-1])) and bool((g == g[:1]).all()):
        return ConstantGradient(a, g[0] @ g[0].t()) if bool(g[0].any()) else None
    if g.shape[1] > 1:
        parts = separate(g)
        if parts is not None:
            return SeparableProduct(a, *parts)
    return Product(a, g)


def separate(g: Tensor) -> tuple[Tensor, Tensor] | None:
    """M (N, q), C (O, q) with G[i, a, k] = M[i, k] C[a, k] to rounding, or None.

    Holds behind the last hidden layer, where G is a derivative of the activation times an output
    weight. Decided from the numbers, over *all* points: a unit that is dead on some of them
    says nothing there, and one that is dead on all of them has C = 0.
    """
    few = g[:: max(1, len(g) // 64)]
    if len(few) < len(g) and separate(few) is None:
        return None
    c = _strongest(g)  # (O, q)
    energy = c.square().sum(0)
    mean = c / torch.where(energy > 0, energy, 1.0)
    limit = 8 * torch.finfo(g.dtype).eps * c.abs().amax(0)
    m = torch.empty(len(g), g.shape[2], dtype=g.dtype, device=g.device)
    for part in _slices(len(g), SEPARATE_ROWS):
        torch.sum(g[part] * mean, 1, out=m[part])
        error = (m[part, None] * c).sub_(g[part]).abs_().amax(1)
        if bool((error > limit).any()):
            return None
    return m, c


def _strongest(g: Tensor) -> Tensor:
    """For each unit the gradients (O, q) at the point where they are largest."""
    best = torch.full(g.shape[2:], -1.0, dtype=g.dtype, device=g.device)
    at = torch.zeros(g.shape[2:], dtype=torch.int64, device=g.device)
    for part in _slices(len(g), SEPARATE_ROWS):
        size, row = g[part].abs().amax(1).max(0)
        at = torch.where(size > best, row + part.start, at)
        best = torch.maximum(best, size)
    return g[at, :, torch.arange(len(at), device=g.device)].t().contiguous()


def _slices(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _block_term(block: SparseBlock, features: Tensor) -> Term:
    """(S Sᵀ) ∘ (G Gᵀ) of one block, by whichever of a sparse and a dense product is cheaper."""
    g = features[:, :, block.start : block.start + block.width].contiguous()
    points, entries = block.rows.shape
    nodes, local = torch.unique(block.rows.flatten(), return_inverse=True)
    pairs = float(torch.bincount(local).double().square().sum())
    if pairs * PAIR_COST > points**2 * 2.0 * len(nodes):
        s = torch.zeros(points, len(nodes), dtype=g.dtype, device=g.device)
        return Product(s.scatter_add_(1, local.view(points, entries), block.weights.to(g)), g)
    starts = np.arange(points + 1, dtype=np.int64) * entries
    data = block.weights.to(g).cpu().numpy().ravel()
    sparse = scipy.sparse.csr_array(
        (data, local.cpu().numpy().ravel(), starts), shape=(points, len(nodes))
    )
    sparse.sum_duplicates()  # rows that collide count together
    return SparseProduct(sparse, g)
