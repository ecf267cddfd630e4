"""Training of the linearized model, predicted from its kernel: residuals, loss, stable step size.

The loss is L = ‖r‖² / M, the mean squared error over M = N·O residuals r = f(X) − y. Gradient
flow dθ/dt = −∇L gives dr/dt = −(2/M) Θ r; a step of gradient descent with rate lr gives
r ← (1 − 2 lr Θ / M) r, so that t = lr · steps compares the two.

Source: Jacot et al., "Neural Tangent Kernel", NeurIPS 2018, section 5; Lee et al., "Wide Neural
Networks of Any Depth Evolve as Linear Models Under Gradient Descent", NeurIPS 2019, Eqs. 8-11;
Eqs. 5 and 7 of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encbench.contracts.task import CURVATURE
from encbench.errors import NtkError, ParameterError, check_choice
from encbench.ntk.flow import Array, Flow, Modes, as_columns, columns_of, float64_array
from encbench.ntk.lanczos import lanczos, largest_eigenvalue
from encbench.ntk.operator import MatVec, NtkOperator, operator


@dataclass(frozen=True, eq=False)
class TrainingPrediction:
    """Residuals f − y and mean squared error at T times."""

    at: np.ndarray
    """(T,) times of gradient flow, or steps of gradient descent."""
    residual: np.ndarray
    """(T, N, O) at the training points."""
    loss: np.ndarray
    """(T,) mean over points and outputs."""
    test_residual: np.ndarray | None = None
    """(T, N*, O) at the test points."""
    test_loss: np.ndarray | None = None
    """(T,)"""


@dataclass(frozen=True, eq=False)
class LossPrediction:
    """A loss curve computed without eigenvectors."""

    at: np.ndarray
    """(T,) times or steps."""
    loss: np.ndarray
    """(T,) mean over points and outputs."""
    steps: int
    """Number of Lanczos steps; each takes one product with the kernel."""
    flow: Flow
    """The loss of gradient flow at any time, and bounds of the time to a loss."""


def predict_training(
    kernel: Array,
    residual: Array,
    at: Sequence[float] | np.ndarray,
    *,
    lr: float | None = None,
    cross: Array | None = None,
    test_residual: Array | None = None,
) -> TrainingPrediction:
    """Residuals and loss of the linearized model, from the kernel's eigenpairs.

    Args:
        kernel: Θ at the training points, (N·O, N·O) with point n and output a at n·O + a ("full"),
            or (N, N) ("trace"), which is then used for each output separately: exact for one
            output, an approximation for several.
        residual: (N,) or (N, O), f(X) − y at the start.
        at: T times t >= 0 of gradient flow; with ``lr``, numbers of steps of gradient descent.
        lr: learning rate of gradient descent; None means gradient flow. Above lr_crit the
            prediction diverges, as training does.
        cross: Θ(x*, X) from ``cross_ntk(model, test, train)``, in the same form as ``kernel``.
        test_residual: (N*,) or (N*, O), f(x*) − y* at the start.

    Raises:
        NtkError: the shapes do not match, or the kernel is not finite.
        ParameterError: a negative time or learning rate, or only one of cross and test_residual.
    """
    if (cross is None) != (test_residual is None):
        raise ParameterError("cross and test_residual belong together: give both or neither")
    times = _times(at, lr)
    theta, start = float64_array(kernel), columns_of(residual)
    columns = as_columns(theta.shape, start)
    if not np.isfinite(theta).all():
        raise NtkError("the kernel contains NaN or infinity; have the weights diverged?")
    eigen = torch.linalg.eigh(torch.from_numpy(np.ascontiguousarray(theta)))
    vectors = eigen.eigenvectors.numpy()  # (n, n)
    rates = 2.0 / start.size * np.clip(eigen.eigenvalues.numpy(), 0.0, None)  # below 0 is rounding
    projected = vectors.T @ columns  # (n, c)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run goes to infinity
        decay = _decay(rates, times, lr)  # (T, n)
        loss = decay**2 @ np.square(projected).sum(1) / start.size
        later = np.stack([vectors @ (d[:, None] * projected) for d in decay])
    later = later.reshape(len(times), *start.shape)
    if cross is None or test_residual is None:
        return TrainingPrediction(times, later, loss)
    test = columns_of(test_residual)
    across = float64_array(cross)
    expected = (test.size if len(theta) == start.size else len(test), len(theta))
    if across.shape != expected:
        raise NtkError(f"cross must be of shape {expected} (test, train), got {across.shape}")
    moved = across @ vectors * (2.0 / start.size)
    with np.errstate(over="ignore", invalid="ignore"):
        learned = _learned(rates, times, lr)
        shift = np.stack([moved @ (g[:, None] * projected) for g in learned])
    tested = test[None] - shift.reshape(len(times), *test.shape)
    return TrainingPrediction(times, later, loss, tested, np.square(tested).mean((1, 2)))


def predict_loss(
    product: MatVec | NtkOperator,
    residual: Array,
    at: Sequence[float] | np.ndarray,
    *,
    lr: float | None = None,
    steps: int = 200,
) -> LossPrediction:
    """The loss curve of ``predict_training`` from products with Θ alone, by Gauss quadrature.

    Args:
        product: ``operator(model, x, outputs="full")``, or v (M,) to Θ v, both NumPy arrays.
        residual: (N, O) with N·O = M, or (M,).
        at, lr: as in ``predict_training``.
        steps: maximum number of Lanczos steps. If eigenvalues decay quickly, far fewer give the
            curve exactly, up to rounding.

    Raises:
        NtkError: ``residual`` has another shape, or is empty.
        ParameterError: as ``predict_training``.

    Source: Golub, Meurant, "Matrices, Moments and Quadrature", 2010, chapter 7.
    """
    times = _times(at, lr)
    start = columns_of(residual)
    if not start.any():
        nothing = Modes(np.empty(0), np.empty(0))
        return LossPrediction(times, np.zeros(len(times)), 0, Flow(nothing, nothing))
    vector = torch.from_numpy(start.ravel())
    if isinstance(product, NtkOperator):
        found = lanczos(product.product, vector.to(product.device), steps)
    else:
        found = lanczos(lambda v: torch.from_numpy(product(v.numpy())), vector, steps)
    flow = Flow.of(found)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run goes to infinity
        loss = _decay(flow.lower.rates, times, lr) ** 2 @ flow.lower.energies
    return LossPrediction(times, loss, len(flow.lower.rates), flow)


def critical_learning_rate(
    model: nn.Module,
    x: Tensor,
    loss: str = "mse",
    *,
    device: torch.device | str | None = None,
    encoding_lr_factor: float = 1.0,
) -> float:
    """The learning rate below which full-batch gradient descent on the linearized model is stable.

    lr_crit = 2 N O / (c · λ_max), λ_max of the full kernel Θ at x, for a loss that is a mean over N
    points and O outputs. Its curvature along an eigenvector of Θ is at most c λ / (N O): c = 2
    exactly for the squared error, and as upper bounds c = 1/4 for the binary cross entropy of a
    logit, since σ'(z) ≤ 1/4, and c = 1 for the Huber loss. Gradient descent is stable while lr
    times the curvature is below 2.

    λ_max is computed by Lanczos without forming Θ, in float64, as an upper bound, to a relative
    error of 1e-6, for the model's present parameters. If the kernel grows in training, as it does
    for grids whose tables start near zero, a rate near lr_crit may diverge within ten steps.

    Args:
        model, x, device: as in ``empirical_ntk``. About 300 random training points give λ_max / N
            to a few percent.
        loss: "mse", "bce" (from logits) or "huber".
        encoding_lr_factor: learning rate of the encoding over that of the network, for which
            lr_crit is computed; Θ is then K_MLP + factor · K_enc.

    Raises:
        ParameterError: an unknown loss or device.
        NtkError: as ``empirical_ntk``, or the kernel is zero or not finite.
    """
    check_choice("loss", loss, tuple(CURVATURE))
    theta = operator(model, x, outputs="full", device=device, encoding_lr_factor=encoding_lr_factor)
    size = int(theta.shape[0])
    largest = largest_eigenvalue(theta.product, size, theta.device)
    if not (math.isfinite(largest) and largest > 0):
        raise NtkError(
            f"the kernel's largest eigenvalue is {largest}, expected a positive number; is the "
            "network's output constant, or have its weights diverged?"
        )
    return 2.0 * size / (CURVATURE[loss] * largest)


def _times(at: Sequence[float] | np.ndarray, lr: float | None) -> np.ndarray:
    times = np.asarray(at, dtype=np.float64)
    if times.ndim != 1 or not np.isfinite(times).all() or (times < 0).any():
        raise ParameterError("times (or steps) must be a list of finite numbers >= 0")
    if lr is not None and not (np.isfinite(lr) and lr > 0):
        raise ParameterError(f"lr must be positive, got {lr}")
    if lr is not None and (times != np.floor(times)).any():
        raise ParameterError("with lr, the times are numbers of steps and must be whole numbers")
    return times


def _decay(rates: np.ndarray, times: np.ndarray, lr: float | None) -> np.ndarray:
    """(T, n): the remaining share of each mode, e^(−λt) or (1 − lr λ)^s."""
    if lr is None:
        return np.asarray(np.exp(-np.outer(times, rates)))
    return np.asarray((1.0 - lr * rates)[None, :] ** times[:, None])


def _learned(rates: np.ndarray, times: np.ndarray, lr: float | None) -> np.ndarray:
    """(T, n): (1 − decay) / λ, which is t (or lr · s) at λ = 0.

    Uses expm1, because 1 − decay loses digits if λt is small, as it is for most eigenvalues of
    the kernel of a coordinate network.
    """
    some = np.where(rates > 0, rates, 1.0)
    if lr is None:
        quotient = -np.expm1(-np.outer(times, rates)) / some
        return np.where(rates > 0, quotient, times[:, None])
    gentle = lr * rates < 1.0
    exponent = np.log1p(np.where(gentle, -lr * rates, 0.0))
    quotient = -np.expm1(np.outer(times, exponent)) / some
    steep = (1.0 - _decay(rates, times, lr)) / some
    return np.where(rates > 0, np.where(gentle, quotient, steep), lr * times[:, None])
