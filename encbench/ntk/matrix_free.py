"""The kernel as a linear operator: K v without K, for points by the hundred thousand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from encbench.errors import NtkError, ParameterError
from encbench.ntk.capture import Terms, capture
from encbench.ntk.guards import OUTPUTS, Outputs, available_memory, check_choice, prepare
from encbench.ntk.lanczos import lanczos
from encbench.ntk.plan import make_plan
from encbench.ntk.streaming import Stream

__all__ = ["Density", "Leading", "NtkOperator", "operator"]

CACHE_SHARE = 0.3  # of the free memory that captured factors may take


@dataclass(frozen=True, eq=False)
class Leading:
    """The leading eigenpairs, descending."""

    values: np.ndarray
    """(k,)"""
    vectors: np.ndarray
    """(M, k)"""
    bounds: np.ndarray
    """(k,) ‖K v − λ v‖: an eigenvalue lies within it of each value."""


@dataclass(frozen=True, eq=False)
class Density:
    """An estimate of how eigenvalues are distributed, from several random start vectors."""

    values: np.ndarray
    """(probes, steps) Ritz values, padded with NaN."""
    weights: np.ndarray
    """(probes, steps) Gauss weights, each row summing to 1; padding 0."""
    size: int
    floor: float
    """1e-9 of the largest value: this estimate tells how many eigenvalues lie below, not where."""

    def count_above(self, threshold: float) -> tuple[float, float]:
        """Number of eigenvalues above the threshold: an estimate and its error.

        The error is one standard error over the probes plus what the quadrature leaves open: by
        the Chebyshev-Markov-Stieltjes inequalities, the weights of the values next to the
        threshold on either side.

        Raises:
            ParameterError: a threshold below the floor.
        """
        if threshold < self.floor:
            raise ParameterError(
                f"this density is blind below {self.floor:.3g}, got the threshold {threshold:.3g}; "
                "use spectrum(empirical_ntk(...).total) on fewer points"
            )
        above = self.values > threshold  # NaN is not
        counts = self.size * np.where(above, self.weights, 0.0).sum(1)
        below = (self.values <= threshold).sum(1)  # values ascend, NaN stand last
        rows = np.arange(len(counts))
        padded = np.pad(self.weights, ((0, 0), (1, 1)))
        left, right = padded[rows, below], padded[rows, below + 1]
        open_ = self.size * np.maximum(left, right).mean()
        return float(counts.mean()), float(_standard_error(counts) + open_)

    def trace(self) -> tuple[float, float]:
        """Expected sum of the eigenvalues, and its standard error."""
        sums = self.size * np.nansum(self.values * self.weights, axis=1)
        return float(sums.mean()), _standard_error(sums)


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


class NtkOperator(LinearOperator):  # type: ignore[misc] # scipy ships no types
    """The empirical NTK (M, M) at x as a ``scipy.sparse.linalg.LinearOperator``, float64.

    ``cached`` says whether activations and gradients are held (quick) or computed anew for
    each product (any number of points).
    """

    def __init__(self, source: Terms | Stream, outputs: Outputs, like: Tensor) -> None:
        self.source = source
        self.outputs = outputs
        self.cached = isinstance(source, Terms)
        self._like = like
        size = source.points * (source.outputs if outputs == "full" else 1)
        super().__init__(dtype=np.float64, shape=(size, size))

    def _matvec(self, v: np.ndarray) -> np.ndarray:
        vector = torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64).ravel())
        vector = vector.to(self._like)
        with torch.no_grad():
            if self.outputs == "full":
                vector = vector.view(self.source.points, self.source.outputs)
                result = self.source.apply(vector).flatten()
            else:
                result = self.source.apply_trace(vector)
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
            ParameterError: fewer than two probes (there would be no error) or one step.
        """
        if probes < 2 or steps < 1:
            raise ParameterError(f"take 2 probes and 1 step at least, got {probes} and {steps}")
        generator = np.random.default_rng(seed)
        values = np.full((probes, steps), np.nan)
        weights = np.zeros((probes, steps))
        for row in range(probes):
            start = generator.choice([-1.0, 1.0], size=self.shape[0])
            nodes, gauss, _ = lanczos(self.matvec, start, steps).nodes()
            values[row, : len(nodes)], weights[row, : len(nodes)] = nodes, gauss
        floor = 1e-9 * float(np.nanmax(values))
        return Density(values, weights, self.shape[0], floor)


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
        cached: hold activations and gradients of all points; None decides by the free memory.

    Raises: as ``empirical_ntk``; NtkError also where cached=True does not fit.
    """
    check_choice("outputs", outputs, OUTPUTS)
    private, points, trainable = prepare(model, x, dtype, device)
    plan = make_plan(private, points, trainable)
    need = 2.0 * plan.numbers_per_point * len(points) * points.element_size()
    free = available_memory(points.device)
    if cached and need > free:
        raise NtkError(
            f"holding the factors of {len(points)} points needs {need / 2**30:.3g} GiB, "
            f"{free / 2**30:.3g} GiB are free; leave cached=None"
        )
    if cached is None:
        cached = need <= CACHE_SHARE * free
    source: Any = (
        capture(private, points, plan)
        if cached
        else Stream(private, points, trainable, plan.out_dim)
    )
    return NtkOperator(source, outputs, points)
