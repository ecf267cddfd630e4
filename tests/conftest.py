"""What holds for every test, and a small registry and suite to run."""

from __future__ import annotations

import gc
import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from encbench import Suite
from encbench.plugins.host import default_host
from encbench.plugins.registry import Registry
from encbench.suite.seeding import seed_torch
from tests.sample_plugin import Hungry, NotANumber, Scaled, Wave, module, registry_of

# A busy machine is slow, and no test is wrong for that.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Tests of runs mostly wait for processes: first, so that others compute meanwhile and none is
    # waited for at the end.
    items.sort(key=lambda item: not item.nodeid.startswith("tests/runs/"))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: the garbage collector need not go through them again.

    Modules imported later stay, too; with Python's default thresholds, collecting took an eighth of
    the tests' time.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # tests/__init__.py disables it
    gc.set_threshold(50_000, 20, 50)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The same random numbers for a test whichever ran before it in its process."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 # for libraries that draw from it
    seed_torch(0)


@pytest.fixture
def registry() -> Registry:
    """The tests' own encodings and task, with the framework's metrics."""
    ours = module(
        encodings={"scaled": Scaled, "nan": NotANumber, "hungry": Hungry}, tasks={"wave": Wave}
    )
    metrics = next(p for p in default_host().plugins if p.offers.get("metric"))
    return registry_of(ours=ours, encbench=module(metrics=metrics.offers["metric"]))


@pytest.fixture
def suite() -> Suite:
    """One quick cell."""
    return one_cell(points=16)


@pytest.fixture
def quick_suite() -> Suite:
    """It without spectra, which take most of its time."""
    return one_cell(points=0)


def one_cell(points: int) -> Suite:
    return Suite.model_validate(
        {
            "encodings": ["scaled"],
            "tasks": ["wave"],
            "training": {"batch_size": 16, "steps": 40, "evaluations": 4},
            "ntk": {"points": points},
        }
    )
