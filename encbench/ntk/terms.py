"""The terms that a kernel is the sum of, each held as factors.

A kernel over points i, j and outputs a, b is a sum of elementwise products of Gram matrices,

    Θ[(i,a),(j,b)] = Σ_terms (A_i · A_j) (G_ia · G_jb).

A term stores the factors A (N, p) and G (N, O, q), or less where one of them is constant, sparse
or separable. It can add itself to a tile of the kernel, and multiply a vector without the matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

CHUNK = 4096  # points of one product


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
    """One summand of the kernel, for N points and O outputs."""

    whole_rows = False
    """Whether the ``add_`` methods are faster on a whole strip of rows than tile by tile."""

    @abstractmethod
    def add_trace(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        """Add the mean over outputs to tile (n_rows, n_cols)."""

    @abstractmethod
    def add_full(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        """Add to tile (O, O, n_rows, n_cols), a view with any strides."""

    @abstractmethod
    def apply(self, v: Tensor) -> Tensor:
        """The full kernel's product with v (N, O), linear in N."""

    @abstractmethod
    def apply_trace(self, v: Tensor) -> Tensor:
        """The trace kernel's product with v (N,), linear in N."""


def _gram(a: Tensor, rows: slice, cols: slice, work: Workspace, slot: str) -> Tensor:
    left, right = a[rows], a[cols]
    return torch.mm(left, right.t(), out=work.take(slot, len(left), len(right), a))


class Product(Term):
    """(A Aᵀ) ∘ (G Gᵀ) with dense factors: a layer, or a grid with few vertices.

    Args:
        a: (N, p).
        g: (N, O, q), contiguous.
    """

    def __init__(self, a: Tensor, g: Tensor) -> None:
        self.a, self.g = a, g

    def add_trace(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a, rows, cols, work, "a")
        right = _gram(self.g.flatten(1), rows, cols, work, "g")
        tile.addcmul_(left, right, value=1.0 / self.g.shape[1])

    def add_full(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a, rows, cols, work, "a")
        outputs = self.g.shape[1]
        for a in range(outputs):
            for b in range(outputs):
                g = work.take("g", len(left), left.shape[1], left)
                torch.mm(self.g[rows, a], self.g[cols, b].t(), out=g)
                tile[a, b].addcmul_(left, g)

    def apply(self, v: Tensor) -> Tensor:
        pulled = torch.zeros(self.g.shape[2], self.a.shape[1], dtype=v.dtype, device=v.device)
        for part in chunks(len(v), CHUNK):
            pulled.addmm_(_weighted(self.g[part], v[part]).t(), self.a[part])
        out = torch.empty_like(v)
        for part in chunks(len(v), CHUNK):
            pushed = self.a[part] @ pulled.t()  # (n, q)
            out[part] = torch.matmul(self.g[part], pushed[:, :, None])[:, :, 0]
        return out

    def apply_trace(self, v: Tensor) -> Tensor:
        columns = [
            Product(self.a, self.g[:, a : a + 1]).apply(v[:, None]) for a in range(self.g.shape[1])
        ]
        return torch.cat(columns, 1).mean(1)


class SeparableProduct(Term):
    """(A Aᵀ) ∘ (G Gᵀ) where G[i, a, k] = M[i, k] · C[a, k], as behind a last hidden layer.

    Args:
        a: (N, p).
        m: (N, q).
        c: (O, q).
    """

    def __init__(self, a: Tensor, m: Tensor, c: Tensor) -> None:
        self.a, self.m, self.c = a, m, c
        self.energy = c.square().mean(0)  # (q,), mean over outputs

    def add_trace(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a, rows, cols, work, "a")
        right = work.take("g", len(left), left.shape[1], left)
        torch.mm(self.m[rows] * self.energy, self.m[cols].t(), out=right)
        tile.addcmul_(left, right)

    def add_full(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a, rows, cols, work, "a")
        for a in range(len(self.c)):
            for b in range(a + 1):
                g = work.take("g", len(left), left.shape[1], left)
                torch.mm(self.m[rows] * (self.c[a] * self.c[b]), self.m[cols].t(), out=g)
                tile[a, b].addcmul_(left, g)
                if a != b:
                    tile[b, a].addcmul_(left, g)

    def apply(self, v: Tensor) -> Tensor:
        pulled = torch.zeros(self.m.shape[1], self.a.shape[1], dtype=v.dtype, device=v.device)
        for part in chunks(len(v), CHUNK):
            pulled.addmm_((self.m[part] * (v[part] @ self.c)).t(), self.a[part])
        out = torch.empty_like(v)
        for part in chunks(len(v), CHUNK):
            out[part] = (self.m[part] * (self.a[part] @ pulled.t())) @ self.c.t()
        return out

    def apply_trace(self, v: Tensor) -> Tensor:
        return Product(self.a, (self.m * self.energy.sqrt())[:, None]).apply(v[:, None])[:, 0]


class ConstantGradient(Term):
    """(A Aᵀ) C with C[a, b] = G_a · G_b the same for all points, as in the output layer.

    Args:
        a: (N, p).
        c: (O, O).
    """

    def __init__(self, a: Tensor, c: Tensor) -> None:
        self.a, self.c = a, c
        self.mean = float(c.diagonal().mean())

    def add_trace(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        tile.addmm_(self.a[rows], self.a[cols].t(), alpha=self.mean)

    def add_full(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        left = _gram(self.a, rows, cols, work, "a")
        for a, b in torch.nonzero(self.c).tolist():
            tile[a, b].add_(left, alpha=float(self.c[a, b]))

    def apply(self, v: Tensor) -> Tensor:
        return self.a @ (self.a.t() @ v) @ self.c

    def apply_trace(self, v: Tensor) -> Tensor:
        return self.a @ (self.a.t() @ v) * self.mean


class SparseProduct(Term):
    """(S Sᵀ) ∘ (G Gᵀ) with a sparse S: a grid whose vertices are each shared by few points.

    S Sᵀ is computed on the CPU; G Gᵀ only where S Sᵀ is not zero.

    Args:
        s: (N, vertices), duplicate entries already summed.
        g: (N, O, width).
    """

    whole_rows = True

    def __init__(self, s: scipy.sparse.csr_array, g: Tensor) -> None:
        self.s, self.g = s, g
        self.transposed = s.T.tocsr()

    def _nonzeros(self, rows: slice, cols: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Row and column within the tile, and value, of the nonzeros of S Sᵀ."""
        strip = (self.s[rows] @ self.transposed[:, cols]).tocoo()
        device = self.g.device
        return (
            torch.from_numpy(strip.row.astype(np.int64)).to(device),
            torch.from_numpy(strip.col.astype(np.int64)).to(device),
            torch.from_numpy(strip.data).to(device),
        )

    def add_trace(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        i, j, value = self._nonzeros(rows, cols)
        g = self.g.flatten(1)
        for part in chunks(len(i), 1 << 18):
            dots = (g[rows][i[part]] * g[cols][j[part]]).sum(1)
            # Every (i, j) occurs once, so plain assignment adds correctly.
            tile[i[part], j[part]] += value[part] * dots / self.g.shape[1]

    def add_full(self, tile: Tensor, rows: slice, cols: slice, work: Workspace) -> None:
        i, j, value = self._nonzeros(rows, cols)
        for part in chunks(len(i), 1 << 16):
            left, right = self.g[rows][i[part]], self.g[cols][j[part]]  # (n, O, width)
            dots = torch.matmul(left, right.transpose(1, 2)) * value[part, None, None]
            for a in range(self.g.shape[1]):
                for b in range(self.g.shape[1]):
                    tile[a, b, i[part], j[part]] += dots[:, a, b]

    def apply(self, v: Tensor) -> Tensor:
        pulled = self.transposed @ _weighted(self.g, v).cpu().numpy()  # (vertices, width)
        pushed = torch.from_numpy(self.s @ pulled).to(v.device)
        return torch.matmul(self.g, pushed[:, :, None])[:, :, 0]

    def apply_trace(self, v: Tensor) -> Tensor:
        flat = self.g.flatten(1)
        pulled = self.transposed @ (flat * v[:, None]).cpu().numpy()  # (vertices, O · width)
        pushed = torch.from_numpy(self.s @ pulled).to(v.device)
        return (flat * pushed).sum(1) / self.g.shape[1]


def _weighted(g: Tensor, v: Tensor) -> Tensor:
    """Σ_a v[i, a] g[i, a]: (n, q)."""
    return torch.matmul(v[:, None, :], g)[:, 0]
