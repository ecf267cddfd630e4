"""The leading part of a spectrum whose kernel is too large for all eigenvalues."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from encbench.device import available_memory
from encbench.ntk.kernel import empirical_ntk
from encbench.ntk.operator import operator
from encbench.ntk.spectrum import Spectrum, minimum_upper_bound, spectrum
from encbench.ntk.terms import Outputs

EXACT_ROWS = 16384  # rows of a kernel with eigenvalues in minutes: an image of 128 × 128 pixels
SQUARES = 5  # matrices in memory at once: the kernel, its parts, and two of the eigensolver
LEADING = 32  # eigenvalues found from products
SAMPLE = 512  # points whose kernel bounds λ_min


def affordable(rows: int, device: torch.device) -> bool:
    """Whether all eigenvalues of a float64 kernel (rows, rows) are within reach."""
    return rows <= EXACT_ROWS and SQUARES * 8 * rows**2 <= available_memory(device)


def leading_spectrum(model: nn.Module, x: Tensor, outputs: Outputs) -> tuple[Spectrum, float]:
    """The largest eigenvalues at x (N, d) from products with the kernel, and a bound of λ_min.

    Returns:
        A spectrum of all M eigenvalues whose floor is the last that was found: those below are 0,
        which stands for unknown. And an upper bound of λ_min: the smallest eigenvalue at some of
        the points cannot be below that at all of them (Cauchy's interlacing theorem).

    Raises:
        NtkError: as ``operator``.
    """
    theta = operator(model, x, outputs=outputs)
    count = min(LEADING, theta.shape[0] - 1)
    eigenvalues = np.zeros(theta.shape[0])
    eigenvalues[:count] = theta.top(count, tolerance=1e-8).values
    chosen = torch.linspace(0, len(x) - 1, min(SAMPLE, len(x))).long()
    some = empirical_ntk(model, x[chosen], outputs=outputs, parts=()).total
    smallest = spectrum(some).minimum
    bound = minimum_upper_bound(some) if smallest is None else smallest
    method = (
        f"ARPACK from products with the kernel: the largest {count} eigenvalues; the floor is the "
        "last of them"
    )
    return Spectrum(eigenvalues, float(eigenvalues[count - 1]), method), bound
