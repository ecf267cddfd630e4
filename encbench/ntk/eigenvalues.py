"""Eigenvalues of a kernel, and down to where they mean something."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from encbench.errors import NtkError, ParameterError

__all__ = ["Spectrum", "noise_floor", "spectrum"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of a positive semi-definite kernel, and the floor under which they are noise.

    A value below the floor is counted, never given: it is None here, "≤ floor" in print.
    """

    eigenvalues: np.ndarray
    """(M,) float64, descending, as the solver gave them: those below the floor are noise."""
    floor: float
    method: str
    """Solver and precision."""

    @property
    def resolved_rank(self) -> int:
        """Eigenvalues above the floor: a lower bound of the rank."""
        return int((self.eigenvalues > self.floor).sum())

    @property
    def negative(self) -> int:
        """Eigenvalues below zero: rounding, for the kernel is positive semi-definite."""
        return int((self.eigenvalues < 0).sum())

    @property
    def maximum(self) -> float:
        return float(self.eigenvalues[0])

    @property
    def minimum(self) -> float | None:
        """λ_min, or None below the floor."""
        return self.quantile(0.0)

    @property
    def median(self) -> float | None:
        """The median, or None below the floor."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> float | None:
        """The q-quantile, interpolated between neighbours; None where it touches the floor.

        Raises:
            ParameterError: q outside [0, 1].
        """
        if not 0.0 <= q <= 1.0:
            raise ParameterError(f"a quantile lies in [0, 1], got {q}")
        ascending = self.eigenvalues[::-1]
        lower = ascending[math.floor(q * (len(ascending) - 1))]
        return float(np.quantile(ascending, q)) if lower > self.floor else None

    def count_above(self, threshold: float) -> int | None:
        """Eigenvalues above a threshold; None for a threshold below the floor."""
        if threshold < self.floor:
            return None
        return int((self.eigenvalues > threshold).sum())

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the normalized eigenvalues, those below the floor left out.

        Source: Roy, Vetterli, "The effective rank: a measure of effective dimensionality",
        EUSIPCO 2007.
        """
        kept = self.eigenvalues[self.eigenvalues > self.floor]
        if len(kept) == 0:
            return 0.0
        p = kept / kept.sum()
        return float(np.exp(-(p * np.log(p)).sum()))


def noise_floor(eigenvalues: np.ndarray, eps: float) -> float:
    """max(8 · eps · λ_max, 10 · |most negative eigenvalue|).

    The kernel is positive semi-definite, so a negative eigenvalue is pure error and shows its
    size; the first term is the solver's own. docs/precision.md holds the measurements.
    """
    negative = max(0.0, -float(eigenvalues.min()))
    return max(8.0 * eps * float(eigenvalues.max()), 10.0 * negative)


def spectrum(kernel: Tensor | np.ndarray) -> Spectrum:
    """The spectrum of a symmetric kernel (M, M), float64 or float32.

    Only the lower triangle is read by the solver. eps of the floor is that of the dtype the
    kernel comes in; the eigenvalues are found in float64 either way, on the CPU.

    Raises:
        NtkError: the kernel is not square, not finite or not symmetric.
    """
    k = torch.from_numpy(kernel) if isinstance(kernel, np.ndarray) else kernel.detach()
    if k.ndim != 2 or k.shape[0] != k.shape[1] or len(k) == 0:
        raise NtkError(f"a kernel is a square matrix, got shape {tuple(k.shape)}")
    if k.dtype not in (torch.float64, torch.float32):
        raise NtkError(f"a kernel is float64 or float32, got {k.dtype}")
    _check_entries(k)
    eps = torch.finfo(k.dtype).eps
    values = torch.linalg.eigvalsh(k.to(device="cpu", dtype=torch.float64), UPLO="L")
    eigenvalues = values.numpy()[::-1].copy()
    precision = str(k.dtype).removeprefix("torch.")
    method = f"torch.linalg.eigvalsh in float64 of a {precision} kernel"
    return Spectrum(eigenvalues, noise_floor(eigenvalues, eps), method)


def _check_entries(k: Tensor) -> None:
    largest = k.abs().max()
    if not bool(torch.isfinite(largest)):
        raise NtkError("the kernel holds NaN or infinity; have the weights diverged?")
    for start in range(0, len(k), 1024):  # strips, so that no second matrix is needed
        strip = k[start : start + 1024]
        if float((strip - k[:, start : start + 1024].t()).abs().max()) > 1e-5 * float(largest):
            raise NtkError("the kernel is not symmetric; a cross kernel has no spectrum")
