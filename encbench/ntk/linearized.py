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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from encbench.contracts.task import CURVATURE
from encbench.errors import NtkError, ParameterError
from encbench.ntk.lanczos import Tridiagonal, lanczos, largest_eigenvalue
from encbench.ntk.model import check_choice
from encbench.ntk.operator import MatVec, NtkOperator, operator

Array = Tensor | np.ndarray


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
    """Lanczos steps, each of which is one product with the kernel."""
    modes: tuple[Modes, Modes]
    """Rates and energies whose decay bounds the loss of gradient flow from below and above."""

    def time_to(self, loss: float) -> tuple[float, float]:
        """The time [lr · steps] after which gradient flow has this loss: its bounds.

        They agree where the products resolve the eigenvalues that matter until then, and are
        infinite where the loss stays above that value.
        """
        early, late = (_time_to(modes, loss) for modes in self.modes)
        return early, late


@dataclass(frozen=True, eq=False)
class Modes:
    """Independent parts of a loss: Σ energies · e^(−2 · rates · t)."""

    rates: np.ndarray
    """(m,) 2 λ / M, at least 0."""
    energies: np.ndarray
    """(m,) their parts of the loss at the start."""

    def loss(self, times: np.ndarray) -> np.ndarray:
        """(T,) at times (T,) of gradient flow."""
        return np.asarray(np.exp(-2.0 * np.outer(times, self.rates)) @ self.energies)


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
    moments = _moments(at, lr)
    theta, start = _float64(kernel), columns_of(residual)
    columns = as_columns(theta.shape, start)
    if not np.isfinite(theta).all():
        raise NtkError("the kernel contains NaN or infinity; have the weights diverged?")
    eigen = torch.linalg.eigh(torch.from_numpy(np.ascontiguousarray(theta)))
    vectors = eigen.eigenvectors.numpy()  # (n, n)
    rates = 2.0 / start.size * np.clip(eigen.eigenvalues.numpy(), 0.0, None)  # below 0 is rounding
    projected = vectors.T @ columns  # (n, c)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run goes to infinity
        decay = _decay(rates, moments, lr)  # (T, n)
        loss = decay**2 @ np.square(projected).sum(1) / start.size
        later = np.stack([vectors @ (d[:, None] * projected) for d in decay])
    later = later.reshape(len(moments), *start.shape)
    if cross is None or test_residual is None:
        return TrainingPrediction(moments, later, loss)
    test = columns_of(test_residual)
    across = _float64(cross)
    expected = (test.size if len(theta) == start.size else len(test), len(theta))
    if across.shape != expected:
        raise NtkError(f"cross must be of shape {expected} (test, train), got {across.shape}")
    moved = across @ vectors * (2.0 / start.size)
    with np.errstate(over="ignore", invalid="ignore"):
        learned = _learned(rates, moments, lr)
        shift = np.stack([moved @ (g[:, None] * projected) for g in learned])
    tested = test[None] - shift.reshape(len(moments), *test.shape)
    return TrainingPrediction(moments, later, loss, tested, np.square(tested).mean((1, 2)))


def predict_loss(
    product: MatVec | NtkOperator,
    residual: Array,
    at: Sequence[float] | np.ndarray,
    *,
    lr: float | None = None,
    steps: int = 200,
    enough: Callable[[LossPrediction], bool] | None = None,
) -> LossPrediction:
    """The loss curve of ``predict_training`` from products with Θ alone, by Gauss quadrature.

    Args:
        product: ``operator(model, x, outputs="full")``, or v (M,) to Θ v, both NumPy arrays.
        residual: (N, O) with N·O = M, or (M,).
        at, lr: as in ``predict_training``.
        steps: maximum number of Lanczos steps. Where eigenvalues decay quickly, far fewer make
            the curve exact to rounding.
        enough: stops earlier; asked after every tenth step.

    Raises:
        NtkError: ``residual`` has another shape, or is empty.
        ParameterError: as ``predict_training``.

    Source: Golub, Meurant, "Matrices, Moments and Quadrature", 2010, chapter 7.
    """
    moments = _moments(at, lr)
    start = columns_of(residual)
    if not start.any():
        none = Modes(np.empty(0), np.empty(0))
        return LossPrediction(moments, np.zeros(len(moments)), 0, (none, none))
    vector = torch.from_numpy(start.ravel())

    def prediction(found: Tridiagonal) -> LossPrediction:
        gauss, radau = (
            Modes(2.0 / start.size * np.clip(values, 0, None), found.norm**2 * weights / start.size)
            for values, weights in (found.nodes()[:2], found.nodes_with_zero())
        )
        with np.errstate(over="ignore", invalid="ignore"):  # a diverging run goes to infinity
            loss = _decay(gauss.rates, moments, lr) ** 2 @ gauss.energies
        return LossPrediction(moments, loss, len(gauss.rates), (gauss, radau))

    def stop(found: Tridiagonal) -> bool:
        asked = enough is not None and len(found.diagonal) % 10 == 0
        return asked and enough(prediction(found))

    if isinstance(product, NtkOperator):
        return prediction(lanczos(product.product, vector.to(product.device), steps, stop))
    multiply = product
    return prediction(lanczos(lambda v: torch.from_numpy(multiply(v.numpy())), vector, steps, stop))


def critical_learning_rate(
    model: nn.Module,
    x: Tensor,
    loss: str = "mse",
    *,
    device: torch.device | str | None = None,
) -> float:
    """The learning rate below which full-batch gradient descent on the linearized model is stable.

    lr_crit = 2 N O / (c · λ_max), λ_max of the full kernel Θ at x, for a loss that is a mean over N
    points and O outputs. Its curvature along an eigenvector of Θ is at most c λ / (N O): c = 2
    exactly for the squared error, and as upper bounds c = 1/4 for the binary cross entropy of a
    logit, since σ'(z) ≤ 1/4, and c = 1 for the Huber loss. Gradient descent is stable while lr
    times the curvature is below 2.

    λ_max is computed by Lanczos without forming Θ, in float64, as an upper bound, to a relative
    error of 1e-6. It is that of the model as it is: where the kernel grows in training, as for
    grids whose tables start near zero, a rate above lr_crit may diverge within ten steps.

    Args:
        model, x, device: as in ``empirical_ntk``. Some 300 random training points give λ_max / N
            to a few percent.
        loss: "mse", "bce" (from logits) or "huber".

    Raises:
        ParameterError: an unknown loss or device.
        NtkError: as ``empirical_ntk``, or the kernel is zero or not finite.
    """
    check_choice("loss", loss, tuple(CURVATURE))
    theta = operator(model, x, outputs="full", device=device)
    size = int(theta.shape[0])
    largest = largest_eigenvalue(theta.product, size, theta.device)
    if not (math.isfinite(largest) and largest > 0):
        raise NtkError(
            f"the kernel's largest eigenvalue is {largest}, expected a positive number; is the "
            "network's output constant, or have its weights diverged?"
        )
    return 2.0 * size / (CURVATURE[loss] * largest)


def _time_to(modes: Modes, loss: float) -> float:
    noise = 8.0 * np.finfo(float).eps * modes.rates.max(initial=0.0)
    resolved = Modes(np.where(modes.rates > noise, modes.rates, 0.0), modes.energies)

    def excess(log_time: float) -> float:
        return float(resolved.loss(np.exp([log_time]))[0]) - loss

    if modes.energies.sum() <= loss:
        return 0.0
    low, high = -100.0, 100.0
    return math.exp(brentq(excess, low, high)) if excess(high) < 0 else math.inf


def _moments(at: Sequence[float] | np.ndarray, lr: float | None) -> np.ndarray:
    moments = np.asarray(at, dtype=np.float64)
    if moments.ndim != 1 or not np.isfinite(moments).all() or (moments < 0).any():
        raise ParameterError("times (or steps) must be a list of finite numbers >= 0")
    if lr is not None and not (np.isfinite(lr) and lr > 0):
        raise ParameterError(f"lr must be positive, got {lr}")
    if lr is not None and (moments != np.floor(moments)).any():
        raise ParameterError("with lr, the times are numbers of steps and must be whole numbers")
    return moments


def _float64(values: Array) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().to(device="cpu", dtype=torch.float64).numpy()
    return np.asarray(values, dtype=np.float64)


def columns_of(values: Array) -> np.ndarray:
    """Values at N points as (N, O) float64.

    Raises:
        NtkError: they have another shape, or there are none.
    """
    array = _float64(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise NtkError(
            f"a residual or target must be (N,) or (N, O) and not empty, got shape {array.shape}"
        )
    return array.reshape(len(array), -1)


def as_columns(kernel: tuple[int, ...], residual: np.ndarray) -> np.ndarray:
    """A residual (N, O) in the form that a kernel of this shape acts on: (N·O, 1) or (N, O).

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


def _decay(rates: np.ndarray, moments: np.ndarray, lr: float | None) -> np.ndarray:
    """(T, n): the remaining share of each mode, e^(−λt) or (1 − lr λ)^s."""
    if lr is None:
        return np.asarray(np.exp(-np.outer(moments, rates)))
    return np.asarray((1.0 - lr * rates)[None, :] ** moments[:, None])


def _learned(rates: np.ndarray, moments: np.ndarray, lr: float | None) -> np.ndarray:
    """(T, n): (1 − decay) / λ, which is t (or lr · s) at λ = 0.

    Uses expm1, because 1 − decay cancels where λt is small, as for most eigenvalues of the kernel
    of a coordinate network.
    """
    some = np.where(rates > 0, rates, 1.0)
    if lr is None:
        quotient = -np.expm1(-np.outer(moments, rates)) / some
        return np.where(rates > 0, quotient, moments[:, None])
    gentle = lr * rates < 1.0
    exponent = np.log1p(np.where(gentle, -lr * rates, 0.0))
    quotient = -np.expm1(np.outer(moments, exponent)) / some
    steep = (1.0 - _decay(rates, moments, lr)) / some
    return np.where(rates > 0, np.where(gentle, quotient, steep), lr * moments[:, None])
