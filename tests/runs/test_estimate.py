"""The time of a plan is estimated from some of its cells."""

from __future__ import annotations

import pytest

from encbench import Suite, plan
from encbench.plugins.registry import default_registry
from encbench.runs import estimate as module
from encbench.runs.cell import run_cell
from encbench.runs.estimate import estimate
from encbench.suite.budget import parameters_of_cell


def cells(**changes):
    suite = Suite.model_validate(
        {
            "encodings": ["identity", "ffe:levels=2"],
            "tasks": ["image:image=camera,side=16"],
            "seeds": [0, 1, 2],
            "network": {"width": 8},
            "training": {"steps": 4000, "optimizer": "adam"},
            "ntk": {"points": 8},
        }
        | changes
    )
    return plan(suite, default_registry())


def test_parameters_are_those_of_the_trained_network():
    for cell in cells(seeds=[0], training={"steps": 1}):
        record = run_cell(cell, default_registry()).record
        assert parameters_of_cell(cell, default_registry()) == sum(record.parameters.values())


def test_seeds_are_rehearsed_once_and_count_as_often_as_they_are(monkeypatch):
    seconds = {"identity": 1.0, "ffe:levels=2": 3.0}
    monkeypatch.setattr(
        module, "_whole", lambda cell, record: seconds[cell.encoding.label or cell.encoding.name]
    )
    told = []
    found = estimate(cells(), default_registry(), watch=lambda *counts: told.append(counts))
    assert (found.seconds, found.rehearsed, found.problems) == (12.0, 2, [])
    assert told == [(0, 2), (1, 2)]


def test_training_is_scaled_to_its_length_and_the_rest_is_not():
    (cell,) = cells(encodings=["identity"], seeds=[0])
    record = run_cell(cell.shortened(module.STEPS), default_registry()).record
    assert record.steps == module.STEPS
    rest = sum(record.durations.values()) - record.durations["training"]
    assert module._whole(cell, record) == pytest.approx(rest + 100 * record.durations["training"])
    epochs = cell.training.model_copy(update={"steps": None, "epochs": 7})
    batches = 1  # 16 × 16 pixels in batches of 256
    assert module._whole(cell.model_copy(update={"training": epochs}), record) == pytest.approx(
        rest + 7 * batches * record.durations["training"] / module.STEPS
    )


def test_a_cell_that_fails_in_rehearsal_is_named():
    found = estimate(cells(training={"steps": 50, "lr": 1e30}), default_registry())
    assert found.seconds != found.seconds
    assert "identity" in found.problems[0]
    assert "diverged" in found.problems[0]


def test_a_metric_that_raises_in_rehearsals_is_warned_of_once(monkeypatch, caplog):
    def divide(self, prediction, truth):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("encbench.metrics.psnr.Psnr.compute", divide)
    estimate(cells(), default_registry())
    (said,) = caplog.messages
    assert "metric 'psnr' of encbench" in said
    assert said.endswith("failed: ZeroDivisionError: oops (in 2 rehearsed cells)")
