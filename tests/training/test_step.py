"""A layerwise step equals the step of autograd and torch.optim, for every encoding."""

import copy

import pytest
import torch

from encbench import CoordinateMLP, Encoding, SparseBlock
from encbench.plugins.registry import default_registry
from encbench.testing.module_checks import require_parameter_gradients
from encbench.training.features import why_not_tables
from encbench.training.layers import Layers
from encbench.training.optimizers import Adam, AdamW, Muon, Sgd, TorchOptimizer
from encbench.training.step import AutogradStep, make_step

ENCODINGS = sorted(
    offer.name
    for offer in default_registry().offers("encoding")
    if offer.distribution == "encbench"
)
SMALL = {
    "composite": {"parts": ["ffe:levels=2@0", "mpe:resolutions=[5]@0,1"]},
    "dictionary_field": {
        "coefficient_resolution": 5,
        "features_per_level": 2,
        "frequencies": [1.0, 2.5],
        "basis_resolutions": [3, 4],
    },
    "bspline_grid": {"resolution": 9},
    "cafe": {"features": 16, "frequencies": 4},
    **{name: {"features": 16} for name in ("finer", "gaussian", "siren", "wire")},
    "gaplanes": {"features": 4, "line_resolution": 9, "plane_resolution": 5},
    "grid": {"resolution": 9},
    "kan_bspline": {"features": 16, "grid": 4},
    "rbf_grid": {"resolution": 9},
    "sl2a": {"features": 16, "degree": 8},
    "kplanes": {"resolutions": [5, 9], "features_per_level": 2},
    "mpe": {"resolutions": [4, 9]},
    "sparse_multigrid": {"resolutions": [4, 33], "samples": 8},
    "tensorf_cp": {"resolution": 9, "rank": 3},
    "tensorf_vm": {"resolution": 9, "rank": 2},
    "triplane": {"resolution": 9, "features": 4},
    "hashgrid": {"levels": 4, "log2_hashmap_size": 6, "max_resolution": 64},
    "hashgrid_paper": {"levels": 4, "log2_hashmap_size": 6, "max_resolution": 64},
    "permutohedral": {"levels": 4, "log2_hashmap_size": 6},
    "tiledgrid": {"levels": 4},
    "densegrid": {"levels": 4, "max_resolution": 32},
}
RULES = {
    "sgd": (Sgd(), 0.05),
    "momentum": (Sgd(momentum=0.9), 0.01),
    "adam": (Adam(), 1e-2),
    "adamw": (AdamW(weight_decay=0.1), 1e-2),
}
ENDS = ("sgd", "adam")
"""One rule that descends within the backward pass, one that reads stored gradients.

Losses and networks interact only with this difference; the rest of a rule does not depend on them.
"""
OTHERS = {
    **({"muon": (Muon(), 1e-3)} if hasattr(torch.optim, "Muon") else {}),
    "rmsprop": (TorchOptimizer(name="RMSprop", parameters={"momentum": 0.5}), 1e-4),
    "nesterov": (Sgd(momentum=0.9, nesterov=True), 0.01),
}
POINTS, BATCH = 90, 16
STEPS = 24
"""Four epochs."""


def model_of(name, *, depth=2, out_dim=3, parameters=None, **network):
    torch.manual_seed(0)
    cls = default_registry().find("encoding", name).load()
    encoding = cls(max(2, cls.min_dim), **(parameters or SMALL.get(name, {})))
    return CoordinateMLP(encoding, out_dim, 24, depth, **network).double()


def train(step, epochs, steps=STEPS):
    """Losses of steps over these epochs (x, y), which are repeated."""
    generator = torch.Generator().manual_seed(3)
    losses = []
    while len(losses) < steps:
        for x, y in epochs:
            step.begin(x, y, torch.randperm(len(x), generator=generator).to(x.device))
            losses += [step(i, min(i + BATCH, len(x))).clone() for i in range(0, len(x), BATCH)]
    step.settle()
    return torch.stack(losses)


def both(model, loss, rule, lr, epochs, steps=STEPS):
    """Largest relative difference of losses and parameters after training by both methods."""
    plain = copy.deepcopy(model)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    step = make_step(model, loss, rule, (lr, lr), epochs[0][0], points=10**4, batch_size=BATCH)
    losses = train(step, epochs, steps)
    wanted = train(AutogradStep(plain, loss, rule, (lr, lr)), epochs, steps)
    assert torch.isfinite(wanted).all()
    torch.testing.assert_close(losses, wanted, rtol=1e-10, atol=0)
    ends = ([p.detach() for p in each.parameters()] for each in (model, plain))
    for got, reference, before in zip(*ends, start, strict=True):
        scale = float(before.abs().max()) or float(reference.abs().max())  # shifts start at 0
        assert float((got - reference).abs().max()) <= 1e-10 * scale
    return step


def points(in_dim, out_dim, count=POINTS, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, in_dim, generator=generator, dtype=torch.float64)
    return x, torch.rand(count, out_dim, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_hundred_steps_are_those_of_autograd(name, rule):
    # many small operations, so their count decides the time; deeper networks are tested below
    model = model_of(name, depth=1)
    step = both(model, "mse", *RULES[rule], [points(model.in_dim, 3)], steps=100)
    assert step.how.startswith("layerwise")


@pytest.mark.parametrize("name", ["siren", "hashgrid", "sparse_multigrid"])
@pytest.mark.parametrize(("rule", "lr"), OTHERS.values(), ids=OTHERS)
def test_other_optimizers_take_the_steps_of_autograd(name, rule, lr):
    both(model_of(name, depth=3), "mse", rule, lr, [points(2, 3)])


@pytest.mark.parametrize("rule", ENDS)
@pytest.mark.parametrize("name", ["identity", "siren", "hashgrid"])
def test_the_encoding_may_learn_at_a_rate_of_its_own_and_both_by_a_schedule(name, rule):
    model = model_of(name)
    plain = copy.deepcopy(model)
    optimizer, lr = RULES[rule]
    x, y = points(2, 3)
    order = torch.arange(len(x))
    step = make_step(model, "mse", optimizer, (lr, 3 * lr), x, points=10**4, batch_size=BATCH)
    step.begin(x, y, order)
    groups = [{"params": list(plain.layers.parameters())}]
    if learned := list(plain.encoding.parameters()):
        groups.append({"params": learned})
    reference = optimizer.make([group | {"lr": lr} for group in groups], fused=False)
    for number in range(5):
        factor = 0.5**number
        for group, rate in zip(reference.param_groups, (lr, 3 * lr), strict=False):
            group["lr"] = rate * factor
        reference.zero_grad()
        batch = slice(number * BATCH, (number + 1) * BATCH)
        torch.mean((plain(x[batch]) - y[batch]) ** 2).backward()
        reference.step()
        step(batch.start, batch.stop, factor)
    step.settle()
    for got, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("activation", ["finer", "gabor", "gelu", "relu", "silu", "sine", "tanh"])
def test_other_networks_and_losses_take_the_steps_of_autograd(activation, parameterization, loss):
    network = {"activation": activation, "parameterization": parameterization}
    model = model_of("mpe", depth=3, out_dim=1, **network)
    both(model, loss, Sgd(), 1e-4, [points(2, 1)], steps=20)


@pytest.mark.parametrize("rule", ENDS)
@pytest.mark.parametrize("name", ["identity", "hashgrid"])
@pytest.mark.parametrize("loss", ["bce", "l1", "huber", "relative_l2"])
def test_every_loss_takes_the_steps_of_autograd(loss, name, rule):
    step = both(model_of(name), loss, *RULES[rule], [points(2, 3)], steps=20)
    assert step.how.startswith("layerwise")


def test_a_loss_of_its_own_is_left_to_autograd():
    def squared(model, x, y):
        return (model(x) - y).square().mean()

    model = model_of("identity")
    epochs = [points(2, 3)]
    step = make_step(model, squared, Sgd(), (0.1, 0.1), epochs[0][0], points=90, batch_size=9)
    assert step.how == "autograd: the task has a loss of its own"
    plain = AutogradStep(model_of("identity"), "mse", Sgd(), (0.1, 0.1))
    torch.testing.assert_close(train(step, epochs), train(plain, epochs), rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", ["momentum", "adam"])
def test_rows_that_are_first_read_in_a_later_epoch_learn_as_in_a_whole_table(rule):
    model = model_of("mpe", parameters={"resolutions": [65]})
    epochs = [points(2, 3, seed=seed) for seed in (1, 2, 3)]
    step = both(model, "mse", *RULES[rule], epochs)
    (trained,) = step.features.learned
    assert len(trained) < len(model.encoding.table) / 2
    rows = model.encoding.rows_and_weights(torch.cat([x for x, _ in epochs]))[0]
    assert len(trained) == len(torch.unique(rows))


def test_a_later_epoch_of_more_points_than_fit_learns_the_same(monkeypatch):
    monkeypatch.setattr("encbench.training.features.CACHE_BYTES", 20_000)
    model = model_of("mpe", parameters={"resolutions": [65]})
    epochs = [points(2, 3, count=32), points(2, 3, count=960, seed=2)]
    both(model, "mse", *RULES["adam"], epochs)


def test_points_that_do_not_fit_in_memory_are_taken_in_windows(monkeypatch):
    monkeypatch.setattr("encbench.training.features.CACHE_BYTES", 1000)
    monkeypatch.setattr("encbench.training.features.CHUNK", 40)
    for rule in ("sgd", "adam"):
        both(model_of("hashgrid"), "mse", *RULES[rule], [points(2, 3)])


class Squared(Encoding):
    """Reads squares of a table, but declares that the table's values are not squared."""

    def __init__(self, in_dim, *, start=1.0):
        super().__init__(in_dim, 2)
        self.table = torch.nn.Parameter(torch.full((8, 2), start))

    def rows(self, x):
        return (x[:, :1] * 7.99).long()

    def forward(self, x):
        return self.table.to(x.dtype)[self.rows(x)[:, 0]] ** 2

    def sparse_jacobian(self, x):
        rows = self.rows(x)
        return [SparseBlock("table", rows, torch.ones(len(x), 1, dtype=x.dtype), 8, 0, 2)]


class Failing(Squared):
    def sparse_jacobian(self, x):
        raise ValueError("not today")


class Annealed(Squared):
    """Features that grow from call to call."""

    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x) * min(1.0, self.calls / 50)


@pytest.mark.parametrize("start", [0.0, 1.0])
@pytest.mark.parametrize(
    ("encoding", "reason"),
    [
        (Squared, "its sparse_jacobian does not give its features"),
        (Failing, "its sparse_jacobian failed: ValueError: not today"),
        (Annealed, "it changes from call to call"),
    ],
)
def test_an_encoding_that_is_not_what_it_says_is_left_to_autograd(encoding, reason, start):
    torch.manual_seed(0)
    model = CoordinateMLP(encoding(1, start=start), 3, 24).double()
    x, _ = points(1, 3)
    step = make_step(model, "mse", Sgd(), (0.05, 0.05), x, points=10**4, batch_size=BATCH)
    assert step.how == f"layerwise, encoding by autograd: {reason}"
    if encoding is not Annealed:
        both(model, "mse", Sgd(), 0.05, [points(1, 3)])


class Bent(Squared):
    """Linear in its table, as declared, except in the last tenth of the domain."""

    def forward(self, x):
        values = self.table.to(x.dtype)[self.rows(x)[:, 0]]
        return torch.where(x > self.bend, values**2, values)

    bend = 0.9


class Straight(Bent):
    bend = 2.0


def by_columns(table):
    table.data = table.data.t().contiguous().t()


@pytest.mark.parametrize(
    ("encoding", "change", "reason"),
    [
        (Bent, by_columns, "'table' is not a contiguous matrix of torch.float64"),
        (Bent, lambda table: None, "its sparse_jacobian does not give its features"),
        (
            Straight,
            lambda table: table.register_hook(abs),
            "it has hooks",
        ),
    ],
)
def test_tables_that_only_autograd_trains_rightly_are_left_to_it(encoding, change, reason):
    model = CoordinateMLP(encoding(1), 3, 24).double()
    change(model.encoding.table)
    x = torch.linspace(0, 1, 1000, dtype=torch.float64)[:, None]
    step = make_step(model, "mse", Sgd(), (0.05, 0.05), x, points=10**4, batch_size=BATCH)
    assert step.how == f"layerwise, encoding by autograd: {reason}"


def test_a_frozen_table_beside_a_learned_one_is_a_constant():
    torch.manual_seed(0)
    model = model_of("composite", parameters={"parts": ["mpe:resolutions=[4]", "mpe"]})
    next(model.encoding.parameters()).requires_grad_(False)
    assert both(model, "mse", Sgd(), 0.05, [points(2, 3)]).how == "layerwise"


@torch.no_grad()
@pytest.mark.parametrize("counts", [(0, 5), (5, 0), (3, 5, 0, 2)])
def test_batches_of_any_size_follow_one_another(counts):
    model = model_of("identity", activation="gelu")
    layers = Layers(model)
    for count in counts:
        x = points(2, 3)[0][:count]
        torch.testing.assert_close(layers.forward(x, train=False), model(x))


def test_a_network_that_somebody_changed_is_left_to_autograd():
    x, _ = points(2, 3)

    def how(change):
        model = model_of("identity")
        change(model)
        return make_step(model, "mse", Sgd(), (0.1, 0.1), x, points=90, batch_size=9).how

    def with_hook(model):
        model.layers[0].register_forward_hook(lambda *args: None)

    def with_norm(model):
        model.layers[1] = torch.nn.LayerNorm(24).double()

    def with_hook_of_a_weight(model):
        model.layers[2].weight.register_hook(abs)

    def with_hook_after_its_gradient(model):
        model.layers[0].bias.register_post_accumulate_grad_hook(lambda weight: None)

    def frozen(model):
        model.layers[0].weight.requires_grad_(False)

    def tied(model):
        model.layers[0].bias = model.layers[2].bias

    assert how(lambda model: None) == "layerwise"
    for change in (with_hook, with_hook_of_a_weight, with_hook_after_its_gradient):
        assert how(change) == "autograd: the network has hooks"
    assert how(with_norm) == "autograd: the network has layers of its own"
    assert how(frozen) == "autograd: a weight is frozen"
    assert how(tied) == "autograd: a parameter is used twice"
    sequential = torch.nn.Sequential(torch.nn.Linear(2, 3))
    step = make_step(sequential, "mse", Sgd(), (0.1, 0.1), x, points=90, batch_size=9)
    assert step.how == "autograd: the network is no CoordinateMLP"


def test_a_second_name_of_an_encodings_part_replaces_no_parameter():
    encoding = model_of("composite").encoding
    encoding.alias = encoding.parts[1]
    x, _ = points(2, 3)
    before = list(map(id, encoding.parameters()))
    require_parameter_gradients(encoding, x[:3])
    assert why_not_tables(encoding, x) is None
    assert list(map(id, encoding.parameters())) == before


TOLERANCE = {"rtol": 1e-9, "atol": 1e-12}


def on_a_gpu(model, rule, lr, epochs, steps=STEPS):
    """Check that steps on a GPU agree with autograd on the CPU; return how they were computed."""
    # a GPU keeps the rate in float32
    lr = torch.tensor(lr).item()
    there = copy.deepcopy(model).cuda()
    wanted = train(AutogradStep(model, "mse", rule, (lr, lr)), epochs, steps)
    epochs = [tuple(tensor.cuda() for tensor in epoch) for epoch in epochs]
    step = make_step(there, "mse", rule, (lr, lr), epochs[0][0], points=10**4, batch_size=BATCH)
    losses = train(step, epochs, steps).cpu()
    torch.testing.assert_close(losses, wanted, **TOLERANCE)
    for got, reference in zip(there.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(got.cpu(), reference, **TOLERANCE)
    return step.how


@pytest.mark.gpu
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["identity", "siren", "hashgrid", "kplanes"])
def test_a_gpu_takes_the_steps_that_a_cpu_takes(name, rule):
    model = model_of(name)
    how = on_a_gpu(model, *RULES[rule], [points(model.in_dim, 3)])
    assert how.endswith(", recorded")


@pytest.mark.gpu
@pytest.mark.parametrize("rule", RULES)
def test_a_gpu_records_its_steps_anew_for_new_points(rule):
    model = model_of("mpe", parameters={"resolutions": [65]})
    epochs = [points(2, 3, count=300, seed=seed) for seed in (1, 2)]
    assert on_a_gpu(model, *RULES[rule], epochs, 76) == "layerwise, recorded"


@pytest.mark.gpu
@pytest.mark.parametrize("rule", ENDS)
@pytest.mark.parametrize("name", ["siren", "hashgrid"])
def test_a_gpu_follows_a_schedule(name, rule):
    optimizer, lr = RULES[rule]
    model = model_of(name)
    there = copy.deepcopy(model).cuda()
    here = points(2, 3)
    for each, (x, y) in ((model, here), (there, [tensor.cuda() for tensor in here])):
        step = make_step(each, "mse", optimizer, (lr, 3 * lr), x, points=10**4, batch_size=BATCH)
        for epoch in range(5):
            step.begin(x, y, torch.arange(len(x), device=x.device))
            for start in range(0, 64, BATCH):
                step(start, start + BATCH, 0.99 ** (epoch * 64 + start))
        step.settle()
    assert step.how.endswith("recorded")
    for got, wanted in zip(there.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(got.cpu(), wanted, rtol=1e-6, atol=1e-8)


class Waiting(Encoding):
    """Waits for the device in forward, which cannot be recorded."""

    def __init__(self, in_dim):
        super().__init__(in_dim, in_dim)
        self.scale = torch.nn.Parameter(torch.ones(in_dim))

    def forward(self, x):
        return x * self.scale if x.sum().item() > -1 else x


@pytest.mark.gpu
def test_steps_that_cannot_be_recorded_are_taken_one_by_one():
    model = CoordinateMLP(Waiting(2), 3, 24, 2).double()
    how = on_a_gpu(model, *RULES["adam"], [points(2, 3)])
    assert "not recorded: " in how
    # the attempt leaves no trace, neither in random numbers nor in the next recording
    torch.rand(3, device="cuda")
    how = on_a_gpu(model_of("siren"), *RULES["adam"], [points(2, 3)])
    assert how.endswith(", recorded")


@pytest.mark.gpu
@pytest.mark.skipif("muon" not in OTHERS, reason="needs torch 2.9")
def test_an_optimizer_that_torch_cannot_record_takes_its_steps_one_by_one():
    x, y = (tensor.cuda() for tensor in points(2, 3))
    rule, lr = OTHERS["muon"]
    model = model_of("identity").cuda()
    step = make_step(model, "mse", rule, (lr, lr), x, points=10**4, batch_size=BATCH)
    losses = train(step, [(x, y)])
    assert step.how == "layerwise, not recorded: the optimizer's kernels differ from step to step"
    assert losses[-1] < losses[0]
