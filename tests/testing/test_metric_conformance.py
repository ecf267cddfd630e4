"""Each fault of a metric is found by the check intended for it."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from encbench import Metric
from encbench.testing import MetricConformance


class Error(Metric):
    """Mean absolute error of images."""

    kind = "image"
    range = (0.0, 1.0)
    direction = "lower"
    title = "error"

    def compute(self, prediction, truth):
        return float(np.abs(prediction - truth).mean()), {}


class TestError(MetricConformance):
    metric = Error


class OfSmells(Error):
    """A metric of a kind that its task defines."""

    kind = "smell"


class Undocumented(Error):
    __doc__ = None


class Untyped(Error):
    """Has a parameter without a type."""

    def __init__(self, power=1):
        self.power = power


class Untitled(Error):
    """Has no title."""

    title = ""


class Sideways(Error):
    """Has a direction that is none."""

    direction = "up"


class Reversed(Error):
    """Has the ends of its range in the wrong order."""

    range = (1.0, 0.0)


class Bare(Error):
    """Returns no details."""

    def compute(self, prediction, truth):
        return super().compute(prediction, truth)[0]


class NoNumber(Error):
    """Gives nan for finite images."""

    def compute(self, prediction, truth):
        return math.nan, {}


class Percent(Error):
    """Is 100 times as large as its range says."""

    def compute(self, prediction, truth):
        value, details = super().compute(prediction, truth)
        return 100 * value, details


class Offset(Error):
    """Is not 0 for equal images."""

    def compute(self, prediction, truth):
        value, details = super().compute(prediction, truth)
        return (1 + value) / 2, details


class Wrong(Error):
    """Says that higher is better, of an error."""

    range = (0.0, 2.0)
    direction = "higher"


class InPlace(Error):
    """Subtracts in place."""

    def compute(self, prediction, truth):
        prediction -= truth
        return float(np.abs(prediction).mean()), {}


class Noisy(Error):
    """Draws random numbers."""

    def compute(self, prediction, truth):
        return random.random(), {}


class Double(Error):
    """Changes torch's default dtype."""

    def compute(self, prediction, truth):
        torch.set_default_dtype(torch.float64)
        return super().compute(prediction, truth)


def result_of(metric, check):
    checks = type("Check", (MetricConformance,), {"metric": metric})
    return next(result for result in checks.run() if result.name == f"test_{check}")


@pytest.mark.parametrize(
    ("metric", "check", "words"),
    [
        (Undocumented, "it_is_documented", "has no docstring"),
        (Untyped, "parameters_are_typed_and_described", "'power' has no type"),
        (Untitled, "title_unit_range_and_direction", "title is ''; set it in the class"),
        (Sideways, "title_unit_range_and_direction", "direction is 'up'"),
        (Reversed, "title_unit_range_and_direction", "range is (1.0, 0.0); give the smallest"),
        (Bare, "values", "compute returned a float, expected (value, details)"),
        (NoNumber, "values", "the metric returned NaN; return (None, {'reason': why})"),
        (Percent, "values", "expected a value in its range [0, 1]"),
        (Offset, "a_perfect_prediction_is_best", "has the value 0.5, and the best value"),
        (Wrong, "a_worse_prediction_is_not_better", "although higher is better"),
        (InPlace, "arguments_are_not_changed", "compute changes prediction in place"),
        (Noisy, "it_is_deterministic", "two calls gave"),
        (Double, "it_changes_nothing_that_others_share", "default_dtype"),
    ],
)
def test_a_fault_is_found_and_explained(metric, check, words):
    result = result_of(metric, check)
    assert result.outcome == ("advice" if metric is Undocumented else "failed")
    assert words in result.message


def test_every_check_has_a_fault_that_it_finds():
    (mark,) = test_a_fault_is_found_and_explained.pytestmark
    assert {f"test_{row[1]}" for row in mark.args[1]} == set(MetricConformance.checks())


def test_values_of_a_kind_of_a_task_are_checked_with_samples_of_its_own():
    result = result_of(OfSmells, "values")
    assert result.outcome == "skipped"
    assert "no samples of the kind 'smell'" in result.message
    members = {"metric": OfSmells, "samples": lambda _: (np.zeros(2), np.full(2, 0.1), np.ones(2))}
    results = type("Check", (MetricConformance,), members).run()
    assert {result.outcome for result in results} == {"passed"}
