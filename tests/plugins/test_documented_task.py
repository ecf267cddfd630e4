"""The task in docs/plugins.md keeps the contract and runs."""

import importlib
import re
from pathlib import Path

import pytest

from encbench import plan
from encbench.runs.cell import run_cell
from encbench.suite.file import SuiteEntry
from encbench.testing import TaskConformance
from tests.sample_plugin import Scaled, module, registry_of

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"


@pytest.fixture
def documented(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n([^`]*class Slope[^`]*)```", DOCS.read_text("utf-8"))
    (tmp_path / "documented_slope.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("documented_slope")


def test_it_keeps_the_contract(documented):
    checks = type("Check", (TaskConformance,), {"task": documented.Slope})
    failed = [result for result in checks.run() if result.outcome == "failed"]
    assert not failed


def test_it_learns_the_function_from_its_slope(documented, suite):
    tasks = documented.encbench_tasks()
    registry = registry_of(
        ours=module(encodings={"scaled": Scaled}, tasks={"wave": tasks["slope"]})
    )
    training = {"optimizer": "adam", "steps": 400, "batch_size": 64}
    changes = {
        "training": suite.training.model_copy(update=training),
        "tasks": [SuiteEntry.from_text("wave:waves=1")],
    }
    (cell,) = plan(suite.model_copy(update=changes), registry)
    result = run_cell(cell, registry)
    assert result.record.status == "ok", result.record.error
    assert result.record.best > result.arrays["curve"][0] + 5
    assert result.arrays["line.u"].shape == (200, 3)
