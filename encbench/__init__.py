"""encbench: which input encoding should a coordinate network use, and why?

The public interface. Names and submodules are imported on first use, so that ``import encbench``
takes no time and a plug-in can be listed without importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from encbench.errors import (
    AmbiguousNameError,
    ClusterError,
    DataError,
    EncbenchError,
    MissingDataError,
    NtkError,
    ParameterError,
    PluginError,
    StoreError,
    SuiteError,
    UnknownNameError,
    UsageError,
)
from encbench.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from encbench import metrics, ntk, testing
    from encbench.contracts.activation import Activation
    from encbench.contracts.encoding import Encoding, LearnedGrid, SparseBlock
    from encbench.contracts.metric import Metric, MetricValue
    from encbench.contracts.network import Network
    from encbench.contracts.optimizer import Optimizer, Schedule
    from encbench.contracts.outcome import Outcome
    from encbench.contracts.regular_grid import RegularGrid
    from encbench.contracts.search import Search
    from encbench.contracts.task import NetworkDefaults, Task
    from encbench.network.linear import NTKLinear
    from encbench.network.mlp import CoordinateMLP
    from encbench.notebook import Results, load, run
    from encbench.plugins.registry import default_registry
    from encbench.results.records import Record, StoredRecord
    from encbench.results.store import Store
    from encbench.runs.runner import run_suite
    from encbench.runs.weights import load_model
    from encbench.suite.file import Suite, load_suite
    from encbench.suite.networks import encoding
    from encbench.suite.plan import plan

__all__ = [
    "Activation",
    "AmbiguousNameError",
    "ClusterError",
    "CoordinateMLP",
    "DataError",
    "EncbenchError",
    "Encoding",
    "LearnedGrid",
    "Metric",
    "MetricValue",
    "MissingDataError",
    "NTKLinear",
    "Network",
    "NetworkDefaults",
    "NtkError",
    "Optimizer",
    "Outcome",
    "ParameterError",
    "PluginError",
    "Record",
    "RegularGrid",
    "Results",
    "Schedule",
    "Search",
    "SparseBlock",
    "Store",
    "StoreError",
    "StoredRecord",
    "Suite",
    "SuiteError",
    "Task",
    "UnknownNameError",
    "UsageError",
    "default_registry",
    "encoding",
    "hookimpl",
    "load",
    "load_model",
    "load_suite",
    "metrics",
    "ntk",
    "plan",
    "run",
    "run_suite",
    "testing",
]

_LAZY = {
    "encbench.contracts.activation": ("Activation",),
    "encbench.contracts.encoding": ("Encoding", "LearnedGrid", "SparseBlock"),
    "encbench.contracts.metric": ("Metric", "MetricValue"),
    "encbench.contracts.network": ("Network",),
    "encbench.contracts.optimizer": ("Optimizer", "Schedule"),
    "encbench.contracts.outcome": ("Outcome",),
    "encbench.contracts.regular_grid": ("RegularGrid",),
    "encbench.contracts.search": ("Search",),
    "encbench.contracts.task": ("NetworkDefaults", "Task"),
    "encbench.network.linear": ("NTKLinear",),
    "encbench.network.mlp": ("CoordinateMLP",),
    "encbench.notebook": ("Results", "load", "run"),
    "encbench.plugins.registry": ("default_registry",),
    "encbench.results.records": ("Record", "StoredRecord"),
    "encbench.results.store": ("Store",),
    "encbench.runs.runner": ("run_suite",),
    "encbench.runs.weights": ("load_model",),
    "encbench.suite.file": ("Suite", "load_suite"),
    "encbench.suite.networks": ("encoding",),
    "encbench.suite.plan": ("plan",),
}
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}
_SUBMODULES = ("metrics", "ntk", "testing")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"encbench.{name}")  # importing it also sets the attribute
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'encbench' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
