"""Four benchmarks of every encoding, run by ``encbench bench`` or by pytest on this file."""

from __future__ import annotations

from typing import Any

from encbench.testing.benchmark_case import BenchmarkCase


def test_forward(benchmark: Any, encbench_case: BenchmarkCase) -> None:
    encbench_case.time(benchmark, "forward")


def test_backward(benchmark: Any, encbench_case: BenchmarkCase) -> None:
    encbench_case.time(benchmark, "backward")


def test_step(benchmark: Any, encbench_case: BenchmarkCase) -> None:
    encbench_case.time(benchmark, "step")


def test_ntk(benchmark: Any, encbench_case: BenchmarkCase) -> None:
    encbench_case.time(benchmark, "ntk")
