"""The task, the metric, the optimizer and the schedule in docs/plugins.md work."""

import importlib
import re
from pathlib import Path

import pytest

from encbench import plan
from encbench.runs.cell import run_cell
from encbench.suite.file import SuiteEntry
from encbench.testing import MetricConformance, OptimizerConformance, TaskConformance
from tests.sample_plugin import Scaled, Wave, module, registry_of

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"


@pytest.fixture
def documented(tmp_path, monkeypatch):
    """The module of the example that defines a class of this name."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(name):
        (code,) = re.findall(rf"```python\n([^`]*class {name}\b[^`]*)```", DOCS.read_text("utf-8"))
        (tmp_path / f"documented_{name.lower()}.py").write_text(code, "utf-8")
        return importlib.import_module(f"documented_{name.lower()}")

    return load


@pytest.mark.parametrize(
    ("conformance", "name"),
    [
        (TaskConformance, "Slope"),
        (MetricConformance, "WorstPixel"),
        (OptimizerConformance, "RootMean"),
    ],
)
def test_it_keeps_the_contract(documented, conformance, name):
    members = {conformance.kind: getattr(documented(name), name)}
    checks = type("Check", (conformance,), members)
    failed = [result for result in checks.run() if result.outcome == "failed"]
    assert not failed


def test_the_function_is_learned_from_its_slope(documented, suite):
    tasks = documented("Slope").encbench_tasks()
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


def test_the_optimizer_and_the_schedule_train(documented, quick_suite):
    example = documented("RootMean")
    offered = module(
        encodings={"scaled": Scaled},
        tasks={"wave": Wave},
        optimizers=example.encbench_optimizers(),
        schedules=example.encbench_schedules(),
    )
    registry = registry_of(ours=offered)
    training = {"optimizer": "root_mean:alpha=0.9", "schedule": "halving", "lr": "auto"}
    changes = {"training": quick_suite.training.model_copy(update=training)}
    (cell,) = plan(quick_suite.model_copy(update=changes), registry)
    result = run_cell(cell, registry)
    assert result.record.status == "ok", result.record.error
    assert result.record.best > result.arrays["curve"][0]
