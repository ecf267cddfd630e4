"""Fixtures for benchmarks of encodings, for pytest with pytest-benchmark.

A test that takes ``encbench_case`` runs once for every registered encoding, including those of
third parties, or only for those that ``--encbench-encoding`` names::

    def test_forward(benchmark, encbench_case):
        encbench_case.time(benchmark, "forward")

Without such a test it does nothing. pytest loads this module in every run in an environment that
has encbench, so it imports almost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from encbench.testing.benchmark_case import BenchmarkCase


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("encbench", "benchmarks of input encodings")
    group.addoption(
        "--encbench-encoding",
        action="append",
        metavar="NAME[:KEY=VALUE,…]",
        help="encoding for the tests that take encbench_case; repeatable; default: all registered "
        "encodings",
    )
    group.addoption(
        "--encbench-device", default="cpu", metavar="DEVICE", help="cpu, cuda or cuda:N"
    )
    for name, default, text in (
        ("points", 1024, "points per batch"),
        ("ntk-points", 128, "points of the NTK"),
        ("width", 64, "units per hidden layer"),
    ):
        group.addoption(
            f"--encbench-{name}", type=int, default=default, metavar="N", help=f"{text} ({default})"
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "encbench_selector" not in metafunc.fixturenames:
        return
    # imported here because every pytest run in the environment loads this module
    from encbench.plugins.registry import default_registry

    registry = default_registry()
    ambiguous = {name for kind, name, _ in registry.conflicts() if kind == "encoding"}
    selectors = metafunc.config.getoption("--encbench-encoding") or [
        f"{offer.distribution}:{offer.name}" if offer.name in ambiguous else offer.name
        for offer in registry.offers("encoding")
    ]
    metafunc.parametrize("encbench_selector", selectors, ids=selectors)


@pytest.fixture
def encbench_case(encbench_selector: str, pytestconfig: pytest.Config) -> BenchmarkCase:
    """A network on one encoding, with the operations to time and their accuracy."""
    # imports torch
    from encbench.testing.benchmark_case import BenchmarkCase

    return BenchmarkCase(
        encbench_selector,
        device=pytestconfig.getoption("--encbench-device"),
        points=pytestconfig.getoption("--encbench-points"),
        ntk_points=pytestconfig.getoption("--encbench-ntk-points"),
        width=pytestconfig.getoption("--encbench-width"),
    )
