"""Training of the linearized model is predicted, and diverges above the critical rate."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from encbench import CoordinateMLP, NtkError, ParameterError
from encbench.ntk import (
    critical_learning_rate,
    cross_ntk,
    empirical_ntk,
    operator,
    predict_loss,
    predict_training,
    spectrum,
)
from encbench.ntk.autograd import jacobian
from encbench.ntk.model import working_copy
from tests.ntk.grids import CollidingGrid, LearnedFeatures, SilentGrid
from tests.ntk.test_kernel import Plain


def linear_model() -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(2, 2)).double()


def descend(model: nn.Module, x: Tensor, y: Tensor, lr: float, steps: int) -> nn.Module:
    """Plain full-batch gradient descent on the mean squared error."""
    trained = copy.deepcopy(model)
    optimizer = torch.optim.SGD(trained.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(trained(x), y).backward()
        optimizer.step()
    return trained


def residual(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (model(x) - y).detach()


@pytest.mark.parametrize("lr", [0.05, 0.6])
def test_prediction_is_exact_for_gradient_descent_on_a_linear_model(lr: float) -> None:
    model = linear_model()
    x, test = torch.rand(9, 2, dtype=torch.float64), torch.rand(5, 2, dtype=torch.float64)
    y, z = torch.randn(9, 2).double(), torch.randn(5, 2).double()
    steps = [0, 1, 7, 40]
    predicted = predict_training(
        empirical_ntk(model, x, outputs="full").total,
        residual(model, x, y),
        steps,
        lr=lr,
        cross=cross_ntk(model, test, x, outputs="full"),
        test_residual=residual(model, test, z),
    )
    for row, count in enumerate(steps):
        trained = descend(model, x, y, lr, count)
        assert predicted.residual[row] == pytest.approx(residual(trained, x, y).numpy(), abs=1e-12)
        assert predicted.loss[row] == pytest.approx(float(residual(trained, x, y).square().mean()))
        assert predicted.test_residual is not None
        assert predicted.test_loss is not None
        expected = residual(trained, test, z)
        assert predicted.test_residual[row] == pytest.approx(expected.numpy(), abs=1e-11)
        assert predicted.test_loss[row] == pytest.approx(float(expected.square().mean()))


def test_gradient_flow_is_the_limit_of_small_steps() -> None:
    model = linear_model()
    x, y = torch.rand(9, 2, dtype=torch.float64), torch.randn(9, 2).double()
    kernel, start = empirical_ntk(model, x, outputs="full").total, residual(model, x, y)
    flow = predict_training(kernel, start, [3.0])
    errors = []
    for steps in (300, 3000):
        descent = predict_training(kernel, start, [steps], lr=3.0 / steps)
        errors.append(np.abs(flow.residual - descent.residual).max())
    assert errors[1] < 0.11 * errors[0], "the error must fall with the step"
    assert errors[1] < 1e-2


@pytest.mark.parametrize("make", [Plain, CollidingGrid])
def test_a_network_near_its_targets_follows_its_kernel(make: type) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(make(), 2, width=256).double()
    x, test = torch.rand(20, 2, dtype=torch.float64), torch.rand(6, 2, dtype=torch.float64)
    lr = 0.2 * critical_learning_rate(model, x)
    kernel = empirical_ntk(model, x, outputs="full").total
    cross = cross_ntk(model, test, x, outputs="full")
    errors = []
    for distance in (1e-2, 1e-4):  # to the targets: the less weights move, the more linear it is
        start = distance * torch.sin(7 * torch.arange(40, dtype=torch.float64)).view(20, 2)
        y, z = model(x).detach() - start, model(test).detach()
        predicted = predict_training(
            kernel, start, [200], lr=lr, cross=cross, test_residual=torch.zeros(6, 2)
        )
        trained = descend(model, x, y, lr, 200)
        after = residual(trained, x, y).numpy()
        assert np.square(after).mean() < 0.9 * float(start.square().mean()), "nothing was learned"
        assert predicted.test_residual is not None
        moved = residual(trained, test, z).numpy()
        error = np.abs(predicted.residual[0] - after).max() / np.abs(after).max()
        test_error = np.abs(predicted.test_residual[0] - moved).max() / np.abs(moved).max()
        errors.append(max(error, test_error))
    assert errors[1] < 1e-3
    assert errors[1] < 0.1 * errors[0]


def test_test_residuals_stay_finite_on_a_singular_kernel() -> None:
    model = CoordinateMLP(Plain(), 1, width=8)
    x = torch.rand(60, 2, dtype=torch.float64)
    x[30:] = x[:30]
    start = torch.randn(60, 1)
    kernel = empirical_ntk(model, x).total
    # At a training point, the test residual is the training residual.
    predicted = predict_training(kernel, start, [0.0, 10.0, 1e4], cross=kernel, test_residual=start)
    assert predicted.test_residual is not None
    assert predicted.test_residual == pytest.approx(predicted.residual, abs=1e-8)


@pytest.mark.parametrize("lr", [None, 1.0])
def test_small_eigenvalues_learn_at_their_rate(lr: float | None) -> None:
    """After one step (or time 1) a mode of eigenvalue λ has moved by rate · residual, to first
    order, even if 1 - rate is 1 in float64."""
    for value in (1e-6, 1e-12, 1e-18):
        kernel, start = np.diag([1.0, value]), np.array([[0.0], [1.0]])
        predicted = predict_training(
            *(kernel, start, [1.0]),
            **{"lr": lr, "cross": np.array([[0.0, 1e12]]), "test_residual": np.array([[0.0]])},
        )
        assert predicted.test_residual is not None
        # 2 / N · cross · t · (1 + O(λ)), where N = 2
        assert predicted.test_residual[0, 0, 0] == pytest.approx(-1e12, rel=1e-6)


def test_quadrature_predicts_the_loss_curve_without_eigenvectors() -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(CollidingGrid(), 2, width=32)
    x = torch.rand(80, 2, dtype=torch.float64)
    start = torch.randn(80, 2, dtype=torch.float64)
    times = np.geomspace(0.1, 1e4, 12)
    exact = predict_training(empirical_ntk(model, x, outputs="full").total, start, times)
    product = operator(model, x, outputs="full").matvec
    quick = predict_loss(product, start, times, steps=80)
    assert quick.loss == pytest.approx(exact.loss, rel=1e-6)
    steps = np.array([0, 3, 1000])
    lr = 0.5 * critical_learning_rate(model, x)
    exact = predict_training(empirical_ntk(model, x, outputs="full").total, start, steps, lr=lr)
    assert predict_loss(product, start, steps, lr=lr).loss == pytest.approx(exact.loss, rel=1e-6)


def linearized_descent(model: nn.Module, x: Tensor, loss: str, lr: float) -> list[float]:
    """Losses of actual gradient descent on f(x; θ₀) + J (θ − θ₀)."""
    private, points, trainable = working_copy(model, x, torch.float64, None)
    j = jacobian(private, sorted(trainable), points)
    f0 = private(points)
    torch.manual_seed(1)
    y = torch.rand_like(f0)
    # BCE is steepest where the logit is 0: start there to reach the bound on its curvature.
    flat = (torch.full_like(y, 0.5), 1e-3 * torch.randn_like(f0))
    target, start = (y, f0) if loss == "mse" else flat
    shift = torch.zeros(j.shape[2], dtype=torch.float64, requires_grad=True)
    losses = []
    for _ in range(200):
        f = start + j @ shift
        if loss == "mse":
            value = torch.nn.functional.mse_loss(f, target)
        else:
            value = torch.nn.functional.binary_cross_entropy_with_logits(f, target)
        losses.append(float(value.detach()))
        (gradient,) = torch.autograd.grad(value, shift)
        shift = (shift - lr * gradient).detach().requires_grad_()
    return losses


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("make", [Plain, CollidingGrid])
def test_descent_converges_below_the_critical_rate_and_not_above(make: type, loss: Any) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(make(), 2, width=16)
    x = torch.rand(25, 2, dtype=torch.float64)
    critical = critical_learning_rate(model, x, loss=loss)
    below = linearized_descent(model, x, loss, 0.9 * critical)
    above = linearized_descent(model, x, loss, 1.1 * critical)
    assert all(later <= sooner + 1e-12 for sooner, later in pairwise(below))
    assert above[-1] > 1.001 * above[0]


@pytest.mark.parametrize("make", [CollidingGrid, SilentGrid, LearnedFeatures])
def test_critical_rate_takes_the_encodings_learning_rate(make: type) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(make(), 3, width=16)
    x = torch.rand(40, 2, dtype=torch.float64)
    parts = empirical_ntk(model, x, outputs="full").parts
    largest = spectrum(parts["mlp"] + 10 * parts["encoding"]).maximum
    critical = critical_learning_rate(model, x, encoding_lr_factor=10.0)
    assert critical == pytest.approx(120 / largest, rel=3e-6)
    assert critical < 0.9 * critical_learning_rate(model, x)
    assert critical_learning_rate(model, x, encoding_lr_factor=1.0) == critical_learning_rate(
        model, x
    )


def test_critical_rate_is_that_of_the_full_kernels_largest_eigenvalue() -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(CollidingGrid(), 3, width=16)
    x = torch.rand(40, 2, dtype=torch.float64)
    largest = spectrum(empirical_ntk(model, x, outputs="full").total).maximum
    assert critical_learning_rate(model, x) == pytest.approx(120 / largest, rel=3e-6)
    assert critical_learning_rate(model, x) <= 120 / largest, "must err on the safe side"
    assert critical_learning_rate(model, x, loss="bce") == pytest.approx(960 / largest, rel=3e-6)
    # The loss is a mean: repeating the points changes nothing.
    twice = critical_learning_rate(model, x.repeat(2, 1))
    assert twice == pytest.approx(critical_learning_rate(model, x), rel=1e-5)


def test_unknown_losses_are_refused() -> None:
    model = CoordinateMLP(Plain(), 1, width=8)
    with pytest.raises(ParameterError, match="did you mean 'mse'"):
        critical_learning_rate(model, torch.rand(3, 2), loss="mes")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        ({"at": [-1.0]}, ParameterError, ">= 0"),
        ({"at": [0.5], "lr": 0.1}, ParameterError, "whole numbers"),
        ({"lr": 0.0}, ParameterError, "positive"),
        ({"residual": torch.ones(4)}, NtkError, "needs a kernel of 4"),
        ({"kernel": torch.full((3, 3), torch.nan)}, NtkError, "NaN"),
        ({"cross": torch.ones(2, 3)}, ParameterError, "belong together"),
        ({"cross": torch.ones(3, 2), "test_residual": torch.ones(2)}, NtkError, "cross must be"),
    ],
)
def test_invalid_arguments_of_predictions_are_refused(
    change: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    arguments = {"kernel": torch.eye(3), "residual": torch.ones(3), "at": [1.0], **change}
    with pytest.raises(error, match=complaint):
        predict_training(**arguments)


def test_above_the_critical_rate_the_prediction_diverges() -> None:
    predicted = predict_training(torch.eye(2), torch.ones(2), [0, 10, 10**6], lr=10.0)
    assert predicted.loss[1] > predicted.loss[0]
    assert predicted.loss[2] == np.inf


def test_a_network_whose_output_is_constant_has_no_critical_rate() -> None:
    class Constant(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0 * (x @ self.weight[:2, None] + self.weight[2])

    with pytest.raises(NtkError, match=r"largest eigenvalue is 0\.0, expected a positive number"):
        critical_learning_rate(Constant(), torch.rand(9, 2, dtype=torch.float64))
