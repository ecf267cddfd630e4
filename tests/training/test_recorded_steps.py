"""A recording goes on with the numbers that it is given, not with those it was made with.

A CUDA graph launches the kernels that it saw and runs no Python. ``Tape`` does that on a CPU: it
keeps each operation of torch with its tensors, and repeats it into the same memory. So what a step
keeps in Python from one call to the next, and must not, shows without a GPU. That a GPU takes the
same steps is in ``test_step.py``.
"""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from encbench.training import step as steps
from encbench.training.optimizers import Sgd
from encbench.training.step import AutogradStep, LayerwiseStep, RecordedStep, make_step
from tests.training.test_step import BATCH, RULES, model_of, points, train


class Tape(TorchDispatchMode):
    """What ``Recording`` is, on a CPU."""

    def __init__(self, function, device):
        super().__init__()
        self._operations, self._before, self._made = [], {}, set()
        with self:
            self._result = function()
        # a graph computes nothing when it is recorded
        with torch.no_grad():
            for tensor, value in self._before.values():
                tensor.copy_(value)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for tensor in written(operation, args, kwargs):
            storage = tensor.untyped_storage().data_ptr()
            if storage not in self._made and tensor.data_ptr() not in self._before:
                self._before[tensor.data_ptr()] = tensor, tensor.clone()
        result = operation(*args, **kwargs)
        if not operation.is_view:
            outputs = [each for each in tree_flatten(result)[0] if isinstance(each, torch.Tensor)]
            self._made |= {each.untyped_storage().data_ptr() for each in outputs}
        self._operations.append((operation, args, kwargs, result))
        return result

    def __call__(self):
        with torch.no_grad():
            for operation, args, kwargs, result in self._operations:
                again = operation(*args, **kwargs)
                for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                    # views, and what was changed in place, are there already
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)
        return self._result


def written(operation, args, kwargs):
    """Tensors that an operation changes in place."""
    schema = operation._schema.arguments
    named = [*zip(schema, args, strict=False)]
    named += [(each, kwargs[each.name]) for each in schema if each.name in kwargs]
    for argument, value in named:
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from tree_flatten(value)[0]


@pytest.fixture
def recorded(monkeypatch):
    """Makes recorded steps; of the operations of a recording all but the first run are repeats."""
    monkeypatch.setattr(steps, "Recording", Tape)
    # a step on a CPU needs no tensors for its rates; a recorded one reads them
    monkeypatch.setattr(LayerwiseStep, "can_be_recorded", True)

    def make(model, loss, rule, rates, x):
        step = make_step(model, loss, rule, rates, x, points=10**4, batch_size=BATCH)
        assert isinstance(step, LayerwiseStep)
        return RecordedStep(step, x.device)

    return make


def test_the_tape_repeats_operations_and_no_python():
    calls, x, total = [], torch.zeros(2), torch.zeros(2)

    def function():
        calls.append(1)
        total.add_(x)
        return (2 * x)[:1].sum()

    tape = Tape(function, torch.device("cpu"))
    total.zero_()
    for value in (1.0, 2.0):
        x.fill_(value)
        assert float(tape()) == 2 * value
    assert calls == [1]
    assert total.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["identity", "siren", "hashgrid", "kplanes", "sparse_multigrid"])
def test_recorded_steps_are_those_of_autograd(recorded, name, rule):
    rule, lr = RULES[rule]
    lr = torch.tensor(lr).item()  # a recorded step reads it in float32
    model = model_of(name)
    plain = copy.deepcopy(model)
    epochs = [points(model.in_dim, 3)]
    step = recorded(model, "mse", rule, (lr, lr), epochs[0][0])
    losses = train(step, epochs, 48)
    assert step.how.endswith(", recorded")
    torch.testing.assert_close(
        losses, train(AutogradStep(plain, "mse", rule, (lr, lr)), epochs, 48), rtol=1e-9, atol=0
    )
    for got, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_new_points_are_recorded_anew(recorded, rule):
    rule, lr = RULES[rule]
    lr = torch.tensor(lr).item()
    model = model_of("mpe", parameters={"resolutions": [65]})
    plain = copy.deepcopy(model)
    epochs = [points(2, 3, count=300, seed=seed) for seed in (1, 2)]
    losses = train(recorded(model, "mse", rule, (lr, lr), epochs[0][0]), epochs, 76)
    wanted = train(AutogradStep(plain, "mse", rule, (lr, lr)), epochs, 76)
    torch.testing.assert_close(losses, wanted, rtol=1e-9, atol=0)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["siren", "hashgrid"])
def test_a_recorded_step_follows_the_schedule(recorded, name, rule):
    rule, lr = RULES[rule]
    model = model_of(name)
    plain = copy.deepcopy(model)
    x, y = points(2, 3)
    order = torch.arange(len(x))
    one = recorded(model, "mse", rule, (lr, 3 * lr), x)
    other = make_step(plain, "mse", rule, (lr, 3 * lr), x, points=10**4, batch_size=BATCH)
    for number in range(40):
        for step in (one, other):
            if number % 5 == 0:
                step.begin(x, y, order)
            step(number % 5 * BATCH, (number % 5 + 1) * BATCH, 0.9**number)
    for step in (one, other):
        step.settle()
    for got, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-8)


def test_what_cannot_be_recorded_goes_on_one_by_one(recorded, monkeypatch):
    class Refuses:
        def __init__(self, function, device):
            function()
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(steps, "Recording", Refuses)
    model = model_of("identity")
    step = recorded(model, "mse", Sgd(), (0.0, 0.0), points(2, 3)[0])
    losses = train(step, [points(2, 3)])
    assert step.how == (
        "layerwise, not recorded: RuntimeError: operation not permitted when stream is capturing"
    )
    assert torch.isfinite(losses).all()
