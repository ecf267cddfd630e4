"""The kernel as a linear operator: products K v without forming K, and what follows from them.

Products alone give the leading eigenvalues and the spectral density, at hundreds of thousands of
points, by Lanczos' three-term recurrence with full reorthogonalization.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from encbench.device import available_memory
from encbench.errors import NtkError, ParameterError
from encbench.ntk.autograd import AutogradProducts
from encbench.ntk.capture import KernelTerms, capture
from encbench.ntk.model import check_choice, working_copy
from encbench.ntk.structure import find_structure
from encbench.ntk.terms import OUTPUTS, Outputs

MatVec = Callable[[np.ndarray], np.ndarray]
"""v (M,) float64 to K v (M,)."""

CACHE_SHARE = 0.3  # of the free memory that stored factors may take


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """T = Qᵀ K Q after m Lanczos steps from a start vector."""

    diagonal: np.ndarray
    """(m,)"""
    off: np.ndarray
    """(m − 1,)"""
    last: float
    """Norm of the residual: the next off-diagonal entry."""
    norm: float
    """‖start‖."""

    def nodes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ritz values, Gauss weights and error bounds, (m,) each, ascending in the values.

        startᵀ f(K) start ≈ norm² Σ weights · f(values). An eigenvalue of K lies within its bound
        of each Ritz value.
        """
        values, vectors = scipy.linalg.eigh_tridiagonal(self.diagonal, self.off)
        return values, vectors[0] ** 2, np.abs(self.last * vectors[-1])


def lanczos(
    product: MatVec,
    start: np.ndarray,
    steps: int,
    stop: Callable[[Tridiagonal], bool] | None = None,
) -> Tridiagonal:
    """At most ``steps`` steps from ``start`` (M,); fewer where the space is exhausted.

    The basis is reorthogonalized twice at each step; otherwise copies of converged values would
    appear. Stores steps · M numbers. ``stop`` is called after each step.
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
    product: MatVec, size: int, tolerance: float = 1e-6, steps: int = 200
) -> float:
    """λ_max of a positive semi-definite K (size, size), to the relative tolerance, from above.

    The largest Ritz value is a lower bound of λ_max; its error bound is added, so that a learning
    rate derived from it is too small rather than too large.
    """

    def settled(found: Tridiagonal) -> bool:
        values, _, bounds = found.nodes()
        return bool(bounds[-1] <= tolerance * values[-1])

    # A fixed start, so that the same kernel always gives the same number.
    start = np.random.default_rng(0).standard_normal(size)
    values, _, bounds = lanczos(product, start, steps, settled).nodes()
    return float(values[-1] + bounds[-1])


@dataclass(frozen=True, eq=False)
class Leading:
    """The leading eigenpairs, descending."""

    values: np.ndarray
    """(k,)"""
    vectors: np.ndarray
    """(M, k)"""
    bounds: np.ndarray
    """(k,) ‖K v − λ v‖: an eigenvalue of K lies within its bound of each value."""


@dataclass(frozen=True, eq=False)
class Density:
    """An estimate of the distribution of the eigenvalues, from several random start vectors."""

    values: np.ndarray
    """(probes, steps) Ritz values, padded with NaN."""
    weights: np.ndarray
    """(probes, steps) Gauss weights, each row summing to 1; padding 0."""
    size: int
    """M, number of eigenvalues."""
    floor: float
    """1e-9 of the largest value: how many eigenvalues lie below is known, not where."""

    def count_above(self, threshold: float) -> tuple[float, float]:
        """Number of eigenvalues above the threshold: an estimate and its error.

        The error is one standard error over the probes plus the error of the quadrature, which by
        the Chebyshev-Markov-Stieltjes inequalities is bounded by the weights of the two values
        next to the threshold.

        Raises:
            ParameterError: a threshold below the floor.
        """
        if threshold < self.floor:
            raise ParameterError(
                f"this density resolves nothing below {self.floor:.3g}, got the threshold "
                f"{threshold:.3g}; use spectrum(empirical_ntk(...).total) on fewer points"
            )
        above = self.values > threshold  # NaN is not
        counts = self.size * np.where(above, self.weights, 0.0).sum(1)
        below = (self.values <= threshold).sum(1)  # values ascend, NaN come last
        rows = np.arange(len(counts))
        padded = np.pad(self.weights, ((0, 0), (1, 1)))
        left, right = padded[rows, below], padded[rows, below + 1]
        quadrature = self.size * np.maximum(left, right).mean()
        return float(counts.mean()), float(_standard_error(counts) + quadrature)

    def trace(self) -> tuple[float, float]:
        """Estimate of the sum of the eigenvalues, and its standard error."""
        sums = self.size * np.nansum(self.values * self.weights, axis=1)
        return float(sums.mean()), _standard_error(sums)


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


class NtkOperator(LinearOperator):  # type: ignore[misc] # scipy ships no types
    """The empirical NTK (M, M) at x as a ``scipy.sparse.linalg.LinearOperator``, float64.

    ``cached`` says whether activations and gradients are stored (fast) or recomputed for each
    product (any number of points).
    """

    def __init__(
        self, source: KernelTerms | AutogradProducts, outputs: Outputs, like: Tensor
    ) -> None:
        self.source = source.of(outputs)
        self.cached = isinstance(source, KernelTerms)
        self._like = like
        size = self.source.points * self.source.outputs
        super().__init__(dtype=np.float64, shape=(size, size))

    @torch.inference_mode(False)
    def _matvec(self, v: np.ndarray) -> np.ndarray:
        vector = torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64))
        vector = vector.to(self._like).view(self.source.points, self.source.outputs)
        with torch.no_grad():
            result = self.source.apply(vector).flatten()
        return result.to(device="cpu", dtype=torch.float64).numpy()

    def _adjoint(self) -> NtkOperator:
        return self

    def top(self, k: int, tolerance: float = 1e-10) -> Leading:
        """The k leading eigenpairs, by implicitly restarted Lanczos (ARPACK).

        Raises:
            ParameterError: k is not between 1 and M − 1.
        """
        if not 1 <= k < self.shape[0]:
            raise ParameterError(f"k must be from 1 to {self.shape[0] - 1}, got {k}")
        start = np.random.default_rng(0).standard_normal(self.shape[0])
        values, vectors = eigsh(self, k, which="LA", v0=start, tol=tolerance)
        order = np.argsort(values)[::-1]
        values, vectors = values[order], vectors[:, order]
        residuals = np.stack([self.matvec(v) for v in vectors.T], 1) - vectors * values
        return Leading(values, vectors, np.linalg.norm(residuals, axis=0))

    def density(self, steps: int = 80, probes: int = 8, seed: int = 0) -> Density:
        """The spectral density by stochastic Lanczos quadrature.

        Source: Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos
        quadrature", SIAM J. Matrix Anal. Appl. 2017.

        Raises:
            ParameterError: fewer than two probes (no error could be estimated) or no step.
        """
        if probes < 2 or steps < 1:
            raise ParameterError(f"take at least 2 probes and 1 step, got {probes} and {steps}")
        generator = np.random.default_rng(seed)
        values = np.full((probes, steps), np.nan)
        weights = np.zeros((probes, steps))
        for row in range(probes):
            start = generator.choice([-1.0, 1.0], size=self.shape[0])
            nodes, gauss, _ = lanczos(self.matvec, start, steps).nodes()
            values[row, : len(nodes)], weights[row, : len(nodes)] = nodes, gauss
        floor = 1e-9 * float(np.nanmax(values))
        return Density(values, weights, self.shape[0], floor)


@torch.inference_mode(False)
def operator(
    model: nn.Module,
    x: Tensor,
    *,
    outputs: Outputs = "trace",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    cached: bool | None = None,
) -> NtkOperator:
    """The kernel of ``empirical_ntk`` as an operator; each product is linear in the points.

    Args:
        model, x, outputs, dtype, device: as in ``empirical_ntk``.
        cached: store activations and gradients of all points; None decides by the free memory.

    Raises:
        NtkError: as ``empirical_ntk``, or cached=True does not fit in memory.
        ParameterError, PluginError: as ``empirical_ntk``.
    """
    check_choice("outputs", outputs, OUTPUTS)
    private, points, trainable = working_copy(model, x, dtype, device)
    structure = find_structure(private, points, trainable)
    need = 2.0 * structure.numbers_per_point * len(points) * points.element_size()
    free = available_memory(points.device)
    if cached and need > free:
        raise NtkError(
            f"storing the factors of {len(points)} points needs {need / 2**30:.3g} GiB, "
            f"{free / 2**30:.3g} GiB are free; leave cached=None"
        )
    if cached is None:
        cached = need <= CACHE_SHARE * free
    source: KernelTerms | AutogradProducts
    if cached:
        source = capture(private, points, structure)
    else:
        source = AutogradProducts(private, points, trainable, structure.out_dim)
    return NtkOperator(source, outputs, points)
