"""Every named loss equals its formula, and the result of a task's own loss is checked."""

import pytest
import torch
import torch.nn.functional as F

from encbench import CoordinateMLP, PluginError
from encbench.training.losses import LOSSES, OwnLoss, value_and_gradient
from tests.sample_plugin import Scaled


def outputs():
    generator = torch.Generator().manual_seed(0)
    p, y = torch.rand(2, 40, 3, generator=generator, dtype=torch.float64)
    return 2 * p - 0.5, y


FORMULAS = {
    "mse": lambda p, y: ((p - y) ** 2).mean(),
    "bce": lambda p, y: F.binary_cross_entropy(p.sigmoid(), y),
    "l1": lambda p, y: (p - y).abs().mean(),
    "huber": lambda p, y: torch.where(
        (p - y).abs() <= 0.1, (p - y) ** 2 / 2, 0.1 * ((p - y).abs() - 0.05)
    ).mean(),
    "relative_l2": lambda p, y: ((p - y) ** 2 / (p**2 + 0.01)).mean(),
    "mape": lambda p, y: ((p - y).abs() / (y.abs() + 0.01)).mean(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_named_loss_is_its_formula(name):
    p, y = outputs()
    torch.testing.assert_close(LOSSES[name](p, y), FORMULAS[name](p, y), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_the_fast_gradient_is_that_of_autograd(name):
    p, y = outputs()
    leaf = p.clone().requires_grad_()
    loss = LOSSES[name](leaf, y)
    loss.backward()
    with torch.no_grad():
        value, gradient = value_and_gradient(name, p, y)
    torch.testing.assert_close(value, loss.detach(), rtol=1e-13, atol=0)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-12, atol=1e-17)


def test_the_denominator_of_the_relative_loss_has_no_gradient():
    p, y = outputs()
    leaf = p.clone().requires_grad_()
    LOSSES["relative_l2"](leaf, y).backward()
    expected = 2 * (p - y) / (p**2 + 0.01) / p.numel()
    torch.testing.assert_close(leaf.grad, expected, rtol=1e-13, atol=0)


def test_a_loss_may_differentiate_the_network_by_its_input_twice():
    """u'' of u = Σ a tanh(w x + b) is Σ −2 a w² t (1 − t²), and so is its gradient."""
    torch.manual_seed(0)
    model = CoordinateMLP(Scaled(1), 1, 8, 1, "standard", activation="tanh").double()

    def squared_second_derivative(model, x, y):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        return second.square().mean()

    x = torch.rand(9, 1, dtype=torch.float64)
    loss = OwnLoss(squared_second_derivative)(model, x, x)
    w, b, a, _ = model.parameters()
    t = torch.tanh(x * w[:, 0] + b)
    formula = (-2 * t * (1 - t**2) * a[0] * w[:, 0] ** 2).sum(1).square().mean()
    torch.testing.assert_close(loss, formula, rtol=1e-12, atol=0)
    got, wanted = (torch.autograd.grad(each, [w, b, a]) for each in (loss, formula))
    torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-14)


def test_a_network_that_has_diverged_is_not_the_losss_fault():
    model = CoordinateMLP(Scaled(1), 1, 8, 1)
    with torch.no_grad():
        model.layers[0].weight.fill_(float("inf"))
    x = torch.rand(4, 1)
    loss = OwnLoss(lambda model, x, y: model(x).square().mean())(model, x, x)
    assert not torch.isfinite(loss)


def test_what_is_no_loss_is_refused_at_every_step():
    model, x = CoordinateMLP(Scaled(1), 1, 8, 1), torch.rand(4, 1)
    results = iter([model(x).mean(), torch.ones(3, requires_grad=True)])
    loss = OwnLoss(lambda model, x, y: next(results))
    loss(model, x, x)
    with pytest.raises(PluginError, match=r"a tensor \(3,\) of torch.float32, expected a scalar"):
        loss(model, x, x)
