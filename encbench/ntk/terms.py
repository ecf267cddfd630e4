"""The terms that a kernel is the sum of, each held as factors.

A kernel over points i, j and outputs a, b is a sum of elementwise products of Gram matrices,

    Θ[(i,a),(j,b)] = Σ_terms (A_i · A_j) (G_ia · G_jb).

A term stores the factors A (N, p) and G (N, O, q), or less where one of them is constant, sparse
or separable. It can add itself to a tile of the kernel, and multiply a vector without the matrix.
The trace kernel, the mean over a of the blocks (a, a), is such a sum, too, with G (N, 1, O·q).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import product
from typing import Literal, get_args

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

CHUNK = 4096  # points of one product
Outputs = Literal["trace", "full"]
OUTPUTS: tuple[str, ...] = get_args(Outputs)


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

    @abstractmethod
    def apply(self, v: Tensor) -> Tensor:
        """The kernel's product with v (N, O), linear in N."""


def _gram(left: Tensor, right: Tensor, work: Workspace, slot: str) -> Tensor:
    return torch.mm(left, right.t(), out=work.take(slot, len(left), len(right), left))


class Product(Term):
    """(A Aᵀ) ∘ (G Gᵀ) / divisor with dense factors: a layer, or a grid with few vertices.

    Args:
        a: (N, p).
        g: (N, O, q), contiguous.
    """

    def __init__(self, a: Tensor, g: Tensor, divisor: int = 1) -> None:
        self.a, self.g, self.divisor = a, g, divisor

    def traced(self) -> Product:
        return Product(self.a, self.g.flatten(1)[:, None], self.g.shape[1])

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a[rows], self.a[cols], work, "a")
        for a, b in product(range(self.g.shape[1]), repeat=2):
            right = _gram(self.g[rows, a], self.g[cols, b], work, "g")
            tile[a, b].addcmul_(left, right, value=1.0 / self.divisor)

    def apply(self, v: Tensor) -> Tensor:
        pulled = torch.zeros(self.g.shape[2], self.a.shape[1], dtype=v.dtype, device=v.device)
        for part in chunks(len(v), CHUNK):
            pulled.addmm_(_weighted(self.g[part], v[part]).t(), self.a[part])
        out = torch.empty_like(v)
        for part in chunks(len(v), CHUNK):
            pushed = self.a[part] @ pulled.t()  # (n, q)
            out[part] = torch.matmul(self.g[part], pushed[:, :, None])[:, :, 0]
        return out / self.divisor


class SeparableProduct(Term):
    """(A Aᵀ) ∘ (G Gᵀ) where G[i, a, k] = M[i, k] · C[a, k], as behind a last hidden layer.

    Args:
        a: (N, p).
        m: (N, q).
        c: (O, q).
        pairs: (O, O, q), c[a] · c[b], if it is known already.
    """

    def __init__(self, a: Tensor, m: Tensor, c: Tensor, pairs: Tensor | None = None) -> None:
        self.a, self.m, self.c = a, m, c
        self.pairs = c[:, None] * c if pairs is None else pairs

    def traced(self) -> SeparableProduct:
        energy = self.c.square().mean(0)  # (q,)
        return SeparableProduct(self.a, self.m, energy.sqrt()[None], energy[None, None])

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a[rows], self.a[cols], work, "a")
        for a in range(len(self.c)):
            for b in range(a + 1):
                right = _gram(self.m[rows] * self.pairs[a, b], self.m[cols], work, "g")
                tile[a, b].addcmul_(left, right)
                if a != b:
                    tile[b, a].addcmul_(left, right)

    def apply(self, v: Tensor) -> Tensor:
        pulled = torch.zeros(self.m.shape[1], self.a.shape[1], dtype=v.dtype, device=v.device)
        for part in chunks(len(v), CHUNK):
            pulled.addmm_((self.m[part] * (v[part] @ self.c)).t(), self.a[part])
        out = torch.empty_like(v)
        for part in chunks(len(v), CHUNK):
            out[part] = (self.m[part] * (self.a[part] @ pulled.t())) @ self.c.t()
        return out


class ConstantGradient(Term):
    """(A Aᵀ) C with C[a, b] = G_a · G_b the same for all points, as in the output layer.

    Args:
        a: (N, p).
        c: (O, O).
    """

    def __init__(self, a: Tensor, c: Tensor) -> None:
        self.a, self.c = a, c

    def traced(self) -> ConstantGradient:
        return ConstantGradient(self.a, self.c.diagonal().mean().view(1, 1))

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        if len(self.c) == 1:  # without a pass over another matrix
            tile[0, 0].addmm_(self.a[rows], self.a[cols].t(), alpha=float(self.c))
            return
        left = _gram(self.a[rows], self.a[cols], work, "a")
        for a, b in torch.nonzero(self.c).tolist():
            tile[a, b].add_(left, alpha=float(self.c[a, b]))

    def apply(self, v: Tensor) -> Tensor:
        return self.a @ (self.a.t() @ v) @ self.c


class SparseProduct(Term):
    """(S Sᵀ) ∘ (G Gᵀ) / divisor with a sparse S: a grid whose vertices few points share.

    S Sᵀ is computed on the CPU; G Gᵀ only where S Sᵀ is not zero.

    Args:
        s: (N, vertices), duplicate entries already summed.
        g: (N, O, width).
    """

    whole_rows = True

    def __init__(self, s: scipy.sparse.csr_array, g: Tensor, divisor: int = 1) -> None:
        self.s, self.g, self.divisor = s, g, divisor
        self.transposed = s.T.tocsr()

    def traced(self) -> SparseProduct:
        return SparseProduct(self.s, self.g.flatten(1)[:, None], self.g.shape[1])

    def add(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        strip = (self.s[rows] @ self.transposed[:, cols]).tocoo()
        i, j, value = (
            torch.from_numpy(array).to(self.g.device)
            for array in (strip.row.astype(np.int64), strip.col.astype(np.int64), strip.data)
        )
        outputs = self.g.shape[1]
        for part in chunks(len(i), 1 << 16):
            left, right = self.g[rows][i[part]], self.g[cols][j[part]]  # (n, O, width)
            if outputs == 1:  # faster than a product of matrices of one row
                dots = (left * right).sum(2, keepdim=True)
            else:
                dots = torch.matmul(left, right.transpose(1, 2))
            dots = value[part, None, None] * dots / self.divisor
            for a, b in product(range(outputs), repeat=2):
                # Every (i, j) occurs once, so plain assignment adds correctly.
                tile[a, b, i[part], j[part]] += dots[:, a, b]

    def apply(self, v: Tensor) -> Tensor:
        pulled = self.transposed @ _weighted(self.g, v).cpu().numpy()  # (vertices, width)
        pushed = torch.from_numpy(self.s @ pulled).to(v.device)
        return torch.matmul(self.g, pushed[:, :, None])[:, :, 0] / self.divisor


def _weighted(g: Tensor, v: Tensor) -> Tensor:
    """Σ_a v[i, a] g[i, a]: (n, q)."""
    return torch.matmul(v[:, None, :], g)[:, 0]
