"""Trained networks are kept on request, checked, and loaded unchanged."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from encbench import Outcome, PluginError, Store, StoreError, load_model, plan, run_suite
from encbench.results.record_folder import WEIGHTS, write_manifest
from encbench.runs.cell import run_cell
from encbench.runs.parts import build_task
from encbench.runs.reuse import Reuse, left_to_run
from encbench.runs.weights import weights_of
from encbench.training.loop import predictor
from tests.sample_plugin import Scaled, Wave, module, registry_of


class Table(Scaled):
    """A learned table, and a random buffer."""

    def __init__(self, in_dim):
        super().__init__(in_dim)
        self.out_dim = 3
        self.table = torch.nn.Parameter(torch.randn(8, 2))
        self.register_buffer("shift", torch.rand(1))

    def forward(self, x):
        rows = (x[:, 0] * 7.99).long()
        return torch.cat([self.table.to(x.dtype)[rows], x + self.shift.to(x.dtype)], dim=1)


class Kept(Wave):
    """A wave whose prediction is kept in the record."""

    def evaluate(self, predict):
        found = super().evaluate(predict)
        return Outcome(found.comparisons, arrays={"raw": predict(self.x).numpy()})


@pytest.fixture
def suite(quick_suite):
    return quick_suite


@pytest.fixture
def registry():
    return registry_of(ours=module(encodings={"scaled": Table}, tasks={"wave": Kept}))


@pytest.fixture
def run(suite, registry, tmp_path):
    def again(**changes):
        run_suite(suite, tmp_path, registry=registry, jobs=1, report=False, **changes)
        (stored,) = Store(tmp_path).records()
        return stored

    return again


def test_the_network_comes_back_and_predicts_what_it_did(run, registry):
    stored = run(save_weights=True)
    assert stored.files[WEIGHTS].size == (stored.path / WEIGHTS).stat().st_size
    task = build_task(stored.record.cell, registry)
    for given in (stored, stored.path, str(stored.path)):
        torch.manual_seed(99)
        model = load_model(given, registry=registry)
        assert not model.training
        raw = predictor(model, task)(task.x).numpy()
        np.testing.assert_array_equal(raw, stored.arrays["raw"])


def test_weights_change_neither_the_key_nor_the_result(run, suite, registry):
    with_weights = run(save_weights=True)
    without = run_cell(plan(suite, registry)[0], registry)
    assert without.weights == b""
    assert without.record.key == with_weights.record.key
    np.testing.assert_array_equal(without.arrays["raw"], with_weights.arrays["raw"])


def test_a_cell_without_weights_runs_again_when_they_are_asked_for(run, suite, registry, caplog):
    first = run()
    with pytest.raises(StoreError, match="has no weights; run again with --save-weights"):
        load_model(first, registry=registry)
    cells = plan(suite, registry)
    folder = first.path.parents[2]
    assert left_to_run(cells, folder) == []
    assert left_to_run(cells, folder, Reuse(save_weights=True)) == cells
    assert left_to_run(cells, folder, Reuse("never", save_weights=True)) == []
    second = run(save_weights=True)
    assert "cells run again because their record has no weights: 1" in caplog.text
    load_model(second, registry=registry)
    kept = run(save_weights=True)
    assert kept.record.provenance.started == second.record.provenance.started
    assert kept.files == second.files
    # a record with weights is not replaced by one without
    assert run().files == second.files


def test_a_cell_that_did_not_end_has_none_to_give(run, registry):
    stored = run(save_weights=True)
    stored.record.status = "diverged"
    stored.files.pop(WEIGHTS)
    with pytest.raises(StoreError, match="has no weights: its cell is diverged; run"):
        load_model(stored, registry=registry)


def test_damaged_weights_are_one_line(run, registry):
    stored = run(save_weights=True)
    file = stored.path / WEIGHTS
    whole = file.read_bytes()
    for content in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], b""):
        file.write_bytes(content)
        with pytest.raises(StoreError, match=r"weights\.safetensors is damaged; remove its folder"):
            load_model(stored, registry=registry)
    file.unlink()
    with pytest.raises(StoreError, match="is damaged"):
        load_model(stored, registry=registry)


@pytest.mark.parametrize(
    "content",
    [
        b"no safetensors",
        (1 << 62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b'{"a"',
        (63).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4000]}}'[:63],
    ],
)
def test_a_file_that_is_not_safetensors_is_damaged_whatever_the_manifest_says(
    run, registry, content
):
    stored = run(save_weights=True)
    (stored.path / WEIGHTS).write_bytes(content)
    write_manifest(stored.path)
    with pytest.raises(StoreError, match="is damaged"):
        load_model(stored.path, registry=registry)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("encoding.table"), "encoding.table is missing"),
        (lambda t: t.update(more=torch.zeros(1)), "more is unknown"),
        (
            lambda t: t.update({"encoding.shift": torch.zeros(2)}),
            r"encoding.shift is \(2,\) of torch.float32, expected \(1,\) of torch.float32",
        ),
        (
            lambda t: t.update({"encoding.shift": torch.zeros(1).double()}),
            r"\(1,\) of torch.float64, expected \(1,\) of torch.float32",
        ),
        (lambda t: t.clear(), "and 3 more; run again with --save-weights"),
    ],
)
def test_weights_of_another_network_are_refused(run, registry, change, words):
    stored = run(save_weights=True)
    tensors = safetensors.torch.load_file(stored.path / WEIGHTS)
    change(tensors)
    (stored.path / WEIGHTS).write_bytes(safetensors.torch.save(tensors))
    write_manifest(stored.path)
    with pytest.raises(StoreError, match=f"does not fit the network: .*{words}"):
        load_model(stored.path, registry=registry)


def test_weights_of_other_versions_are_refused(run, registry):
    stored = run(save_weights=True)
    file = stored.path / "record.json"
    text = file.read_text()
    for place, named in (("encoding", "ours 0.9"), ("encbench", "encbench 0.0.1")):
        data = json.loads(text)
        if place == "encoding":
            data["cell"]["encoding"]["version"] = "0.9"
        else:
            data["provenance"]["encbench"] = "0.0.1"
        file.write_text(json.dumps(data))
        write_manifest(stored.path)
        with pytest.raises(PluginError, match=f"are of {named}, and .* is installed; pip install"):
            load_model(stored.path, registry=registry)


def test_a_file_that_is_too_large_is_not_read(run, registry, monkeypatch):
    stored = run(save_weights=True)
    monkeypatch.setattr("encbench.runs.weights.MOST_WEIGHT_BYTES", 100)
    with pytest.raises(StoreError, match="bytes; at most 100 are read"):
        load_model(stored, registry=registry)


def test_tensors_that_share_memory_are_kept_and_others_refused():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    tensors = safetensors.torch.load(weights_of(model))
    torch.testing.assert_close(tensors["0.weight"], tensors["1.weight"])

    class Extra(torch.nn.Module):
        def get_extra_state(self):
            return "text"

    with pytest.raises(TypeError, match="_extra_state of the state dict is a str, no tensor"):
        weights_of(Extra())


def test_a_network_that_cannot_be_kept_costs_its_weights_alone(run, registry, monkeypatch, caplog):
    monkeypatch.setattr(Table, "get_extra_state", lambda self: "text", raising=False)
    stored = run(save_weights=True)
    assert stored.record.status == "ok"
    assert WEIGHTS not in stored.files
    assert "the weights are not kept: TypeError" in caplog.text
