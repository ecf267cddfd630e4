"""The built-in metrics are registered through an entry point, like those of plug-ins."""

import math

import numpy as np
import pytest
import torch

from encbench import Metric
from encbench.plugins.registry import default_registry


@pytest.mark.parametrize("name", ["psnr", "ms_ssim"])
def test_built_in_metrics_are_found_by_name(name):
    metric = default_registry().find("metric", name).load()
    assert issubclass(metric, Metric)
    assert metric.kind == "image"
    low, high = metric.range
    assert low < high
    assert metric.title
    assert metric.direction == "higher"


def test_metrics_are_described_without_loading_torch():
    summaries = {offer.name: offer.summary() for offer in default_registry().offers("metric")}
    assert "signal-to-noise" in summaries["psnr"]
    assert "structural similarity" in summaries["ms_ssim"]


def measured(returned):
    compute = {"compute": lambda self, prediction, truth: returned, "title": "mine", "unit": ""}
    return type("Mine", (Metric,), compute)()(None, None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "the metric returned NaN"),
        (torch.tensor([math.nan]), "the metric returned NaN"),
        (None, "the metric returned None without a reason"),
    ],
)
def test_an_undefined_value_is_missing_with_a_reason(value, reason):
    found = measured((value, {"points": 3}))
    assert (found.value, found.details) == (None, {"points": 3, "reason": reason})
    assert measured((value, {"reason": "too dark"})).details["reason"] == "too dark"


class Writes(Metric):
    """Writes into its arguments."""

    kind, range, title = "image", (0.0, 1.0), "writes"

    def compute(self, prediction, truth):
        torch.from_numpy(prediction).copy_(torch.from_numpy(truth))
        truth[...] = 0
        return 0.0, {}


def test_what_a_metric_writes_into_its_arguments_changes_only_its_own_copies():
    prediction, truth = np.full((2, 2, 1), 0.5), np.ones((2, 2, 1))
    assert Writes()(prediction, truth).value == 0
    assert (prediction == 0.5).all()
    assert (truth == 1).all()


class Counts(Metric):
    """Takes a generator, which cannot be copied."""

    kind, range, title = "image", (0.0, math.inf), "counts"

    def compute(self, prediction, truth):
        return float(len(list(prediction)) - truth), {}


def test_what_cannot_be_copied_reaches_a_metric_as_it_is():
    assert Counts()((n for n in range(3)), 1).value == 2


def test_one_number_of_any_type_is_a_value_and_may_be_infinite():
    for value in (math.inf, np.float32(math.inf), torch.tensor([math.inf])):
        assert measured((value, {})).value == math.inf


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (("3", {}), "a str as value, expected one number or None"),
        ((torch.ones(2), {}), r"a Tensor of shape \(2,\) as value, expected one number"),
        ((np.ones((2, 3)), {}), r"a ndarray of shape \(2, 3\) as value"),
        ((True, {}), "a bool as value, expected one number"),
        ((np.True_, {}), r"a bool of shape \(\) as value, expected one number"),
        ((torch.tensor(True), {}), r"a Tensor of shape \(\) as value"),
        ((np.array("0.5"), {}), r"a ndarray of shape \(\) as value"),
        ((1.0, None), "a NoneType as details, expected a dictionary"),
        (1.0, r"returned a float, expected \(value, details\)"),
    ],
)
def test_what_is_no_number_is_refused(returned, message):
    with pytest.raises(TypeError, match=message):
        measured(returned)


def with_range(limits, value):
    compute = {"compute": lambda self, prediction, truth: (value, {}), "range": limits}
    return type("Mine", (Metric,), {**compute, "title": "mine"})()(None, None)


def test_a_value_may_be_beyond_its_range_by_rounding_relative_to_the_end():
    assert with_range((0, 360), 360.03).value == 360.03
    with pytest.raises(ValueError, match=r"returned 360.05, .* in its range \[0, 360\]"):
        with_range((0, 360), 360.05)


@pytest.mark.parametrize("limits", [None, (0, None), (0, 1, 2)])
def test_a_range_that_is_not_two_numbers_is_named(limits):
    with pytest.raises(TypeError, match=r"range is .*, expected the smallest and the largest"):
        with_range(limits, 0.5)
