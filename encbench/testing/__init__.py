"""Conformance checks for plug-in authors: whether a class keeps its contract.

    from encbench.testing import EncodingConformance

    class TestRipple(EncodingConformance):
        encoding = Ripple
        parameters = {"levels": 3}

pytest collects such a class like any other; ``encbench check ripple:levels=3`` runs the same
checks from the command line. Nothing here imports pytest.
"""

from encbench.testing.activation_checks import ActivationConformance
from encbench.testing.conformance import CheckResult, Conformance, advise, fail, require, skip
from encbench.testing.encoding_checks import EncodingConformance
from encbench.testing.metric_checks import MetricConformance
from encbench.testing.network_checks import NetworkConformance
from encbench.testing.optimizer_checks import OptimizerConformance
from encbench.testing.task_checks import TaskConformance

__all__ = [
    "ActivationConformance",
    "CheckResult",
    "Conformance",
    "EncodingConformance",
    "MetricConformance",
    "NetworkConformance",
    "OptimizerConformance",
    "TaskConformance",
    "advise",
    "fail",
    "require",
    "skip",
]
