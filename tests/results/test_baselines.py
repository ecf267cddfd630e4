"""Metrics of methods without a network in a record: written, read, exported and merged."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest

from encbench import Store, Suite, run_suite
from encbench.plugins.registry import default_registry
from encbench.results.agreement import agreement
from encbench.results.merging import merge
from encbench.results.records import CellResult, Record
from encbench.results.tabular import cell_columns, cell_row

SUITE = {
    "encodings": ["identity"],
    "tasks": ["image:side=12,split=checker"],
    "network": {"width": 8, "depth": 1},
    "training": {"steps": 4, "evaluations": 1, "batch_size": 16, "lr": 1.0},
    "ntk": {"points": 0},
}
METHODS = ["mean of the neighbours", "cubic interpolation"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder with one cell on every second pixel."""
    out = tmp_path_factory.mktemp("split")
    suite = Suite.model_validate(SUITE)
    run_suite(suite, out, registry=default_registry(), jobs=1, device="cpu")
    return out


def only(folder):
    (stored,) = Store(folder).records()
    return stored


def test_a_record_holds_every_metric_of_every_method(folder):
    record = only(folder).record
    assert record.status == "ok"
    assert list(record.baselines) == METHODS
    assert record.curve == "psnr_held_out"
    assert record.metrics.keys() == {"psnr", "psnr_held_out", "ms_ssim", "ssim"}
    for values in record.baselines.values():
        assert values.keys() == record.metrics.keys()
        assert values["psnr"].value == math.inf, "interpolation keeps the pixels it was given"
        assert 10 < values["psnr_held_out"].value < 40
    assert {p.stem for p in only(folder).path.glob("*.png")} >= {"training", "prediction"}


def test_a_record_without_baselines_omits_the_field(folder):
    record = only(folder).record
    without = record.model_copy(update={"baselines": {}})
    written = json.loads(without.model_dump_json())
    assert "baselines" not in written
    assert Record.model_validate(written).baselines == {}
    assert set(json.loads(record.model_dump_json())) == set(written) | {"baselines"}


def test_baselines_are_columns_of_an_export(folder):
    record = only(folder).record
    row = cell_row(record)
    columns = {column.name: column.kind for column in cell_columns([row])}
    for method in METHODS:
        name = f"baseline.{method}.psnr_held_out"
        assert row[name] == record.baselines[method]["psnr_held_out"].value
        assert columns[name] == "number"


def test_baselines_survive_a_merge(folder, tmp_path):
    merge([folder], tmp_path / "merged")
    assert only(tmp_path / "merged").record == only(folder).record


def test_baselines_of_a_cell_run_again_are_compared(folder):
    stored = only(folder)
    changed = {
        name: {n: v.model_copy(update={"value": 20.0}) for n, v in values.items()}
        for name, values in stored.record.baselines.items()
    }
    again = stored.record.model_copy(update={"baselines": changed})
    names = {d.name for d in agreement(stored, CellResult(again, stored.arrays)).differences}
    assert {f"baseline.{m}.psnr_held_out" for m in METHODS} <= names
    assert not {name for name in names if name.startswith("metric.")}


def test_a_new_metric_is_no_difference_but_a_missing_one_is(folder):
    stored = only(folder)
    metrics = {name: value for name, value in stored.record.metrics.items() if name != "ssim"}
    without = stored.record.model_copy(update={"metrics": metrics})
    earlier = SimpleNamespace(record=without, arrays=stored.arrays, files=())
    assert not agreement(earlier, CellResult(stored.record, stored.arrays)).differences
    found = agreement(stored, CellResult(without, stored.arrays)).differences
    (gone,) = [d for d in found if d.name.startswith("metric.")]
    assert (gone.name, gone.then, gone.now) == ("metric.ssim", "present", "missing")
