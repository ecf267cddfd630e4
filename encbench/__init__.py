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
from encbench.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from encbench.contracts.encoding import Encoding, SparseBlock
    from encbench.contracts.metric import Metric, MetricValue
    from encbench.contracts.task import NetworkDefaults, Outcome, Task
    from encbench.network.mlp import CoordinateMLP, NTKLinear
    from encbench.results.records import Record, StoredRecord
    from encbench.results.store import Store
    from encbench.run.runner import run_suite
    from encbench.suite.file import Suite, load_suite
    from encbench.suite.plan import plan

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
    "Record": "encbench.results.records",
    "StoredRecord": "encbench.results.records",
    "Store": "encbench.results.store",
    "run_suite": "encbench.run.runner",
    "plan": "encbench.suite.plan",
    "load_suite": "encbench.suite.file",
    "Suite": "encbench.suite.file",
    "CoordinateMLP": "encbench.network.mlp",
    "Encoding": "encbench.contracts.encoding",
    "Metric": "encbench.contracts.metric",
    "MetricValue": "encbench.contracts.metric",
    "NTKLinear": "encbench.network.mlp",
    "NetworkDefaults": "encbench.contracts.task",
    "Outcome": "encbench.contracts.task",
    "SparseBlock": "encbench.contracts.encoding",
    "Task": "encbench.contracts.task",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'encbench' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
