"""Lanczos' three-term recurrence with full reorthogonalization, on the device of its vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

INVERSE_STEPS = 150  # maximum number; more would take as long as computing all eigenvalues

Product = Callable[[Tensor], Tensor]
"""Function from v (M,) to K v (M,), of the same dtype and on the same device."""


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """T = Qᵀ K Q after m Lanczos steps from a start vector."""

    diagonal: np.ndarray
    """(m,)"""
    off: np.ndarray
    """(m − 1,) off-diagonal entries."""
    last: float
    """Norm of the residual: the next off-diagonal entry."""
    norm: float
    """‖start‖."""
    size: int
    """M, number of rows of K."""

    def nodes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ritz values, Gauss weights and error bounds, (m,) each, ascending in the values.

        startᵀ f(K) start ≈ norm² Σ weights · f(values). An eigenvalue of K lies within its bound
        of each Ritz value.
        """
        values, vectors = scipy.linalg.eigh_tridiagonal(self.diagonal, self.off)
        return values, vectors[0] ** 2, np.abs(self.last * vectors[-1])

    def nodes_with_zero(self) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Radau nodes, one fixed at 0, and weights of a positive semi-definite K, (m + 1,).

        If the derivatives of f alternate in sign, as those of e^(−λt) do, Gauss nodes give a lower
        and these an upper bound of startᵀ f(K) start. If rounding made a Ritz value negative, the
        fixed node lies below that value.

        Source: Golub, Meurant, "Matrices, Moments and Quadrature", 2010, section 6.2.
        """
        values, vectors = scipy.linalg.eigh_tridiagonal(self.diagonal, self.off)
        rounding = np.finfo(float).eps * values[-1]
        fixed = 0.0 if values[0] > rounding else values[0] - rounding
        corner = fixed + self.last**2 * (vectors[-1] ** 2 / (values - fixed)).sum()
        values, vectors = scipy.linalg.eigh_tridiagonal(
            np.append(self.diagonal, corner), np.append(self.off, self.last)
        )
        return values, vectors[0] ** 2


def random_start(size: int, device: torch.device) -> Tensor:
    """A fixed random start vector (size,) float64, so that equal kernels give equal results."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal(size)).to(device)


def lanczos(
    product: Product,
    start: Tensor,
    steps: int,
    stop: Callable[[Tridiagonal], bool] | None = None,
) -> Tridiagonal:
    """Run at most ``steps`` steps from ``start`` (M,); fewer if the Krylov space is exhausted.

    The basis is reorthogonalized twice at each step; otherwise copies of converged values would
    appear. Stores steps · M numbers. Ends early if ``stop``, called after each step, returns True.
    """
    norm = float(start.norm())
    steps = min(steps, len(start))
    basis = start.new_empty(steps, len(start))
    basis[0] = start / norm
    diagonal: list[float] = []
    off: list[float] = []
    for k in range(steps):
        w = product(basis[k])
        diagonal.append(float(basis[k] @ w))
        for _ in range(2):
            w = w - basis[: k + 1].t() @ (basis[: k + 1] @ w)
        last = float(w.norm())
        found = Tridiagonal(np.array(diagonal), np.array(off), last, norm, len(start))
        exhausted = last <= len(start) * np.finfo(float).eps * max(map(abs, diagonal))
        if k + 1 == steps or exhausted or (stop is not None and stop(found)):
            return found
        off.append(last)
        basis[k + 1] = w / last
    raise AssertionError("the last step returns")


def largest_eigenvalue(
    product: Product,
    size: int,
    device: torch.device,
    tolerance: float = 1e-6,
    steps: int = 200,
) -> float:
    """λ_max of a positive semi-definite K (size, size), to the relative tolerance, from above.

    The largest Ritz value is a lower bound of λ_max; its error bound is added, so that a learning
    rate derived from it is too small rather than too large.
    """

    def settled(found: Tridiagonal) -> bool:
        values, _, bounds = found.nodes()
        return bool(bounds[-1] <= tolerance * values[-1])

    values, _, bounds = lanczos(product, random_start(size, device), steps, settled).nodes()
    return float(values[-1] + bounds[-1])


def smallest_eigenvalue(matrix: Tensor, accuracy: float) -> float | None:
    """λ_min of a positive semi-definite matrix (M, M) float64, to an absolute accuracy.

    1 / (λ_min + s) is the largest eigenvalue of the inverse of matrix + s · I, which is applied
    through a Cholesky factor. The shift s = accuracy allows for matrices that rounding has made
    slightly indefinite. Takes at most a third of the time of computing all eigenvalues.

    Args:
        accuracy: at least a few eps · λ_max.

    Returns:
        None if the shifted matrix has no Cholesky factor, or the iteration does not converge.
    """
    shifted = matrix.clone()
    shifted.diagonal().add_(accuracy)
    lower, failed = torch.linalg.cholesky_ex(shifted)
    del shifted
    if int(failed):
        return None

    def inverse(v: Tensor) -> Tensor:
        half = torch.linalg.solve_triangular(lower, v[:, None], upper=False)
        whole: Tensor = torch.linalg.solve_triangular(lower.mT, half, upper=True)
        return whole[:, 0]

    def settled(found: Tridiagonal) -> bool:
        values, _, bounds = found.nodes()
        # The error of a Ritz value is at most its bound, and at most bound² / gap.
        gap = values[-1] - values[-2] if len(values) > 1 else 0.0
        error = bounds[-1] * min(1.0, bounds[-1] / gap) if gap > 0 else bounds[-1]
        return bool(error <= 0.1 * accuracy * values[-1] ** 2)

    found = lanczos(inverse, random_start(len(matrix), matrix.device), INVERSE_STEPS, settled)
    return float(1.0 / found.nodes()[0][-1]) - accuracy if settled(found) else None
