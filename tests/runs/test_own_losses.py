"""Cells of tasks with their own loss: run, recorded, and refused if no rate is known."""

import math
import re

import pytest
import torch

from encbench import PluginError, SuiteError, ntk, plan
from encbench.errors import ParameterError
from encbench.runs.analysis import at_initialization, compare_dynamics
from encbench.runs.cell import run_cell
from encbench.runs.parts import build_model, build_task, cell_streams
from encbench.suite.file import SuiteEntry
from tests.sample_plugin import NotANumber, Scaled, Wave, module, registry_of


class Own(Wave):
    """A wave with a method that computes the squared error."""

    def loss(self, model, x, y):
        return (model(x) - y).square().mean()


def registry_with(cls=None, **named):
    tasks = {"wave": cls} if cls else named
    return registry_of(ours=module(encodings={"scaled": Scaled, "broken": NotANumber}, tasks=tasks))


def named(name):
    return type("Named", (Wave,), {"loss": name, "__doc__": "A wave."})


def cell_of(suite, registry, encoding=None, **training):
    changed = {"training": suite.training.model_copy(update=training)}
    if encoding:
        changed["encodings"] = [SuiteEntry.from_text(encoding)]
    return plan(suite.model_copy(update=changed), registry)[0]


def test_the_squared_error_by_a_method_trains_as_the_one_by_name(suite):
    results = []
    for cls in (Wave, Own):
        registry = registry_with(cls)
        results.append(run_cell(cell_of(suite, registry, lr=0.05), registry))
    by_name, by_method = (result.record for result in results)
    assert by_method.status == "ok"
    assert by_method.step_method == "autograd: the task has a loss of its own"
    assert (by_name.own_loss, by_method.own_loss) == (False, True)
    assert by_name.learning_rate.critical > 0
    assert by_method.learning_rate.critical is None
    assert by_method.best == pytest.approx(by_name.best, rel=1e-4)
    assert len(by_method.spectra) == 3


@pytest.mark.parametrize("name", ["l1", "huber", "relative_l2"])
def test_a_named_loss_is_trained_the_fast_way(suite, name):
    registry = registry_with(named(name))
    record = run_cell(cell_of(suite, registry, optimizer="adam"), registry).record
    assert (record.status, record.step_method) == ("ok", "layerwise")
    assert (record.learning_rate.critical is not None) == (name == "huber")


@pytest.mark.parametrize(
    ("cls", "has"), [(Own, "a loss of its own"), (named("l1"), "the loss 'l1'")]
)
def test_an_automatic_rate_of_sgd_is_refused_when_planning(suite, cls, has):
    words = (
        "lr = \"auto\" needs lr_crit with the optimizer 'sgd', and lr_crit is known for the losses "
        f"mse, bce, huber; task 'wave' has {has}: give training.lr a number, or use the optimizer "
        "adam"
    )
    with pytest.raises(SuiteError, match=re.escape(words)):
        cell_of(suite, registry_with(cls))


def test_adam_has_its_usual_rate(suite):
    registry = registry_with(Own)
    rate = run_cell(cell_of(suite, registry, optimizer="adam"), registry).record.learning_rate
    assert (rate.value, rate.critical) == (pytest.approx(1e-2 * math.sqrt(32)), None)


def test_the_rate_of_the_huber_loss_is_stable_up_to_its_bound(suite):
    """The Huber loss has at most half the curvature of the squared error."""
    registry = registry_with(named("huber"))
    cell = cell_of(suite, registry)
    rate = run_cell(cell, registry).record.learning_rate
    task, streams = build_task(cell, registry), cell_streams(cell)
    model = build_model(cell, task, registry, streams)
    x = task.ntk_points(300, streams.generator("ntk"))
    assert rate.critical == pytest.approx(2 * ntk.critical_learning_rate(model, x), rel=1e-9)


def failing(function):
    return type("Failing", (Own,), {"loss": function, "__doc__": "A wave."})


def raises(self, model, x, y):
    raise ValueError("the tide is out")


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda self, model, x, y: 1.0, "loss returned a float, expected a scalar tensor"),
        (lambda self, model, x, y: model(x), "a tensor (16, 1) of torch.float32, expected"),
        (lambda self, model, x, y: model(x).sum().long(), "a tensor () of torch.int64, expected"),
        (lambda self, model, x, y: model(x).detach().sum(), "loss has no gradient"),
        (lambda self, model, x, y: math.nan * model(x).sum(), "not finite before the first step"),
        (lambda self, model: model, "TypeError:"),
        (raises, "ValueError: the tide is out"),
    ],
)
def test_a_loss_that_is_wrong_costs_its_cell_and_names_its_distribution(suite, loss, words):
    registry = registry_with(failing(loss))
    record = run_cell(cell_of(suite, registry, lr=0.01), registry).record
    assert (record.status, record.phase) == ("failed", "training")
    assert record.error.message.startswith("task 'wave' of ours 1.0 failed: ")
    assert words in record.error.message
    assert "\n" not in record.error.message
    assert record.error.type == ("PluginError" if "Error" not in words else words.split(":")[0])


def test_an_encoding_that_fails_inside_a_loss_is_the_encodings_fault(suite):
    registry = registry_with(Own)
    cell = cell_of(suite, registry, "broken", lr=0.01)
    cell = cell.model_copy(update={"ntk": cell.ntk.model_copy(update={"points": 0})})
    record = run_cell(cell, registry).record
    assert record.error.message.startswith("encoding 'broken' of ours 1.0 failed: ValueError")


def test_a_loss_that_becomes_nan_later_has_diverged(suite):
    steps = []

    def later(self, model, x, y):
        steps.append(len(steps))
        return (math.nan if len(steps) > 5 else 1.0) * model(x).square().mean()

    registry = registry_with(failing(later))
    record = run_cell(cell_of(suite, registry, lr=0.01), registry).record
    assert (record.status, record.error.step) == ("diverged", 6)


def test_an_unknown_loss_is_refused_when_planning(suite):
    with pytest.raises(PluginError, match=r"'wave' of ours 1\.0: loss is 'mes'; did you mean"):
        cell_of(suite, registry_with(named("mes")))


def test_a_loss_that_only_the_instance_has_is_refused_in_the_cell(suite):
    class Late(Wave):
        """A wave."""

        def __init__(self):
            super().__init__()
            self.loss = "l1"

    registry = registry_with(Late)
    record = run_cell(cell_of(suite, registry), registry).record
    assert record.status == "failed"
    assert "task 'wave' has the loss 'l1'" in record.error.message


def test_kernels_need_no_rate_and_have_no_critical_one(suite):
    registry = registry_with(Own)
    unrated = suite.model_copy(update={"training": suite.training.model_copy(update={"lr": 1.0})})
    ((cell, measure),) = at_initialization(unrated, registry, 16, "trace", "cpu")
    assert measure().critical is None
    task = build_task(cell, registry)
    model = build_model(cell, task, registry, cell_streams(cell))
    words = "mean squared error alone; this task has a loss of its own"
    with pytest.raises(ParameterError, match=words):
        compare_dynamics(model, task, [0.1], 5, torch.Generator())
