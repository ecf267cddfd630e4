"""Timing encodings with pytest-benchmark, from the command line and from a user's own pytest."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from encbench.cli.bench import Timing, bench, read_timings, timing_table
from encbench.errors import StoreError, UsageError
from encbench.ntk import empirical_ntk
from encbench.testing.benchmark_case import OPERATIONS, BenchmarkCase, conditions
from tests import processes
from tests.processes import PLAIN, outside

SMALL = ("--points", "16", "--ntk-points", "4", "--width", "8", "--max-time", "0.01")


def call(*command, cwd, **environment):
    # unset, since pytest's workers refuse to time
    return processes.call(*command, cwd=cwd, env={**outside(), "COLUMNS": "200", **environment})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with conflicting pytest settings of its own, and timings saved as "before"."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --benchmark-disable\n")
    (folder / "conftest.py").write_text("raise RuntimeError('not for encbench bench')\n")
    done = call(
        *("encbench", "bench", "-e", "identity", "-e", "mpe:resolutions=[4]", *SMALL),
        *("--save", "before"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_table_has_times_parameters_and_accuracy(saved):
    _, table = saved
    head, _, identity, mpe = (
        [c.strip() for c in row.split("|")[1:-1]] for row in table.splitlines()[:4]
    )
    assert head == [
        *("encoding", "parameters", "forward", "backward", "training step", "NTK"),
        *("error", "gradient's error", "PSNR [dB]", "NTK's error"),
    ]
    # 2 × 8 units: 2·8 + 8, 8·8 + 8, 8·3 + 3; 4 × 4 nodes of 2 values, and 2 more inputs
    assert identity[:2] == ["identity", "0 + 123"]
    assert mpe[:2] == ["mpe:resolutions=[4]", "32 + 139"]
    assert all(cell.split()[1] in ("µs", "ms", "s") for cell in identity[2:6])
    assert all(0 < float(cell) < 1e-4 for cell in (*identity[6:8], *mpe[6:8]))
    assert float(identity[9]) < 1e-12
    assert "1 thread." in table


@pytest.fixture
def single_threaded(saved, monkeypatch):
    monkeypatch.chdir(saved[0])
    return saved[0]


@pytest.fixture
def elsewhere(single_threaded):
    """A file with the saved timings, as if from another machine."""
    (file,) = single_threaded.glob(".benchmarks/*/*_before.json")
    stored = json.loads(file.read_text())
    for benchmark in stored["benchmarks"]:
        benchmark["extra_info"]["conditions"]["machine"] = "elsewhere"
    (single_threaded / "elsewhere.json").write_text(json.dumps(stored))
    return "elsewhere.json"


def test_timings_of_another_machine_are_refused(elsewhere):
    with pytest.raises(UsageError, match=r"machine 'elsewhere', now .*; --force compares anyway"):
        bench(encoding=["identity"], compare=elsewhere, points=16, ntk_points=4, width=8)


def test_timings_of_another_machine_are_compared_by_force(elsewhere, monkeypatch, capsys):
    found = read_timings(Path(elsewhere))
    monkeypatch.setattr("encbench.cli.bench._run", lambda flags, threads: (0, found))
    bench(encoding=["identity"], compare=elsewhere, force=True)
    assert "ratio to elsewhere.json" in capsys.readouterr().out


def test_other_settings_are_refused_too(single_threaded):
    with pytest.raises(UsageError, match="threads 1, now 2"):
        bench(encoding=["identity"], compare="before", threads=2)
    with pytest.raises(UsageError, match="width 8, now 4"):
        bench(encoding=["identity"], compare="before", points=16, ntk_points=4, width=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"encoding": ["identiti"]}, "did you mean 'identity'"),
        ({"encoding": ["ffe:levels=0"]}, "levels=0"),
        ({"encoding": ["identity"], "save": "../x"}, "--save .* expected letters"),
        ({"encoding": ["identity"], "compare": "nothing"}, "no saved timings 'nothing'"),
        ({"encoding": ["identity"], "device": "tpu"}, "unknown device 'tpu'"),
        ({"encoding": ["identity"], "threads": 0}, "threads must be at least 1"),
    ],
)
def test_misuse_is_an_error_before_anything_is_timed(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        bench(**arguments)


def test_a_missing_pytest_benchmark_is_told_with_the_command_that_installs_it(monkeypatch):
    # the result of find_spec for a module that is not installed
    monkeypatch.setattr(
        "encbench.cli.bench.find_spec",
        lambda name: None if name == "pytest_benchmark" else find_spec(name),
    )
    with pytest.raises(UsageError, match=r"needs pytest-benchmark; install with: pip install"):
        bench()


PLUGIN = """
from encbench import Encoding, hookimpl

class Sick(Encoding):
    "Raises."

    def __init__(self, in_dim: int) -> None:
        raise RuntimeError('fever')

    def forward(self, x): ...

class Well(Encoding):
    "The coordinates."

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)

    def forward(self, x):
        return x

@hookimpl
def encbench_encodings():
    return {'sick': Sick, 'well': Well}
"""


def test_a_plugins_encodings_are_timed_and_compared_beside_one_that_crashes(saved, tmp_path):
    package = tmp_path / "site" / "encbench_sick"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").write_text(PLUGIN)
    info = tmp_path / "site" / "encbench_sick-2.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: encbench-sick\nVersion: 2.0\n"
    )
    info.joinpath("entry_points.txt").write_text("[encbench]\nsick = encbench_sick\n")
    done = call(
        *("encbench", "bench", "-e", "sick", "-e", "well", "-e", "identity", *SMALL),
        *("--compare", "before", "-o", "table.md"),
        cwd=saved[0],
        PYTHONPATH=os.pathsep.join([str(tmp_path / "site"), *sys.path]),
    )
    assert done.returncode == 1, done.stderr
    assert "encoding 'sick' of encbench-sick 2.0 failed: RuntimeError: fever" in done.stderr
    table = (saved[0] / "table.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")] for row in table.splitlines()[2:4]]
    assert [row[1] for row in rows] == ["well", "identity"]
    assert all("≈" in cell or "×" in cell for cell in rows[1][3:7])
    assert "ratio to before" in table


def test_anybodys_pytest_can_use_the_fixture_and_compare(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "def test_forward(benchmark, encbench_case):\n"
        "    encbench_case.time(benchmark, 'forward')\n"
    )
    command = ("pytest", "-q", "-W", "error", "--encbench-encoding=identity")
    flags = ("--encbench-points=16", "--encbench-width=8", "--benchmark-max-time=0.01", PLAIN)
    first = call(*command, *flags, "--benchmark-save=one", cwd=tmp_path)
    assert first.returncode == 0, first.stdout
    second = call(*command, *flags, "--benchmark-compare", cwd=tmp_path)
    assert second.returncode == 0, second.stdout
    assert "test_forward[identity] (NOW)" in second.stdout
    assert "0001_one" in second.stdout
    (file,) = (tmp_path / ".benchmarks").glob("*/0001_one.json")
    assert json.loads(file.read_text())["benchmarks"][0]["extra_info"]["parameters"]["mlp"] == 123


def test_all_registered_encodings_are_benchmarked_unless_some_are_named(tmp_path):
    (tmp_path / "test_mine.py").write_text("def test_it(encbench_selector): pass\n")
    listed = call("pytest", "-q", "--collect-only", PLAIN, cwd=tmp_path).stdout
    from encbench.plugins.registry import default_registry

    for offer in default_registry().offers("encoding"):
        assert f"test_it[{offer.name}]" in listed


def test_an_ordinary_pytest_run_imports_neither_torch_nor_the_registry(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('encbench')\n"
        "    heavy = {'torch', 'numpy', 'pydantic', 'encbench.plugins.registry'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    options = ("-p", "no:hypothesispytest", "-p", "no:benchmark")
    done = call("pytest", "-q", "-W", "error", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "selector",
    ["gaussian_ffe:features=4,learnable=true", "mpe:resolutions=[4],sparse_gradients=true"],
)
def test_an_operation_does_what_it_is_called(selector, operation):
    case = BenchmarkCase(selector, points=32, ntk_points=5, width=8)
    before = [p.detach().clone() for p in case.model.parameters()]
    outcome = getattr(case, f"_{operation}")()()
    # repeated timings must start from the same network
    assert all(torch.equal(a, b) for a, b in zip(before, case.model.parameters(), strict=True))
    if operation == "forward":
        torch.testing.assert_close(outcome, case.model(case._x))
    elif operation == "backward":
        loss = (case.model(case._x) - case._y).pow(2).mean()
        loss.backward()
        for gradient, parameter in zip(outcome, case.model.parameters(), strict=True):
            torch.testing.assert_close(gradient.to_dense(), parameter.grad.to_dense())
    elif operation == "step":
        torch.testing.assert_close(outcome, (case.model(case._x) - case._y).pow(2).mean())
    else:
        torch.testing.assert_close(outcome.total, empirical_ntk(case.model, case._ntk_x).total)


def test_steps_of_training_learn():
    case = BenchmarkCase("ffe:levels=3", points=64, ntk_points=4, width=16)
    step = case._step()
    losses = [step().item() for _ in range(50)]
    assert losses[-1] < 0.5 * losses[0]
    psnr, meaning = case._accuracy_of_step()
    assert meaning == "on the batch after 100 steps of training"
    assert psnr > 10


def squeezed(table):
    """A Markdown table without the spaces that align its columns."""
    return " ".join(table.split())


def timing(median, quartiles, rounds=20):
    parameters = {"mlp": 1, "encoding": 0}
    return Timing(
        *("identity", "forward", median, *quartiles, rounds, parameters, 1e-7, "error"),
        conditions("cpu"),
        {"depth": 2, "width": 8, "points": 16, "ntk_points": 4},
    )


def test_a_change_within_the_quartiles_is_noise_and_beyond_them_a_ratio():
    before = {("identity", "forward"): timing(1.0e-3, (0.9e-3, 1.1e-3))}
    noisy = {("identity", "forward"): timing(1.05e-3, (1.0e-3, 1.2e-3))}
    assert "| 1.05 ms ≈ |" in squeezed(timing_table(noisy, before, "before"))
    faster = {("identity", "forward"): timing(0.5e-3, (0.4e-3, 0.6e-3))}
    assert "| 500 µs ×0.50 |" in squeezed(timing_table(faster, before, "before"))
    few = {("identity", "forward"): timing(0.5e-3, (0.4e-3, 0.6e-3), rounds=5)}
    assert "| 500 µs ×0.50? |" in squeezed(timing_table(few, before, "before"))
    slow = replace(timing(2.0, (1.9, 2.1)), encoding="new|one")
    table = squeezed(timing_table({("new|one", "forward"): slow}, before, "before"))
    assert "| new\\|one | 0 + 1 | 2 s |" in table


def test_a_file_of_something_else_is_refused(tmp_path):
    file = tmp_path / "other.json"
    for text, words in (("{}", "was not written by"), ('{"benchmarks": []}', "holds no benchmark")):
        file.write_text(text)
        with pytest.raises(StoreError, match=words):
            read_timings(file)
