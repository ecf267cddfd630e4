"""Kernels by automatic differentiation alone, for parameters of any kind.

No structure of the network is used, so this is slower than the layerwise method, but works for
every differentiable model and serves as the reference. The real and the imaginary part of a
complex parameter count as two parameters.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, Self

import scipy.sparse
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vmap

from encbench.errors import NtkError
from encbench.ntk.terms import Outputs, Term, Workspace, chunks

CHUNK = 4096  # points per forward or backward pass
CHUNK_BYTES = 1 << 28  # maximum size of a chunk's dense Jacobian
VECTORIZED_BYTES = 1 << 19  # maximum size of parameters for which points are differentiated at once
Push = Callable[[Tensor, dict[str, Tensor]], Tensor]
"""Function from x (n, d) and a tangent u of the parameters to J u (n, O)."""
SPARSE_BELOW = 0.1  # share of nonzero entries below which rows are stored as sparse


def jacobian(model: nn.Module, names: Sequence[str], x: Tensor, by_points: bool = False) -> Tensor:
    """∂f_a(x_i)/∂θ for the named parameters θ: (n, O, P) at x (n, d).

    The reference of this package, in float64. Stores n · O · P numbers. ``by_points`` runs one
    backward pass per point and output instead of a vectorized one.
    """

    def outputs(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        result: Tensor = called_with(model, parameters, point[None])
        return result[0]

    if by_points:
        return torch.stack([torch.stack(list(_rows(model, names, point))) for point in x])
    chosen = {name: model.get_parameter(name).detach() for name in names}
    try:
        with warnings.catch_warnings():
            # Operations without a vmap rule run one by one, with a warning about speed.
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            parts = vmap(jacrev(outputs), in_dims=(None, 0))(chosen, x)
    except (RuntimeError, ValueError, NotImplementedError):
        # Some modules cannot be vectorized (data-dependent branches, custom autograd functions).
        return jacobian(model, names, x, by_points=True)
    rows = torch.cat([_real(parts[name])[..., None].flatten(2) for name in names], 2).detach()
    # Some torch derivatives are wrong under vmap (cdist), and called_with does not replace
    # parameters that forward reaches other than through their module.
    weights = random_like(x.new_empty(rows.shape[:2]), torch.Generator().manual_seed(0))
    true = _flat(_pulled(model, names, x, weights), names)
    if close(torch.einsum("na,nap->p", weights, rows), true):
        return rows
    return jacobian(model, names, x, by_points=True)


def called_with(model: nn.Module, parameters: Mapping[str, Tensor], x: Tensor) -> Any:
    """model(x) with other values of the named parameters, wherever they are registered.

    ``functional_call`` alone, which ties weights by name, replaces a parameter twice if its module
    has two names, and then restores the substitute instead of the parameter.
    """
    given = {id(model.get_parameter(name)): value for name, value in parameters.items()}
    values = {
        f"{path}.{name}" if path else name: given[id(parameter)]
        for path, module in model.named_modules()  # each module once
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
        if id(parameter) in given
    }
    return functional_call(model, values, (x,), tie_weights=False)


def _rows(model: nn.Module, names: Sequence[str], point: Tensor) -> Iterator[Tensor]:
    """The rows (P,) of the Jacobian at one point (d,), one per output."""
    with trained(model, names) as leaves:
        with torch.enable_grad():
            f = model(point[None])[0].unbind()
        for output in f:
            yield _flat(dict(zip(names, gradients(output, leaves), strict=True)), names)


@contextmanager
def trained(model: nn.Module, names: Sequence[str]) -> Iterator[list[Tensor]]:
    """Yield the named parameters; within the context, only they require gradients.

    These are the parameters themselves, not substitutes for ``called_with``: forward may also
    reach them through a list or (nn.LSTM) through references of its own.
    """
    everything = dict(model.named_parameters())
    before = {parameter: parameter.requires_grad for parameter in everything.values()}
    for parameter in before:
        parameter.requires_grad_(False)
    try:
        yield [everything[name].requires_grad_() for name in names]
    finally:
        for parameter, required in before.items():
            parameter.requires_grad_(required)


def gradients(
    f: Tensor, leaves: Sequence[Tensor], v: Tensor | None = None, **options: bool
) -> list[Tensor]:
    """The gradient of f, or of f · v, for each leaf; zero if f does not depend on it."""
    if not f.requires_grad or not leaves:
        return [torch.zeros_like(leaf) for leaf in leaves]
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True} | options
    try:
        found = torch.autograd.grad(f, leaves, v, **options)
    except RuntimeError as error:
        raise NtkError(f"the model cannot be differentiated: {error}") from error
    return [dense(grad) for grad in found]


def dense(grad: Tensor) -> Tensor:
    """A gradient as a dense tensor; that of ``nn.Embedding(sparse=True)`` is sparse."""
    return grad.to_dense() if grad.is_sparse else grad


def close(predicted: Tensor, true: Tensor) -> bool:
    """Whether a predicted gradient equals the true one, up to rounding."""
    scale = true.abs().max() if true.numel() else 0.0
    limit = 1e5 * torch.finfo(true.dtype).eps * scale
    return bool(((predicted - true).abs() <= limit).all())


def random_like(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, the same in every precision and on every device."""
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)


def _real(values: Tensor) -> Tensor:
    return torch.view_as_real(values) if values.is_complex() else values


def _flat(values: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
    """All named values as one vector (P,) of real numbers."""
    return torch.cat([_real(values[name]).flatten() for name in names])


def _pulled(model: nn.Module, names: Sequence[str], x: Tensor, v: Tensor) -> dict[str, Tensor]:
    """Jᵀ v over the named parameters, for v (N, O) at x (N, d)."""
    with trained(model, names) as leaves:
        total = [torch.zeros_like(leaf) for leaf in leaves]
        for part in chunks(len(x), CHUNK):
            with torch.enable_grad():
                f = model(x[part])
            for sum_, grad in zip(
                total, gradients(f, leaves, v[part], retain_graph=False), strict=True
            ):
                sum_ += grad
    return dict(zip(names, total, strict=True))


class AutogradProducts:
    """Products K v = J (Jᵀ v) over the named parameters at x (N, d), with O outputs.

    Each product takes one reverse-mode and one forward-mode pass; nothing is stored. With
    ``rates`` it is J D Jᵀ v, where D holds the learning rates of parameters, 1 for the others.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        names: Iterable[str],
        out_dim: int,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self.x, self.points, self.out_dim = model, x, len(x), out_dim
        self.outputs = out_dim
        """Number of outputs of the kernel: O, or 1 for the trace kernel."""
        self.names, self.rates = sorted(names), rates or {}
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
        # The trace kernel's product is the mean over outputs of one product each.
        total = torch.zeros_like(v)
        for a, one in enumerate(torch.eye(self.out_dim, dtype=v.dtype, device=v.device)):
            pulled = _pulled(self.model, self.names, self.x, v * one)
            total += self._push(pulled)[:, a : a + 1]
        return total / self.out_dim

    def _push(self, tangent: dict[str, Tensor]) -> Tensor:
        """J D u for a tangent u of all parameters: (N, O)."""
        scaled = {name: self.rates[name] * tangent[name] for name in self.rates}
        return self._pushed_by(self._verified_push, tangent | scaled)

    def _pushed_by(self, push: Push, tangent: dict[str, Tensor]) -> Tensor:
        return torch.cat([push(self.x[part], tangent) for part in chunks(len(self.x), CHUNK)])

    @cached_property
    def _verified_push(self) -> Push:
        """The fastest method of computing J u that agrees with reverse mode.

        Forward mode disagrees if the model's forward uses no_grad, which stops gradients but not
        tangents. Differentiating twice fails if a backward pass is not differentiable itself.
        """
        generator = torch.Generator().manual_seed(0)
        u = {name: random_like(value, generator) for name, value in self.parameters.items()}
        v = random_like(self.x.new_empty(self.points, self.out_dim), generator)
        pulled = _flat(_pulled(self.model, self.names, self.x, v), self.names)
        for push in (self._forward_mode, self._twice_backward):
            with suppress(NotImplementedError, RuntimeError, NtkError):
                pushed = self._pushed_by(push, u)
                error = float((v * pushed).sum() - pulled @ _flat(u, self.names))
                if abs(error) <= 1e3 * torch.finfo(v.dtype).eps * float(v.norm() * pushed.norm()):
                    return push
        return self._row_by_row

    def _forward_mode(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        with warnings.catch_warnings():
            # torch's forward mode calls a deprecated torch function on first use.
            warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
            df: Tensor = jvp(
                lambda p: called_with(self.model, p, x), (self.parameters,), (tangent,)
            )[1]
            return df

    def _twice_backward(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        """J u as the derivative of (Jᵀ w) · u, which is linear in w."""
        with trained(self.model, self.names) as leaves, torch.enable_grad():
            f = self.model(x)
            w = torch.zeros_like(f, requires_grad=True)
            pulled = dict(zip(self.names, gradients(f, leaves, w, create_graph=True), strict=True))
            return gradients(_flat(pulled, self.names) @ _flat(tangent, self.names), [w])[0]

    def _row_by_row(self, x: Tensor, tangent: dict[str, Tensor]) -> Tensor:
        u = _flat(tangent, self.names)
        rows = (torch.stack(list(_rows(self.model, self.names, point))) for point in x)
        return torch.stack([row @ u for row in rows])


class JacobianTerm(AutogradProducts, Term):
    """J Jᵀ over the named parameters of a model, at points x (N, d) with O outputs.

    Args:
        spare: maximum memory of the stored Jacobian [bytes]; a larger one is recomputed for each
            block of the kernel.
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
        """Rows of J, computed when a matrix is first requested; products do not need them."""
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
    """Rows of a Jacobian: sparse if those of the first chunk are, stored if they fit in memory.

    Columns of parameters on which f depends at no point are left out.
    """

    def __init__(
        self, model: nn.Module, names: Sequence[str], x: Tensor, outputs: int, spare: int
    ) -> None:
        self.model, self.names, self.x, self.outputs = model, names, x, outputs
        weights = random_like(x.new_empty(len(x), outputs), torch.Generator().manual_seed(0))
        # Nonzero gradients of a random combination cancel exactly with probability zero.
        gradient = _flat(_pulled(model, names, x, weights), names)
        self.columns = torch.nonzero(gradient)[:, 0]
        size = outputs * len(self.columns)  # numbers per point
        # Autograd returns gradients of all parameters, even if few columns are kept. If several
        # at once do not fit in the cache, computing one at a time is faster.
        self.by_points = gradient.numel() * x.element_size() > VECTORIZED_BYTES
        longest = size if self.by_points else outputs * gradient.numel()
        self.step = max(1, CHUNK_BYTES // (max(longest, 1) * x.element_size()))
        """Maximum number of points whose dense rows are held at once."""
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
            rows = (row for point in x for row in _rows(self.model, self.names, point))
            return torch.stack([row[self.columns] for row in rows])
        return jacobian(self.model, self.names, x).flatten(0, 1)[:, self.columns]

    def at(self, points: slice) -> Tensor | scipy.sparse.csr_array:
        """The rows (n · O, P) at a range of points."""
        if self.kept is None:
            return self._compute(points)
        return self.kept[points.start * self.outputs : points.stop * self.outputs]


def _sparse(block: Tensor) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(block.cpu().numpy())
