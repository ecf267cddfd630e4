"""The kernel as a linear operator: products K v without forming K.

They suffice for the leading eigenvalues and the spectral density at hundreds of thousands of
points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from encbench.device import available_memory, prefers_large_pieces
from encbench.errors import NtkError, ParameterError, check_choice
from encbench.ntk.autograd import AutogradProducts
from encbench.ntk.capture import capture_factors
from encbench.ntk.lanczos import Tridiagonal, lanczos, random_start
from encbench.ntk.model import working_copy
from encbench.ntk.structure import Structure, find_structure, part_of
from encbench.ntk.terms import OUTPUTS, Factors, Outputs, chunks

MatVec = Callable[[np.ndarray], np.ndarray]
"""Function from v (M,) float64 to K v (M,)."""

CACHE_SHARE = 0.5  # maximum share of the free memory for stored factors
CHUNK = 1024  # number of points whose factors are computed together
GPU_CHUNK = 1 << 16  # maximum of the same on a GPU
GPU_SHARE = 1 / 16  # maximum share of the free memory for the factors of one such piece
SEARCH = 20  # minimum number of steps of a search for copies of multiple eigenvalues

Held = dict[str, list[Factors]]


@dataclass(frozen=True, eq=False)
class Leading:
    """The leading eigenpairs, descending."""

    values: np.ndarray
    """(k,)"""
    vectors: np.ndarray
    """(M, k)"""
    bounds: np.ndarray
    """(k,) ‖K v − λ v‖: an eigenvalue of K lies within this distance of each value."""


@dataclass(frozen=True, eq=False)
class Density:
    """An estimate of the distribution of the eigenvalues, from several random start vectors."""

    values: np.ndarray
    """(probes, steps) Ritz values, padded with NaN."""
    weights: np.ndarray
    """(probes, steps) Gauss weights, each row summing to 1; padding 0."""
    bounds: np.ndarray
    """(probes, steps) An eigenvalue lies within this distance of each value; padding NaN."""
    size: int
    """M, number of eigenvalues."""
    floor: float
    """1e-9 of the largest value; eigenvalues below are counted, but their values are unknown."""

    def count_above(self, threshold: float) -> tuple[float, float]:
        """Estimate of the number of eigenvalues above the threshold, and its error.

        The error is one standard error over the probes plus a bound of the quadrature's error. By
        the Chebyshev-Markov-Stieltjes inequalities that is at most the weight of one of the two
        values next to the threshold. It is less if values have converged: at most the share
        (bound / distance)² of a Ritz vector lies beyond the threshold. The ratio itself is
        charged, which allows for products of two vectors' shares.

        Raises:
            ParameterError: the threshold is below the floor.
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
        with np.errstate(divide="ignore", invalid="ignore"):
            beyond = np.minimum(self.bounds / np.abs(self.values - threshold), 1.0)
        unsure = np.where(np.isnan(beyond), self.weights, beyond * self.weights).sum(1)
        quadrature = self.size * np.minimum(np.maximum(left, right), unsure).mean()
        return float(counts.mean()), float(_standard_error(counts) + quadrature)

    def trace(self) -> tuple[float, float]:
        """Estimate of the sum of the eigenvalues, and its standard error."""
        sums = self.size * np.nansum(self.values * self.weights, axis=1)
        return float(sums.mean()), _standard_error(sums)


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


class FactorProducts:
    """Products with the kernel of the parameters with known structure, per chunk of points.

    Args:
        model, structure: as for ``capture_factors``.
        x: (N, d).
        budget: maximum memory of stored factors [bytes]; those of the other chunks are recomputed
            twice per product. None stores all.
        encoding_lr_factor: as for ``operator``.

    Raises:
        NtkError: ``budget`` is None and the factors do not fit in memory.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        structure: Structure,
        outputs: Outputs,
        budget: float | None,
        encoding_lr_factor: float = 1.0,
    ) -> None:
        self.model, self.x, self.structure, self.outputs = model, x, structure, outputs
        self.encoding_lr_factor = encoding_lr_factor
        free, size = available_memory(x.device), CHUNK
        if prefers_large_pieces(x.device):
            each = structure.numbers_per_point * x.element_size()
            size = min(GPU_CHUNK, max(CHUNK, int(GPU_SHARE * free) // max(1, each)))
        self.parts = chunks(len(x), size)
        self.held: list[Held] = []
        # reused: first touching new memory took a quarter of a product with a large table
        self._totals: dict[str, Tensor] = {}
        limit, used = free if budget is None else budget, 0.0
        while len(self.held) < len(self.parts) and used < limit:
            factors = self._capture(self.parts[len(self.held)])
            each = _bytes(factors)
            if budget is None and (need := each * len(self.parts)) > free and not self.held:
                raise NtkError(
                    f"storing the factors of {len(x)} points needs {need / 2**30:.3g} GiB, "
                    f"{free / 2**30:.3g} GiB are free; leave cached=None"
                )
            used += each
            if used > limit:
                break
            self.held.append(factors)

    @property
    def points_held(self) -> int:
        """Number of points whose factors are stored."""
        return sum(part.stop - part.start for part in self.parts[: len(self.held)])

    def _capture(self, part: slice) -> Held:
        with torch.enable_grad():
            return capture_factors(self.model, self.x[part], self.structure, self.outputs)

    def _each(self) -> Iterator[tuple[slice, Held]]:
        for index, part in enumerate(self.parts):
            yield part, self.held[index] if index < len(self.held) else self._capture(part)

    def apply(self, v: Tensor) -> Tensor:
        """The kernel's product with v (N, O)."""
        for total in self._totals.values():
            total.zero_()
        for part, factors in self._each():
            for name, found in factors.items():
                for one in found:
                    if name not in self._totals:
                        self._totals[name] = v.new_zeros(one.shape)
                    one.pull(v[part], self._totals[name])
        if self.encoding_lr_factor != 1:
            for name, total in self._totals.items():
                if part_of(name) == "encoding":
                    total *= self.encoding_lr_factor
        out = torch.zeros_like(v)
        for part, factors in self._each():
            for name, found in factors.items():
                for one in found:
                    out[part] += one.push(self._totals[name])
        return out


def _bytes(factors: Held) -> int:
    tensors = (
        value
        for found in factors.values()
        for one in found
        for value in vars(one).values()
        if isinstance(value, Tensor)
    )
    return sum({t.data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


class NtkOperator(LinearOperator):  # type: ignore[misc] # scipy ships no types
    """The empirical NTK (M, M) at x as a ``scipy.sparse.linalg.LinearOperator``, float64.

    Attributes:
        cached: whether activations and gradients of all points are stored (fast). If not, those
            of the other points are recomputed for each product, which allows any number of points.
        held: number of points whose activations and gradients are stored.
    """

    def __init__(
        self, sources: Sequence[FactorProducts | AutogradProducts], x: Tensor, outputs: int
    ) -> None:
        self.sources, self._x, self.outputs = sources, x, outputs
        self.held = min(
            (s.points_held for s in sources if isinstance(s, FactorProducts)), default=len(x)
        )
        self.cached = self.held == len(x)
        super().__init__(dtype=np.float64, shape=(len(x) * outputs,) * 2)

    @torch.inference_mode(False)
    def product(self, v: Tensor) -> Tensor:
        """K v (M,), with the dtype and device of v (M,)."""
        vector = v.to(self._x).clone().view(-1, self.outputs)  # not an inference tensor
        with torch.no_grad():
            total = torch.zeros_like(vector)
            for source in self.sources:
                total += source.apply(vector)
        return total.flatten().to(v)

    def _matvec(self, v: np.ndarray) -> np.ndarray:
        vector = torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64)).flatten()
        return self.product(vector.to(self.device)).cpu().numpy()

    @property
    def device(self) -> torch.device:
        """Where products are computed."""
        return self._x.device

    def _adjoint(self) -> NtkOperator:
        return self

    def top(self, k: int, tolerance: float = 1e-10) -> Leading:
        """The k leading eigenpairs, by implicitly restarted Lanczos (ARPACK).

        Of a multiple eigenvalue, a Krylov space holds one copy; others appear by rounding only, and
        some can be missing. Eigenvalues above the k-th are therefore searched for among vectors
        orthogonal to those found, from another random start, until a search of 20 to 2k + 1 steps
        finds none. It can overlook one that is less than about 1 % above the k-th.

        Raises:
            ParameterError: k is not between 1 and M − 1.
        """
        size = self.shape[0]
        if not 1 <= k < size:
            raise ParameterError(f"k must be from 1 to {size - 1}, got {k}")
        start = random_start(size, torch.device("cpu")).numpy()
        if not self.matvec(start).any():  # ARPACK refuses a kernel of zeros
            return Leading(np.zeros(k), np.eye(size, k), np.zeros(k))
        values, vectors = eigsh(self, k, which="LA", v0=start, tol=tolerance)
        generator = np.random.default_rng(1)
        while True:
            order = np.argsort(values)[::-1]
            values, vectors = values[order], vectors[:, order]
            limit = values[k - 1] * (1 + 2 * tolerance) + size * np.finfo(float).eps * values[0]
            rest, start = self._without(vectors), generator.standard_normal(size)
            missing = _count_above(limit, rest, start, max(2 * k + 1, SEARCH))
            if not missing:
                break
            others = eigsh(rest, missing, which="LA", v0=start, tol=tolerance)
            values, vectors = np.append(values, others[0]), np.hstack([vectors, others[1]])
        values, vectors = values[:k], vectors[:, :k]
        residuals = np.stack([self.matvec(v) for v in vectors.T], 1) - vectors * values
        return Leading(values, vectors, np.linalg.norm(residuals, axis=0))

    def _without(self, vectors: np.ndarray) -> LinearOperator:
        """P K P, where P projects on the complement of orthonormal vectors (M, k)."""

        def projected(v: np.ndarray) -> np.ndarray:
            return np.asarray(v - vectors @ (vectors.T @ v))

        return LinearOperator(
            self.shape, matvec=lambda v: projected(self.matvec(projected(v.ravel()))), dtype=float
        )

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
        values, bounds = np.full((2, probes, steps), np.nan)
        weights = np.zeros((probes, steps))
        for row in range(probes):
            start = torch.from_numpy(generator.choice([-1.0, 1.0], size=self.shape[0]))
            nodes, gauss, error = lanczos(self.product, start.to(self.device), steps).nodes()
            found = slice(len(nodes))
            values[row, found], weights[row, found], bounds[row, found] = nodes, gauss, error
        floor = 1e-9 * float(np.nanmax(values))
        return Density(values, weights, bounds, self.shape[0], floor)


def _count_above(limit: float, matrix: LinearOperator, start: np.ndarray, steps: int) -> int:
    """A lower bound of the number of eigenvalues above a limit, by Lanczos; 0 if none is likely."""

    def settled(found: Tridiagonal) -> bool:
        # the first Ritz values are the mean of the others if those are close together
        if len(found.diagonal) < SEARCH:
            return False
        values, _, bounds = found.nodes()
        largest, bound = values[-1], bounds[-1]
        return bool(largest + bound <= limit and bound <= 0.01 * largest)

    def product(v: Tensor) -> Tensor:
        return torch.from_numpy(matrix.matvec(v.numpy()))

    # the i-th largest Ritz value is at most the i-th largest eigenvalue
    return int((lanczos(product, torch.from_numpy(start), steps, settled).nodes()[0] > limit).sum())


@torch.inference_mode(False)
def operator(
    model: nn.Module,
    x: Tensor,
    *,
    outputs: Outputs = "trace",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    cached: bool | None = None,
    encoding_lr_factor: float = 1.0,
) -> NtkOperator:
    """The kernel of ``empirical_ntk`` as an operator, whose products take O(N) time and memory.

    Args:
        model, x, outputs, dtype, device: as in ``empirical_ntk``.
        cached: True stores the activations and gradients of all points, False of none, None of
            as many as fit in half of the free memory.
        encoding_lr_factor: learning rate of the encoding over that of the network. Training follows
            K_MLP + factor · K_enc, which is the operator.

    Raises:
        NtkError: as ``empirical_ntk``, or cached=True does not fit in memory.
        ParameterError, PluginError: as ``empirical_ntk``.
    """
    check_choice("outputs", outputs, OUTPUTS)
    private, points, trainable = working_copy(model, x, dtype, device)
    structure = find_structure(private, points, trainable)
    sources: list[FactorProducts | AutogradProducts] = []
    if structure.layers or structure.tables:
        share = 0.0 if cached is False else CACHE_SHARE * available_memory(points.device)
        budget = None if cached else share
        sources.append(
            FactorProducts(private, points, structure, outputs, budget, encoding_lr_factor)
        )
    if structure.rest:
        own = [name for name in structure.rest if part_of(name) == "encoding"]
        rates = {} if encoding_lr_factor == 1 else dict.fromkeys(own, encoding_lr_factor)
        rest = AutogradProducts(private, points, structure.rest, structure.out_dim, rates)
        sources.append(rest.of(outputs))
    return NtkOperator(sources, points, structure.out_dim if outputs == "full" else 1)
