"""Networks compute the equations of their sources; they are planned, run, loaded and rejected."""

import logging
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import encbench
from encbench import Network, ParameterError, UsageError, ntk, plan
from encbench.network import encbench_networks
from encbench.network.bacon import Bacon
from encbench.network.multiplicative import FourierNet, GaborNet
from encbench.network.none import Readout
from encbench.network.resmlp import ResidualMLP
from encbench.ntk.kernel import brute_force_ntk
from encbench.plugins.registry import default_registry
from encbench.runs.cell import run_cell
from encbench.runs.interface import RunOptions
from encbench.runs.parts import build_model, build_task, cell_streams
from encbench.suite.config import NetworkConfig, NtkConfig, TrainingConfig, cell_key
from encbench.suite.file import Suite, SuiteEntry
from encbench.suite.networks import build_network
from encbench.testing import NetworkConformance
from encbench.testing.module_checks import Coordinates, SmallGrid
from tests.sample_plugin import Scaled, Wave, module, registry_of

REGISTRY = default_registry()


def float64(model):
    return {name: value.double().numpy() for name, value in model.state_dict().items()}


def points(count=5, dim=2):
    return torch.rand(count, dim, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def filters(state, x, number, gabor):
    """The values of a filter's units at one point."""
    weight, bias = (state[f"filters.{number}.linear.{name}"] for name in ("weight", "bias"))
    values = []
    for unit, frequency in enumerate(weight):
        value = math.sin(sum(w * v for w, v in zip(frequency, x, strict=True)) + bias[unit])
        if gabor:
            gamma, mu = state[f"filters.{number}.gamma"], state[f"filters.{number}.mu"]
            distance = sum((v - m) ** 2 for v, m in zip(x, mu[unit], strict=True))
            value *= math.exp(-gamma[unit] * distance / 2)
        values.append(value)
    return np.array(values)


@pytest.mark.parametrize(("cls", "gabor"), [(FourierNet, False), (GaborNet, True)])
@pytest.mark.parametrize("encoding", [Coordinates, SmallGrid])
def test_filter_networks_multiply_filters_of_centred_coordinates_or_of_features(
    cls, gabor, encoding
):
    torch.manual_seed(0)
    model = cls(encoding(2), 3, 6, 2, input_scale=8.0).double()
    state, x = float64(model), points()
    inputs = 2 * x - 1 if encoding is Coordinates else model.encoding(x).detach()
    for found, v in zip(model(x), inputs.numpy(), strict=True):
        hidden = filters(state, v, 0, gabor)
        for layer in (1, 2):
            linear = (state[f"linear.{layer - 1}.{name}"] for name in ("weight", "bias"))
            weight, bias = linear
            hidden = filters(state, v, layer, gabor) * (weight @ hidden + bias)
        expected = state["output_linear.weight"] @ hidden + state["output_linear.bias"]
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-11, atol=1e-13)


def test_filters_start_as_published():
    torch.manual_seed(0)
    model = GaborNet(Coordinates(2), 1, 4000, 1, input_scale=32.0, alpha=6.0, beta=2.0)
    bound = 32 / math.sqrt(2) / math.sqrt(2)  # input_scale / √(depth + 1), times 1/√d
    for each in model.filters:
        gamma = each.gamma.detach()
        assert gamma.mean().item() == pytest.approx(6 / 2 / 2, rel=0.05)  # shape/(depth + 1), rate
        assert gamma.var().item() == pytest.approx(3 / 2**2, rel=0.1)
        weight = each.linear.weight.detach() / gamma.sqrt()[:, None]
        assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert each.linear.bias.detach().abs().max().item() == pytest.approx(math.pi, rel=1e-2)
    weight = FourierNet(Coordinates(2), 1, 400, 1, weight_scale=4.0).linear[0].weight.detach()
    assert weight.abs().max().item() == pytest.approx(math.sqrt(4 / 400), rel=1e-3)


def test_bacon_has_no_frequency_beyond_the_band_of_an_output():
    torch.manual_seed(0)
    scales = [1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 4]
    model = Bacon(
        Coordinates(2), 2, 12, 4, bandwidth=32.0, scales=scales, outputs=[1, 2, 4]
    ).double()
    assert model.bands == {1: 4, 2: 8, 4: 16}
    side = 48
    axis = torch.arange(side, dtype=torch.float64) / side
    x = torch.cartesian_prod(axis, axis)
    frequency = torch.fft.fftfreq(side, 1 / side, dtype=torch.float64).abs()
    largest = torch.maximum(frequency[:, None], frequency)
    for layer, band in model.bands.items():
        with torch.no_grad():
            values = model.output_at(x, layer).view(side, side, 2)
        spectrum = torch.fft.fft2(values, dim=(0, 1)).abs().amax(2) / side**2
        assert spectrum[largest > band].max() < 1e-15 * spectrum.max() * side
        assert spectrum[largest == band].max() > 1e-6 * spectrum.max()  # the bound is attained
    torch.testing.assert_close(model(x), model.output_at(x, 4))
    torch.testing.assert_close(model(x), model(x + 1), rtol=0, atol=1e-11)


def test_bacon_trains_all_its_outputs():
    torch.manual_seed(0)
    model = Bacon(Coordinates(2), 1, 6, 2, bandwidth=12.0, outputs=[1, 2]).double()
    x, y = points(), torch.ones(5, 1, dtype=torch.float64)
    expected = [(model.output_at(x, layer) - y).square().mean().item() for layer in (1, 2)]
    found = model.objective(lambda each, x, y: F.mse_loss(each(x), y), x, y)
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-12)


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_a_residual_mlp_appends_the_features_after_skip_hidden_layers(skip):
    torch.manual_seed(0)
    model = ResidualMLP(SmallGrid(2), 2, 5, 3, beta=0.3, skip=skip).double()
    x = points()
    features = model.encoding(x)
    hidden = features
    linear = list(model.layers)[::2]
    for number, layer in enumerate(linear):
        if number == skip:
            hidden = torch.cat((features, hidden), 1)
        hidden = hidden @ layer.weight.T / math.sqrt(hidden.shape[1]) + 0.3 * layer.bias
        if number < 3:
            hidden = hidden.relu()
    torch.testing.assert_close(model(x), hidden, rtol=1e-13, atol=1e-13)


def test_none_is_the_sum_of_features_in_groups_of_outputs():
    torch.manual_seed(0)
    model = Readout(SmallGrid(2, 6), 3).double()
    x = points()
    features = model.encoding(x)
    torch.testing.assert_close(model(x), features[:, :3] + features[:, 3:])
    linear = Readout(SmallGrid(2, 4), 3, readout="linear").double()
    weight, bias = linear.linear.weight, linear.linear.bias
    torch.testing.assert_close(linear(x), linear.encoding(x) @ weight.T + bias)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_total_variation_is_the_mean_length_of_forward_differences(dim):
    torch.manual_seed(0)
    model = Readout(SmallGrid(dim), 2, tv=0.5).double()
    table = model.encoding.table.detach().numpy().reshape(*(3,) * dim, 2)
    lengths = []
    for node in np.ndindex(*(2,) * dim):
        for channel in range(2):
            steps = [
                table[(*(n + (a == axis) for a, n in enumerate(node)), channel)]
                - table[(*node, channel)]
                for axis in range(dim)
            ]
            lengths.append(math.sqrt(max(sum(step**2 for step in steps), 1e-6)))
    assert model.total_variation().item() == pytest.approx(np.mean(lengths), rel=1e-12)
    loss = model.objective(lambda *given: torch.tensor(3.0, dtype=torch.float64), None, None)
    assert loss.item() == pytest.approx(3 + 0.5 * np.mean(lengths), rel=1e-12)


KINDS = [
    "resmlp:skip=2",
    "none",
    "none:readout=linear",
    "fouriernet:input_scale=8",
    "gabornet:input_scale=8",
    "bacon:bandwidth=12,outputs=[1,2]",
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_of_each_is_that_of_gradients_point_by_point(kind):
    torch.manual_seed(0)
    encoding = Coordinates(2) if kind.startswith("bacon") else SmallGrid(2)
    config = NetworkConfig(kind=kind, width=6, depth=2)
    model = build_network(config, encoding, 2, REGISTRY).double()
    found = ntk.empirical_ntk(model, points(), outputs="full").parts
    for part, expected in brute_force_ntk(model, points()).items():
        scale = expected.abs().max().clamp(min=1)
        assert float((found[part] - expected).abs().max()) < 1e-13 * scale


def suite_of(kind, encoding="grid:resolution=3,features=3", **settings):
    return Suite(
        encodings=[SuiteEntry.from_text(encoding)],
        tasks=[SuiteEntry.from_text("image:image=astronaut,side=8")],
        network=NetworkConfig(**({"kind": kind, "width": 6, "depth": 2} | settings)),
        training=TrainingConfig(optimizer="adam", steps=3, batch_size=16, evaluations=1),
        ntk=NtkConfig(points=4),
    )


@pytest.mark.parametrize("kind", [*KINDS, "none:tv=0.1"])
def test_each_is_trained_recorded_and_loaded(kind, tmp_path, suite):
    encodings = {"scaled": Scaled, "grid": SmallGrid}
    registry = registry_of(ours=module(encodings=encodings, tasks={"wave": Wave}))
    encoding = "scaled" if kind.startswith("bacon") else "grid:features=2"
    changed = {
        "encodings": [SuiteEntry.from_text(encoding)],
        "network": NetworkConfig(kind=kind, width=6, depth=2),
        "training": TrainingConfig(optimizer="adam", steps=3, batch_size=16, evaluations=1),
        "ntk": NtkConfig(points=4),
    }
    (cell,) = plan(suite.model_copy(update=changed), registry)
    result = run_cell(cell, registry, RunOptions(save_weights=True))
    record = result.record
    assert record.error is None
    assert record.step_method == "autograd: the network is no CoordinateMLP"
    assert [spectrum.when for spectrum in record.spectra] == ["start", "middle", "end"]
    task = build_task(cell, registry)
    model = build_model(cell, task, registry, cell_streams(cell))
    assert record.parameters == model.parameter_counts()
    store = encbench.Store(tmp_path)
    with store.writing():
        stored = store.write(record, result.arrays, result.pictures, result.weights)
    loaded = encbench.load_model(stored, registry=registry)
    curve = task.progress_metric(lambda x: loaded(x.float()).detach())
    assert curve == pytest.approx(result.arrays["curve"][-1], rel=1e-5)


def test_the_mlp_is_left_out_of_keys():
    written = NetworkConfig(width=8, depth=1).model_dump_json()
    assert "kind" not in written
    assert NetworkConfig(width=8, depth=1, kind="mlp").model_dump_json() == written
    (cell,) = plan(suite_of("mlp"), REGISTRY)
    network = NetworkConfig(width=6, depth=2, parameterization="standard")
    plain = cell.model_copy(update={"network": network})
    assert cell_key(cell) == cell_key(plain)


def test_settings_that_a_network_does_not_take_make_no_other_cell(caplog):
    with caplog.at_level(logging.WARNING, "encbench"):
        (one,) = plan(suite_of("none"), REGISTRY)
        (other,) = plan(suite_of("none", width=64, beta=0.5), REGISTRY)
    assert cell_key(one) == cell_key(other)
    assert (one.network.width, one.network.depth) == (None, None)
    assert one.network.parameterization == "standard"
    assert "network.beta has no effect with the network none" in caplog.text
    (short,) = plan(suite_of("resmlp:skip=1"), REGISTRY)
    assert short.network.kind == "resmlp"  # defaults are left out


def test_networks_are_swept_across_encodings():
    suite = Suite.model_validate(
        {
            "encodings": [
                "grid:resolution=3,features=3",
                "hashgrid:levels=1,features_per_level=6",
            ],
            "tasks": ["image:image=astronaut,side=8"],
            "network": {"kind": {"sweep": ["mlp", "none", "resmlp:skip=2"]}},
        }
    )
    cells = plan(suite, REGISTRY)
    assert len(cells) == 6
    assert len({cell_key(cell) for cell in cells}) == 6
    own = SuiteEntry(name="identity", network={"kind": "fouriernet"})
    cells = plan(suite.model_copy(update={"encodings": [own]}), REGISTRY)
    assert [cell.network.kind for cell in cells] == ["fouriernet"]


@pytest.mark.parametrize(
    ("kind", "encoding", "message"),
    [
        ("resmlpp", "identity", "unknown network 'resmlpp'; did you mean 'resmlp'"),
        ("resmlp:skipp=2", "identity", "network 'resmlp' has no parameter 'skipp'"),
        ("resmlp:skip=3", "identity", "skip=3 with 2 hidden layers; give skip from 1 to 2"),
        ("none", "identity", "2 features cannot be summed in groups of 3"),
        ("none", "gaussian_ffe:features=3", "have no parameters, so nothing can be learned"),
        ("none:tv=0.1", "hashgrid:levels=3,features_per_level=2", "tv=0.1 needs grids in which"),
        ("bacon", "ffe:levels=2", "band-limited with the encoding FourierFeatureEncoding"),
        ("bacon:scales=[1]", "identity", "1 scales for 3 filters"),
        ("bacon:outputs=[1]", "identity", "outputs=[1], expected increasing numbers"),
        ("bacon:bandwidth=1", "identity", "bandwidth=1 leaves 3 filters of frequency 0; give more"),
        ("bacon:scales=[0,0,0]", "identity", "scales are all 0; give at least one above 0"),
    ],
)
def test_what_does_not_fit_is_refused_when_planned(kind, encoding, message):
    with pytest.raises(UsageError) as caught:
        plan(suite_of(kind, encoding), REGISTRY)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_encoding_is_sized_for_the_network_that_it_has():
    suite = suite_of("none").model_copy(
        update={"budget": encbench.suite.config.BudgetConfig(parameters=1200)}
    )
    (cell,) = plan(suite, REGISTRY)
    assert cell.encoding.parameters["resolution"] == 20


class Mixing(Network):
    """A network that subtracts the batch's mean."""

    equation, source = "f(x) = W (γ(x) − mean)", "the tests"

    def __init__(self, encoding, out_dim):
        super().__init__(encoding, out_dim)
        self.linear = nn.Linear(encoding.out_dim, out_dim)

    def from_features(self, features):
        return self.linear(features - features.mean(0))


class Normalizing(Mixing):
    """A network with batch normalization."""

    def __init__(self, encoding, out_dim):
        super().__init__(encoding, out_dim)
        self.norm = nn.BatchNorm1d(out_dim)

    def from_features(self, features):
        return self.norm(self.linear(features))


class Failing(Mixing):
    """A network that raises."""

    def from_features(self, features):
        raise ValueError("no network today")


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Mixing, "f(x) changes with the other points of the batch in the network "),
        (Normalizing, "BatchNorm1d at 'norm' mixes the points of a batch"),
        (Failing, "network 'mine' of theirs 1.0 failed: ValueError: no network today"),
    ],
)
@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_a_network_that_mixes_points_or_fails_is_named(cls, message, loss, suite):
    task = type("Named", (Wave,), {"loss": loss, "__doc__": "A wave."})
    theirs = module(encodings={"scaled": Scaled}, tasks={"wave": task}, networks={"mine": cls})
    changed = suite.model_copy(
        update={
            "network": NetworkConfig(kind="mine"),
            "training": suite.training.model_copy(update={"optimizer": "adam", "steps": 2}),
            "ntk": NtkConfig(points=0),
        }
    )
    registry = registry_of(theirs=theirs)
    (cell,) = plan(changed, registry)
    error = run_cell(cell, registry).record.error
    assert message in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("returns", "what"),
    [(lambda x: None, "a NoneType"), (lambda x: x[:1], r"\(1, 1\)"), (lambda x: x[0], r"\(1,\)")],
)
def test_an_encoding_that_returns_another_shape_is_named(returns, what, suite):
    theirs = type("Odd", (Scaled,), {"forward": lambda self, x: returns(x), "__doc__": "Odd."})
    registry = registry_of(theirs=module(encodings={"scaled": theirs}, tasks={"wave": Wave}))
    (cell,) = plan(suite, registry)
    error = run_cell(cell, registry).record.error
    expected = rf"the encoding Odd returned {what} for \d+ points; expected a torch tensor \(N, 1\)"
    assert re.search(expected, error.message), error.message


@pytest.mark.parametrize(
    ("returns", "what"),
    [
        (lambda x: x.half(), "torch.float16 on cpu"),
        (lambda x: x.double(), "torch.float64 on cpu"),  # found when training begins
        (lambda x: x.to("meta"), "on meta"),
    ],
)
def test_an_encoding_that_returns_another_type_or_device_is_named(returns, what, suite):
    theirs = type("Odd", (Scaled,), {"forward": lambda self, x: returns(x), "__doc__": "Odd."})
    registry = registry_of(theirs=module(encodings={"scaled": theirs}, tasks={"wave": Wave}))
    (cell,) = plan(suite, registry)
    error = run_cell(cell, registry).record.error
    assert "the encoding Odd returned" in error.message
    assert what in error.message
    assert "let its forward take both from its input" in error.message


def test_an_encoding_that_calls_no_init_is_named(suite):
    def begins(self, in_dim: int) -> None:
        self.in_dim = self.out_dim = in_dim

    theirs = type("Bare", (Scaled,), {"__init__": begins, "__doc__": "Bare."})
    registry = registry_of(theirs=module(encodings={"scaled": theirs}, tasks={"wave": Wave}))
    (cell,) = plan(suite, registry)
    message = run_cell(cell, registry).record.error.message
    assert "its __init__ must call super().__init__(in_dim, out_dim)" in message


def test_every_network_has_a_row_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    assert sorted(rows) == sorted(encbench_networks())


def test_conformance_finds_a_network_that_mixes_points():
    checks = type("Check", (NetworkConformance,), {"network": Mixing})
    with pytest.raises(AssertionError, match="rows are independent"):
        checks().test_rows_are_independent()


def test_a_network_without_an_encoding_is_refused():
    with pytest.raises(ParameterError, match="fouriernet: depth must be at least 1"):
        FourierNet(Coordinates(2), 1, 4, 0)
    with pytest.raises(ParameterError, match="expected a subclass of"):
        Readout(nn.Linear(2, 2), 1)
