"""A cell's failure is data; runs resume; order and parallelism change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest
import skimage
import torch
from PIL import Image
from rich.console import Console

from encbench import Encoding, Store, Suite, UsageError, load_suite, plan, run_suite
from encbench.cli.progress import RunProgress
from encbench.plugins.host import default_host
from encbench.plugins.registry import default_registry
from encbench.runs.cell import run_cell
from encbench.runs.interface import this_process
from encbench.runs.limits import Limits
from encbench.runs.runner import Unwatched
from encbench.suite.config import TrainingConfig, cell_key
from encbench.suite.file import SuiteEntry, override
from tests.processes import outliving, start
from tests.sample_plugin import Scaled, Wave, module, registry_of

REAL = """
encodings = ["identity", "ffe:levels=3", "mpe:resolutions=[8]"]
tasks = ["image:image=chelsea,side=24", "image:image=camera,side=24"]
[network]
width = 32
[training]
batch_size = 16
steps = {steps}
evaluations = 4
[ntk]
points = 40
"""


def with_encoding(suite, *texts):
    return suite.model_copy(update={"encodings": [SuiteEntry.from_text(t) for t in texts]})


def with_training(suite, **changes):
    return suite.model_copy(update={"training": suite.training.model_copy(update=changes)})


def real_suite(tmp_path, steps=60):
    path = tmp_path / "real.toml"
    path.write_text(REAL.format(steps=steps))
    return load_suite(str(path), default_registry())


def photograph():
    """An image of 20 × 20 pixels; with noise instead, one run in twenty diverges."""
    return Image.fromarray(skimage.data.camera()[::26, ::26])


def numbers(records):
    """The parts of records that must be reproducible to the last digit."""
    found = {}
    for stored in records:
        record = stored.record
        found[record.key] = (
            record.status,
            {name: metric.value for name, metric in record.metrics.items()},
            record.learning_rate,
            [s.model_dump(exclude={"seconds"}) for s in record.spectra],
            {name: values.tobytes() for name, values in stored.arrays.items()},
            {name: (stored.path / name).read_bytes() for name in stored.files if "png" in name},
        )
    return found


def test_a_cell_leaves_curves_spectra_metrics_and_where_it_came_from(registry, suite):
    result = run_cell(plan(suite, registry)[0], registry)
    record = result.record
    assert record.status == "ok"
    assert record.steps == 40
    assert record.metrics["psnr"].value == pytest.approx(result.arrays["curve"][-1], abs=1e-4)
    assert [s.when for s in record.spectra] == ["start", "middle", "end"]
    assert [s.step for s in record.spectra] == [0, 20, 40]
    for when in ("start", "middle", "end"):
        values = result.arrays[f"spectrum_{when}"]
        assert values.shape == (16,)
        assert (np.diff(values) <= 0).all()
    assert set(record.durations) == {"setup", "training", "curve", "ntk", "evaluation"}
    assert record.peak_memory_bytes > 10e6
    assert record.provenance.threads == 1
    assert record.parameters == {"mlp": 32 + 32 + 32 + 1, "encoding": 0}


def test_the_automatic_learning_rate_is_a_multiple_of_the_critical_one(registry, suite):
    suite = with_training(suite, lr_factor=0.25)
    lr = run_cell(plan(suite, registry)[0], registry).record.learning_rate
    assert lr.rule == "auto"
    assert lr.value == pytest.approx(0.25 * lr.critical)


@pytest.mark.parametrize(
    ("encoding", "status", "phase", "words"),
    [
        ("nan", "failed", "setup", "this encoding cannot"),
        ("hungry", "out_of_memory", "setup", "memory"),
    ],
)
def test_a_failure_is_a_record_with_its_phase_and_traceback(
    registry, suite, encoding, status, phase, words
):
    record = run_cell(plan(with_encoding(suite, encoding), registry)[0], registry).record
    assert (record.status, record.phase) == (status, phase)
    assert words in record.error.message
    assert "Traceback" in record.error.traceback


def test_a_task_that_raises_is_blamed_on_its_distribution(registry, suite):
    broken = suite.model_copy(update={"tasks": [SuiteEntry.from_text("wave:broken=true")]})
    record = run_cell(plan(broken, registry)[0], registry).record
    assert record.status == "failed"
    assert "task 'wave' of ours 1.0 failed: OSError: the tide is out" in record.error.message


def test_divergence_is_a_status_with_its_step_and_keeps_the_curves(registry, suite):
    suite = with_training(suite, lr=1e4, steps=400)
    result = run_cell(plan(suite, registry)[0], registry)
    assert result.record.status == "diverged"
    assert 1 < result.record.error.step <= 400
    assert result.record.steps == result.record.error.step - 1
    assert "spectrum_start" in result.arrays
    assert np.isfinite(result.arrays["loss"]).all()


class Slow(Wave):
    """A task whose metric takes much longer than its training."""

    def progress_metric(self, predict):
        time.sleep(0.2)
        return super().progress_metric(predict)


class Falling(Wave):
    """A task whose curve is of a metric for which lower is better."""

    curve = "bce"

    def progress_metric(self, predict):
        return float(((predict(self.x) - self.y) ** 2).mean())


class Overflowing(Encoding):
    """An encoding that is finite in float64, used for kernels, but infinite in float32."""

    def __init__(self, in_dim):
        super().__init__(in_dim, in_dim)

    def forward(self, x):
        return 1e30 * (1e30 * x)


@pytest.fixture
def odd_registry():
    ours = module(
        encodings={"scaled": Scaled, "overflowing": Overflowing},
        tasks={"wave": Wave, "slow": Slow, "falling": Falling},
    )
    metrics = next(p for p in default_host().plugins if p.offers.get("metric"))
    return registry_of(ours=ours, encbench=module(metrics=metrics.offers["metric"]))


@pytest.mark.parametrize("lr", [0.1, 1e4])
def test_seconds_of_training_count_neither_the_metric_nor_the_spectra(odd_registry, suite, lr):
    suite = suite.model_copy(update={"tasks": [SuiteEntry.from_text("slow")]})
    cell = plan(with_training(suite, lr=lr, steps=256), odd_registry)[0]
    start = time.perf_counter()
    result = run_cell(cell, odd_registry)
    wall = time.perf_counter() - start
    spent = result.record.durations
    assert result.record.status == ("ok" if lr < 1 else "diverged")
    assert spent["curve"] >= 0.2 * len(result.arrays["curve"])
    assert spent["training"] > 0
    assert sum(spent.values()) <= wall, "no second is counted twice"


def test_the_first_training_of_a_process_is_not_charged_with_imports(tmp_path):
    script = tmp_path / "first.py"
    script.write_text(
        "import sys\n"
        "from encbench.runs.cell import run_cell\n"
        "from encbench.plugins.registry import default_registry\n"
        "from encbench.suite.plan import plan\n"
        "from encbench.suite.file import Suite\n"
        "suite = Suite.model_validate({'encodings': ['identity'],\n"
        "    'tasks': ['image:image=camera,side=8'], 'network': {'width': 8},\n"
        "    'training': {'batch_size': 16, 'steps': 4}, 'ntk': {'points': 8}})\n"
        "seen = {}\n"
        "def watch(event):\n"
        "    seen.setdefault(event.phase, len(sys.modules))\n"
        "record = run_cell(plan(suite, default_registry())[0], default_registry(),\n"
        "    watch=watch).record\n"
        "assert record.status == 'ok', record.error\n"
        "print(seen['evaluation'] - seen['training'])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # the optimizer imports some 800 modules
    assert int(done.stdout) < 20


def test_the_best_value_of_a_metric_that_should_fall_is_the_lowest(odd_registry, suite):
    suite = suite.model_copy(update={"tasks": [SuiteEntry.from_text("falling")]})
    result = run_cell(plan(with_training(suite, lr=0.1), odd_registry)[0], odd_registry)
    curve = result.arrays["curve"]
    assert result.record.best == curve.min() < curve[0]
    assert result.record.best_step == result.arrays["curve_step"][curve.argmin()]


def test_a_network_that_never_gave_a_number_has_diverged_and_no_best(odd_registry, suite):
    suite = with_encoding(suite, "overflowing")
    record = run_cell(plan(suite, odd_registry)[0], odd_registry).record
    assert (record.status, record.error.step) == ("diverged", 1)
    assert (record.best, record.best_step) == (None, None)


def test_one_cell_that_fails_does_not_stop_the_others(registry, suite, tmp_path):
    run = run_suite(
        with_encoding(suite, "nan", "scaled"), tmp_path, registry=registry, jobs=1, report=False
    )
    assert [stored.record.status for stored in run.records] == ["failed", "ok"]
    assert not run.all_ok


def test_cells_of_plugins_that_are_not_installed_run_here_or_not_at_all(
    registry, quick_suite, tmp_path
):
    suite = with_encoding(quick_suite, "scaled", "scaled:scale=2")
    how = {"registry": registry, "device": "cpu", "report": False}
    for asked in ({"jobs": 2}, {"isolate": True}, {"limits": Limits(seconds=60)}):
        with pytest.raises(UsageError, match=r"worker processes have no encoding .*scaled: it is"):
            run_suite(suite, tmp_path / "none", **how, **asked)
    assert not (tmp_path / "none").exists()
    run = run_suite(suite, tmp_path / "here", **how)
    assert run.all_ok
    assert {s.record.provenance.worker for s in run.records} == {this_process()}


def test_finished_cells_are_not_run_again_and_failed_ones_are(registry, suite, tmp_path):
    suite = with_encoding(suite, "nan", "scaled")

    def reused(**options):
        how = {"registry": registry, "jobs": 1, "report": False}
        return run_suite(suite, tmp_path, **how, **options).reused

    assert [reused(), reused(), reused(rerun="never"), reused(rerun="all")] == [0, 1, 2, 0]


def test_a_cell_recorded_without_its_data_gives_way_to_the_one_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suite = real_suite(tmp_path, steps=2)
    suite = with_encoding(suite, "identity").model_copy(
        update={"tasks": [SuiteEntry.from_text("image:image=late.png")]}
    )
    os.mkfifo("late.png")  # exists, and cannot be read
    first = run_suite(suite, tmp_path / "out", jobs=1, report=False)
    assert first.records[0].record.status == "failed"
    assert "late.png" in first.records[0].record.error.message
    Path("late.png").unlink()
    photograph().save("late.png")
    second = run_suite(suite, tmp_path / "out", jobs=1, report=False)
    assert second.all_ok
    assert len(Store(tmp_path / "out").records()) == 1


def test_order_and_parallelism_change_no_digit(tmp_path):
    suite = real_suite(tmp_path, steps=24)
    command = ("encbench", "run", tmp_path / "real.toml", "-j", 2, "--device", "cpu", "--no-report")
    with (tmp_path / "log").open("w") as log:
        parallel = start(*command, "-o", tmp_path / "two", log=log)
    serial = run_suite(suite, tmp_path / "one", jobs=1, device="cpu", report=False)
    assert parallel.wait() == 0, (tmp_path / "log").read_text()
    backwards = suite.model_copy(update={"encodings": suite.encodings[::-1]})
    reverse = run_suite(backwards, tmp_path / "three", jobs=1, device="cpu", report=False)
    assert serial.all_ok
    records = Store(tmp_path / "two").records()
    # a process that starts late may not get any cell
    assert {stored.record.provenance.executor for stored in records} == {"process pool"}
    assert numbers(serial.records) == numbers(records) == numbers(reverse.records)


def test_cells_that_take_long_run_first_and_the_records_keep_the_order_of_the_suite(
    registry, tmp_path
):
    suite = Suite.model_validate(
        {
            "encodings": ["scaled"],
            "tasks": ["wave"],
            "network": {"width": {"sweep": [4, 16, 8]}},
            "training": {"batch_size": 16, "steps": {"sweep": [2, 9]}},
            "ntk": {"points": 0},
        }
    )
    ran = []

    class Follows(Unwatched):
        def recorded(self, record):
            ran.append(size(record.record.cell))

    def size(cell):
        return cell.network.width, cell.training.steps

    run = run_suite(suite, tmp_path, registry=registry, jobs=1, report=False, watcher=Follows())
    planned = [size(cell) for cell in plan(suite, registry)]
    assert ran == sorted(planned, reverse=True) != planned
    assert [size(stored.record.cell) for stored in run.records] == planned


def test_a_photograph_gives_the_same_numbers_under_any_path(tmp_path, monkeypatch):
    photograph().save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    suite = with_encoding(real_suite(tmp_path, steps=20), "mpe:resolutions=[8]")
    paths = ["photo.png", "./photo.png", str(tmp_path / "photo.png")]
    tasks = [SuiteEntry(name="image", parameters={"image": path}) for path in paths]
    run = run_suite(
        suite.model_copy(update={"tasks": tasks}), tmp_path / "out", jobs=1, report=False
    )
    assert run.all_ok
    results = list(numbers(run.records).values())
    assert len(results) == 3
    assert results[0] == results[1] == results[2]


def test_a_run_killed_half_way_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    suite = real_suite(tmp_path, steps=200)
    command = ("encbench", "run", tmp_path / "real.toml", "-j", 2, "--device", "cpu", "--no-report")
    with (tmp_path / "log").open("w") as log:
        process = start(*command, "-o", tmp_path / "killed", log=log, start_new_session=True)
        records = tmp_path / "killed" / "records"
        while not list(records.glob("??/*")):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in records.glob("??/*")}
    assert 0 < len(finished) < 6
    again = run_suite(suite, tmp_path / "killed", jobs=1, device="cpu", report=False)
    assert again.reused == len(finished)
    assert finished.items() <= {p.name: p.stat().st_mtime_ns for p in records.glob("??/*")}.items()
    whole = run_suite(suite, tmp_path / "whole", jobs=1, device="cpu", report=False)
    assert numbers(again.records) == numbers(whole.records)


def test_workers_end_when_their_coordinator_is_killed(tmp_path):
    real_suite(tmp_path, steps=100_000)
    command = ("encbench", "run", tmp_path / "real.toml", "-j", 2, "--device", "cpu", "--no-report")
    with (tmp_path / "log").open("w") as log:
        process = start(*command, "-o", tmp_path / "out", log=log, start_new_session=True)
    parent = psutil.Process(process.pid)
    deadline = time.monotonic() + 60
    while len(parent.children(recursive=True)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = parent.children(recursive=True)
    assert children
    process.kill()
    process.wait()
    assert not outliving(children)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"jobs": 0}, "at least 1"),
        ({"threads": 0}, "at least 1"),
    ],
)
def test_an_impossible_request_is_refused_before_anything_runs(
    registry, suite, tmp_path, wrong, words
):
    with pytest.raises(UsageError, match=words):
        run_suite(suite, tmp_path / "out", registry=registry, **wrong)
    assert not Path(tmp_path / "out").exists()


class Tide(Wave):
    """A wave whose data can be made unreadable."""

    gone = False

    @classmethod
    def data_hash(cls, **parameters):
        if cls.gone:
            raise OSError("the tide is out")
        return super().data_hash(**parameters)

    def __init__(self) -> None:
        if self.gone:
            raise OSError("the tide is out")
        super().__init__()


class Nameless(Wave):
    """A task whose ``content_hash`` returns a number, so that its data have no hash."""

    @classmethod
    def data_hash(cls, **parameters):
        return 5


class Secret(Wave):
    """A task whose ``content_hash`` raises, although its data can be read."""

    @classmethod
    def data_hash(cls, **parameters):
        raise ValueError("not telling")


@pytest.mark.parametrize(
    ("task", "why"), [(Nameless, "TypeError: data_hash returned 5;"), (Secret, "ValueError: not t")]
)
def test_a_cell_whose_data_have_no_hash_fails(task, why, suite):
    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": task}))
    (cell,) = plan(suite, registry)
    assert cell.data_hash is None
    record = run_cell(cell, registry).record
    assert (record.status, record.phase) == ("failed", "setup")
    assert f"task 'wave' of ours 1.0 failed: {why}" in record.error.message


def test_a_reduced_batch_is_a_warning_once_per_task_if_it_was_set(tmp_path, caplog, suite):
    class Few(Wave):
        training: ClassVar = {"batch_size": 99}

    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": Few}))
    two = suite.model_copy(update={"seeds": [0, 1], "training": TrainingConfig(steps=3)})
    for size, said in ((99, 1), (64, 0), (None, 0)):
        caplog.clear()
        asked = override(two, {"training": {} if size is None else {"batch_size": size}})
        assert run_suite(asked, tmp_path / str(size), registry=registry, report=False).all_ok
        reduced = "wave: batch_size = 99 is reduced to the 64 points of an epoch"
        assert caplog.messages == [reduced] * said


def test_an_encoding_may_have_a_parameter_that_it_does_not_use(suite):
    class Spare(Scaled):
        def __init__(self, in_dim: int) -> None:
            super().__init__(in_dim)
            self.spare = torch.nn.Parameter(torch.tensor(1.0))

    registry = registry_of(ours=module(encodings={"scaled": Spare}, tasks={"wave": Wave}))
    (cell,) = plan(suite, registry)
    record = run_cell(cell, registry).record
    assert record.status == "ok", record.error
    assert record.parameters["encoding"] == 1


class Appending(Scaled):
    """Appends to its own default."""

    def __init__(self, in_dim, *, levels: list[int] = [1, 2]):  # noqa: B006 # the fault
        super().__init__(in_dim, scale=len(levels))
        levels.append(3)

    @classmethod
    def check_dimension(cls, in_dim, *, levels):
        levels.append(4)


class Rising(Wave):
    """Changes a table that it is given."""

    def __init__(self, *, heights: dict[str, int]):
        super().__init__(points=heights.pop("points"))

    @classmethod
    def targets(cls, *, heights):
        target = {"heights": dict(heights)}
        heights.clear()
        yield target

    @classmethod
    def planned_dimension(cls, *, heights):
        heights.clear()
        return Wave.in_dim


def test_constructors_that_change_their_parameters_change_neither_records_nor_keys(tmp_path):
    registry = registry_of(
        sea=module(encodings={"appending": Appending, "scaled": Scaled}, tasks={"rising": Rising})
    )
    suite = Suite.model_validate(
        {
            "encodings": ["appending", "scaled"],
            "tasks": ["rising:heights={points=16}"],
            "network": {"width": 8, "depth": 1, "parameterization": "standard"},
            "training": {"optimizer": "adam", "steps": 4, "batch_size": 8},
        }
    )
    for rerun in ("failed", "never"):
        run = run_suite(
            suite,
            tmp_path,
            registry=registry,
            jobs=1,
            report=False,
            rerun=rerun,
            watcher=RunProgress(Console(quiet=True)),
        )
        cells = [stored.record.cell for stored in run.records]
        assert [stored.record.status for stored in run.records] == ["ok", "ok"]
        assert cells[0].encoding.parameters == {"levels": [1, 2]}
        assert cells[0].task.parameters == {"heights": {"points": 16}}
        assert [cell_key(cell) for cell in cells] == [stored.record.key for stored in run.records]
    assert run.reused == 2


@pytest.mark.parametrize("value", ["9", True])
def test_a_curve_that_is_no_number_fails_its_cell(suite, value):
    worded = type("Worded", (Wave,), {"progress_metric": lambda *_: value, "__doc__": "A wave."})
    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": worded}))
    (cell,) = plan(suite, registry)
    record = run_cell(cell, registry).record
    assert (record.status, record.phase) == ("failed", "curve")
    assert record.error.message == (
        "task 'wave' of ours 1.0 failed: TypeError: "
        f"progress_metric returned {value!r}, expected a number"
    )


def test_a_failed_record_of_unread_data_goes_when_the_data_are_back(tmp_path, suite, monkeypatch):
    """It goes whether the cell has run before and is reused, or runs now."""
    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": Tide}))

    def statuses(folder):
        where = tmp_path / folder
        run_suite(suite, where, registry=registry, jobs=1, device="cpu", report=False)
        return sorted(s.record.status for s in Store(tmp_path / folder).records())

    assert statuses("before") == ["ok"]
    monkeypatch.setattr(Tide, "gone", True)
    assert statuses("before") == ["failed", "ok"]
    assert statuses("never") == ["failed"]
    monkeypatch.setattr(Tide, "gone", False)
    assert statuses("before") == ["ok"]
    assert statuses("never") == ["ok"]
