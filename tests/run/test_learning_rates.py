"""The rate at which a cell is trained: given, or by a rule from its optimizer and network."""

import math

import pytest

from encbench import ntk, plan
from encbench.run.cell import LR_POINTS, run_cell
from encbench.run.parts import build_model, build_task, cell_streams


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
    return ntk.critical_learning_rate(model, x, loss=task.loss)


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
    """A weight of the NTK parameterization is √width times the standard one."""
    standard = first_cell(
        suite, registry, {"width": width, "parameterization": "standard"}, optimizer="adam"
    )
    scaled = first_cell(
        suite, registry, {"width": width, "parameterization": "ntk"}, optimizer="adam"
    )
    assert rate_of(standard, registry).value == 1e-3
    assert rate_of(scaled, registry).value == pytest.approx(1e-3 * math.sqrt(width), rel=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_rate_that_was_given_is_taken_as_it_is(suite, registry, optimizer):
    rate = rate_of(first_cell(suite, registry, lr=0.0123, optimizer=optimizer), registry)
    assert (rate.value, rate.rule) == (0.0123, "given")
    assert rate.critical > 0
