"""Kernels by automatic differentiation alone, for parameters of any kind.

No structure of the network is used, so this is slower than the layerwise method, works for every
differentiable model, and serves as its reference. Rows of the Jacobian are kept sparse where most
of their entries are zero, as in a table of which each point reads a few entries.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import scipy.sparse
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vmap

from encbench.ntk.terms import Term, Workspace, chunks

CHUNK = 4096  # points of one pass forward or back
CHUNK_BYTES = 1 << 28  # of one chunk's dense Jacobian
VECTORIZED_BYTES = 1 << 19  # of a parameter, up to which points are differentiated together
SPARSE_BELOW = 0.1  # share of nonzero entries below which rows are kept sparse


def jacobian(model: nn.Module, names: Sequence[str], x: Tensor, by_points: bool = False) -> Tensor:
    """∂f_a(x_i)/∂θ for the named parameters θ: (n, O, P) at x (n, d).

    The float64 reference of this package. Needs n · O · P numbers. ``by_points`` runs one
    backward pass for each point and output instead of one for all together.
    """

    def outputs(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        result: Tensor = functional_call(model, parameters, (point[None],))
        return result[0]

    if by_points:
        return _jacobian_by_points(model, names, x)
    chosen = {name: model.get_parameter(name).detach() for name in names}
    try:
        with warnings.catch_warnings():
            # Operations without a vmap rule run one by one, with a warning about speed.
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            parts = vmap(jacrev(outputs), in_dims=(None, 0))(chosen, x)
    except (RuntimeError, ValueError, NotImplementedError):
        # Not every module can be vectorized (data-dependent branches, own autograd functions).
        return _jacobian_by_points(model, names, x)
    return torch.cat([parts[name].flatten(2) for name in names], 2).detach()


def _jacobian_by_points(model: nn.Module, names: Sequence[str], x: Tensor) -> Tensor:
    chosen = _leaves({name: model.get_parameter(name) for name in names})
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


def _leaves(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_() for name, p in parameters.items()}


def _gradient(leaf: Tensor) -> Tensor:
    """What backward left in a leaf, dense; zeros where it left nothing."""
    grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
    return grad.to_dense() if grad.is_sparse else grad


class AutogradProducts:
    """Products K v = J (Jᵀ v) over the named parameters at x (N, d), with O outputs.

    Each takes one reverse-mode and one forward-mode pass over the points; nothing is stored.
    """

    def __init__(self, model: nn.Module, x: Tensor, names: Iterable[str], outputs: int) -> None:
        self.model, self.x, self.points, self.outputs = model, x, len(x), outputs
        self.names = sorted(names)
        self.parameters = {name: model.get_parameter(name).detach() for name in self.names}

    def _forward(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        result: Tensor = functional_call(self.model, parameters, (x,))
        return result

    def _pull(self, v: Tensor) -> dict[str, Tensor]:
        """Jᵀ v for v (N, O)."""
        leaves = _leaves(self.parameters)
        for part in chunks(len(self.x), CHUNK):
            with torch.enable_grad():
                f = self._forward(leaves, self.x[part])
            torch.autograd.backward(f, v[part])
        return {name: _gradient(leaf) for name, leaf in leaves.items()}

    def _push(self, tangent: dict[str, Tensor]) -> Tensor:
        """J u for a tangent u of all parameters: (N, O)."""
        parts = [self.x[part] for part in chunks(len(self.x), CHUNK)]
        try:
            return torch.cat([self._forward_mode(x, tangent) for x in parts])
        except (NotImplementedError, RuntimeError):  # some operations have no forward mode
            return torch.cat([self._twice_backward(x, tangent) for x in parts])

    def _forward_mode(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        with warnings.catch_warnings():
            # torch's own forward mode calls a deprecated function of torch when first used.
            warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
            df: Tensor = jvp(lambda p: self._forward(p, x), (self.parameters,), (tangent,))[1]
            return df

    def _twice_backward(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        """J u as the derivative of (Jᵀ w) · u, which is linear in w."""
        leaves = _leaves(self.parameters)
        with torch.enable_grad():
            f = self._forward(leaves, x)
            w = torch.zeros_like(f, requires_grad=True)
            grads = torch.autograd.grad(
                f, list(leaves.values()), w, create_graph=True, materialize_grads=True
            )
            dot = torch.stack([(g * u).sum() for g, u in zip(grads, tangent.values(), strict=True)])
            return torch.autograd.grad(dot.sum(), w)[0]

    def apply(self, v: Tensor) -> Tensor:
        """The full kernel's product with v (N, O)."""
        return self._push(self._pull(v))

    def apply_trace(self, v: Tensor) -> Tensor:
        """The trace kernel's product with v (N,): the mean of one product per output."""
        total = torch.zeros_like(v)
        for a in range(self.outputs):
            one = torch.zeros(len(v), self.outputs, dtype=v.dtype, device=v.device)
            one[:, a] = v
            total += self.apply(one)[:, a]
        return total / self.outputs


class JacobianTerm(AutogradProducts, Term):
    """J Jᵀ over the named parameters of a model, at points x (N, d) with O outputs.

    Args:
        spare: bytes that stored Jacobians may take together; larger ones are recomputed for
            each block of the kernel.
    """

    whole_rows = True

    def __init__(
        self, model: nn.Module, names: Sequence[str], x: Tensor, outputs: int, spare: int
    ) -> None:
        super().__init__(model, x, names, outputs)
        self.spare = spare

    @cached_property
    def rows(self) -> JacobianRows:
        """Computed when a matrix is first asked for; products do not need it."""
        return JacobianRows(self.model, self.names, self.x, self.outputs, self.spare)

    def _blocks(self, rows: slice, cols: slice) -> Iterator[tuple[slice, slice, Tensor]]:
        """Position in the tile, and J Jᵀ (n_rows, O, n_cols, O) there, block by block."""
        j = self.rows
        for upper in chunks(rows.stop, j.step, rows.start):
            left = j.at(upper)
            for part in chunks(cols.stop, j.step, cols.start):
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


def _relative(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


class JacobianRows:
    """Rows of a Jacobian: sparse if those of the first chunk are, kept if they fit in memory."""

    def __init__(
        self, model: nn.Module, names: Sequence[str], x: Tensor, outputs: int, spare: int
    ) -> None:
        self.x, self.outputs = x, outputs
        self.model = Restricted(model, _touched(model, names, x))
        self.names = [name for name, _ in self.model.named_parameters()]
        whole = sum(model.get_parameter(name).numel() for name in names)
        size = outputs * sum(p.numel() for p in self.model.parameters())  # numbers per point
        # Autograd's gradient is as long as the parameters, whatever is kept of it; many at once
        # do not fit in the cache, and are slower than one after the other.
        self.by_points = whole * x.element_size() > VECTORIZED_BYTES
        longest = size if self.by_points else outputs * whole
        self.step = max(1, CHUNK_BYTES // (max(longest, 1) * x.element_size()))
        """Points whose dense rows may be held at once."""
        self.kept: Tensor | scipy.sparse.csr_array | None = None
        first, *others = chunks(len(x), self.step)
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


def _sparse(block: Tensor) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(block.cpu().numpy())


class Restricted(nn.Module):
    """A model as a function of some entries of some parameters, all others held constant.

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

    These are the nonzeros of the gradient of a random combination of all outputs; nonzero
    gradients cancel exactly with probability zero.
    """
    leaves = _leaves({name: model.get_parameter(name) for name in names})
    generator = torch.Generator().manual_seed(0)
    for part in chunks(len(x), CHUNK):
        with torch.enable_grad():
            f = functional_call(model, leaves, (x[part],))
            weights = torch.randn(f.shape, generator=generator, dtype=torch.float64).to(f)
            if f.requires_grad:
                torch.autograd.backward((f * weights).sum(), inputs=list(leaves.values()))
    return {name: torch.nonzero(_gradient(leaf).flatten())[:, 0] for name, leaf in leaves.items()}
