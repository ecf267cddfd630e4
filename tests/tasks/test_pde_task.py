"""The task pde: solutions of the equations, their loss, and errors."""

import math

import mpmath
import numpy as np
import pytest
import torch
from encbench_tasks.pde import Burgers, Helmholtz, PdeTask, Poisson
from scipy import fft

from encbench import ParameterError, Suite, plan
from encbench.errors import SuiteError
from encbench.metrics.l1 import MaxError
from encbench.plugins.registry import default_registry

EXACT = {
    "poisson": lambda z: (
        torch.sin(2 * math.pi * z[:, :1]) + torch.sin(2 * math.pi * 3 * z[:, :1]) / 10
    ),
    "helmholtz": lambda z: torch.sin(math.pi * z[:, :1]) * torch.sin(2 * math.pi * z[:, 1:]),
}
"""Solutions for waves=3 and waves=2, on the equation's box."""
PROBLEMS = {"poisson": {"waves": 3}, "helmholtz": {"waves": 2, "k": 1.5}}


def solved_by_sines(equation, side, factor):
    """Nodes and the solution at them: the sine transform of f is divided by ``factor``."""
    axes = [
        np.linspace(a, b, side + 1)[1:-1] for a, b in zip(equation.low, equation.high, strict=True)
    ]
    z = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    f = equation.right_side(z.reshape(-1, len(axes))).reshape(z.shape[:-1])
    lengths = np.subtract(equation.high, equation.low)
    waves = np.meshgrid(*[np.arange(1, side) * np.pi / n for n in lengths], indexing="ij")
    u = fft.idstn(fft.dstn(f, type=1) / factor(sum(k**2 for k in waves)), type=1)
    return z.reshape(-1, len(axes)), u.ravel()


def test_poissons_solution_is_that_of_another_method():
    z, u = solved_by_sines(Poisson(25), 128, lambda square: square)
    np.testing.assert_allclose(Poisson(25).solution(z), u, atol=1e-12)


@pytest.mark.parametrize(("waves", "k"), [(4, 1.0), (3, 7.0)])
def test_helmholtzs_solution_is_that_of_another_method(waves, k):
    equation = Helmholtz(waves, k)
    z, u = solved_by_sines(equation, 32, lambda square: k**2 - square)
    np.testing.assert_allclose(equation.solution(z), u, atol=1e-13)


def test_burgers_solution_is_the_series_of_bessel_functions():
    """φ = I_0 + 2 Σ (−1)^n I_n(1/2πν) exp(−n²π²νt) cos nπx, u = −2ν φ_x/φ, in 60 digits."""
    x = [-0.9, -0.3, -0.02, -0.004, 0.001, 0.01, 0.5, 0.75]
    t = [0.99, 0.02, 0.5, 0.75, 1.0, 0.35, 0.1, 0.6]
    expected = []
    with mpmath.workdps(60):
        viscosity = mpmath.mpf("0.01") / mpmath.pi
        bessel = [mpmath.besseli(n, 1 / (2 * mpmath.pi * viscosity)) for n in range(140)]
        for a, b in zip(x, t, strict=True):
            value, slope = bessel[0], mpmath.mpf(0)
            for n in range(1, 140):
                term = (
                    2 * (-1) ** n * bessel[n] * mpmath.exp(-((n * mpmath.pi) ** 2) * viscosity * b)
                )
                value += term * mpmath.cos(n * mpmath.pi * a)
                slope -= term * n * mpmath.pi * mpmath.sin(n * mpmath.pi * a)
            expected.append(float(-2 * viscosity * slope / value))
    found = Burgers().solution(np.stack([x, t], axis=1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    start = Burgers().solution(np.array([[0.3, 1e-9]]))
    assert start[0] == pytest.approx(-math.sin(0.3 * math.pi), abs=1e-7)


@pytest.mark.parametrize("problem", EXACT)
def test_the_loss_of_the_solution_is_zero_and_weighs_the_border(problem):
    task = PdeTask(problem=problem, **PROBLEMS[problem], weight=7.0, points=32)
    x, _ = task.epoch(torch.Generator().manual_seed(0))
    low, high = (torch.tensor(each, dtype=torch.float64) for each in (
        task.equation.low, task.equation.high))  # fmt: skip
    y = torch.from_numpy(task.equation.right_side((low + (high - low) * x).numpy()))[:, None]

    def exact(x):
        return EXACT[problem](low + (high - low) * x)

    def raised(x):  # Poisson's equation is also solved with a constant added
        return exact(x) + 0.5

    assert task.loss(exact, x, y).item() < 1e-20
    border = 7 * len(task.equation.faces) * 0.25
    wrong = (task.equation.k**2 * 0.5) ** 2 if problem == "helmholtz" else 0
    f = task.equation.right_side(task._in_box(task._x))
    assert task.loss(raised, x, y).item() == pytest.approx(border + wrong / np.mean(f**2))


def test_burgers_residual_and_border_are_those_of_the_equation():
    task = PdeTask(problem="burgers", weight=2.0, points=16)
    x, y = task.epoch(torch.Generator().manual_seed(0))

    def model(s):  # u = x² t on the box
        return (2 * s[:, :1] - 1) ** 2 * s[:, 1:]

    a, t = (2 * x[:, 0] - 1).numpy(), x[:, 1].numpy()
    residual = a**2 + (a**2 * t) * (2 * a * t) - 0.01 / math.pi * 2 * t
    border = np.mean(t**2) * 2 + np.mean(np.sin(math.pi * a) ** 2)
    expected = np.mean(residual**2) + 2 * border
    assert task.loss(model, x, y.double()).item() == pytest.approx(expected)


@pytest.mark.parametrize("problem", ["poisson", "helmholtz", "burgers"])
def test_a_perfect_network_is_found_perfect(problem):
    task = PdeTask(problem=problem)
    grid = task.regular_grid()

    def predict(x):
        return torch.from_numpy(task.equation.solution(task._in_box(x))[:, None]).float()

    assert task.progress_metric(predict) < 1e-7
    outcome = task.evaluate(predict)
    assert MaxError()(*outcome.comparisons["solution"]).value < 1e-7
    if problem == "poisson":
        assert set(outcome.lines) == {"u", "error"}
    else:
        assert outcome.pictures["target"].shape == (*grid.truth.shape[:2], 3)
        np.testing.assert_array_equal(outcome.pictures["prediction"], outcome.pictures["target"])
        np.testing.assert_array_equal(task.render(predict, 1), outcome.pictures["target"])
    if problem == "burgers":
        x, made, truth = outcome.lines["u.t_0.75"]
        np.testing.assert_allclose(made, truth, atol=1e-6)
        assert x[0] < -0.99
        assert truth[250] > 0.5  # left of the shock
        assert truth[262] < -0.5
    with_error = MaxError()(np.array([1.0, 2.0]), np.array([1.0, -1.0]))
    assert (with_error.value, with_error.details) == (3.0, {"points": 2})


def planned(task, encoding="identity", **settings):
    suite = {"encodings": [encoding], "tasks": [task], **settings}
    return plan(Suite.model_validate(suite), default_registry())


@pytest.mark.parametrize(
    ("task", "encoding", "words"),
    [
        ("pde:problem=poison", "identity", "'poisson'"),
        ("pde:problem=helmholtz,k=0", "identity", "k"),
        ("pde:problem=helmholtz,k=-2", "identity", "k"),
        ("pde:k=2", "identity", "k=2.0 has no effect with problem=poisson"),
        ("pde:problem=burgers,waves=2", "identity", "give problem=poisson or problem=helmholtz"),
        ("pde:weight=-1", "identity", "weight"),
        (f"pde:problem=helmholtz,k={17**0.5 * math.pi}", "identity", "k² is an eigenvalue"),
        ("pde", "mpe:resolutions=[8]", "encoding 'mpe:resolutions=[8]' has no second derivative"),
        ("pde:problem=burgers", "hashgrid:levels=2,max_resolution=20", "interpolation=smoothstep"),
    ],
)
def test_what_makes_no_sense_is_refused_in_planning(task, encoding, words):
    with pytest.raises((ParameterError, SuiteError)) as caught:
        planned(task, encoding)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_activation_without_second_derivatives_is_refused():
    with pytest.raises(SuiteError, match="activation 'relu' has no second derivative"):
        planned("pde", network={"activation": "relu"})
    (cell,) = planned(
        "pde", "densegrid:levels=2,base_resolution=4,max_resolution=9,interpolation=smoothstep"
    )
    assert cell.network.activation == "tanh"
    assert cell.task.parameters["waves"] == Poisson().waves


@pytest.mark.parametrize("waves", [17, 33, 63, 64, 256])
def test_a_fast_wave_is_not_taken_for_a_slow_one(waves):
    task = PdeTask(problem="helmholtz", waves=waves)
    assert np.square(task.regular_grid().truth).mean() == pytest.approx(0.25)

    def wave(w):
        return lambda x: torch.sin((2 * x - 1) * math.pi * torch.tensor([1, w])).prod(1)[:, None]

    assert task.progress_metric(wave(waves)) < 1e-9
    assert task.progress_metric(wave(abs(waves - 64) or 1)) > 1
    hashes = {PdeTask.data_hash(problem="helmholtz", waves=w) for w in (4, 16, waves)}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    "wrong", [{"waves": 257}, {"weight": 0}, {"weight": math.nan}, {"points": 0}]
)
def test_the_constructor_refuses_what_is_out_of_range(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        PdeTask(**wrong)
