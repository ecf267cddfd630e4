"""The terms whose sum is a kernel, each stored as factors.

A kernel over points i, j and outputs a, b is a sum of elementwise products of Gram matrices,

    Θ[(i,a),(j,b)] = Σ_terms (A_i · A_j) (G_ia · G_jb).

A term stores the factors A (N, p) and G (N, O, q), or less if one of them is constant, sparse or
separable. ``Term`` adds itself to a tile of the kernel; ``Factors`` multiplies a vector without
forming the matrix. The trace kernel, the mean over a of the blocks (a, a), is also such a sum,
with G (N, 1, O·q).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from itertools import product
from typing import Literal, Self, get_args

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch.nn import functional

Outputs = Literal["trace", "full"]
OUTPUTS: tuple[str, ...] = get_args(Outputs)
STRIP_BYTES = 1 << 29  # maximum size of a dense strip of a table's interpolation matrix


def chunks(stop: int, size: int, start: int = 0) -> list[slice]:
    """The range start … stop, cut into slices of at most ``size``."""
    return [slice(at, min(at + size, stop)) for at in range(start, stop, size)]


class Workspace:
    """Scratch matrices, allocated once and reused from tile to tile."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def take(self, slot: str, rows: int, columns: int, like: Tensor) -> Tensor:
        """An uninitialized (rows, columns) matrix, which overwrites the slot's previous one."""
        held = self._held.get(slot)
        if held is None or held.numel() < rows * columns:
            held = self._held[slot] = torch.empty(
                rows * columns, dtype=like.dtype, device=like.device
            )
        return held[: rows * columns].view(rows, columns)


class Term(ABC):
    """One summand of the full kernel, for N points and O outputs."""

    whole_rows = False
    """Whether ``add`` is faster on a whole strip of rows than tile by tile."""

    @abstractmethod
    def traced(self) -> Term:
        """The summand of the trace kernel: a term of one output."""

    @abstractmethod
    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        """Add to tile (O, O, n_rows, n_cols), a view with any strides."""


class Factors(ABC):
    """The Jacobian J of one layer or table at n points as factors, for products with J and Jᵀ.

    K v is ``push``, at each point, of the sum of ``pull`` over all points. The factors at two sets
    of points may be stored in different forms; the total that ``pull`` adds to may not.
    """

    @abstractmethod
    def traced(self) -> Factors:
        """The factors of the trace kernel, for one output."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Shape of the total that ``pull`` adds to: (outputs of the layer, its inputs)."""

    @abstractmethod
    def pull(self, v: Tensor, total: Tensor) -> None:
        """Add Jᵀ v to total, for v (n, O)."""

    @abstractmethod
    def push(self, total: Tensor) -> Tensor:
        """J total: (n, O)."""


def _gram(left: Tensor, right: Tensor, work: Workspace, slot: str) -> Tensor:
    return torch.mm(left, right.t(), out=work.take(slot, len(left), len(right), left))


class OfOutputs:
    """A term with gradients G (N, O, q), which the trace kernel concatenates to (N, 1, O·q).

    The sum is divided by ``divisor``: O for the trace kernel, else 1.
    """

    g: Tensor
    divisor = 1

    def traced(self) -> Self:
        chosen = copy.copy(self)
        chosen.g, chosen.divisor = self.g.flatten(1)[:, None], self.g.shape[1]
        return chosen


class Product(OfOutputs, Term, Factors):
    """(A Aᵀ) ∘ (G Gᵀ) / divisor with dense factors: a layer, or a grid with few vertices.

    Args:
        a: (N, p).
        g: (N, O, q), contiguous.
    """

    def __init__(self, a: Tensor, g: Tensor) -> None:
        self.a, self.g = a, g

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a[rows], self.a[cols], work, "a")
        for a, b in product(range(self.g.shape[1]), repeat=2):
            right = _gram(self.g[rows, a], self.g[cols, b], work, "g")
            tile[a, b].addcmul_(left, right, value=1.0 / self.divisor)

    @property
    def shape(self) -> tuple[int, int]:
        return self.g.shape[2], self.a.shape[1]

    def pull(self, v: Tensor, total: Tensor) -> None:
        total.addmm_(_weighted(self.g, v).t(), self.a)

    def push(self, total: Tensor) -> Tensor:
        return _applied(self.g, self.a @ total.t()) / self.divisor


class SeparableProduct(Term, Factors):
    """(A Aᵀ) ∘ (G Gᵀ) with G[i, a, k] = M[i, k] · C[a, k], as for the last hidden layer.

    Args:
        a: (N, p).
        m: (N, q).
        c: (O, q).
    """

    def __init__(self, a: Tensor, m: Tensor, c: Tensor) -> None:
        self.a, self.m, self.c = a, m, c
        self.pairs = c[:, None] * c  # (O, O, q)

    def traced(self) -> TracedSeparableProduct:
        return TracedSeparableProduct(self.a, self.m, self.c)

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a[rows], self.a[cols], work, "a")
        for a in range(len(self.pairs)):
            for b in range(a + 1):
                right = _gram(self.m[rows] * self.pairs[a, b], self.m[cols], work, "g")
                tile[a, b].addcmul_(left, right)
                if a != b:
                    tile[b, a].addcmul_(left, right)

    @property
    def shape(self) -> tuple[int, int]:
        return self.m.shape[1], self.a.shape[1]

    def pull(self, v: Tensor, total: Tensor) -> None:
        total.addmm_((self.m * (v @ self.c)).t(), self.a)

    def push(self, total: Tensor) -> Tensor:
        return (self.m * (self.a @ total.t())) @ self.c.t()


class TracedSeparableProduct(SeparableProduct):
    """The term of the trace kernel: one product with the mean of C[a, k]² over the outputs a."""

    def __init__(self, a: Tensor, m: Tensor, c: Tensor) -> None:
        self.a, self.m, self.c = a, m, c
        self.pairs = c.square().mean(0)[None, None]

    @property
    def shape(self) -> tuple[int, int]:
        return self.c.numel(), self.a.shape[1]

    def pull(self, v: Tensor, total: Tensor) -> None:
        one = (self.m * v).t() @ self.a  # (q, p)
        total.view(*self.c.shape, -1).addcmul_(self.c[:, :, None], one)

    def push(self, total: Tensor) -> Tensor:
        weighted = total.view(*self.c.shape, -1) * self.c[:, :, None]
        return (self.m * (self.a @ weighted.mean(0).t())).sum(1, keepdim=True)


class ConstantGradient(Term, Factors):
    """(A Aᵀ) C with C[a, b] = G_a · G_b the same for all points, as in the output layer.

    Args:
        a: (N, p).
        g: (O, q).
    """

    def __init__(self, a: Tensor, g: Tensor, divisor: int = 1) -> None:
        self.a, self.g, self.divisor = a, g, divisor
        self.c = g @ g.t() / divisor

    def traced(self) -> ConstantGradient:
        return ConstantGradient(self.a, self.g.flatten()[None], len(self.g))

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        if len(self.c) == 1:  # without a pass over another matrix
            tile[0, 0].addmm_(self.a[rows], self.a[cols].t(), alpha=float(self.c))
            return
        left = _gram(self.a[rows], self.a[cols], work, "a")
        for a, b in torch.nonzero(self.c).tolist():
            tile[a, b].add_(left, alpha=float(self.c[a, b]))

    @property
    def shape(self) -> tuple[int, int]:
        return self.g.shape[1], self.a.shape[1]

    def pull(self, v: Tensor, total: Tensor) -> None:
        total.addmm_(self.g.t(), v.t() @ self.a)

    def push(self, total: Tensor) -> Tensor:
        return self.a @ (self.g @ total).t() / self.divisor


class ComplexProduct(Product):
    """Re((G_ia · Ḡ_jb) (Ā_i · A_j)) / divisor: a complex layer with parameters Re W and Im W.

    With autograd's gradient G = ∂f/∂Re h + j ∂f/∂Im h of a real f, that of W is Gᵀ Ā.

    Args:
        a: (N, p) complex.
        g: (N, O, q) complex.
    """

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = self.a[rows].conj() @ self.a[cols].t()
        for a, b in product(range(self.g.shape[1]), repeat=2):
            right = self.g[rows, a] @ self.g[cols, b].mH
            tile[a, b].add_((left * right).real, alpha=1.0 / self.divisor)

    @property
    def shape(self) -> tuple[int, int]:
        return self.g.shape[2], 2 * self.a.shape[1]

    def pull(self, v: Tensor, total: Tensor) -> None:
        pulled = _weighted(self.g, v.to(self.g)).t() @ self.a.conj()
        total.add_(torch.view_as_real(pulled.resolve_conj()).flatten(1))

    def push(self, total: Tensor) -> Tensor:
        weight = torch.view_as_complex(total.view(len(total), -1, 2))
        return _applied(self.g.conj(), self.a @ weight.t()).real / self.divisor


class SparseProduct(OfOutputs, Term):
    """(S Sᵀ) ∘ (G Gᵀ) / divisor with a sparse S: a grid with few points per vertex.

    For a CPU: G Gᵀ is computed only where S Sᵀ is not zero.

    Args:
        s: (N, vertices), duplicate entries already summed.
        g: (N, O, width).
    """

    whole_rows = True

    def __init__(self, s: scipy.sparse.csr_array, g: Tensor) -> None:
        self.s, self.g = s, g
        self.transposed = s.T.tocsr()

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        strip = (self.s[rows] @ self.transposed[:, cols]).tocoo()
        i, j, value = (
            torch.from_numpy(array).to(self.g.device)
            for array in (strip.row.astype(np.int64), strip.col.astype(np.int64), strip.data)
        )
        outputs = self.g.shape[1]
        for part in chunks(len(i), 1 << 16):
            left, right = self.g[rows][i[part]], self.g[cols][j[part]]  # (n, O, width)
            if outputs == 1:  # faster than products of one-row matrices
                dots = (left * right).sum(2, keepdim=True)
            else:
                dots = torch.matmul(left, right.transpose(1, 2))
            dots = value[part, None, None] * dots / self.divisor
            for a, b in product(range(outputs), repeat=2):
                # Every (i, j) occurs once, so plain assignment adds correctly.
                tile[a, b, i[part], j[part]] += dots[:, a, b]


class ScatteredProduct(OfOutputs, Term):
    """``SparseProduct`` for a GPU, which multiplies zeros faster than it finds nonzero entries.

    A strip of S Sᵀ is summed from the columns of a dense strip of S.

    Args:
        vertices: (N, m) int64; weights of a vertex that occurs twice at one point are added.
        weights: (N, m).
        count: number of vertices.
        g: (N, O, width).
    """

    whole_rows = True

    def __init__(self, vertices: Tensor, weights: Tensor, count: int, g: Tensor) -> None:
        self.vertices, self.weights, self.count, self.g = vertices, weights, count, g

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        most = max(1, STRIP_BYTES // (self.count * self.g.element_size()))
        for part in chunks(rows.stop, most, rows.start):
            points = part.stop - part.start
            strip = work.take("s", self.count, points, self.g).zero_()
            places = self.vertices[part] * points
            places += torch.arange(points, device=places.device)[:, None]
            strip.view(-1).scatter_add_(0, places.flatten(), self.weights[part].flatten())
            left = functional.embedding_bag(
                self.vertices[cols], strip, per_sample_weights=self.weights[cols], mode="sum"
            )  # (n_cols, points)
            within = tile[:, :, part.start - rows.start : part.stop - rows.start]
            for a, b in product(range(self.g.shape[1]), repeat=2):
                right = _gram(self.g[cols, b], self.g[part, a], work, "g")
                within[a, b].t().addcmul_(left, right, value=1.0 / self.divisor)


class TableFactors(OfOutputs, Factors):
    """A table read at ``rows`` with ``weights``, whose features have the gradients G.

    Args:
        rows: (n, m) int64; weights of a row that occurs twice at one point are added.
        weights: (n, m).
        g: (n, O, width).
        num_rows: number of rows of the whole table.
    """

    def __init__(self, rows: Tensor, weights: Tensor, g: Tensor, num_rows: int) -> None:
        self.rows, self.weights, self.g, self.num_rows = rows, weights, g, num_rows

    @property
    def shape(self) -> tuple[int, int]:
        return self.num_rows, self.g.shape[2]

    def pull(self, v: Tensor, total: Tensor) -> None:
        values = self.weights[:, :, None] * _weighted(self.g, v)[:, None]
        total.index_add_(0, self.rows.flatten(), values.flatten(0, 1))

    def push(self, total: Tensor) -> Tensor:
        read = functional.embedding_bag(
            self.rows, total, per_sample_weights=self.weights, mode="sum"
        )
        return _applied(self.g, read) / self.divisor


def _weighted(g: Tensor, v: Tensor) -> Tensor:
    """Σ_a v[i, a] g[i, a]: (n, q)."""
    return torch.matmul(v[:, None, :], g)[:, 0]


def _applied(g: Tensor, h: Tensor) -> Tensor:
    """g[i, a] · h[i]: (n, O)."""
    return torch.matmul(g, h[:, :, None])[:, :, 0]
