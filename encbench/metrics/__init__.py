"""Metrics: one a file, each with unit, range and direction."""

from encbench.metrics.base import Metric, MetricValue

__all__ = ["Metric", "MetricValue"]
