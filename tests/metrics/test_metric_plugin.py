"""The built-in metrics are registered through an entry point, like those of plug-ins."""

import pytest

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
