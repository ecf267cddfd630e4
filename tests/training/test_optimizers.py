"""Parameters of the optimizers have their effect; test_step compares their steps with torch's."""

import pytest
import torch
from torch import nn

from encbench import Optimizer, ParameterError
from encbench.plugins.registry import default_registry
from encbench.training.optimizers import Muon, Sgd, TorchOptimizer, make_optimizer


def test_momentum_takes_a_smaller_rate_from_the_kernel_as_its_steps_add_up():
    assert Sgd().lr_from_kernel(2.0) == 2.0
    assert Sgd(momentum=0.75).lr_from_kernel(2.0) == 0.5


def test_nesterov_needs_momentum():
    with pytest.raises(ParameterError, match="needs momentum above 0"):
        Sgd(nesterov=True)
    assert Sgd(momentum=0.5, nesterov=True).nesterov


def test_parameters_of_one_of_torchs_optimizers_are_its_own():
    optimizer = TorchOptimizer(name="RMSprop", parameters={"momentum": 0.5})
    made = optimizer.make([{"params": [nn.Parameter(torch.zeros(2))], "lr": 0.1}], fused=False)
    assert made.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize("key", ["lr", "maximize", "capturable", "differentiable"])
def test_what_a_setting_or_encbench_decides_is_no_parameter_of_torchs_optimizers(key):
    with pytest.raises(ParameterError, match=f"torch.optim.Adam cannot have {key} here: "):
        TorchOptimizer(name="Adam", parameters={key: 1})


def test_the_order_of_parameters_does_not_make_another_optimizer():
    texts = ("{eps=1,betas=[0.5,0.9]}", "{betas=[0.5,0.9],eps=1}")
    spelled = (f"torch:name=Adam,parameters={text}" for text in texts)
    (shortest,) = {default_registry().choose("optimizer", text)[2] for text in spelled}
    assert shortest == 'torch:name=Adam,parameters={"betas"=[0.5,0.9],"eps"=1}'


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")
def test_muon_takes_orthogonal_steps_of_hidden_matrices():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    before = layers[1].weight.detach().clone()
    group = {"params": list(layers.parameters()), "lr": 0.1, "highest_lr": 0.1, "part": "mlp"}
    made = Muon(weight_decay=0.0).make([group], fused=False)
    layers(torch.randn(8, 4)).square().mean().backward()
    made.step()
    step = (layers[1].weight.detach() - before) / 0.1
    singular = torch.linalg.svdvals(step)
    # approximately, by torch's five Newton-Schulz iterations; AdamW's step is a tenth as long
    assert 0.5 < float(singular[2]) < float(singular[0]) < 1.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda groups: None, r"Idle.make returned a NoneType, expected a torch.optim.Optimizer"),
        (lambda groups: torch.optim.SGD(groups[:1]), "got 2 parameters, and its .* has 1, of whi"),
        (lambda groups: torch.optim.SGD(groups[0]["params"], lr=0.1), "loses the key 'highest_lr'"),
        (
            lambda groups: torch.optim.SGD(
                [group | {"params": [nn.Parameter(torch.zeros(2))]} for group in groups]
            ),
            "has 2, of which 0 are the ones given; each of them belongs to exactly one group",
        ),
    ],
)
def test_an_optimizer_that_would_not_train_the_parameters_is_refused(make, message):
    Idle = type("Idle", (Optimizer,), {"make": lambda self, groups, *, fused: make(groups)})
    parts = ([nn.Parameter(torch.zeros(2))], [nn.Parameter(torch.zeros(2))])
    with pytest.raises(TypeError, match=message):
        make_optimizer(Idle(), parts, (0.1, 0.1))
