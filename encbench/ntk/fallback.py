"""The road for parameters of any kind: their Jacobian, by points, dense or sparse.

Slower than the layerwise road, never wrong. Rows are kept sparse where most of their entries are
zero, as in a table that a point reads at a few places only.
"""

from __future__ import annotations

from collections.abc import Sequence

import scipy.sparse
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from encbench.ntk.terms import Term, Workspace

__all__ = ["JacobianTerm", "jacobian"]

CHUNK_BYTES = 1 << 28  # of one chunk's dense Jacobian
SPARSE_BELOW = 0.1  # share of nonzeros under which rows are kept sparse


def jacobian(model: nn.Module, names: Sequence[str], x: Tensor) -> Tensor:
    """∂f_a(x_i)/∂θ for the named parameters θ: (n, O, P) at x (n, d).

    The float64 reference of this package: no structure is used. Needs n · O · P numbers.
    """
    named = dict(model.named_parameters())
    chosen = {name: named[name].detach() for name in names}

    def outputs(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        result: Tensor = functional_call(model, parameters, (point[None],))
        return result[0]

    try:
        parts = vmap(jacrev(outputs), in_dims=(None, 0))(chosen, x)
    except (RuntimeError, ValueError, NotImplementedError):
        # Not every module can be vectorized (data-dependent branches, own autograd functions).
        return _jacobian_by_points(model, names, x)
    return torch.cat([parts[name].flatten(2) for name in names], 2).detach()


def _jacobian_by_points(model: nn.Module, names: Sequence[str], x: Tensor) -> Tensor:
    named = dict(model.named_parameters())
    chosen = {name: named[name].detach().clone().requires_grad_() for name in names}
    rows = []
    for point in x:
        with torch.enable_grad():
            f = functional_call(model, chosen, (point[None],))[0]
        for a in range(len(f)):
            grads = torch.autograd.grad(
                f[a],
                list(chosen.values()),
                retain_graph=True,
                materialize_grads=True,
                allow_unused=True,
            )
            rows.append(torch.cat([grad.flatten() for grad in grads]))
    return torch.stack(rows).view(len(x), -1, len(rows[0]))


class JacobianTerm(Term):
    """J Jᵀ over the named parameters of a model, at points x (N, d) with O outputs."""

    whole_rows = True

    def __init__(self, model: nn.Module, names: Sequence[str], x: Tensor, outputs: int) -> None:
        self.outputs = outputs
        named = dict(model.named_parameters())
        sizes = [(name, named[name].numel()) for name in names]
        self.rows = [_rows(model, [name], size, x, outputs) for name, size in sizes if size]

    def _gram(self, rows: slice, cols: slice) -> Tensor:
        total: Tensor | None = None
        for j in self.rows:
            i, k = _spread(rows, self.outputs), _spread(cols, self.outputs)
            if isinstance(j, Tensor):
                gram = j[i] @ j[k].t()
            else:
                gram = torch.from_numpy((j[i] @ j[k].T).toarray())
            total = gram if total is None else total + gram
        assert total is not None, "a Jacobian term has parameters"
        shape = (rows.stop - rows.start, self.outputs, cols.stop - cols.start, self.outputs)
        return total.view(shape)

    def add_full(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        tile.add_(self._gram(rows, cols).to(tile.device))

    def add_trace(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        gram = self._gram(rows, cols).diagonal(dim1=1, dim2=3)
        tile.add_(gram.mean(-1).to(tile.device))

    def apply(self, v: Tensor) -> Tensor:
        out = torch.zeros_like(v)
        flat = v.flatten()
        for j in self.rows:
            if isinstance(j, Tensor):
                out += (j @ (j.t() @ flat)).view_as(v)
            else:
                product = j @ (j.T @ flat.cpu().numpy())
                out += torch.from_numpy(product).to(v.device).view_as(v)
        return out

    def apply_trace(self, v: Tensor) -> Tensor:
        columns = []
        for a in range(self.outputs):
            one = torch.zeros(len(v), self.outputs, dtype=v.dtype, device=v.device)
            one[:, a] = v
            columns.append(self.apply(one)[:, a])
        return torch.stack(columns).mean(0)


def _spread(points: slice, outputs: int) -> slice:
    return slice(points.start * outputs, points.stop * outputs)


def _rows(
    model: nn.Module, names: list[str], size: int, x: Tensor, outputs: int
) -> Tensor | scipy.sparse.csr_array:
    """The Jacobian (N·O, P) of some parameters, sparse where the first chunk is."""
    chunk = max(1, CHUNK_BYTES // (outputs * size * x.element_size()))
    kept: list[Tensor] = []
    sparse: list[scipy.sparse.csr_array] = []
    for start in range(0, len(x), chunk):
        j = jacobian(model, names, x[start : start + chunk]).flatten(0, 1)
        if sparse or (start == 0 and float((j != 0).double().mean()) < SPARSE_BELOW):
            sparse.append(scipy.sparse.csr_array(j.cpu().numpy()))
        else:
            kept.append(j)
    if sparse:
        return scipy.sparse.vstack(sparse, format="csr")
    return torch.cat(kept)
