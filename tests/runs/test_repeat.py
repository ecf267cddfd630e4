"""A recorded cell can be run again, and differences in the result are named."""

import hashlib
import json
import math
import pickle
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import typer

from encbench import PluginError, Store, StoreError, UsageError, plan, run_suite
from encbench.cli import rerun as verb
from encbench.results.agreement import agreement
from encbench.results.records import CellResult, StoredRecord
from encbench.runs.cell import run_cell
from encbench.runs.repeat import prepare
from encbench.suite.config import TrainingConfig
from encbench.suite.file import override
from tests.conftest import one_cell
from tests.sample_plugin import Scaled, Wave, module, registry_of


class Offset(Wave):
    """A wave whose amplitude is read from a file."""

    def __init__(self, *, path: str) -> None:
        super().__init__()
        self.y = self.y * float(Path(path).read_text())

    @classmethod
    def data_hash(cls, **parameters):
        return hashlib.sha256(Path(parameters["path"]).read_bytes()).hexdigest()


@pytest.fixture
def suite(quick_suite):
    return quick_suite


@pytest.fixture
def again(tmp_path, registry, monkeypatch, capsys):
    """Run ``encbench rerun`` with the tests' plug-ins; returns exit code and output."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, registry=registry, **options):
        monkeypatch.setattr(verb, "default_registry", lambda: registry)
        try:
            verb.rerun(*arguments, **{"tolerance": 1e-6} | options)
        except typer.Exit as end:
            return end.exit_code, "".join(capsys.readouterr())
        return 0, "".join(capsys.readouterr())

    return run


@pytest.fixture
def stored(tmp_path, registry, suite):
    return ran(suite, tmp_path / "then", registry)


@pytest.fixture
def with_spectra(tmp_path, registry):
    return ran(one_cell(points=16), tmp_path / "then", registry)


def ran(suite, directory, registry):
    run = run_suite(suite, directory, registry=registry, jobs=1, device="cpu", report=False)
    (stored,) = run.records
    return stored


def changed(stored, directory, **changes):
    """Rewrite a record with other results."""
    store = Store(directory)
    with store.writing():
        record = stored.record.model_copy(update=changes, deep=True)
        return store.write(record, stored.arrays, pictures_of(stored))


def pictures_of(stored):
    from PIL import Image

    return {p.stem: np.asarray(Image.open(p)) for p in stored.path.glob("*.png")}


def test_the_same_cell_on_the_same_machine_is_equal_to_the_last_digit(again, stored):
    code, said = again(stored.path)
    assert code == 0
    assert "equal to the last digit" in said
    assert again(stored.path / "record.json", tolerance=0)[0] == 0
    code, said = again(stored.path.parents[2], stored.record.key[:5])
    assert code == 0


def test_threads_are_those_of_the_record_and_put_back(again, registry, suite, tmp_path):
    before = torch.get_num_threads()
    run = run_suite(suite, tmp_path, registry=registry, jobs=1, device="cpu", threads=2)
    code, said = again(run.records[0].path)
    assert (code, torch.get_num_threads()) == (0, before)
    assert "threads" not in said


def test_a_batch_larger_than_the_epoch_is_reduced(again, registry, suite, tmp_path):
    class Few(Wave):
        training: ClassVar = {"batch_size": 99}

    ours = module(encodings={"scaled": Scaled}, tasks={"wave": Few})
    registry = registry_of(ours=ours)
    steps = {"training": TrainingConfig(steps=3)}
    for size in ("default", 99, 98):
        given = {} if size == "default" else {"batch_size": size}
        asked = override(suite.model_copy(update=steps), {"training": given})
        (cell,) = pickle.loads(pickle.dumps(plan(asked, registry)))
        result = run_cell(cell, registry)
        assert (result.record.status, result.record.batch_size) == ("ok", 64)
        store = Store(tmp_path / str(size))
        with store.writing():
            stored = store.write(result.record, result.arrays, result.pictures)
        assert "equal to the last digit" in again(stored.path, registry=registry)[1]


def test_a_metric_that_differs_is_named_with_its_size(again, stored, tmp_path):
    value = stored.record.metrics["psnr"].value
    psnr = stored.record.metrics["psnr"].model_copy(update={"value": value + 0.5})
    other = changed(stored, tmp_path / "other", metrics=stored.record.metrics | {"psnr": psnr})
    code, said = again(other.path)
    assert code == 1
    assert f"not equal: metric.psnr differs by {0.5 / (value + 0.5):.2g} of its size" in said
    assert "the recorded environment is the same" in said
    code, said = again(other.path, tolerance=0.2)
    assert code == 0
    assert "equal within 0.2" in said


def test_changes_in_the_environment_are_named(again, stored, tmp_path):
    source = stored.record.provenance.model_copy(
        update={
            "libraries": {"torch": "1.0", "abacus": "7"},
            "cpu_capability": "DEFAULT",
            "processor": "8086",
        }
    )
    code, said = again(changed(stored, tmp_path / "other", provenance=source).path)
    assert code == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert f"version of torch 1.0 {version('torch')}" in lines
    assert "version of abacus 7 not here" in lines
    assert f"CPU capability DEFAULT {torch.backends.cpu.get_cpu_capability()}" in lines
    assert not any("numpy" in line for line in lines)


def test_a_record_of_version_1_can_be_run_again(again, stored, registry):
    # in version 1, the seed of the weights depended on the version of the plug-in
    cell = stored.record.cell.model_copy(update={"weights_version": "1.0"})
    then = run_cell(cell, registry)
    store = Store(stored.path.parents[2])
    with store.writing():
        stored = store.write(then.record, then.arrays, then.pictures)
    file = stored.path / "record.json"
    data = json.loads(file.read_text())
    del data["lost_workers"]
    first = (
        *("encbench", "python", "libraries", "os", "machine", "processor", "device", "threads"),
        *("git_commit", "started", "finished"),
    )
    source = {name: data["provenance"][name] for name in first}
    file.write_text(json.dumps(data | {"schema_version": 1, "provenance": source}))
    (stored.path / "manifest.json").unlink()
    code, said = again(stored.path)
    assert (code, "equal to the last digit" in said) == (0, True)
    assert "CPU capability" not in said


@pytest.mark.parametrize("encoding", ["nan", "hungry"])
def test_a_cell_that_failed_fails_again(again, registry, suite, tmp_path, encoding):
    suite = type(suite).model_validate(suite.model_dump() | {"encodings": [encoding]})
    (stored,) = run_suite(suite, tmp_path, registry=registry, jobs=1, device="cpu").records
    assert stored.record.status != "ok"
    code, said = again(stored.path)
    assert code == 0
    status = stored.record.status.replace("_", " ")
    assert f"seed 0: {status} again in the same way (equal: phase and type of the err" in said
    assert "to the last digit" not in said
    assert ("curves" in said) == ("curve" in stored.arrays)


def test_a_cell_that_works_now_is_not_equal_to_its_failure(again, stored, tmp_path):
    other = changed(stored, tmp_path / "other", status="failed", phase="training", metrics={})
    code, said = again(other.path)
    assert code == 1
    assert "status was failed, now ok" in said


def test_a_plugin_that_is_not_installed_is_named_with_how_to_get_it(again, stored):
    theirs = registry_of(theirs=module(encodings={"scaled": Scaled}, tasks={"wave": Wave}))
    with pytest.raises(PluginError, match=r"pip install 'ours==1\.0'.* offers a different one"):
        again(stored.path, registry=theirs)


def test_another_version_of_a_plugin_runs_with_a_note_and_says_its_version(
    again, stored, registry, tmp_path
):
    for plugin in registry.host.plugins:
        plugin.version = "2.0"
    code, said = again(stored.path, output=tmp_path / "kept")
    assert code == 0, said
    assert "equal to the last digit" in said
    assert "encoding 'scaled' ran with ours 1.0; it runs with 2.0" in said
    assert "version of ours 1.0 2.0" in " ".join(said.split())
    (kept,) = Store(tmp_path / "kept").records()
    assert kept.record.key == stored.record.key
    assert kept.record.cell.versions == ("2.0", "2.0")


def test_changed_and_lost_data_are_named(again, suite, tmp_path):
    file = tmp_path / "height"
    file.write_text("0.5")
    registry = registry_of(
        ours=module(
            encodings={"scaled": Scaled},
            tasks={"offset": Offset},
            metrics={"psnr": "encbench.metrics.psnr:Psnr"},
        )
    )
    task = {"name": "offset", "parameters": {"path": str(file)}}
    suite = type(suite).model_validate(suite.model_dump() | {"tasks": [task]})
    run = run_suite(suite, tmp_path / "run", registry=registry, jobs=1, device="cpu")
    path = run.records[0].path
    assert again(path, registry=registry)[0] == 0
    file.write_text("0.25")
    code, said = again(path, registry=registry)
    assert code == 1
    assert "have changed since; it runs on the present data" in said
    assert "metric.psnr" in said
    assert "status was" not in said
    assert "data (SHA-256)" in said
    with pytest.raises(UsageError, match="of another cell"):
        again(path, registry=registry, output=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    file.unlink()
    code, said = again(path, registry=registry)
    assert code == 1
    assert "cannot be read here" in said
    assert "status was ok, now failed" in said


def test_the_new_record_is_kept_in_a_folder_without_the_old_one(again, stored, tmp_path):
    code, _ = again(stored.path, output=tmp_path / "kept")
    assert code == 0
    (kept,) = Store(tmp_path / "kept").records()
    assert kept.record.key == stored.record.key
    assert kept.record.metrics == stored.record.metrics
    assert kept.record.provenance.worker
    # up to schema version 2 a record has another key than the new one of its cell
    older = changed(stored, tmp_path / "older", key="0" * 20)
    for old in (stored, older):
        for folder in (tmp_path / "kept", old.path.parents[2]):
            with pytest.raises(UsageError, match="has a record"):
                again(old.path, output=folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_folder_that_cannot_keep_the_result_is_told_before_it_runs(
    again, stored, tmp_path, monkeypatch
):
    ran = []
    monkeypatch.setattr("encbench.runs.repeat.run_again", lambda *arguments: ran.append(arguments))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file, not a folder; name another folder"):
        again(stored.path, output=tmp_path / "file")
    with Store(tmp_path / "used").writing(), pytest.raises(StoreError, match="in use"):
        again(stored.path, output=tmp_path / "used")
    assert ran == []


def test_a_cell_of_a_gpu_runs_on_the_cpu_if_there_is_no_gpu(again, stored, tmp_path):
    source = stored.record.provenance.model_copy(update={"device": "NVIDIA H200"})
    other = changed(stored, tmp_path / "other", provenance=source)
    code, said = again(other.path)
    assert code == 0
    assert "it ran on NVIDIA H200; torch finds no GPU here" in said
    with pytest.raises(UsageError, match="no CUDA device here"):
        again(other.path, device="cuda")


def test_a_record_must_be_named_without_doubt(again, stored, tmp_path):
    results = stored.path.parents[2]
    with pytest.raises(UsageError, match="no record begins with 'xyz'; keys in"):
        again(results, "xyz")
    with pytest.raises(UsageError, match="which record of"):
        again(results)
    with pytest.raises(UsageError, match="give no key"):
        again(stored.path, stored.record.key)
    with pytest.raises(StoreError, match="no results folder"):
        again(tmp_path / "nowhere", "a")
    with pytest.raises(StoreError, match=r"is a part of the results folder .*then; give that"):
        again(stored.path.parents[1], stored.record.key)
    (stored.path / "record.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        again(stored.path)


def test_a_record_s_folder_may_lie_anywhere(again, stored, tmp_path, monkeypatch):
    results = tmp_path / "then"
    alone = tmp_path / "downloads" / stored.record.key
    shutil.copytree(stored.path, alone)
    assert again(alone)[0] == 0
    monkeypatch.chdir(alone)
    assert again(Path())[0] == 0
    # the named record is used, even if another one with its key exists
    aside = changed(stored, tmp_path / "other", steps=7).path
    shutil.copytree(aside, results / "damaged" / stored.record.key)
    code, said = again(results / "damaged" / stored.record.key)
    assert code == 1
    assert "steps was 7" in said


def outcome(stored, **arrays):
    return CellResult(stored.record, {**stored.arrays, **arrays}, pictures_of(stored))


def test_spectra_are_compared_relative_to_the_largest_eigenvalue_above_the_floor(
    with_spectra,
):
    stored = with_spectra
    spectrum = stored.arrays["spectrum_end"].copy()
    (summary,) = [s for s in stored.record.spectra if s.when == "end"]
    spectrum[-1] = -summary.floor / 2
    below = agreement(stored, outcome(stored, spectrum_end=spectrum))
    if stored.arrays["spectrum_end"][-1] <= summary.floor:
        assert below.worst is None
    spectrum = stored.arrays["spectrum_end"].copy()
    spectrum[1] += 0.25 * spectrum[0]
    (difference,) = agreement(stored, outcome(stored, spectrum_end=spectrum)).differences
    assert difference.name == "spectrum.end"
    assert difference.relative == pytest.approx(0.25)
    assert difference.absolute == pytest.approx(0.25 * spectrum[0])


def test_a_curve_s_largest_difference_is_placed_at_its_step(stored):
    loss = stored.arrays["loss"].copy()
    loss[2] *= 1.01
    (difference,) = agreement(stored, outcome(stored, loss=loss)).differences
    assert difference.name == f"curve.loss at step {int(stored.arrays['loss_step'][2])}"
    assert difference.relative == pytest.approx(1 - 1 / 1.01)


def test_nan_equals_only_nan(stored):
    loss = stored.arrays["loss"].copy()
    loss[1] = math.nan
    both = outcome(stored, loss=loss)
    assert agreement(stored, both).worst.relative == math.inf
    stored.arrays["loss"] = loss.copy()
    assert agreement(stored, both).worst is None
    loss[1] = math.inf
    assert agreement(stored, both).worst.relative == math.inf


def test_bands_that_earlier_versions_did_not_record_are_no_difference(stored):
    assert agreement(stored, outcome(stored, band_error=np.ones((2, 3)))).worst is None
    stored.arrays["band_error"] = np.zeros((2, 3))
    assert agreement(stored, outcome(stored, band_error=np.ones((2, 3)))).worst is not None


def test_files_that_a_merge_left_out_are_reported_and_not_compared(stored):
    slim = StoredRecord(stored.record, stored.path / "none")
    found = agreement(slim, outcome(stored))
    assert found.left_out == ["arrays", "pictures"]
    assert found.worst is None
    assert agreement(stored, outcome(stored)).left_out == []


def test_arrays_of_another_shape_and_missing_ones_are_not_equal(stored):
    short = agreement(stored, outcome(stored, loss=stored.arrays["loss"][:-1]))
    assert not short.equal(1e300)
    result = outcome(stored)
    del result.arrays["loss"], result.pictures["prediction"], result.record.metrics["psnr"]
    lost = agreement(Store(stored.path.parents[2]).record(stored.record.key), result)
    names = {difference.name for difference in lost.differences}
    assert names == {"curve.loss", "picture.prediction", "metric.psnr"}


def test_one_level_of_grey_is_a_difference(stored):
    result = outcome(stored)
    picture = result.pictures["prediction"].copy()
    picture[0, 3] = picture[0, 3] ^ 1
    result.pictures["prediction"] = picture
    (difference,) = agreement(stored, result).differences
    assert difference.name == "picture.prediction"
    assert difference.relative == pytest.approx(1 / 255)


@pytest.mark.parametrize("kept", [0, 10, 60])
def test_a_damaged_picture_is_one_clear_line(again, suite, registry, tmp_path, kept):
    (stored,) = run_suite(suite, tmp_path / "p", registry=registry, jobs=1, device="cpu").records
    store = Store(tmp_path / "p")
    with store.writing():
        grey = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
        stored = store.write(stored.record, stored.arrays, {"target": grey})
    picture = stored.path / "target.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:kept] + bytes(len(whole) - kept))
    now = CellResult(stored.record, stored.arrays, {"target": grey})
    with pytest.raises(StoreError, match=r"target\.png is damaged; remove its folder"):
        agreement(stored, now)


def test_running_again_takes_the_cell_as_recorded(stored, registry, suite):
    rerun = prepare(stored.record, registry)
    assert rerun.cell == plan(suite, registry)[0]
    assert rerun.same_data
    assert rerun.remarks == []
    fresh = run_cell(rerun.cell, registry)
    assert agreement(stored, fresh).equal(0)


def test_eigenvalues_below_the_floor_of_either_spectrum_are_not_compared(
    with_spectra,
):
    stored = with_spectra
    (summary,) = [s for s in stored.record.spectra if s.when == "end"]
    spectrum = stored.arrays["spectrum_end"].copy()
    floor = 0.5 * float(spectrum[3] + spectrum[2])
    spectrum[3:] = 0.25 * floor
    result = outcome(stored, spectrum_end=spectrum)
    assert agreement(stored, result).worst is not None
    spectra = [
        s.model_copy(update={"floor": floor}) if s.when == "end" else s
        for s in stored.record.spectra
    ]
    result.record = stored.record.model_copy(update={"spectra": spectra})
    assert summary.floor < floor
    assert agreement(stored, result).worst is None
