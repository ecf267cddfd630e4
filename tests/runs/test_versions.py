"""Two versions of a plug-in have the same key and random numbers, but differ in records."""

import logging
import math

import pytest
import torch
from encbench_leaderboard.compare.result import compare_folders
from torch import Tensor

from encbench import Activation, Encoding, Store, Suite, plan, run_suite
from encbench.network.mlp import CoordinateMLP
from encbench.plugins.registry import Registry
from encbench.runs.cell import run_cell
from encbench.runs.parts import build_model, build_task, cell_streams
from encbench.runs.repeat import prepare
from encbench.runs.reuse import Reuse, left_to_run
from encbench.suite.config import cell_key, changed_versions
from encbench.suite.file import SuiteEntry
from tests.sample_plugin import Scaled, Wave, module, registry_of


class Table(Encoding):
    """Random features, drawn at construction, and trained."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, 6)
        self.frequencies = torch.nn.Parameter(torch.randn(in_dim, 6))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x @ self.frequencies.to(x.dtype))


def release(version: str) -> Registry:
    """Registry with the given version of a plug-in."""
    registry = registry_of(
        ours=module(
            encodings={"table": Table},
            tasks={"wave": Wave},
            metrics={"psnr": "encbench.metrics.psnr:Psnr"},
        )
    )
    for plugin in registry.host.plugins:
        plugin.version = version
    return registry


@pytest.fixture
def suite(quick_suite: Suite) -> Suite:
    return Suite.model_validate(
        quick_suite.model_dump(exclude_unset=True) | {"encodings": ["table"], "seeds": [0, 1, 2]}
    )


def run(suite, directory, version, **options):
    return run_suite(
        suite, directory, registry=release(version), jobs=1, device="cpu", report=False, **options
    )


def versions(directory):
    return [s.record.cell.encoding.version for s in Store(directory).records()]


def weights(suite, version, **changes):
    registry = release(version)
    cell = plan(suite, registry)[0].model_copy(update=changes)
    model = build_model(cell, build_task(cell, registry), registry, cell_streams(cell))
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_two_versions_have_one_key_and_equal_initial_weights(suite):
    old, new = plan(suite, release("1.0"))[0], plan(suite, release("1.1"))[0]
    assert old.versions == ("1.0", "1.0") != new.versions
    assert cell_key(old) == cell_key(new)
    for purpose in ("data", "weights", "batches", "ntk"):
        assert cell_streams(old).seed(purpose) == cell_streams(new).seed(purpose)
    assert torch.equal(weights(suite, "1.0"), weights(suite, "1.1"))


class Cubes(Activation):
    """z³."""

    name = "cubes"

    def __call__(self, z: Tensor) -> Tensor:
        return z**3


@pytest.mark.parametrize(
    "asked", [{"activation": "cubes"}, {"kind": "squares"}], ids=["activation", "network"]
)
def test_the_version_of_a_network_or_an_activation_counts_too(suite, asked):
    def theirs(version: str) -> Registry:
        registry = registry_of(
            ours=module(encodings={"table": Table}, tasks={"wave": Wave}),
            theirs=module(activations={"cubes": Cubes}, networks={"squares": CoordinateMLP}),
        )
        for plugin in registry.host.plugins:
            if plugin.distribution == "theirs":
                plugin.version = version
        return registry

    changed = suite.model_copy(update={"network": suite.network.model_copy(update=asked)})
    old, new = plan(changed, theirs("1.0"))[0], plan(changed, theirs("1.1"))[0]
    assert cell_key(old) == cell_key(new)
    assert changed_versions(old.versions, new) == {"theirs 1.0 instead of 1.1"}
    assert plan(suite, theirs("1.0"))[0].other_versions == {}


class Beside(Table):
    """Names other encodings in its parameters, as a composite does."""

    encoding_parameters = ("parts",)

    def __init__(self, in_dim: int, *, parts: list[str], mode: str = "plain") -> None:
        super().__init__(in_dim)


@pytest.mark.parametrize("part", ["scaled", "scaled:scale=2@0", "theirs:scaled", "beside"])
def test_the_version_of_an_encodings_part_counts_too(suite, part):
    def theirs(version: str) -> Registry:
        registry = registry_of(
            ours=module(encodings={"beside": Beside, "table": Table}, tasks={"wave": Wave}),
            theirs=module(encodings={"scaled": Scaled}),
        )
        registry.host.plugins[-1].version = version
        return registry

    parts = ["beside:parts=[\"table\",'scaled@0']"] if part == "beside" else ["table", part]
    entry = SuiteEntry(name="beside", parameters={"parts": parts})
    changed = suite.model_copy(update={"encodings": [entry]})
    old, new = plan(changed, theirs("1.0"))[0], plan(changed, theirs("1.1"))[0]
    assert cell_key(old) == cell_key(new)
    assert changed_versions(old.versions, new) == {"theirs 1.0 instead of 1.1"}
    assert plan(suite, theirs("1.0"))[0].other_versions == {}
    # a worker with another version refuses the cell, and a repetition says which it runs with
    elsewhere = run_cell(old, theirs("1.1")).record
    assert "planned with theirs 1.0, but where it runs 1.1" in elsewhere.error.message
    again = prepare(elsewhere, theirs("1.1"))
    assert again.cell.other_versions == {"theirs": "1.1"}
    (remark,) = again.remarks
    assert "ran with theirs 1.0; it runs with 1.1" in remark


def test_a_choice_that_is_called_like_an_encoding_is_no_part(suite):
    registry = registry_of(
        ours=module(encodings={"beside": Beside, "table": Table}, tasks={"wave": Wave}),
        theirs=module(encodings={"scaled": Scaled}),
    )
    for part in ("table", 'beside:mode=scaled,parts=["table"]'):
        entry = SuiteEntry(name="beside", parameters={"parts": [part], "mode": "scaled"})
        changed = suite.model_copy(update={"encodings": [entry]})
        assert plan(changed, registry)[0].other_versions == {}


def test_the_seed_of_weights_up_to_schema_version_2_can_be_asked_for(suite):
    cell = plan(suite, release("1.0"))[0]
    old = cell.model_copy(update={"weights_version": "1.0"})
    assert cell_key(old) == cell_key(cell)
    seeds, others = cell_streams(old), cell_streams(cell)
    assert seeds.seed("weights") != others.seed("weights")
    assert all(seeds.seed(p) == others.seed(p) for p in ("data", "batches", "ntk"))
    # the weights are those of that version, whichever is installed
    then, now = (weights(suite, v, weights_version="1.0") for v in ("1.0", "1.1"))
    assert torch.equal(then, now)
    assert not torch.equal(now, weights(suite, "1.1"))


def test_versions_that_behave_alike_are_compared_in_pairs_and_equal(suite, tmp_path):
    for version in ("1.0", "1.1"):
        run(suite, tmp_path / version, version)
    report = compare_folders(tmp_path / "1.0", tmp_path / "1.1")
    assert (report.pairs, report.equal) == (3, 3)
    assert (report.only_a, report.only_b) == ([], [])
    (row,) = report.rows
    assert row.quality[0].identical
    assert [(c.name, c.a, c.b) for c in report.changes] == [("version of ours", "1.0", "1.1")]


def test_a_record_of_another_version_is_run_again_and_replaced(suite, tmp_path, caplog):
    run(suite, tmp_path, "1.0")
    with caplog.at_level(logging.WARNING, "encbench"):
        again = run(suite, tmp_path, "1.1")
    assert again.reused == 0
    assert versions(tmp_path) == ["1.1"] * 3
    assert "of ours 1.0 instead of 1.1: 3; --keep-versions keeps them" in caplog.text
    assert run(suite, tmp_path, "1.1").reused == 3


def test_a_record_of_another_version_is_kept_if_the_new_one_fails(
    suite, tmp_path, caplog, monkeypatch
):
    run(suite, tmp_path, "1.0")
    monkeypatch.setattr(Table, "forward", lambda self, x: 1 / 0)
    with caplog.at_level(logging.WARNING, "encbench"):
        again = run(suite, tmp_path, "1.1")
    assert versions(tmp_path) == ["1.0"] * 3
    assert (again.kept_earlier, again.all_ok) == (3, False)
    assert "earlier record (ok, ours 1.0 instead of 1.1) is kept" in caplog.text


@pytest.mark.parametrize("options", [{"keep_versions": True}, {"rerun": "never"}])
def test_a_record_of_another_version_is_kept_on_request(suite, tmp_path, options):
    run(suite, tmp_path, "1.0")
    more = suite.model_copy(update={"seeds": [0, 1, 2, 3]})
    again = run(more, tmp_path, "1.1", **options)
    assert (again.reused, len(again.records)) == (3, 4)
    assert sorted(versions(tmp_path)) == ["1.0", "1.0", "1.0", "1.1"]


def test_left_to_run_returns_the_cells_that_run(suite, tmp_path):
    run(suite, tmp_path, "1.0")
    cells = plan(suite, release("1.1"))
    assert left_to_run(cells, tmp_path) == cells
    assert left_to_run(cells, tmp_path, Reuse(keep_versions=True)) == []


def test_an_older_record_stays_until_the_new_one_is_whole(suite, tmp_path):
    """Neither an interrupted run nor a killed run loses it."""
    run(suite, tmp_path, "1.0")
    kept = Store(tmp_path).records()

    class Stopped(Exception):
        """Ends the run after its first record."""

    class Stops:
        def planned(self, cells, finished): ...
        def event(self, event): ...

        def recorded(self, record):
            raise Stopped

    with pytest.raises(Stopped):
        run(suite, tmp_path, "1.1", watcher=Stops())
    assert sorted(versions(tmp_path)) == ["1.0", "1.0", "1.1"]
    assert len(kept) == len(Store(tmp_path).records())
    assert run(suite, tmp_path, "1.1").reused == 1
    assert versions(tmp_path) == ["1.1"] * 3


def test_a_record_says_the_version_that_ran(suite):
    record = run_cell(plan(suite, release("1.1"))[0], release("1.1")).record
    assert record.status == "ok"
    assert math.isfinite(record.metrics["psnr"].value)
    assert record.cell.encoding.version == "1.1"
