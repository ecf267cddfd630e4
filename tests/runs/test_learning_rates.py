"""The learning rate of a cell: given, or derived from its optimizer and network."""

import math
import random

import numpy as np
import pytest

from encbench import Suite, ntk, plan
from encbench.plugins.registry import default_registry
from encbench.runs.cell import LR_POINTS, run_cell
from encbench.runs.parts import build_model, build_task, cell_streams
from tests.sample_plugin import Scaled, Wave, module, registry_of


def first_cell(suite, registry, network=None, **training):
    changes = {
        "network": suite.network.model_copy(update=network or {}),
        "training": suite.training.model_copy(update=training),
    }
    return plan(suite.model_copy(update=changes), registry)[0]


def rate_of(cell, registry):
    record = run_cell(cell, registry).record
    assert record.status == "ok", record.error
    return record.learning_rate


def critical(cell, registry):
    task = build_task(cell, registry)
    streams = cell_streams(cell)
    model = build_model(cell, task, registry, streams)
    x = task.ntk_points(LR_POINTS, streams.generator("ntk"))
    return ntk.critical_learning_rate(
        model, x, loss=task.loss, encoding_lr_factor=cell.training.encoding_lr_factor
    )


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_sgd_takes_its_factor_times_the_critical_rate(suite, registry, factor):
    cell = first_cell(suite, registry, lr_factor=factor)
    rate = rate_of(cell, registry)
    assert rate.critical == pytest.approx(critical(cell, registry), rel=1e-9)
    assert rate.value == pytest.approx(factor * rate.critical, rel=1e-12)
    assert rate.rule == "auto"


@pytest.mark.parametrize("width", [32, 128])
def test_adam_takes_its_usual_rate_and_sqrt_of_the_width_times_that_for_ntk_weights(
    suite, registry, width
):
    """A weight in NTK parameterization is √width times the standard one."""
    depth = first_cell(suite, registry).network.depth
    usual = 5e-3 * 2 / depth
    standard = first_cell(
        suite, registry, {"width": width, "parameterization": "standard"}, optimizer="adam"
    )
    scaled = first_cell(
        suite, registry, {"width": width, "parameterization": "ntk"}, optimizer="adam"
    )
    assert rate_of(standard, registry).value == pytest.approx(usual, rel=1e-12)
    assert rate_of(scaled, registry).value == pytest.approx(usual * math.sqrt(width), rel=1e-12)


def test_adams_usual_rate_is_smaller_in_deeper_networks_and_behind_sines(suite, registry):
    def rate(**network):
        network = {"width": 32, "parameterization": "standard"} | network
        return rate_of(first_cell(suite, registry, network, optimizer="adam"), registry).value

    assert rate(depth=2) == pytest.approx(5e-3)
    assert rate(depth=8) == pytest.approx(1.25e-3)
    assert rate(depth=2, activation="sine") == pytest.approx(4e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_rate_that_was_given_is_taken_as_it_is(suite, registry, optimizer):
    rate = rate_of(first_cell(suite, registry, lr=0.0123, optimizer=optimizer), registry)
    assert (rate.value, rate.rule) == (0.0123, "given")
    assert rate.critical > 0


SGD = {"optimizer": "sgd", "schedule": "constant"}


def grid_cell(encoding, **training):
    """A grid on few pixels, whose kernel grows with its features."""
    suite = Suite.model_validate(
        {
            "encodings": [encoding],
            "tasks": ["image:image=coffee,side=16"],
            "network": {"width": 64, "depth": 2, "parameterization": "ntk"},
            "training": SGD | {"batch_size": 32, "steps": 48, "evaluations": 4} | training,
            "ntk": {"points": 16},
        }
    )
    return plan(suite, default_registry())[0]


def test_the_critical_rate_takes_the_encodings_learning_rate():
    cell = grid_cell("mpe:resolutions=[4]", encoding_lr_factor=10.0, lr=1e-3, steps=2)
    record = run_cell(cell, default_registry()).record
    expected = critical(cell, default_registry())
    assert record.learning_rate.critical == pytest.approx(expected, rel=1e-9)
    assert record.spectra[0].lr_ratio == pytest.approx(1e-3 / expected, rel=1e-9)


@pytest.mark.parametrize(
    "encoding",
    [
        "permutohedral:levels=2,log2_hashmap_size=8",
        "hashgrid:levels=2,max_resolution=128",
    ],
)
def test_an_automatic_rate_with_which_training_diverges_is_halved(encoding):
    results = [
        run_cell(grid_cell(encoding).model_copy(update={"seed": seed}), default_registry())
        for seed in (0, 1, 3)
    ]
    rates = [result.record.learning_rate for result in results]
    assert {result.record.status for result in results} == {"ok"}
    assert any(rate.halvings for rate in rates), "none diverges any more: choose another input"
    for rate, result in zip(rates, results, strict=True):
        assert rate.value == pytest.approx(1.5 * rate.critical / 2**rate.halvings, rel=1e-12)
        assert result.record.steps == 48
        assert [s.when for s in result.record.spectra] == ["start", "middle", "end"]
        assert np.isfinite(result.arrays["loss"]).all()


def test_training_that_was_begun_again_is_training_at_that_rate(registry, suite):
    (cell,) = plan(
        suite.model_copy(
            update={"training": suite.training.model_copy(update={"lr_factor": 500.0})}
        ),
        registry,
    )
    halved = run_cell(cell, registry)
    rate = halved.record.learning_rate
    assert halved.record.status == "ok"
    assert rate.halvings >= 1
    given = run_cell(first_cell(suite, registry, lr=rate.value), registry)
    np.testing.assert_array_equal(halved.arrays["loss"], given.arrays["loss"])
    np.testing.assert_array_equal(halved.arrays["spectrum_end"], given.arrays["spectrum_end"])
    assert halved.record.metrics["psnr"].value == given.record.metrics["psnr"].value


def test_weights_drawn_by_random_or_numpy_are_the_same_when_training_begins_again(suite):
    drawn = []

    class Drawn(Scaled):
        def __init__(self, in_dim: int, *, scale: float = 1.0) -> None:
            super().__init__(in_dim, scale=scale)
            drawn.append((random.random(), np.random.random()))  # noqa: NPY002

    class Shuffled(Wave):
        def __init__(self) -> None:
            super().__init__()
            random.random(), np.random.random()  # noqa: NPY002 # before the weights

    registry = registry_of(ours=module(encodings={"scaled": Drawn}, tasks={"wave": Shuffled}))
    record = run_cell(first_cell(suite, registry, lr_factor=500.0), registry).record
    assert record.learning_rate.halvings >= 1
    assert len(set(drawn)) == 1 < len(drawn)


def test_a_rate_that_was_given_is_never_halved(registry, suite):
    result = run_cell(first_cell(suite, registry, lr=1e4), registry)
    assert result.record.status == "diverged"
    assert (result.record.learning_rate.value, result.record.learning_rate.halvings) == (1e4, 0)


def test_an_automatic_rate_is_not_halved_for_ever(registry, suite):
    result = run_cell(first_cell(suite, registry, lr_factor=1e9), registry)
    assert result.record.status == "diverged"
    assert result.record.learning_rate.halvings == 8
