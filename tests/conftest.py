"""Setup that applies to every test, and fixtures for a small registry and suite."""

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

# On a busy machine examples take long, which is no failure.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Tests of runs mostly wait for processes. They run first, so that other tests compute meanwhile
    # and no worker of pytest is left waiting at the end.
    items.sort(key=lambda item: not item.nodeid.startswith("tests/runs/"))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish() -> None:
    """Exclude modules and tests, which stay to the end, from garbage collection.

    Modules imported later stay, too, so the thresholds are raised: with Python's defaults,
    collecting took an eighth of the tests' time.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # tests/__init__.py disables it
    gc.set_threshold(50_000, 20, 50)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seed each test, so that its random numbers do not depend on the tests before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 # for libraries that draw from it
    seed_torch(0)


@pytest.fixture
def registry() -> Registry:
    """The encodings and the task of the sample plug-in, with the framework's metrics."""
    ours = module(
        encodings={"scaled": Scaled, "nan": NotANumber, "hungry": Hungry}, tasks={"wave": Wave}
    )
    metrics = next(p for p in default_host().plugins if p.offers.get("metric"))
    return registry_of(ours=ours, encbench=module(metrics=metrics.offers["metric"]))


@pytest.fixture
def suite() -> Suite:
    """A suite of one quick cell."""
    return one_cell(points=16)


@pytest.fixture
def quick_suite() -> Suite:
    """The same suite without spectra, which take most of its time."""
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
