"""Lanczos' three-term recurrence with full reorthogonalization, for products without a matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

__all__ = ["Tridiagonal", "lanczos", "largest_eigenvalue"]

Product = Callable[[np.ndarray], np.ndarray]
"""(M,) float64 to (M,): v to K v."""


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """Qᵀ K Q = T after m steps from a start vector; see ``nodes``."""

    diagonal: np.ndarray
    """(m,)"""
    off: np.ndarray
    """(m − 1,)"""
    last: float
    """Norm of the residual: the off-diagonal entry that would come next."""
    norm: float
    """‖start‖."""

    def nodes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ritz values, Gauss weights and error bounds, (m,) each, ascending in the values.

        startᵀ f(K) start ≈ norm² Σ weights · f(values); within its bound of each Ritz value lies
        an eigenvalue.
        """
        values, vectors = scipy.linalg.eigh_tridiagonal(self.diagonal, self.off)
        return values, vectors[0] ** 2, np.abs(self.last * vectors[-1])


def lanczos(
    product: Product,
    start: np.ndarray,
    steps: int,
    stop: Callable[[Tridiagonal], bool] | None = None,
) -> Tridiagonal:
    """At most ``steps`` steps from ``start`` (M,); fewer where the space is exhausted.

    Orthogonality is restored twice at each step, without which copies of converged values would
    appear. Holds steps · M numbers. ``stop`` is asked after each step.
    """
    norm = float(np.linalg.norm(start))
    steps = min(steps, len(start))
    basis = np.empty((steps, len(start)))
    basis[0] = start / norm
    diagonal: list[float] = []
    off: list[float] = []
    for k in range(steps):
        w = product(basis[k])
        diagonal.append(float(basis[k] @ w))
        for _ in range(2):
            w = w - basis[: k + 1].T @ (basis[: k + 1] @ w)
        last = float(np.linalg.norm(w))
        found = Tridiagonal(np.array(diagonal), np.array(off), last, norm)
        exhausted = last <= len(start) * np.finfo(float).eps * max(map(abs, diagonal))
        if k + 1 == steps or exhausted or (stop is not None and stop(found)):
            return found
        off.append(last)
        basis[k + 1] = w / last
    raise AssertionError("the last step returns")


def largest_eigenvalue(
    product: Product, size: int, tolerance: float = 1e-6, steps: int = 200
) -> float:
    """λ_max of a positive semi-definite K (size, size), to the relative tolerance, from above.

    The largest Ritz value bounds λ_max from below; its error bound is added, so that what is
    derived from it (a stable learning rate) errs on the safe side.
    """

    def settled(found: Tridiagonal) -> bool:
        values, _, bounds = found.nodes()
        return bool(bounds[-1] <= tolerance * values[-1])

    # A fixed start: the same kernel always gives the same number.
    start = np.random.default_rng(0).standard_normal(size)
    values, _, bounds = lanczos(product, start, steps, settled).nodes()
    return float(values[-1] + bounds[-1])
