"""Gradient flow of a linearized model from Lanczos steps, and shapes of residuals and kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from encbench.errors import NtkError
from encbench.ntk.lanczos import Tridiagonal

Array = Tensor | np.ndarray


@dataclass(frozen=True, eq=False)
class Modes:
    """Independent parts of a loss: Σ energies · e^(−2 · rates · t)."""

    rates: np.ndarray
    """(m,) 2 λ / M, at least 0."""
    energies: np.ndarray
    """(m,) contribution of each mode to the initial loss."""

    def loss(self, times: np.ndarray) -> np.ndarray:
        """The loss (T,) at times (T,) of gradient flow."""
        return np.asarray(np.exp(-2.0 * np.outer(times, self.rates)) @ self.energies)


@dataclass(frozen=True, eq=False)
class Flow:
    """Bounds of the mean squared error over M residuals under gradient flow.

    Computed by Gauss and Gauss-Radau quadrature from products with the kernel.
    """

    lower: Modes
    """Modes whose loss is a lower bound; it also serves as the estimate."""
    upper: Modes

    @classmethod
    def of(cls, found: Tridiagonal) -> Flow:
        """Create it from Lanczos steps that started from the residuals (M,)."""
        lower, upper = (
            Modes(2.0 / found.size * np.clip(at, 0, None), found.norm**2 * part / found.size)
            for at, part in (found.nodes()[:2], found.nodes_with_zero())
        )
        return cls(lower, upper)

    def time_to(self, loss: float) -> tuple[float, float]:
        """Lower and upper bound of the time [lr · steps] after which the loss is ``loss``.

        They agree if the Lanczos steps resolve the eigenvalues that matter until then, and are
        infinite if the loss stays above that value.
        """
        return _time_to(self.lower, loss), _time_to(self.upper, loss)


def _time_to(modes: Modes, loss: float) -> float:
    noise = 8.0 * np.finfo(float).eps * modes.rates.max(initial=0.0)
    resolved = Modes(np.where(modes.rates > noise, modes.rates, 0.0), modes.energies)

    def excess(log_time: float) -> float:
        return float(resolved.loss(np.exp([log_time]))[0]) - loss

    if modes.energies.sum() <= loss:
        return 0.0
    from scipy.optimize import brentq  # takes half a second; only predictions need it

    low, high = -100.0, 100.0
    return math.exp(brentq(excess, low, high)) if excess(high) < 0 else math.inf


def float64_array(values: Array) -> np.ndarray:
    """Values as a float64 array on the CPU."""
    if isinstance(values, Tensor):
        return values.detach().to(device="cpu", dtype=torch.float64).numpy()
    return np.asarray(values, dtype=np.float64)


def columns_of(values: Array) -> np.ndarray:
    """Values (N,) or (N, O) at N points as (N, O) float64.

    Raises:
        NtkError: the values have another shape, or are empty.
    """
    array = float64_array(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise NtkError(
            f"a residual or target must be (N,) or (N, O) and not empty, got shape {array.shape}"
        )
    return array.reshape(len(array), -1)


def as_columns(kernel: tuple[int, ...], residual: np.ndarray) -> np.ndarray:
    """Reshape a residual (N, O) for a kernel of the given shape: (N·O, 1) or (N, O).

    Raises:
        NtkError: the kernel has neither N·O nor N rows.
    """
    if kernel == (residual.size, residual.size):
        return residual.reshape(-1, 1)
    if kernel == (len(residual), len(residual)):
        return residual
    raise NtkError(
        f"a residual of shape {residual.shape} needs a kernel of {residual.size} (full) or "
        f"{len(residual)} (trace) rows, got shape {kernel}"
    )
