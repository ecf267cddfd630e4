"""Kernel and target, drift and predicted training in a cell's record."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from encbench import plan
from encbench.contracts.task import Task
from encbench.ntk import alignment, empirical_ntk, predict_training
from encbench.plugins.registry import default_registry
from encbench.results.kernel_summary import LinearizedTraining
from encbench.results.records import CellResult, Record
from encbench.runs.cell import LR_POINTS, run_cell
from encbench.runs.kernel_target import (
    KernelTarget,
    add_measured,
    predicted_training,
    target_values,
)
from encbench.runs.parts import build_model, build_task, build_training, cell_streams
from encbench.suite.file import load_suite, override
from encbench.training.loop import predictor

IMAGE = "image:image=camera,side=8"


def planned(task: str = IMAGE, points: int | str = "all", **training: Any):
    settings = {"optimizer": "sgd", "schedule": "constant", "steps": 40, "batch_size": 64}
    suite = override(
        load_suite("quick", default_registry()),
        {
            "network": {"width": 8, "parameterization": "ntk"},
            "training": {**settings, "evaluations": 2, "lr": 0.1, **training},
            "ntk": {"points": points},
        },
        encodings=["mpe:resolutions=[4]"],
        tasks=[task],
        seeds=[0],
    )
    return plan(suite, default_registry())[0]


def run(*arguments: Any, **training: Any) -> CellResult:
    result = run_cell(planned(*arguments, **training), default_registry())
    assert result.record.status == "ok", result.record.error
    return result


def at_start(cell):
    registry, streams = default_registry(), cell_streams(cell)
    task = build_task(cell, registry)
    return task, build_model(cell, task, registry, streams), streams


def test_a_record_holds_alignment_energies_rates_and_drift() -> None:
    result = run()
    record = Record.model_validate_json(result.record.model_dump_json())
    start, middle, end = record.spectra
    task, model, streams = at_start(record.cell)
    x, y = task.epoch(streams.generator("data"))
    kernel = empirical_ntk(model, x).total
    assert start.target is not None
    assert start.target.alignment == pytest.approx(alignment(kernel, y))
    assert start.target.alignment_centred == pytest.approx(alignment(kernel, y, centred=True))
    vectors = np.linalg.eigh(kernel.numpy())[1][:, ::-1]
    for of, column, energy in (
        (y, 1, start.target.target),
        (y - y.mean(0), 2, start.target.target_centred),
        (model(x.float()).detach() - y, 3, start.target.residual),
    ):
        share = np.cumsum(np.square(vectors.T @ of.double().numpy()).sum(1))
        share /= share[-1]
        curve = result.arrays["energy_start"]
        known = curve[:, 0] <= start.resolved_rank
        assert curve[known, column] == pytest.approx(
            share[curve[known, 0].astype(int) - 1], abs=1e-7
        )
        assert np.isnan(curve[~known, 1:]).all()
        assert energy is not None
        assert energy.k_50 == int((share < 0.5).sum()) + 1
        assert energy.tenth == pytest.approx(share[6])
    assert (start.drift, start.drift_from_middle, middle.drift_from_middle) == (None, None, None)
    for spectrum in (middle, end):
        assert spectrum.drift is not None
        assert 0 < spectrum.drift < 10
    assert end.drift_from_middle is not None
    assert record.learning_rate is not None
    assert start.critical_rate == record.learning_rate.critical
    for spectrum in record.spectra:
        assert spectrum.critical_rate is not None
        assert spectrum.lr_ratio == pytest.approx(0.1 / spectrum.critical_rate)


def test_the_predicted_curve_is_that_of_eigenvectors_and_near_what_is_measured() -> None:
    result = run(batch_size="all", lr=0.002)
    found = result.record.linearized
    assert found is not None
    assert (found.not_predicted, found.points) == ("", 64)
    task, model, streams = at_start(result.record.cell)
    x, y = task.epoch(streams.generator("data"))
    kernel = empirical_ntk(model, x, outputs="full").total
    residual = (model(x.float()) - y).detach()
    steps = result.arrays["linearized_step"]
    expected = predict_training(kernel, residual, 0.002 * steps)
    assert result.arrays["linearized_loss"] == pytest.approx(expected.loss, rel=1e-6)
    assert found.loss == pytest.approx(expected.loss[-1], rel=1e-6)
    # the loss recorded for a step is that before the step
    measured = np.interp(steps[1:-1], result.arrays["loss_step"] - 1, result.arrays["loss"])
    assert result.arrays["linearized_loss"][1:-1] == pytest.approx(measured, rel=0.02)


def predicted(steps: int = 400, lr: float = 2.0, **training: Any):
    """A cell's predicted training, kernel and residual, without training it."""
    cell = planned("image:image=camera,side=8,channels=grey", **training)
    task, model, streams = at_start(cell)
    x, y = task.epoch(streams.generator("data"))
    built = build_training(cell, default_registry())
    target = KernelTarget(task, y)
    predict = predictor(model, task)
    found, arrays = predicted_training(target, model, predict, x, cell.training, built, lr, steps)
    kernel = empirical_ntk(model, x, outputs="full").total
    return found, arrays, kernel, (model(x.float()) - y).detach()


@pytest.mark.parametrize("schedule", ["constant", "step:at=[0.5],by=0.1"])
def test_predicted_steps_are_those_at_which_gradient_flow_reaches_the_level(schedule) -> None:
    found, _, kernel, residual = predicted(schedule=schedule)
    within = 0
    for level, step, _ in found.levels:
        if step is not None:
            time = 2.0 * step if schedule == "constant" or step <= 200 else 400 + 0.2 * (step - 200)
            loss = predict_training(kernel, residual, [time]).loss[0]
            assert loss == pytest.approx(10 ** (-level / 10), rel=0.02)
            within += step <= 400
            assert schedule == "constant" or step <= 400
    if schedule == "constant":
        assert found.predicted_25 is not None
        far, *_ = predicted(steps=4, lr=2e-6)
        assert (far.predicted_25, far.predicted_30) == (None, None)


def test_measured_steps_are_the_first_with_that_loss() -> None:
    found = LinearizedTraining()
    add_measured(found, [2, 4, 6], [0.1, 10**-2.6, 10**-2.4])
    assert (found.measured_25, found.measured_30) == (4, None)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"optimizer": "adam"}, "adam is not plain gradient descent"),
        ({"optimizer": "sgd:momentum=0.5"}, "sgd:momentum=0.5 is not plain gradient descent"),
        ({"encoding_lr_factor": 2.0}, "learning rate of their own"),
    ],
)
def test_if_nothing_is_predicted_the_record_says_why(training, words) -> None:
    found, arrays, *_ = predicted(**training)
    assert words in found.not_predicted
    assert not arrays


class Drawn(Task):
    """A function that draws separate points for its kernel."""

    in_dim, out_dim = 1, 1
    points_per_epoch = 4
    known = False

    @classmethod
    def data_hash(cls) -> str:
        return "0" * 64

    def epoch(self, generator):
        x = torch.rand(4, 1, generator=generator, dtype=torch.float64)
        return x, (2 * x).float()

    def values_at(self, x):
        return (2 * x).float() if self.known else None

    def progress_metric(self, predict):
        return math.nan

    def evaluate(self, predict):
        raise NotImplementedError


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_values_at_the_kernels_points_are_looked_up_or_asked_for() -> None:
    task = Drawn()
    x = task.ntk_points(3, generator())
    y = target_values(task, x, generator())
    assert y is not None
    assert torch.equal(y, (2 * x).float())
    elsewhere = torch.zeros(2, 1, dtype=torch.float64)
    assert target_values(task, elsewhere, generator()) is None
    assert "not known" in KernelTarget(task, None).why_not
    task.known = True
    assert torch.equal(target_values(task, elsewhere, generator()), torch.zeros(2, 1))
    task.out_dim = 2
    with pytest.raises(TypeError, match=r"values_at returned a tensor \(2, 1\)"):
        target_values(task, elsewhere, generator())


def test_occupancy_knows_its_values_anywhere(tmp_path) -> None:
    ball = tmp_path / "ball.ply"
    trimesh.creation.icosphere(subdivisions=2).export(ball)
    task, _, streams = at_start(planned(f"occupancy:mesh={ball},points=16,resolution=8,side=16"))
    x = task.ntk_points(LR_POINTS, streams.generator("ntk"))
    y = target_values(task, x, streams.generator("ntk"))
    assert y is not None
    assert set(y.unique().tolist()) == {0.0, 1.0}
    drawn, labels = task.epoch(streams.generator("data"))
    assert torch.equal(task.values_at(drawn), labels)


@pytest.mark.parametrize(("outputs", "count"), [("trace", 24), ("full", 8)])
def test_energies_of_a_large_kernel_are_those_at_some_of_its_points(
    monkeypatch, outputs, count
) -> None:
    monkeypatch.setattr("encbench.runs.kernel_target.ENERGY_ROWS", 24)
    task, model, streams = at_start(planned("image:image=chelsea,side=8"))
    x, y = task.epoch(streams.generator("data"))
    kernel = empirical_ntk(model, x, outputs=outputs).total
    target, predict = KernelTarget(task, y), predictor(model, task)
    fields, arrays = target.relate(predict, x, "start", kernel, len(kernel))
    assert (fields["target"].energy_points, fields["target"].not_computed) == (count, "")
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:count]
    few = empirical_ntk(model, x[chosen], outputs=outputs).total.numpy()
    columns = (y[chosen] - y[chosen].mean(0)).double().numpy().reshape(24, -1)
    share = np.cumsum(np.square(np.linalg.eigh(few)[1][:, ::-1].T @ columns).sum(1))
    k, _, found, _ = arrays["energy_start"].T
    known = np.isfinite(found)
    assert k[-1] == 24
    assert known[:12].all()
    expected = share[k[known].astype(int) - 1] / share[-1]
    assert found[known] == pytest.approx(expected, abs=1e-7)
