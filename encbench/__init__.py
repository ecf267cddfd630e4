"""encbench: which input encoding should a coordinate network use, and why?

The public API. Names are imported on first use, so that ``import encbench`` is quick and a
plug-in's entry point module costs nothing to list.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from encbench.errors import (
    DataError,
    EncbenchError,
    NtkError,
    ParameterError,
    PluginError,
    StoreError,
    UsageError,
)
from encbench.hookspecs import hookimpl

if TYPE_CHECKING:
    from encbench.encoding import Encoding, SparseBlock
    from encbench.metrics.base import Metric, MetricValue
    from encbench.network import CoordinateMLP, NTKLinear
    from encbench.planning import plan
    from encbench.records import Record, StoredRecord
    from encbench.runner import run_suite
    from encbench.store import Store
    from encbench.suite import Suite, load_suite
    from encbench.task import NetworkDefaults, Outcome, Task

__all__ = [
    "CoordinateMLP",
    "DataError",
    "EncbenchError",
    "Encoding",
    "Metric",
    "MetricValue",
    "NTKLinear",
    "NetworkDefaults",
    "NtkError",
    "Outcome",
    "ParameterError",
    "PluginError",
    "Record",
    "SparseBlock",
    "Store",
    "StoreError",
    "StoredRecord",
    "Suite",
    "Task",
    "UsageError",
    "hookimpl",
    "load_suite",
    "plan",
    "run_suite",
]

_LAZY = {
    "Record": "encbench.records",
    "StoredRecord": "encbench.records",
    "Store": "encbench.store",
    "run_suite": "encbench.runner",
    "plan": "encbench.planning",
    "load_suite": "encbench.suite",
    "Suite": "encbench.suite",
    "CoordinateMLP": "encbench.network",
    "Encoding": "encbench.encoding",
    "Metric": "encbench.metrics.base",
    "MetricValue": "encbench.metrics.base",
    "NTKLinear": "encbench.network",
    "NetworkDefaults": "encbench.task",
    "Outcome": "encbench.task",
    "SparseBlock": "encbench.encoding",
    "Task": "encbench.task",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'encbench' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
