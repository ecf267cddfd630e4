"""Without ``--benchmark-enable`` a benchmark runs for one of its cases, to see that it runs."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("benchmark_enable"):
        return
    here, seen = Path(__file__).parent, set()
    kept, left_out = [], []
    for item in items:
        function = (item.path, getattr(item, "originalname", item.name))
        once = item.path.parent == here and function in seen
        (left_out if once else kept).append(item)
        seen.add(function)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
