"""The road for parameters of any kind: their Jacobian, by points, dense or sparse.

Slower than the layerwise road, never wrong. Rows are kept sparse where most of their entries are
zero, as in a table that a point reads at a few places only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import scipy.sparse
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from encbench.ntk.streaming import Stream
from encbench.ntk.terms import Term, Workspace

__all__ = ["JacobianTerm", "jacobian"]

CHUNK_BYTES = 1 << 28  # of one chunk's dense Jacobian
VECTORIZED_BYTES = 1 << 19  # of a parameter, up to which points are differentiated together
SPARSE_BELOW = 0.1  # share of nonzeros under which rows are kept sparse


def jacobian(model: nn.Module, names: Sequence[str], x: Tensor, by_points: bool = False) -> Tensor:
    """∂f_a(x_i)/∂θ for the named parameters θ: (n, O, P) at x (n, d).

    The float64 reference of this package: no structure is used. Needs n · O · P numbers.
    ``by_points`` runs back once for each point and output instead of for all together.
    """
    named = dict(model.named_parameters())
    chosen = {name: named[name].detach() for name in names}

    def outputs(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        result: Tensor = functional_call(model, parameters, (point[None],))
        return result[0]

    if by_points:
        return _jacobian_by_points(model, names, x)
    try:
        with warnings.catch_warnings():
            # Operations that vmap has no rule for run one by one, with a remark about speed.
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
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
    """J Jᵀ over the named parameters of a model, at points x (N, d) with O outputs.

    Args:
        spare: bytes that stored Jacobians may take together; what is larger is recomputed
            block by block.
    """

    whole_rows = True

    def __init__(
        self, model: nn.Module, names: Sequence[str], x: Tensor, outputs: int, spare: int
    ) -> None:
        self.model, self.names, self.x, self.outputs, self.spare = model, names, x, outputs, spare
        self.stream = Stream(model, x, names, outputs)

    @cached_property
    def rows(self) -> JacobianRows:
        """Found when a matrix is first asked for, as products need none."""
        return JacobianRows(self.model, self.names, self.x, self.outputs, self.spare)

    def _blocks(self, rows: slice, cols: slice) -> Iterator[tuple[slice, slice, Tensor]]:
        """Where in the tile, and J Jᵀ (n_rows, O, n_cols, O) there."""
        j = self.rows
        for upper in _split(rows, j.step):
            left = j.at(upper)
            for part in _split(cols, j.step):
                right = j.at(part)
                if isinstance(left, Tensor):
                    gram = left @ right.T
                else:
                    gram = torch.from_numpy((left @ right.T).toarray()).to(self.x)
                shape = (upper.stop - upper.start, self.outputs, part.stop - part.start, -1)
                yield _relative(upper, rows), _relative(part, cols), gram.view(shape)

    def add_full(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        for i, j, gram in self._blocks(rows, cols):
            tile[:, :, i, j] += gram.permute(1, 3, 0, 2)

    def add_trace(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        for i, j, gram in self._blocks(rows, cols):
            tile[i, j] += gram.diagonal(dim1=1, dim2=3).mean(-1)

    def apply(self, v: Tensor) -> Tensor:
        return self.stream.apply(v)

    def apply_trace(self, v: Tensor) -> Tensor:
        return self.stream.apply_trace(v)


class JacobianRows:
    """Rows of a Jacobian: sparse where the first chunk is, kept where they fit."""

    def __init__(
        self, model: nn.Module, names: Sequence[str], x: Tensor, outputs: int, spare: int
    ) -> None:
        self.x, self.outputs = x, outputs
        self.model = Restricted(model, _touched(model, names, x))
        self.names = [name for name, _ in self.model.named_parameters()]
        whole = sum(model.get_parameter(name).numel() for name in names)
        size = outputs * sum(p.numel() for p in self.model.parameters())  # numbers a point
        # A gradient in the making is as long as the parameters, whatever is kept of it; many at
        # once do not fit in the cache, and are slower than one after the other.
        self.by_points = whole * x.element_size() > VECTORIZED_BYTES
        longest = size if self.by_points else outputs * whole
        self.step = max(1, CHUNK_BYTES // (max(longest, 1) * x.element_size()))
        """Points whose dense rows may be held at once."""
        self.kept: Tensor | scipy.sparse.csr_array | None = None
        first, *others = _split(slice(0, len(x)), self.step)
        rows = self._compute(first)
        share = float((rows != 0).double().mean()) if size else 0.0
        if share < SPARSE_BELOW and 12 * share * size * len(x) <= spare:
            blocks = [_sparse(rows)]
            blocks += [_sparse(self._compute(part)) for part in others]
            self.kept = scipy.sparse.vstack(blocks, format="csr")
        elif size * len(x) * x.element_size() <= spare:
            self.kept = torch.cat([rows, *(self._compute(part) for part in others)])

    def _compute(self, points: slice) -> Tensor:
        rows = jacobian(self.model, self.names, self.x[points], self.by_points)
        return rows.flatten(0, 1)

    def at(self, points: slice) -> Tensor | scipy.sparse.csr_array:
        """(n · O, P) at a range of points."""
        if self.kept is None:
            return self._compute(points)
        return self.kept[points.start * self.outputs : points.stop * self.outputs]


class Restricted(nn.Module):
    """A model as a function of some entries of some parameters, all others held.

    Args:
        touched: name of a parameter to the indices (n,) int64 of its entries.
    """

    def __init__(self, model: nn.Module, touched: Mapping[str, Tensor]) -> None:
        super().__init__()
        # In a tuple, so that the model's parameters are not registered as this one's.
        self.held = (model,)
        self.places = [(n, model.get_parameter(n).detach(), at) for n, at in touched.items()]
        self.entries = nn.ParameterList(
            nn.Parameter(whole.flatten()[at], requires_grad=False) for _, whole, at in self.places
        )

    def forward(self, x: Tensor) -> Tensor:
        tables = {
            name: whole.flatten().index_put((at,), entries).view(whole.shape)
            for (name, whole, at), entries in zip(self.places, self.entries, strict=True)
        }
        result: Tensor = functional_call(self.held[0], tables, (x,))
        return result


def _touched(model: nn.Module, names: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """Entries of each parameter on which f depends at any of the points: (n,) int64, ascending.

    Those where the gradient of a random combination of all outputs is not zero; that gradients
    which are not zero cancel to the last bit has probability zero.
    """
    leaves = {n: model.get_parameter(n).detach().clone().requires_grad_() for n in names}
    generator = torch.Generator().manual_seed(0)
    for part in _split(slice(0, len(x)), 4096):
        with torch.enable_grad():
            f = functional_call(model, leaves, (x[part],))
            weights = torch.randn(f.shape, generator=generator, dtype=torch.float64).to(f)
            if f.requires_grad:
                torch.autograd.backward((f * weights).sum(), inputs=list(leaves.values()))
    touched = {}
    for name, leaf in leaves.items():
        grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        grad = grad.to_dense() if grad.is_sparse else grad
        touched[name] = torch.nonzero(grad.flatten())[:, 0]
    return touched


def _split(points: slice, size: int) -> list[slice]:
    starts = range(points.start, points.stop, size)
    return [slice(start, min(start + size, points.stop)) for start in starts]


def _relative(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _sparse(block: Tensor) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(block.cpu().numpy())
