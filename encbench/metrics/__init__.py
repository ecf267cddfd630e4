"""Metrics: one a file, each with unit, range and direction."""

from collections.abc import Mapping

from encbench.hookspecs import hookimpl
from encbench.metrics.base import Metric, MetricValue

__all__ = ["Metric", "MetricValue"]


@hookimpl
def encbench_metrics() -> Mapping[str, str]:
    return {
        "psnr": "encbench.metrics.psnr:Psnr",
        "ms_ssim": "encbench.metrics.ms_ssim:MsSsim",
    }
