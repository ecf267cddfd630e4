"""A recorded step uses the numbers of the current call, not those of the recording.

A CUDA graph launches the recorded kernels and runs no Python. ``Tape`` does the same on a CPU: it
keeps each torch operation with its tensors, and repeats it into the same memory. Without a GPU this
reveals any state that a step wrongly keeps in Python. ``test_step.py`` checks that a GPU takes the
same steps.
"""

import copy
import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from encbench import CoordinateMLP, Encoding, Optimizer
from encbench.training import optimizers
from encbench.training import step as steps
from encbench.training.optimizers import Sgd, TorchOptimizer
from encbench.training.step import AutogradStep, RecordedStep, make_step
from tests.training.test_step import BATCH, POINTS, RULES, model_of, points, train

WAITS = """CUDA error: operation not permitted when stream is capturing
Search for `cudaErrorStreamCaptureUnsupported' in https://docs.nvidia.com/cuda/ for more information.
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""  # noqa: E501 # as torch has it
"""Message of the error that torch raises if a number is read from a GPU that records."""


class Tape(TorchDispatchMode):
    """A replacement of ``Recording`` on a CPU."""

    def __init__(self, function, device):
        super().__init__()
        self._operations, self._before, self._made = [], {}, set()
        try:
            with self:
                self._result = function()
        finally:
            # a graph computes nothing while it is recorded
            with torch.no_grad():
                for tensor, value in self._before.values():
                    tensor.copy_(value)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError(WAITS)
        kwargs = kwargs or {}
        there = set()
        for tensor in written(operation, args, kwargs):
            storage = tensor.untyped_storage().data_ptr()
            there.add(storage)
            if storage not in self._made and tensor.data_ptr() not in self._before:
                self._before[tensor.data_ptr()] = tensor, tensor.clone()
        result = operation(*args, **kwargs)
        if not operation.is_view:
            outputs = [each for each in tree_flatten(result)[0] if isinstance(each, torch.Tensor)]
            self._made |= {each.untyped_storage().data_ptr() for each in outputs} - there
        self._operations.append((operation, args, kwargs, result))
        return result

    def __call__(self):
        with torch.no_grad():
            for operation, args, kwargs, result in self._operations:
                again = operation(*args, **kwargs)
                for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                    # views and tensors changed in place need no copy
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
    """Create recorded steps on a CPU, whose recordings are tapes."""
    monkeypatch.setattr(steps, "Recording", Tape)
    monkeypatch.setattr(steps, "can_record", lambda device: True)
    monkeypatch.setattr(optimizers, "SLICE_SIZE", 100)  # weights have 576 numbers
    return made


def made(model, loss, rule, rates, x):
    return make_step(model, loss, rule, rates, x, points=10**4, batch_size=BATCH)


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
@pytest.mark.parametrize("name", ["identity", "siren", "hashgrid", "kplanes", "triplane"])
def test_recorded_steps_are_those_of_autograd(recorded, name, rule):
    rule, lr = RULES[rule]
    lr = torch.tensor(lr).item()  # a recorded step reads it in float32
    model = model_of(name)
    plain = copy.deepcopy(model)
    epochs = [points(model.in_dim, 3)]
    step = recorded(model, "mse", rule, (lr, lr), epochs[0][0])
    losses = train(step, epochs, 30)
    assert step.how.endswith(", recorded")
    torch.testing.assert_close(
        losses, train(AutogradStep(plain, "mse", rule, (lr, lr)), epochs, 30), rtol=1e-9, atol=0
    )
    for got, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_new_points_are_recorded_anew(recorded, rule):
    rule, lr = RULES[rule]
    lr = torch.tensor(lr).item()
    model = model_of("mpe", parameters={"resolutions": [65]})
    plain = copy.deepcopy(model)
    epochs = [points(2, 3, count=200, seed=seed) for seed in (1, 2)]
    losses = train(recorded(model, "mse", rule, (lr, lr), epochs[0][0]), epochs, 52)
    wanted = train(AutogradStep(plain, "mse", rule, (lr, lr)), epochs, 52)
    torch.testing.assert_close(losses, wanted, rtol=1e-9, atol=0)


def test_gradients_that_somebody_let_go_of_are_found_anew(recorded):
    rule, lr = RULES["adam"]
    lr = torch.tensor(lr).item()
    model = model_of("identity")
    plain = copy.deepcopy(model)
    one = recorded(model, "mse", rule, (lr, lr), points(2, 3)[0])
    other = AutogradStep(plain, "mse", rule, (lr, lr))
    for seed in (1, 2):
        epoch = [points(2, 3, seed=seed)]
        torch.testing.assert_close(
            train(one, epoch, 20), train(other, epoch, 20), rtol=1e-9, atol=0
        )
        model.zero_grad()


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["siren", "hashgrid"])
def test_a_recorded_step_follows_the_schedule(recorded, name, rule):
    rule, lr = RULES[rule]
    model = model_of(name)
    plain = copy.deepcopy(model)
    x, y = points(2, 3)
    order = torch.arange(len(x))
    one = recorded(model, "mse", rule, (lr, 3 * lr), x)
    other = AutogradStep(plain, "mse", rule, (lr, 3 * lr))
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
        """Fails as torch does, whose graph context raises its own error on exit."""

        def __init__(self, function, device):
            try:
                function()
                raise RuntimeError(WAITS)
            finally:
                raise RuntimeError("CUDA error: operation failed due to a previous error")

    monkeypatch.setattr(steps, "Recording", Refuses)
    model = model_of("identity")
    step = recorded(model, "mse", Sgd(), (0.0, 0.0), points(2, 3)[0])
    losses = train(step, [points(2, 3)])
    assert step.how == (
        "layerwise, not recorded: CUDA error: operation not permitted when stream is capturing"
    )
    assert torch.isfinite(losses).all()


class Growing(Encoding):
    """Features that begin to grow long after the first steps, which ``count`` counts."""

    def __init__(self, count):
        super().__init__(2, 2)
        self.scale = nn.Parameter(torch.ones(2))
        self.step = [0]
        self.other = nn.Module()
        self.other.step = nn.Buffer(torch.zeros(()))
        self.plain = [nn.Linear(1, 1)]
        self.plain[0].step = 0
        self.count = count

    def forward(self, x):
        return x * self.scale.square() * max(1.0, self.count(self) / 20)


def in_a_list(encoding):
    encoding.step[0] += 1
    return encoding.step[0]


def in_a_new_buffer(encoding):
    encoding.other.step = encoding.other.step + 1
    return float(encoding.other.step)


def in_a_hidden_module(encoding):
    encoding.plain[0].step += 1
    return encoding.plain[0].step


def where_there_are_gradients(encoding):
    return in_a_list(encoding) if torch.is_grad_enabled() else encoding.step[0]


def in_something_that_cannot_be_pickled(encoding):
    encoding.step = Unwritable(encoding.step)
    return 0


class Unwritable:
    """An object that pickle cannot write."""

    def __init__(self, before):
        self.before = before

    def __reduce_ex__(self, protocol):
        return "no_global_of_this_name"


def test_hooks_of_loading_weights_do_not_prevent_recording(recorded):
    model = model_of("siren")
    model.encoding.register_load_state_dict_pre_hook(lambda *args: None)
    step = recorded(model, "mse", Sgd(), (0.0, 0.0), points(2, 3)[0])
    assert isinstance(step, RecordedStep)


COUNTS = [
    in_something_that_cannot_be_pickled,
    in_a_list,
    in_a_new_buffer,
    in_a_hidden_module,
    where_there_are_gradients,
]


@pytest.mark.parametrize("count", COUNTS)
def test_an_encoding_that_counts_its_calls_is_not_recorded(recorded, count):
    model = CoordinateMLP(Growing(count), 3, 24, 2).double()
    step = recorded(model, "mse", Sgd(), (0.1, 0.1), points(2, 3)[0])
    train(step, [points(2, 3)], 48)
    assert step.how == "layerwise, encoding by autograd: it changes from call to call"


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("where", ["parameter", "module"])
def test_a_hook_is_called_at_every_step(recorded, where, rule):
    rule, lr = RULES[rule]

    def model():
        calls, made = [], model_of("siren")

        def hook(*args):
            calls.append(1)
            return args[-1] * (1 + len(calls) // 20)

        if where == "parameter":
            next(made.encoding.parameters()).register_hook(hook)
        else:
            made.encoding.register_forward_hook(hook)
        return made, calls

    epochs = [points(2, 3)]
    (one, calls), (plain, _) = model(), model()
    step = recorded(one, "mse", rule, (lr, lr), epochs[0][0])
    losses = train(step, epochs, 48)
    assert len(calls) == 48
    wanted = train(AutogradStep(plain, "mse", rule, (lr, lr)), epochs, 48)
    torch.testing.assert_close(losses, wanted, rtol=1e-9, atol=0)


class Slower(torch.optim.Adam):
    """Adam with ever smaller steps, by a factor that it keeps in Python."""

    taken = 0

    def step(self, closure=None):
        self.taken += 1
        for group in self.param_groups:
            group["lr"] = group["lr"] / self.taken
        super().step(closure)


def hooked(groups):
    optimizer = torch.optim.Adam(groups, fused=True)
    optimizer.register_step_pre_hook(lambda *args: None)
    return optimizer


def patched(groups):
    optimizer = torch.optim.Adam(groups, fused=True)
    torch.optim.lr_scheduler.ConstantLR(optimizer)  # wraps ``step``, to count its calls
    return optimizer


def with_rates_in_tensors(groups):
    return Slower([group | {"lr": torch.tensor(group["lr"])} for group in groups], fused=True)


@pytest.mark.parametrize("make", [Slower, hooked, patched, with_rates_in_tensors])
def test_an_optimizer_whose_python_does_more_than_torchs_is_not_recorded(recorded, make):
    class Rule(Optimizer):
        def make(self, groups, *, fused):
            return make(groups)

    model = model_of("siren")
    plain = copy.deepcopy(model)
    epochs = [points(2, 3)]
    rates = (2**-7, 2**-7)  # the same in float32
    step = recorded(model, "mse", Rule(), rates, epochs[0][0])
    losses = train(step, epochs, 48)
    assert step.how.endswith("not recorded: the optimizer's kernels differ from step to step")
    wanted = train(AutogradStep(plain, "mse", Rule(), rates), epochs, 48)
    torch.testing.assert_close(losses, wanted, rtol=1e-9, atol=0)


class NeverWaits(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        assert operation is not torch.ops.aten._local_scalar_dense.default
        return operation(*args, **kwargs or {})


def test_an_optimizer_that_cannot_be_recorded_does_not_wait_for_the_device(recorded):
    rule = TorchOptimizer(name="SGD", parameters={"foreach": True})
    model = model_of("hashgrid")
    x, y = points(2, 3)
    step = recorded(model, "mse", rule, (0.01, 0.01), x)
    train(step, [(x, y)])
    assert step.how.endswith("not recorded: the optimizer's kernels differ from step to step")
    step.begin(x, y, torch.arange(len(x)))
    with NeverWaits():
        step(0, BATCH, 0.5)


class Caching(Encoding):
    """Caches a constant for the number of points of the last call."""

    def __init__(self):
        super().__init__(2, 2)
        self.scale = nn.Parameter(torch.ones(2))
        self.ones = torch.ones(0)

    def forward(self, x):
        if len(self.ones) != len(x):
            self.ones = torch.ones(len(x), 1, dtype=x.dtype)
        return x * self.scale.square() * self.ones


def test_what_a_recording_reads_is_not_freed_before_it(recorded, monkeypatch):
    # like a graph, this does not keep tensors alive that the function reads
    monkeypatch.setattr(steps, "Recording", lambda function, device: function)
    model = CoordinateMLP(Caching(), 3, 24, 2).double()
    epochs = [points(2, 3)]
    rule, lr = RULES["adam"]
    step = recorded(model, "mse", rule, (lr, lr), epochs[0][0])
    assert isinstance(step, RecordedStep)
    epochs[0] = tuple(each[: 5 * BATCH] for each in epochs[0])  # batches of one size
    train(step, epochs)
    read = [weakref.ref(model.encoding.ones), weakref.ref(model.layers[0].weight.grad)]
    model.encoding(torch.ones(7, 2, dtype=torch.float64))
    model.zero_grad()
    assert all(each() is not None for each in read)
    step.begin(*points(2, 3, seed=2), torch.arange(POINTS))
    assert not any(each() is not None for each in read)
