"""Eigenvalues of a kernel, the floor of their accuracy, and bounds that they must satisfy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from encbench.device import lacks_memory
from encbench.errors import NtkError, ParameterError
from encbench.ntk.lanczos import largest_eigenvalue, smallest_eigenvalue
from encbench.ntk.terms import chunks

if TYPE_CHECKING:
    from encbench.ntk.kernel import Ntk

STRIP = 1024  # rows of a kernel processed together, so that no second matrix is needed
SMALLEST = "λ_n of the encoding's part by Lanczos on the inverse, from a Cholesky factor"
ULPS = 8.0  # floor of a CPU's eigensolver [eps · λ_max]
GPU_ULPS = 32.0  # floor of a GPU's (cuSOLVER), whose errors reach 10 % at 20 eps · λ_max
TILE = 256  # rows and columns of a tile; two of them, one read by columns, fit in the cache


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of a positive semi-definite kernel, and the floor below which they are noise.

    Eigenvalues below the floor are counted but not reported: a statistic that depends on one is
    None.
    """

    eigenvalues: np.ndarray
    """(M,) float64, descending, as the solver returned them: those below the floor are noise."""
    floor: float
    """The floor, in units of the eigenvalues; see ``noise_floor``."""
    method: str
    """Solver and precision."""

    @property
    def resolved_rank(self) -> int:
        """Number of eigenvalues above the floor: a lower bound of the rank."""
        return int((self.eigenvalues > self.floor).sum())

    @property
    def negative(self) -> int:
        """Number of negative eigenvalues: rounding, as the kernel is positive semi-definite."""
        return int((self.eigenvalues < 0).sum())

    @property
    def maximum(self) -> float:
        """λ_max."""
        return float(self.eigenvalues[0])

    @property
    def minimum(self) -> float | None:
        """λ_min, or None if it is below the floor."""
        return self.quantile(0.0)

    @property
    def median(self) -> float | None:
        """The median, or None if it depends on a value below the floor."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> float | None:
        """The q-quantile, linearly interpolated; None if it depends on a value below the floor.

        Raises:
            ParameterError: q outside [0, 1].
        """
        if not 0.0 <= q <= 1.0:
            raise ParameterError(f"a quantile must be in [0, 1], got {q}")
        ascending = self.eigenvalues[::-1]
        lower = ascending[math.floor(q * (len(ascending) - 1))]
        return float(np.quantile(ascending, q)) if lower > self.floor else None

    def count_above(self, threshold: float) -> int | None:
        """Number of eigenvalues above a threshold; None if the threshold is below the floor."""
        if threshold < self.floor:
            return None
        return int((self.eigenvalues > threshold).sum())

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the normalized eigenvalues, without those below the floor.

        Source: Roy, Vetterli, "The effective rank: a measure of effective dimensionality",
        EUSIPCO 2007.
        """
        kept = self.eigenvalues[self.eigenvalues > self.floor]
        if len(kept) == 0:
            return 0.0
        p = kept / kept.sum()
        return float(np.exp(-(p * np.log(p)).sum()))


def noise_floor(eigenvalues: np.ndarray, eps: float, ulps: float = ULPS) -> float:
    """max(ulps · eps · λ_max, 10 · |most negative eigenvalue|).

    The kernel is positive semi-definite, so a negative eigenvalue is pure error and shows the
    error's size; the first term is the solver's error. Measurements: docs/precision.md.
    """
    negative = max(0.0, -float(eigenvalues.min()))
    return max(ulps * eps * float(eigenvalues.max()), 10.0 * negative)


def spectrum(kernel: Tensor | np.ndarray) -> Spectrum:
    """The spectrum of a symmetric kernel (M, M), float64 or float32.

    The solver reads the lower triangle only, in float64 on the kernel's device, or on the CPU if
    a GPU's memory does not suffice. The floor uses the eps of the dtype of ``kernel``; that of a
    GPU's solver is four times as high.

    Raises:
        NtkError: the kernel is not square, not finite or not symmetric, or of another dtype.
    """
    k = torch.from_numpy(kernel) if isinstance(kernel, np.ndarray) else kernel.detach()
    if k.ndim != 2 or k.shape[0] != k.shape[1] or len(k) == 0:
        raise NtkError(f"a kernel must be a square matrix, got shape {tuple(k.shape)}")
    if k.dtype not in (torch.float64, torch.float32):
        raise NtkError(f"a kernel must be float64 or float32, got {k.dtype}")
    _check_entries(k)
    eps = torch.finfo(k.dtype).eps
    try:
        values = torch.linalg.eigvalsh(k.double(), UPLO="L")
    except RuntimeError as error:
        if k.device.type == "cpu" or not lacks_memory(error):
            raise
        values = torch.linalg.eigvalsh(k.cpu().double(), UPLO="L")
    eigenvalues = values.cpu().numpy()[::-1].copy()
    precision = str(k.dtype).removeprefix("torch.")
    method = f"torch.linalg.eigvalsh in float64 of a {precision} kernel"
    ulps = ULPS
    if values.device.type != "cpu":
        method += f" on {values.device.type}"
        ulps = GPU_ULPS
    return Spectrum(eigenvalues, noise_floor(eigenvalues, eps, ulps), method)


def _check_entries(k: Tensor) -> None:
    largest = float(torch.stack(torch.aminmax(k)).abs().max())  # NaN if any entry is
    if not math.isfinite(largest):
        raise NtkError("the kernel contains NaN or infinity; have the weights diverged?")
    for rows in chunks(len(k), TILE):
        for cols in chunks(rows.stop, TILE):
            apart = (k[rows, cols] - k[cols, rows].t()).abs_().max()
            if float(apart) > 1e-5 * largest:
                raise NtkError("the kernel is not symmetric; a cross kernel has no spectrum")


@dataclass(frozen=True)
class WeylCheck:
    """Whether λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K) holds for all i, on one kernel.

    This is Weyl's inequality for K = K_MLP + K_enc with n rows, behind Theorem 1 of the paper.
    """

    ok: bool
    """Whether it holds within the tolerance."""
    worst: float
    """max over i of λ_i(K_MLP) + λ_n(K_enc) − λ_i(K); positive values are violations."""
    index: int
    """The i at which ``worst`` occurs; 0 is the largest eigenvalue."""
    tolerance: float
    """Sum of the floors of the three spectra."""
    method: str = ""
    """How λ_n(K_enc) was found."""


def weyl_check(ntk: Ntk, total: Spectrum | None = None, mlp: Spectrum | None = None) -> WeylCheck:
    """Check Weyl's inequality on a kernel and its parts.

    Args:
        ntk: computed with both parts.
        total, mlp: the spectra of ``ntk.total`` and ``ntk.parts["mlp"]``, if already known.

    The smallest eigenvalue of the encoding's part counts as 0 if it is below its floor.

    Raises:
        NtkError: the kernel was computed without its parts.
    """
    if set(ntk.parts) != {"mlp", "encoding"}:
        raise NtkError(
            "the check needs both parts; use empirical_ntk(..., parts=('mlp', 'encoding'))"
        )
    whole = total or spectrum(ntk.total)
    network = mlp or spectrum(ntk.parts["mlp"])
    encoding = ntk.parts["encoding"]
    smallest, floor, method = 0.0, 0.0, "λ_n is 0: the encoding's part is zero"
    if bool(encoding.any()):
        smallest, floor, method = _smallest(encoding)
    gaps = network.eigenvalues + smallest - whole.eigenvalues
    index = int(np.argmax(gaps))
    tolerance = whole.floor + network.floor + floor
    return WeylCheck(bool(gaps[index] <= tolerance), float(gaps[index]), index, tolerance, method)


def _smallest(kernel: Tensor) -> tuple[float, float, str]:
    """λ_min of a kernel (M, M), or 0 if below its floor; the floor; and the method."""
    k, eps = kernel.double(), torch.finfo(kernel.dtype).eps
    largest = largest_eigenvalue(k.mv, len(k), k.device)
    lowest = smallest_eigenvalue(k, noise_floor(np.array([largest]), eps))
    if lowest is None:
        found = spectrum(kernel)
        method = f"λ_n of the encoding's part by {found.method}"
        return found.minimum or 0.0, found.floor, method
    floor = noise_floor(np.array([lowest, largest]), eps)
    return lowest if lowest > floor else 0.0, floor, SMALLEST


def minimum_upper_bound(kernel: Tensor) -> float:
    """An upper bound of λ_min of (M, M): min over i, j of (K_ii + K_jj − 2 K_ij) / 2, at least 0.

    No eigenvalue is computed: each value is the Rayleigh quotient of (e_i − e_j) / √2. The
    diagonal entries, the Rayleigh quotients of the e_i, are included in the minimum.
    """
    diagonal = kernel.diagonal()
    best = float(diagonal.min())
    for rows in chunks(len(kernel), STRIP):
        strip = kernel[rows]
        quotient = (diagonal[rows, None] + diagonal) / 2 - strip
        own = torch.arange(len(strip), device=kernel.device)
        quotient[own, own + rows.start] = torch.inf
        best = min(best, float(quotient.min()))
    return max(best, 0.0)
