"""Fixtures: the result of a cell, to be stored."""

from __future__ import annotations

import pytest

from encbench import Suite, plan
from encbench.plugins.registry import Registry
from encbench.results.records import CellResult
from encbench.runs.cell import run_cell


@pytest.fixture
def suite(quick_suite: Suite) -> Suite:
    return quick_suite


@pytest.fixture
def result(registry: Registry, suite: Suite) -> CellResult:
    return run_cell(plan(suite, registry)[0], registry)
