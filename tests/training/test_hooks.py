"""Hooks on a network's parameters are called in training, by whichever method it is trained."""

from __future__ import annotations

import pytest
import torch
from encbench_encodings.identity import Identity

from encbench import CoordinateMLP
from encbench.training.optimizers import Sgd
from encbench.training.step import make_step


def stopped(weight):
    weight.grad.zero_()


HOOKS = {
    "of the gradient": lambda weight: weight.register_hook(torch.zeros_like),
    "after it": lambda weight: weight.register_post_accumulate_grad_hook(stopped),
}


@pytest.mark.parametrize("register", HOOKS.values(), ids=HOOKS)
def test_a_hook_on_a_weight_changes_its_gradient(register):
    torch.manual_seed(0)
    model = CoordinateMLP(Identity(2), 1, 8)
    weight = model.layers[0].weight
    register(weight)
    before = weight.detach().clone()
    x, y = torch.rand(9, 2), torch.rand(9, 1)
    step = make_step(model, "mse", Sgd(), (0.1, 0.1), x, points=9, batch_size=9)
    step.begin(x, y, torch.arange(9))
    step(0, 9)
    assert step.how == "autograd: the network has hooks"
    assert torch.equal(weight, before)
    assert not torch.equal(model.layers[2].bias, torch.zeros_like(model.layers[2].bias))
