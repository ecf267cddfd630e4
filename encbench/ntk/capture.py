"""Record activations and output gradients at all points and turn them into terms of a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from encbench.contracts.encoding import SparseBlock
from encbench.device import prefers_large_pieces
from encbench.errors import NtkError
from encbench.ntk.autograd import JacobianTerm, gradients
from encbench.ntk.model import encoding_of
from encbench.ntk.structure import (
    CHUNK,
    FEATURES,
    PARTS,
    Hooks,
    Layer,
    Part,
    Structure,
    feature_gradient,
    part_of,
    pieces,
    sparse_blocks,
)
from encbench.ntk.terms import (
    ComplexProduct,
    ConstantGradient,
    Factors,
    Outputs,
    Product,
    ScatteredProduct,
    SeparableProduct,
    SparseProduct,
    TableFactors,
    Term,
)

SEPARATE_ROWS = 128  # rows of G that fit in a CPU's cache with their temporaries
GPU_DENSE = 128  # maximum number of a grid's vertices for which a GPU uses a dense product
PAIR_COST = 250.0  # flops of a dense product that take as long as one pair of a sparse product


@dataclass(frozen=True)
class KernelTerms:
    """The terms of a kernel at N points with O outputs (1 for the trace kernel), by part."""

    points: int
    outputs: int
    parts: dict[Part, list[Term]]

    def of(self, outputs: Outputs) -> KernelTerms:
        """The terms of the full kernel (unchanged) or of the trace kernel."""
        if outputs == "full":
            return self
        parts = {part: [term.traced() for term in terms] for part, terms in self.parts.items()}
        return KernelTerms(self.points, 1, parts)


def capture(model: nn.Module, x: Tensor, structure: Structure, spare: int = 0) -> KernelTerms:
    """The kernel's terms at x (N, d), by one forward pass and O backward passes.

    Args:
        model: the copy made by ``working_copy``, all parameters frozen.
        x: in the copy's dtype, on its device.
        spare: maximum memory [bytes] of each part's Jacobian of the parameters without structure;
            a larger one is recomputed.

    Raises:
        NtkError: the model calls other layers than when its structure was found.
        PluginError: the encoding's sparse blocks are invalid.
    """
    parts: dict[Part, list[Term]] = {"mlp": [], "encoding": []}
    blocks = _blocks(model, x, structure)
    inputs, grads = _record(model, x, structure)
    for layer in structure.layers:
        term = _layer_term(inputs.pop(layer.name), grads.pop(layer.name))
        if term is not None:
            parts[part_of(layer.name)].append(term)
    if blocks:
        features = grads.pop(FEATURES)
        parts["encoding"] += [_block_term(block, features) for block in blocks]
    for part in PARTS:
        names = [name for name in structure.rest if part_of(name) == part]
        if names:
            parts[part].append(JacobianTerm(model, names, x, structure.out_dim, spare))
    return KernelTerms(len(x), structure.out_dim, parts)


def capture_factors(
    model: nn.Module, x: Tensor, structure: Structure, outputs: Outputs
) -> dict[str, list[Factors]]:
    """The Jacobian at x (n, d) as factors per layer or table, for products without the kernel.

    Arguments and errors as in ``capture``. Parameters without structure are left out.
    """
    inputs, grads = _record(model, x, structure)
    found: dict[str, list[Factors]] = {}
    for layer in structure.layers:
        term = _layer_term(inputs.pop(layer.name), grads.pop(layer.name))
        found[layer.name] = [] if term is None else [term]
    for block in _blocks(model, x, structure):
        g = feature_gradient(block, grads[FEATURES]).contiguous()
        table = TableFactors(block.rows, block.weights.to(g), g, block.num_rows)
        found.setdefault("encoding." + block.parameter, []).append(table)
    if outputs == "full":
        return found
    return {name: [one.traced() for one in factors] for name, factors in found.items()}


def table_terms(
    model: nn.Module,
    x: Tensor,
    structure: Structure,
    levels: Iterable[tuple[range, Sequence[SparseBlock]]],
) -> Iterator[KernelTerms]:
    """Yield, for each range of features, the terms of the table entries that determine them.

    Arguments and errors as in ``capture``; only the encoding's tables are included.
    """
    structure = replace(structure, layers=(), rest=())
    grads = _record(model, x, structure)[1][FEATURES]
    for features, blocks in levels:
        parts = [part for block in blocks if (part := _columns(block, features)) is not None]
        terms: list[Term] = [_block_term(part, grads) for part in parts]
        yield KernelTerms(len(x), structure.out_dim, {"mlp": [], "encoding": terms})


def _columns(block: SparseBlock, features: range) -> SparseBlock | None:
    """The columns of a block's table that determine some of the features; None if none do."""
    start = max(block.start, features.start)
    width = min(block.start + block.width, features.stop) - start
    if width <= 0:
        return None
    columns = slice(start - block.start, start - block.start + width)
    factor = None if block.factor is None else block.factor[:, columns]
    return replace(block, start=start, width=width, factor=factor)


def _blocks(model: nn.Module, x: Tensor, structure: Structure) -> list[SparseBlock]:
    encoding = encoding_of(model)
    if encoding is None or not structure.tables:
        return []
    return sparse_blocks(encoding, x, set(structure.tables))


def _record(
    model: nn.Module, x: Tensor, structure: Structure
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scaled inputs A (N, n_in), a column β appended, and G (N, O, n_out) of observed modules."""
    inputs: dict[str, Tensor] = {}
    grads: dict[str, Tensor] = {}
    modules = {layer.name: model.get_submodule(layer.name) for layer in structure.layers}
    if structure.tables:
        modules[FEATURES] = model.get_submodule("encoding")
    with Hooks(modules) as hooks:
        for part in pieces(x, CHUNK) if modules else []:
            hooks.clear()
            with torch.enable_grad():
                f = model(x[part])
            if not all(hooks.valid(name, len(f)) for name in modules):
                raise NtkError(
                    "the model calls other layers when it is run again; its forward "
                    "must depend on x alone"
                )
            other = {h.dtype for h in hooks.outputs.values()} - {x.dtype, x.dtype.to_complex()}
            if other:
                raise NtkError(
                    f"the model computes in {other.pop()}, but x is {x.dtype}; leave "
                    "torch.autocast out of its forward"
                )
            for layer in structure.layers:
                _store_input(inputs, layer, hooks.inputs[layer.name], part, len(x))
            h = dict(hooks.outputs)  # a checkpoint calls its modules again in the backward pass
            for a in range(structure.out_dim):
                more = a + 1 < structure.out_dim
                found = gradients(f[:, a].sum(), list(h.values()), retain_graph=more)
                for name, grad in zip(h, found, strict=True):
                    if name not in grads:
                        grads[name] = grad.new_empty(len(x), structure.out_dim, grad.shape[1])
                    grads[name][part, a] = grad
    return inputs, grads


def _store_input(
    inputs: dict[str, Tensor], layer: Layer, a: Tensor, part: slice, points: int
) -> None:
    # β is appended to A as a column: A Aᵀ then includes β² without another pass over each tile.
    width = (a.shape[1] if layer.weight else 0) + (1 if layer.bias else 0)
    if layer.name not in inputs:
        inputs[layer.name] = a.new_empty(points, width)
    store = inputs[layer.name][part]
    if layer.weight:
        torch.mul(a, layer.scale, out=store[:, : a.shape[1]])
    if layer.bias:
        store[:, -1] = layer.shift


def _layer_term(
    a: Tensor, g: Tensor
) -> Product | SeparableProduct | ConstantGradient | ComplexProduct | None:
    """(A Aᵀ) ∘ (G Gᵀ) in its cheapest form; None if G is zero."""
    if g.is_complex():
        return ComplexProduct(a, g)
    if bool(torch.equal(g[0], g[-1])) and bool((g == g[:1]).all()):
        return ConstantGradient(a, g[0].clone()) if bool(g[0].any()) else None
    factors = _separate(g) if g.shape[1] > 1 else None
    return Product(a, g) if factors is None else SeparableProduct(a, *factors)


def _separate(g: Tensor) -> tuple[Tensor, Tensor] | None:
    """M (N, q), C (O, q) with G[i, a, k] = M[i, k] C[a, k] to rounding, or None.

    Such factors exist for the last hidden layer, where G is the activation's derivative times an
    output weight. They are checked numerically at *all* points, since a unit gives no information
    where it is inactive; a unit that is inactive at all points has C = 0.
    """
    few = g[:: max(1, len(g) // 64)]
    if len(few) < len(g) and _separate(few) is None:
        return None
    c = _strongest(g)  # (O, q)
    energy = c.square().sum(0)
    mean = c / torch.where(energy > 0, energy, 1.0)
    limit = 8 * torch.finfo(g.dtype).eps * c.abs().amax(0)
    m = g.new_empty(len(g), g.shape[2])
    for part in pieces(g, SEPARATE_ROWS):
        torch.sum(g[part] * mean, 1, out=m[part])
        error = (m[part, None] * c).sub_(g[part]).abs_().amax(1)
        if bool((error > limit).any()):
            return None
    return m, c


def _strongest(g: Tensor) -> Tensor:
    """The gradients (O, q) of each unit at the point where they are largest."""
    best = torch.full(g.shape[2:], -1.0, dtype=g.dtype, device=g.device)
    at = torch.zeros(g.shape[2:], dtype=torch.int64, device=g.device)
    for part in pieces(g, SEPARATE_ROWS):
        size, row = g[part].abs().amax(1).max(0)
        at = torch.where(size > best, row + part.start, at)
        best = torch.maximum(best, size)
    return g[at, :, torch.arange(len(at), device=g.device)].t().contiguous()


def _block_term(block: SparseBlock, features: Tensor) -> Term:
    """(S Sᵀ) ∘ (G Gᵀ) of one block; S is dense or sparse, whichever is cheaper."""
    g = feature_gradient(block, features).contiguous()
    points, entries = block.rows.shape
    used, local = torch.unique(block.rows.flatten(), return_inverse=True)
    gpu = prefers_large_pieces(g.device)
    if gpu and len(used) > GPU_DENSE:
        return ScatteredProduct(local.view(points, entries), block.weights.to(g), len(used), g)
    pairs = float(torch.bincount(local).double().square().sum())
    if gpu or pairs * PAIR_COST > points**2 * 2.0 * len(used):
        s = torch.zeros(points, len(used), dtype=g.dtype, device=g.device)
        return Product(s.scatter_add_(1, local.view(points, entries), block.weights.to(g)), g)
    starts = np.arange(points + 1, dtype=np.int64) * entries
    data = block.weights.to(g).cpu().numpy().ravel()
    sparse = scipy.sparse.csr_array(
        (data, local.cpu().numpy().ravel(), starts), shape=(points, len(used))
    )
    sparse.sum_duplicates()  # colliding entries are added
    return SparseProduct(sparse, g)
