"""Kernels by automatic differentiation alone, for parameters of any kind.

No structure of the network is used, so this is slower than the layerwise method, works for every
differentiable model, and serves as its reference. Real and imaginary part of a complex parameter
count as two parameters.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Self

import scipy.sparse
import torch
from torch import Tensor, nn
from torch.autograd.functional import jvp as twice_backward
from torch.func import functional_call, jacrev, jvp, vmap

from encbench.ntk.terms import Outputs, Term, Workspace, chunks

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
        leaves = leaves_of(model, names)
        return torch.stack([torch.stack(list(_rows(model, leaves, point))) for point in x])
    chosen = {name: model.get_parameter(name).detach() for name in names}
    try:
        with warnings.catch_warnings():
            # Operations without a vmap rule run one by one, with a warning about speed.
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            parts = vmap(jacrev(outputs), in_dims=(None, 0))(chosen, x)
    except (RuntimeError, ValueError, NotImplementedError):
        # Not every module can be vectorized (data-dependent branches, own autograd functions).
        return jacobian(model, names, x, by_points=True)
    return torch.cat([_real(parts[name]).flatten(2) for name in names], 2).detach()


def _rows(model: nn.Module, leaves: dict[str, Tensor], point: Tensor) -> Iterator[Tensor]:
    """The rows (P,) of the Jacobian at one point (d,), one for each output."""
    with torch.enable_grad():
        f = functional_call(model, leaves, (point[None],))[0]
    for output in f:
        grads: Sequence[Tensor] = [torch.zeros_like(leaf) for leaf in leaves.values()]
        if f.requires_grad:  # not where the output depends on none of these parameters
            grads = torch.autograd.grad(
                output,
                list(leaves.values()),
                retain_graph=True,
                materialize_grads=True,
                allow_unused=True,
            )
        yield torch.cat([_real(dense(grad)).flatten() for grad in grads])


def leaves_of(model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """The named parameters as leaves that require gradients, for ``functional_call``."""
    return {name: model.get_parameter(name).detach().requires_grad_() for name in names}


def dense(grad: Tensor) -> Tensor:
    """A gradient, which a table may ask to be sparse."""
    return grad.to_dense() if grad.is_sparse else grad


def _real(values: Tensor) -> Tensor:
    return torch.view_as_real(values) if values.is_complex() else values


def _pulled(model: nn.Module, names: Iterable[str], x: Tensor, v: Tensor) -> dict[str, Tensor]:
    """Jᵀ v over the named parameters, for v (N, O) at x (N, d)."""
    leaves = leaves_of(model, names)
    for part in chunks(len(x), CHUNK):
        with torch.enable_grad():
            f = functional_call(model, leaves, (x[part],))
        if f.requires_grad:
            torch.autograd.backward(f, v[part], inputs=list(leaves.values()))
    return {
        name: torch.zeros_like(leaf) if leaf.grad is None else dense(leaf.grad)
        for name, leaf in leaves.items()
    }


class AutogradProducts:
    """Products K v = J (Jᵀ v) over the named parameters at x (N, d), with O outputs.

    Each takes one reverse-mode and one forward-mode pass over the points; nothing is stored.
    """

    def __init__(self, model: nn.Module, x: Tensor, names: Iterable[str], out_dim: int) -> None:
        self.model, self.x, self.points, self.out_dim = model, x, len(x), out_dim
        self.outputs = out_dim
        """O of the kernel: 1 for the trace kernel."""
        self.names = sorted(names)
        self.parameters = {name: model.get_parameter(name).detach() for name in self.names}

    def of(self, outputs: Outputs) -> Self:
        """The products with the full kernel or with the trace kernel."""
        chosen = copy.copy(self)
        chosen.outputs = self.out_dim if outputs == "full" else 1
        return chosen

    def apply(self, v: Tensor) -> Tensor:
        """The kernel's product with v (N, O)."""
        if self.outputs == self.out_dim:
            return self._push(_pulled(self.model, self.names, self.x, v))
        # The trace kernel's product is the mean of one product for each output.
        total = torch.zeros_like(v)
        for a, one in enumerate(torch.eye(self.out_dim, dtype=v.dtype, device=v.device)):
            pulled = _pulled(self.model, self.names, self.x, v * one)
            total += self._push(pulled)[:, a : a + 1]
        return total / self.out_dim

    def _push(self, tangent: dict[str, Tensor]) -> Tensor:
        """J u for a tangent u of all parameters: (N, O)."""
        push = self._forward_mode if self._forward_mode_is_right else self._twice_backward
        parts = [self.x[part] for part in chunks(len(self.x), CHUNK)]
        return torch.cat([push(x, tangent) for x in parts])

    @cached_property
    def _forward_mode_is_right(self) -> bool:
        """Whether forward mode knows every operation, and agrees with reverse mode.

        It does not where forward has no_grad inside: gradients stop there and tangents do not.
        """
        generator = torch.Generator().manual_seed(0)

        def random(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

        u = {name: random(parameter) for name, parameter in self.parameters.items()}
        v = random(self.x.new_empty(self.points, self.out_dim))
        try:
            parts = [self.x[part] for part in chunks(len(self.x), CHUNK)]
            pushed = torch.cat([self._forward_mode(x, u) for x in parts])
        except (NotImplementedError, RuntimeError):
            return False
        pulled = _pulled(self.model, self.names, self.x, v)
        dots = [(_real(pulled[name]) * _real(u[name])).sum() for name in self.names]
        error = float((v * pushed).sum() - torch.stack(dots).sum())
        return abs(error) <= 1e3 * torch.finfo(v.dtype).eps * float(v.norm() * pushed.norm())

    def _forward_mode(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        with warnings.catch_warnings():
            # torch's own forward mode calls a deprecated function of torch when first used.
            warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
            df: Tensor = jvp(
                lambda p: functional_call(self.model, p, (x,)), (self.parameters,), (tangent,)
            )[1]
            return df

    def _twice_backward(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        """J u as the derivative of (Jᵀ w) · u, which is linear in w."""

        def forward(*values: Tensor) -> Tensor:
            result: Tensor = functional_call(
                self.model, dict(zip(self.names, values, strict=True)), (x,)
            )
            return result

        du = tuple(tangent[name] for name in self.names)
        values = tuple(self.parameters.values())
        pushed: Tensor = twice_backward(forward, values, du)[1]  # type: ignore[no-untyped-call] # torch leaves it untyped
        return pushed


class JacobianTerm(AutogradProducts, Term):
    """J Jᵀ over the named parameters of a model, at points x (N, d) with O outputs.

    Args:
        spare: bytes that stored Jacobians may take together; larger ones are recomputed for
            each block of the kernel.
    """

    whole_rows = True

    def __init__(
        self, model: nn.Module, names: Sequence[str], x: Tensor, out_dim: int, spare: int
    ) -> None:
        super().__init__(model, x, names, out_dim)
        self.spare = spare

    def traced(self) -> JacobianTerm:
        return self.of("trace")

    @cached_property
    def rows(self) -> JacobianRows:
        """Computed when a matrix is first asked for; products do not need it."""
        return JacobianRows(self.model, self.names, self.x, self.out_dim, self.spare)

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        j = self.rows
        for upper in chunks(rows.stop, j.step, rows.start):
            left = j.at(upper)
            for part in chunks(cols.stop, j.step, cols.start):
                right = j.at(part)
                if isinstance(left, Tensor):
                    gram = left @ right.T
                else:
                    gram = torch.from_numpy((left @ right.T).toarray()).to(self.x)
                shape = (upper.stop - upper.start, self.out_dim, part.stop - part.start, -1)
                block = gram.view(shape).permute(1, 3, 0, 2)
                if self.outputs != self.out_dim:
                    block = block.diagonal().mean(-1)[None, None]
                tile[:, :, _relative(upper, rows), _relative(part, cols)] += block


def _relative(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


class JacobianRows:
    """Rows of a Jacobian: sparse if those of the first chunk are, kept if they fit in memory.

    Only the columns of parameters on which f depends at any of the points.
    """

    def __init__(
        self, model: nn.Module, names: Sequence[str], x: Tensor, outputs: int, spare: int
    ) -> None:
        self.model, self.names, self.x, self.outputs = model, names, x, outputs
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(len(x), outputs, generator=generator, dtype=torch.float64).to(x)
        # Nonzero gradients of a random combination cancel exactly with probability zero.
        pulled = _pulled(model, names, x, weights)
        gradient = torch.cat([_real(pulled[name]).flatten() for name in names])
        self.columns = torch.nonzero(gradient)[:, 0]
        size = outputs * len(self.columns)  # numbers per point
        # Autograd's gradient is as long as the parameters, whatever is kept of it; many at once
        # do not fit in the cache, and are slower than one after the other.
        self.by_points = gradient.numel() * x.element_size() > VECTORIZED_BYTES
        longest = size if self.by_points else outputs * gradient.numel()
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
        x = self.x[points]
        if self.by_points:
            leaves = leaves_of(self.model, self.names)
            rows = (row for point in x for row in _rows(self.model, leaves, point))
            return torch.stack([row[self.columns] for row in rows])
        return jacobian(self.model, self.names, x).flatten(0, 1)[:, self.columns]

    def at(self, points: slice) -> Tensor | scipy.sparse.csr_array:
        """(n · O, P) at a range of points."""
        if self.kept is None:
            return self._compute(points)
        return self.kept[points.start * self.outputs : points.stop * self.outputs]


def _sparse(block: Tensor) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(block.cpu().numpy())
