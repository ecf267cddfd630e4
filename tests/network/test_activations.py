"""Activations compute their formulas, and layers are initialized as each activation requires."""

from __future__ import annotations

import cmath
import json
import math
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import safetensors.torch
import torch
from encbench_encodings.symmetric import Symmetric
from pydantic import Field
from scipy.special import erf
from torch import Tensor, nn

from encbench import Activation, CoordinateMLP, Encoding, NTKLinear, ParameterError, plan
from encbench.contracts.task import NetworkDefaults
from encbench.errors import PluginError
from encbench.network.activations import activation_of
from encbench.network.activations.periodic import Finer, Gabor, Sine
from encbench.network.activations.smooth import Relu
from encbench.ntk import empirical_ntk, operator
from encbench.ntk.kernel import brute_force_ntk
from encbench.ntk.model import cast
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import default_registry
from encbench.runs.cell import run_cell
from encbench.runs.interface import RunOptions
from encbench.suite import labels
from encbench.suite.budget import parameters_of_cell
from encbench.suite.config import NetworkConfig, cell_key
from tests.ntk.conftest import brute_force, relative_error
from tests.sample_plugin import Scaled, Wave, module, registry_of

PLAIN = {
    "relu": lambda z: max(z, 0.0),
    "gelu": lambda z: z * (1 + erf(z / math.sqrt(2))) / 2,
    "silu": lambda z: z / (1 + math.exp(-z)),
    "tanh": math.tanh,
    "sine:omega=7": lambda z: math.sin(7 * z),
    "finer:omega=7": lambda z: math.sin(7 * (abs(z) + 1) * z),
    "gabor:omega=7,scale=3": lambda z: math.cos(7 * z) * math.exp(-((3 * z) ** 2)),
    "finer_gauss:omega=2,scale=3": lambda z: math.exp(-((3 * math.sin(2 * (abs(z) + 1) * z)) ** 2)),
    "sinc:omega=7": lambda z: math.sin(7 * z) / (7 * z) if z else 1.0,
    "hosc:beta=3,omega=7": lambda z: math.tanh(3 * math.sin(7 * z)),
    "exp_sin:a=7": lambda z: math.exp(-math.sin(7 * z)),
    "gaussian:a=0.3": lambda z: math.exp(-(z**2) / (2 * 0.3**2)),
    "super_gaussian:a=0.3,b=1.5": lambda z: math.exp(-(z**2) / (2 * 0.3**2)) ** 1.5,
    "laplacian:a=0.3": lambda z: math.exp(-abs(z) / 0.3),
    "quadratic:a=3": lambda z: 1 / (1 + (3 * z) ** 2),
    "multi_quadratic:a=3": lambda z: (1 + (3 * z) ** 2) ** -0.5,
}


def wavelet(u: complex, omega: float, scale: float) -> complex:
    return cmath.exp(1j * omega * u) * math.exp(-((scale * abs(u)) ** 2))


def faster(z: complex) -> complex:
    return complex((abs(z.real) + 1) * z.real, (abs(z.imag) + 1) * z.imag)


COMPLEX = {
    "complex_gabor:omega=7,scale=3": lambda z: wavelet(z, 7, 3),
    "finer_wavelet:omega=2,scale=3,omega_w=4": lambda z: wavelet(cmath.sin(2 * faster(z)), 4, 3),
}


class Waves(Encoding):
    """Sines with random phases and mean square 1/2, as inputs of a network of sines."""

    equation = "γ(x) = sin(a x + p)"
    source = "the tests"
    activation = "sine"

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, 256)
        generator = torch.Generator().manual_seed(1)
        self.frequencies = 40 * torch.rand(in_dim, 256, generator=generator)
        self.phases = 2 * math.pi * torch.rand(256, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x @ self.frequencies.to(x) + self.phases.to(x))


@pytest.fixture
def points() -> Tensor:
    return torch.rand(40, 2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def hidden_layers(model: CoordinateMLP) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, nn.Linear | NTKLinear)][:-1]


@pytest.mark.parametrize("text", PLAIN)
def test_an_activation_is_the_function_it_names(text: str) -> None:
    z = torch.linspace(-2, 2, 41, dtype=torch.float64)
    expected = torch.tensor([PLAIN[text](v) for v in z.tolist()], dtype=torch.float64)
    activation = activation_of(text)
    torch.testing.assert_close(activation(z), expected, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(activation.module()(z), expected, rtol=1e-13, atol=1e-14)
    away = (z + 0.013).requires_grad_()  # away from 0, where two activations have a kink
    assert torch.autograd.gradcheck(activation, (away,))


@pytest.mark.parametrize("text", COMPLEX)
def test_a_wavelet_is_the_complex_function_it_names(text: str) -> None:
    activation = activation_of(text)
    assert activation_of(str(activation)) == activation
    real = torch.linspace(-1, 1, 21, dtype=torch.float64)
    z = torch.complex(real, 0.4 * real.flip(0) + 0.1)
    for given in (real, z):
        expected = [COMPLEX[text](complex(v)) for v in given.tolist()]
        found = activation(given)
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.complex128))
        assert torch.autograd.gradcheck(activation, ((given + 0.013).requires_grad_(),))


def wire(layers: list[Any], x: list[float], omega: float, scale: float) -> list[float]:
    """The output of the WIRE network at one point, in plain Python numbers."""
    values: list[complex] = [2 * v - 1 for v in x]
    for index, layer in enumerate(layers):
        rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
        z = [sum(w * v for w, v in zip(row, values, strict=True)) + b for row, b in rows]
        values = z if index == len(layers) - 1 else [wavelet(v, omega, scale) for v in z]
    return [value.real for value in values]


def test_a_network_of_complex_wavelets_is_that_of_wire() -> None:
    torch.manual_seed(4)
    text = "complex_gabor:omega=3,scale=2"
    model = cast(CoordinateMLP(Symmetric(2), 3, 5, 3, "standard", activation=text), torch.float64)
    layers = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    assert [layer.weight.is_complex() for layer in layers] == [False, True, True, True]
    x = torch.rand(6, 2, dtype=torch.float64)
    expected = [wire(layers, point, 3, 2) for point in x.tolist()]
    torch.testing.assert_close(model(x), torch.tensor(expected, dtype=torch.float64))
    assert model.parameter_counts()["mlp"] == 15 + 2 * (30 + 30 + 18)


def test_complex_layers_start_as_their_authors_do() -> None:
    torch.manual_seed(0)
    for name, bounds in (
        ("complex_gabor", (1 / math.sqrt(2), 1 / math.sqrt(300))),
        ("finer_wavelet", (1 / 2, math.sqrt(6 / 300) / (5 * 4))),
    ):
        model = CoordinateMLP(Symmetric(2), 3, 300, 2, "standard", activation=name)
        first, second = hidden_layers(model)
        parts = [first.weight, second.weight.real, second.weight.imag]
        for part, bound in zip(parts, (bounds[0], bounds[1], bounds[1]), strict=True):
            assert part.abs().max().item() == pytest.approx(bound, rel=0.01)
            assert part.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_trained_sines_are_their_sum_and_start_as_in_the_authors_code() -> None:
    torch.manual_seed(0)
    sines = activation_of("staf:tau=3,omega=7").module().double()
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    terms = list(
        zip(*(p.tolist() for p in (sines.amplitudes, sines.frequencies, sines.phases)), strict=True)
    )
    expected = [sum(c * math.sin(w * v + p) for c, w, p in terms) for v in z.tolist()]
    torch.testing.assert_close(sines(z), torch.tensor(expected, dtype=torch.float64))
    assert torch.autograd.gradcheck(sines, (z.clone().requires_grad_(),))
    many = activation_of("staf:tau=20000,omega=7").module()
    # |X| of a Laplace variable of scale b has mean b and variance b²; C = ±√|X|
    size = 2 * 20_000 * many.amplitudes.square()
    assert (size.mean().item(), size.std().item()) == pytest.approx((1, 1), rel=0.05)
    assert many.amplitudes.sign().mean().item() == pytest.approx(0, abs=0.05)
    for part, low, high in ((many.frequencies, 0, 7), (many.phases, -math.pi, math.pi)):
        assert part.min().item() == pytest.approx(low, abs=0.01)
        assert part.max().item() == pytest.approx(high, abs=0.01)
        assert part.std().item() == pytest.approx((high - low) / math.sqrt(12), rel=0.03)


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("name", ["complex_gabor", "finer_wavelet", "staf"])
def test_kernels_of_complex_and_of_trained_activations_are_the_jacobians(
    name: str, outputs: Any, points: Tensor
) -> None:
    torch.manual_seed(3)
    model = CoordinateMLP(Symmetric(2), 2, 8, 2, "standard", activation=name)
    model = cast(model, torch.float64)
    x = points[:8]
    ntk = empirical_ntk(model, x, outputs=outputs)
    expected = brute_force_ntk(model, x)["mlp"]
    if outputs == "trace":
        blocks = expected.view(8, 2, 8, 2)
        expected = (blocks[:, 0, :, 0] + blocks[:, 1, :, 1]) / 2
    assert relative_error(ntk.total, expected) < 1e-13
    v = torch.randn(len(expected), dtype=torch.float64)
    product = operator(model, x, outputs=outputs).product(v)
    torch.testing.assert_close(product, expected @ v, rtol=1e-12, atol=1e-12)
    trained = {n for n, method in ntk.methods.items() if method == "jacobian"}
    names = {"amplitudes", "frequencies", "phases"} if name == "staf" else set()
    assert {n.split(".")[-1] for n in trained} == names


def test_complex_weights_are_refused_in_ntk_parameterization_while_planning(
    suite: Any, registry: Any
) -> None:
    with pytest.raises(ParameterError, match=r"complex weights, .* parameterization='standard'"):
        plan(suite_with(suite, activation="complex_gabor"), registry)
    for text, words in (("staf:tau=0", "greater than or equal to 1"), ("finer_wavelet:s=1", "'s'")):
        with pytest.raises(ParameterError, match=words):
            activation_of(text)


@pytest.mark.parametrize("name", ["complex_gabor", "staf"])
def test_they_are_trained_counted_and_kept(name: str, suite: Any, registry: Any) -> None:
    asked = suite_with(suite, activation=name, parameterization="standard", width=4, depth=1)
    (cell,) = plan(asked, registry)
    result = run_cell(cell, registry, RunOptions(save_weights=True))
    record = result.record
    assert record.status == "ok", record.error
    assert record.step_method == "autograd: the network has layers of its own"
    assert parameters_of_cell(cell, registry) == sum(record.parameters.values())
    dtypes = {tensor.dtype for tensor in safetensors.torch.load(result.weights).values()}
    assert (torch.complex64 in dtypes) == (name == "complex_gabor")


def test_every_activation_has_a_plain_function_to_be_held_against() -> None:
    assert {text.split(":")[0] for text in (*PLAIN, *COMPLEX, "staf")} == {
        offer.name for offer in default_registry().offers("activation")
    }


@pytest.mark.parametrize("text", PLAIN)
def test_the_text_of_an_activation_reads_back(text: str) -> None:
    activation = activation_of(text)
    assert activation_of(str(activation)) == activation


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sin", "did you mean 'sine'"),
        ("sine:omga=3", "did you mean 'omega'"),
        ("sine:omega=0", "greater than or equal to 0.000001"),
        ("relu:omega=3", "no parameter 'omega'"),
        (nn.Tanh(), "such as 'relu'"),
    ],
)
def test_what_is_no_activation_is_refused(text: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        CoordinateMLP(Scaled(1), 1, width=4, activation=text)


def test_auto_is_what_the_encoding_expects_and_relu_where_it_expects_nothing() -> None:
    assert CoordinateMLP(Scaled(1), 1, width=4).activation == Relu()
    assert CoordinateMLP(Waves(1), 1, width=4).activation == Sine()
    assert CoordinateMLP(Waves(1), 1, width=4, activation="relu").activation == Relu()
    encoding = Waves(1)
    encoding.activation = Gabor(omega=5.0)
    assert CoordinateMLP(encoding, 1, width=4).activation == Gabor(omega=5.0)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_relu_networks_start_as_they_did_before_activations_could_be_chosen(
    parameterization: Any,
) -> None:
    torch.manual_seed(5)
    model = CoordinateMLP(Scaled(2), 3, width=8, depth=2, parameterization=parameterization)
    layer = nn.Linear if parameterization == "standard" else NTKLinear
    torch.manual_seed(5)
    expected = [layer(2, 8), layer(8, 8), layer(8, 3)]
    linear = [m for m in model.layers if isinstance(m, layer)]
    for found, wanted in zip(linear, expected, strict=True):
        assert torch.equal(found.weight, wanted.weight)
        assert torch.equal(found.bias, wanted.bias)
        if isinstance(found, NTKLinear):
            assert (found.scale, found.beta) == (wanted.scale, wanted.beta)
    assert [type(m) for m in model.layers][1::2] == [nn.ReLU, nn.ReLU]


@pytest.mark.parametrize("name", ["sine", "finer"])
def test_periodic_layers_start_uniform_in_sitzmanns_bound_the_last_one_too(name: str) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(
        Waves(2), 50, width=200, parameterization="standard", activation=f"{name}:omega=12"
    )
    linear = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    assert len(linear) == 3
    for layer in linear:
        bound = math.sqrt(6 / layer.in_features) / 12
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize("name", ["sine", "finer", "gabor"])
def test_ntk_layers_give_preactivations_the_variance_of_the_standard_start(
    name: str, points: Tensor
) -> None:
    # Without biases, because only the NTK parameterization has β.
    deviations = {}
    for parameterization in ("ntk", "standard"):
        torch.manual_seed(0)
        model = CoordinateMLP(
            Waves(2),
            1,
            256,
            3,
            parameterization,
            activation=name,  # type: ignore[arg-type] # a literal
        ).double()
        found = []
        z = model.encoding(points)
        for layer in hidden_layers(model):
            layer.bias.data.zero_()
            z = layer(z)
            found.append(z.std().item())
            z = model.activation(z)
        deviations[parameterization] = found
    assert deviations["ntk"] == pytest.approx(deviations["standard"], rel=0.08)
    if name == "sine":
        # The inputs are sines of random phases. If z ~ N(0, v), E[sin² z] = (1 − e^−2v)/2.
        variances = [1.0]
        variances += [1 - math.exp(-2 * variances[-1])]
        variances += [1 - math.exp(-2 * variances[-1])]
        expected = [math.sqrt(v) for v in variances]
        assert [30 * d for d in deviations["standard"]] == pytest.approx(expected, rel=0.04)


def test_omega_cancels_in_a_sine_network_of_ntk_parameterization(points: Tensor) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(Waves(2), 2, width=16, depth=2, beta=0.3).double()
    z = model.encoding(points)
    first, second = hidden_layers(model)
    for layer in (first, second):
        n = layer.weight.shape[1]
        z = torch.sin(math.sqrt(2 / n) * z @ layer.weight.t() + 0.3 * layer.bias)
    last = model.layers[-1]
    expected = z @ last.weight.t() / 4 + 0.3 * last.bias
    torch.testing.assert_close(model(points), expected, rtol=1e-12, atol=1e-12)


def test_the_first_layer_of_a_sine_network_can_be_scaled_by_the_width() -> None:
    model = CoordinateMLP(Waves(2), 1, width=64, depth=1, first_layer_scale="width")
    (first,) = hidden_layers(model)
    assert first.scale == pytest.approx(math.sqrt(2) / 30 / 8)


def test_an_omega_without_effect_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"'sine:omega=10\.0': omega .* cancels"):
        CoordinateMLP(Waves(1), 1, width=4, activation="sine:omega=10")
    CoordinateMLP(Waves(1), 1, width=4, activation="sine:omega=10", parameterization="standard")
    CoordinateMLP(Waves(1), 1, width=4, activation=Finer(10.0))


COMPLEX_NAMES = [text.partition(":")[0] for text in COMPLEX]
CANCELLED = ["sine:omega=60.0", "hosc:omega=60.0"]
PARAMETERS = [
    (offer.name, parameter.name)
    for offer in default_registry().offers("activation")
    for parameter in parameters_of(offer.load())
]


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_a_parameter_changes_the_kernel_or_is_refused(
    name: str, parameter: str, parameterization: Any, points: Tensor
) -> None:
    def kernel(text: str) -> Tensor:
        torch.manual_seed(0)
        model = CoordinateMLP(Symmetric(2), 1, 16, 2, parameterization, activation=text)
        return empirical_ntk(cast(model, torch.float64), points[:5]).total

    changed = f"{name}:{parameter}={2 * getattr(activation_of(name), parameter)}"
    if parameterization == "ntk" and (name in COMPLEX_NAMES or changed in CANCELLED):
        with pytest.raises(ParameterError, match="NTK parameterization"):
            kernel(changed)
    else:
        assert relative_error(kernel(changed), kernel(name)) > 0.01


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("activation", ["sine", "finer", "gabor:omega=5,scale=2", "gelu", "tanh"])
def test_the_kernel_of_any_activation_is_the_jacobians(
    activation: str, parameterization: Any, outputs: Any, points: Tensor
) -> None:
    torch.manual_seed(3)
    model = CoordinateMLP(Waves(2), 2, 12, 2, parameterization, activation=activation)
    ntk = empirical_ntk(model, points, outputs=outputs)
    assert relative_error(ntk.total, brute_force(model, points, outputs)) < 1e-12
    assert set(ntk.methods.values()) == {"layerwise"}


def suite_with(suite: Any, **network: Any) -> Any:
    return suite.model_copy(update={"network": NetworkConfig(**network)})


class Nameless(Activation):
    def __call__(self, z: Tensor) -> Tensor:
        return z


class Halving(Activation):
    name = "halving"

    def __call__(self, z: Tensor) -> Tensor:
        return z[:, ::2]


class Unfinished(Activation):
    name = "unfinished"


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (Nameless, "has no name; set one in its class"),
        (Halving, "keep the shape"),
        (Unfinished, "abstract method"),
    ],
)
def test_a_wrong_activation_of_a_plugin_is_named_in_one_line(
    cls: Any, wrong: str, suite: Any
) -> None:
    registry = registry_of(
        ours=module(encodings={"scaled": Scaled}, tasks={"wave": Wave}, activations={"bump": cls})
    )
    with pytest.raises(PluginError, match=f"activation 'bump' of ours.*failed: .*{wrong}"):
        plan(suite_with(suite, activation="bump"), registry)


def test_the_default_activation_is_no_part_of_what_a_cell_writes(suite: Any, registry: Any) -> None:
    written = json.loads(NetworkConfig(width=8, depth=1).model_dump_json())
    assert written == {
        "width": 8,
        "depth": 1,
        "parameterization": "ntk",
        "beta": 0.1,
        "first_layer_scale": "fan_in",
    }
    assert NetworkConfig.model_validate(written).activation == "auto"
    (cell,) = plan(suite, registry)
    assert "activation" not in cell.model_dump(mode="json")["network"]
    (other,) = plan(suite_with(suite, activation="tanh"), registry)
    assert cell_key(other) != cell_key(cell)


def test_two_spellings_of_an_activation_are_one_cell(suite: Any, registry: Any) -> None:
    (short,) = plan(suite_with(suite, activation="finer"), registry)
    (long,) = plan(suite_with(suite, activation="finer:omega=30"), registry)
    assert short.network.activation == "finer:omega=30.0"
    assert cell_key(short) == cell_key(long)


@pytest.mark.parametrize(
    ("activation", "words"), [("reul", "did you mean 'relu'"), ("sine:omega=3", "cancels")]
)
def test_a_wrong_activation_is_refused_before_anything_runs(
    activation: str, words: str, suite: Any, registry: Any
) -> None:
    with pytest.raises(ParameterError, match=words):
        plan(suite_with(suite, activation=activation), registry)


@pytest.mark.parametrize(
    ("asked", "recorded"),
    [("auto", "relu"), ("tanh", "tanh"), ("sine", "sine:omega=30.0")],
)
def test_a_record_says_which_activation_the_network_had(
    asked: str, recorded: str, suite: Any, registry: Any
) -> None:
    (cell,) = plan(suite_with(suite, activation=asked), registry)
    record = run_cell(cell, registry).record
    assert record.status == "ok"
    assert record.activation == recorded
    again = type(record).model_validate_json(record.model_dump_json())
    assert again.activation == recorded
    assert again.cell == record.cell


class SmoothWave(Wave):
    """A task that needs a smooth network."""

    network = NetworkDefaults(width=8, depth=1, activation="tanh")


@pytest.mark.parametrize(
    ("encoding", "asked", "planned"),
    [
        ("scaled", "auto", "tanh"),
        ("scaled", "relu", "relu"),
        ("waves", "auto", "auto"),
    ],
)
def test_a_task_can_want_an_activation_where_the_encoding_wants_none(
    encoding: str, asked: str, planned: str, suite: Any
) -> None:
    ours = module(encodings={"scaled": Scaled, "waves": Waves}, tasks={"wave": SmoothWave})
    base = suite_with(suite, activation=asked).model_dump() | {"encodings": [encoding]}
    (cell,) = plan(type(suite).model_validate(base), registry_of(ours=ours))
    assert cell.network.activation == planned


@dataclass(frozen=True)
class Softsign(Activation):
    """z / (1 + |z| / a)."""

    name = "softsign"
    a: Annotated[float, Field(gt=0)] = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        return z / (1 + z.abs() / self.a)


def test_a_plug_in_offers_an_activation(suite: Any) -> None:
    offered = module(
        activations={"softsign": Softsign}, encodings={"scaled": Scaled}, tasks={"wave": Wave}
    )
    registry = registry_of(theirs=offered)
    (cell,) = plan(suite_with(suite, activation="softsign:a=2"), registry)
    result = run_cell(cell, registry)
    assert result.record.status == "ok"
    assert result.record.activation == "softsign:a=2.0"
    with pytest.raises(ParameterError, match="greater than 0"):
        plan(suite_with(suite, activation="softsign:a=-2"), registry)
    with pytest.raises(ParameterError, match=r"There are: .*softsign"):
        plan(suite_with(suite, activation="softplus"), registry)


@pytest.mark.parametrize(
    ("offering", "shown"), [("t", "softsign:a=2.0"), ("tx", "t:softsign:a=2.0")]
)
def test_a_label_names_the_distribution_of_an_activation_only_where_several_offer_it(
    offering: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_of(**{d: module(activations={"softsign": Softsign}) for d in offering})
    monkeypatch.setattr(labels, "default_registry", lambda: registry)
    labels._shortest.cache_clear()
    assert labels.shortened("network.activation", "t:softsign:a=2.0") == shown
    labels._shortest.cache_clear()


def test_auto_takes_no_parameters() -> None:
    with pytest.raises(ParameterError, match="'auto:omega=2': 'auto' takes no parameters"):
        activation_of("auto:omega=2")
