"""What must hold between the spectra of a kernel and its parts, checked in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from encbench.errors import NtkError
from encbench.ntk.eigenvalues import Spectrum, spectrum
from encbench.ntk.kernel import Ntk

__all__ = ["WeylCheck", "minimum_upper_bound", "weyl_check"]


@dataclass(frozen=True)
class WeylCheck:
    """Theorem 1 of the paper, λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K) for all i, on one kernel."""

    ok: bool
    """Whether it holds within the floors."""
    worst: float
    """max over i of λ_i(K_MLP) + λ_n(K_enc) − λ_i(K); positive values are violations."""
    index: int
    """The i of the worst, from 0 for the largest eigenvalue."""
    tolerance: float
    """Sum of the three floors."""


def weyl_check(ntk: Ntk, total: Spectrum | None = None, mlp: Spectrum | None = None) -> WeylCheck:
    """Check Theorem 1 (Weyl's inequality) on a kernel and its parts.

    Spectra that are known already can be given. The encoding's smallest eigenvalue is taken as 0
    below its floor, which is what is left of it.

    Raises:
        NtkError: the kernel was computed without its parts.
    """
    if set(ntk.parts) != {"mlp", "encoding"}:
        raise NtkError(
            "the check needs both parts; take empirical_ntk(..., parts=('mlp', 'encoding'))"
        )
    whole = total or spectrum(ntk.total)
    network = mlp or spectrum(ntk.parts["mlp"])
    grid = ntk.parts["encoding"]
    smallest, floor = 0.0, 0.0
    if bool(grid.any()):
        found = spectrum(grid)
        smallest, floor = found.minimum or 0.0, found.floor
    gaps = network.eigenvalues + smallest - whole.eigenvalues
    index = int(np.argmax(gaps))
    tolerance = whole.floor + network.floor + floor
    return WeylCheck(bool(gaps[index] <= tolerance), float(gaps[index]), index, tolerance)


def minimum_upper_bound(kernel: Tensor) -> float:
    """An upper bound of λ_min without eigenvalues: min over i, j of (K_ii + K_jj − 2 K_ij) / 2.

    It is the Rayleigh quotient of (e_i − e_j) / √2; for one point, K itself. Never negative:
    what rounding leaves below zero is zero.
    """
    diagonal = kernel.diagonal()
    best = float(diagonal.min())
    for start in range(0, len(kernel), 1024):  # strips, so that no second matrix is needed
        strip = kernel[start : start + 1024]
        quotient = (diagonal[start : start + 1024, None] + diagonal) / 2 - strip
        own = torch.arange(len(strip), device=kernel.device)
        quotient[own, own + start] = torch.inf
        best = min(best, float(quotient.min()))
    return max(best, 0.0)
