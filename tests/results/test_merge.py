"""Merging loses no result silently, changes no input, and reports its choices."""

import hashlib
import json
import os
import shutil
import struct
import zlib
from typing import ClassVar

import numpy as np
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from encbench import Store, StoreError, Suite, UsageError, run_suite
from encbench.cli.merge import merge_folders as verb
from encbench.contracts.task import NetworkDefaults
from encbench.results.merging import merge, merged_suites
from encbench.suite.config import NetworkConfig, TrainingConfig, cell_key
from encbench.suite.file import entries
from encbench.suite.plan import keyed_plan
from tests.sample_plugin import NotANumber, Scaled, Wave, module, registry_of


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Folder with the results that ``folders`` copies; the first test fills it."""
    return tmp_path_factory.mktemp("originals")


@pytest.fixture
def folders(tmp_path, originals, registry, suite):
    """Two folders: both have scaled with seed 0; a also seed 1, b also a failed cell."""
    for name, changes in {
        "a": {"seeds": [0, 1]},
        "b": {"encodings": ["scaled", "nan"]},
    }.items():
        if not (originals / name).exists():
            asked = Suite.model_validate(suite.model_dump() | {"name": name} | changes)
            run_suite(asked, originals / name, registry=registry, jobs=1, device="cpu")
        shutil.copytree(originals / name, tmp_path / name)
    return tmp_path / "a", tmp_path / "b"


def shared(*folders):
    """Key of the only cell that all folders have."""
    (key,) = set.intersection(*({s.record.key for s in Store(f).records()} for f in folders))
    return key


def rewritten(folder, key, **changes):
    """Rewrite a record with other values."""
    store = Store(folder)
    stored = store.record(key)
    source = stored.record.provenance
    times = {name: changes.pop(name) for name in ("started", "finished") if name in changes}
    record = stored.record.model_copy(
        update={"provenance": source.model_copy(update=times), **changes}
    )
    with store.writing():
        store.write(record, stored.arrays, {})


def contents(folder):
    # the lock file stays even if nothing was written; readers may make an index
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in (".lock", "index.sqlite")
    }


def test_a_merge_is_the_union_by_key_of_unchanged_records(folders, tmp_path):
    a, b = folders
    shutil.rmtree(Store(b).place(shared(a, b)))
    before = [contents(f) for f in folders]
    done = merge([a, b], tmp_path / "out")
    assert done.taken == {a: 2, b: 1}
    assert (done.identical, done.dropped, done.damaged) == (0, [], {})
    merged = contents(tmp_path / "out")
    del merged["run.json"]
    parts = [{n: c for n, c in one.items() if n != "run.json"} for one in before]
    assert merged == parts[0] | parts[1]
    assert [contents(f) for f in folders] == before


def test_the_same_record_in_two_folders_is_noted_and_kept_once(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    shutil.rmtree(Store(b).place(key))
    shutil.copytree(Store(a).place(key), Store(b).place(key))
    done = merge([a, b], tmp_path / "out")
    assert (done.identical, done.dropped) == (1, [])
    assert len(Store(tmp_path / "out").records()) == 3


@pytest.mark.parametrize(
    ("prefer", "status", "because"),
    [("ok", "ok", "ok"), ("newer", "failed", "newer"), ("first", "ok", "first")],
)
def test_of_two_records_one_is_kept_for_a_reason(folders, tmp_path, prefer, status, because):
    a, b = folders
    key = shared(a, b)
    rewritten(b, key, status="failed", finished="2999-01-01T00:00:00+00:00")
    done = merge([a, b], tmp_path / "out", prefer)
    (dropped,) = done.dropped
    assert (dropped.record.key, dropped.because) == (key, because)
    assert (dropped.source, dropped.kept_source) == ((a, b) if status == "failed" else (b, a))
    assert Store(tmp_path / "out").record(key).record.status == status
    again = merge([b, a], tmp_path / "again", prefer)
    kept = Store(tmp_path / "again").record(key).record.status
    assert kept == ("failed" if prefer == "first" else status)
    assert len(again.dropped) == 1


def test_newer_compares_times_not_texts(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    # the first is an hour later, but earlier if compared as text
    rewritten(a, key, finished="2026-01-01T10:00:00-05:00", best=1.0)
    rewritten(b, key, finished="2026-01-01T14:00:00+00:00", best=2.0)
    merge([b, a], tmp_path / "out", "newer")
    assert Store(tmp_path / "out").record(key).record.best == 1.0


def test_a_clock_that_makes_no_sense_is_older_than_any(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    rewritten(a, key, finished="yesterday", best=1.0)
    rewritten(b, key, finished="1970-01-01T00:00:00+00:00", best=2.0)
    merge([a, b], tmp_path / "out", "newer")
    assert Store(tmp_path / "out").record(key).record.best == 2.0


def test_a_merge_into_one_of_its_inputs(folders):
    a, b = folders
    before = contents(b)
    done = merge([a, b], a)
    assert sum(done.taken.values()) == len(Store(a).records()) == 3
    assert contents(b) == before
    assert merge([a, b], a).taken[a] == 3


def test_a_folder_that_holds_others_is_not_merged_into(folders, tmp_path):
    a, b = folders
    before = contents(b)
    with pytest.raises(UsageError, match="holds records already"):
        merge([a], b)
    assert contents(b) == before
    (tmp_path / "new").mkdir()
    assert merge([a, a], tmp_path / "new").taken == {a: 2}


def unfinished_merge(inputs, out, **options):
    """Leave the folder as a killed merge does: some records are missing, and so is run.json."""
    merge(inputs, out, **options)
    (out / "run.json").unlink()
    shutil.rmtree(Store(out).records()[0].path)


@pytest.mark.parametrize("options", [{}, {"without": ["pictures"]}, {"prefer": "first"}])
def test_an_interrupted_merge_resumes_with_the_same_command(folders, tmp_path, options):
    merge(folders, tmp_path / "whole", **options)
    unfinished_merge(folders, tmp_path / "out", **options)
    assert len(Store(tmp_path / "out").records()) == 2
    merge(folders, tmp_path / "out", **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_interrupted_merge_does_not_resume_if_the_originals_changed(folders, tmp_path):
    a, b = folders
    unfinished_merge(folders, tmp_path / "out")
    for stored in Store(tmp_path / "out").records():
        for folder in (f for f in (a, b) if Store(f).place(stored.record.key).is_dir()):
            rewritten(folder, stored.record.key, best=3.0)
    before = contents(tmp_path / "out")
    with pytest.raises(UsageError, match="holds records already"):
        merge(folders, tmp_path / "out")
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("inside", ["records", "records/new", "new/er"])
def test_an_input_gets_no_merged_folder_inside(folders, inside):
    a, b = folders
    before = contents(a)
    with pytest.raises(UsageError, match="a merge must not change"):
        merge([a, b], a / inside)
    assert contents(a) == before
    assert sum(merge([a, b], a).taken.values()) == 3


def test_a_folder_without_records_is_named(folders, tmp_path, caplog):
    a, _ = folders
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"no records in .*empty; expected results folders"):
        merge([tmp_path / "empty"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert merge([a, tmp_path / "empty"], tmp_path / "out").taken[a] == 2
    assert "empty holds no records" in caplog.text


def test_the_earlier_record_is_merged_if_its_replacement_was_killed(folders, tmp_path):
    a, _ = folders
    key = Store(a).keys()[0]
    whole = contents(Store(a).place(key))
    Store(a).place(key).rename(a / "records" / f".old-{key}")
    done = merge([a], tmp_path / "out")
    assert done.taken == {a: 2}
    assert done.damaged == {}
    assert contents(Store(tmp_path / "out").place(key)) == whole


def test_a_record_that_names_a_file_elsewhere_is_damaged(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    (a / "elsewhere").write_text("1234567")
    file = Store(a).place(key) / "manifest.json"
    entry = {"size": 7, "sha256": "0" * 64}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"../../elsewhere": entry}))
    done = merge([a], tmp_path / "out")
    assert "not the name of a file" in done.damaged[Store(a).place(key)]
    assert not (tmp_path / "out" / "elsewhere").exists()


def replaced_by_link(file):
    elsewhere = file.parents[3] / "secret"
    elsewhere.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(elsewhere)


def replaced_by_pipe(file):
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("replace", [replaced_by_link, replaced_by_pipe])
@pytest.mark.parametrize("name", ["record.json", "manifest.json", "arrays.npz", "prediction.png"])
def test_only_regular_files_are_read_and_copied(folders, tmp_path, replace, name):
    a, b = folders
    key = shared(a, b)
    replace(Store(a).place(key) / name)
    done = merge([a], tmp_path / "out")
    assert list(done.damaged) == [Store(a).place(key)]
    assert Store(tmp_path / "out").keys() == [s.record.key for s in Store(a).records()]


def test_a_pipe_for_the_suites_is_not_waited_for(folders, tmp_path):
    a, _ = folders
    replaced_by_pipe(a / "run.json")
    assert Store(a).suites() == []
    assert merge([a], tmp_path / "out").taken == {a: 2}


def test_a_picture_that_unpacks_to_gigabytes_is_damaged(folders, tmp_path):
    """A picture of a record of schema version 2, which has no checksum of its files."""
    a, b = folders
    key = as_older(Store(a).record(shared(a, b)), "1.0")
    file = Store(a).place(key) / "prediction.png"
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    picture = bytearray(file.read_bytes())
    picture[12:33] = header + struct.pack(">I", zlib.crc32(header))
    file.write_bytes(picture)
    assert "prediction.png is damaged" in merge([a], tmp_path / "out").damaged[file.parent]


def test_arrays_that_unpack_to_gigabytes_are_not_unpacked(folders, monkeypatch):
    a, _ = folders
    stored = Store(a).records()[0]
    monkeypatch.setattr("encbench.results.records.MOST_ARRAY_BYTES", 100)
    with pytest.raises(StoreError, match="damaged"):
        _ = stored.arrays


def test_control_characters_of_a_record_do_not_reach_a_terminal(folders, tmp_path, capsys):
    a, b = folders
    key = shared(a, b)
    cell = Store(b).record(key).record.cell
    label = "\x1b]0;owned\x07scaled\x9b31m"
    reference = cell.encoding.model_copy(update={"label": label})
    rewritten(b, key, cell=cell.model_copy(update={"encoding": reference}))
    suites = json.loads((b / "run.json").read_text())
    suites["suites"][0]["name"] = "b\x1b[2J"
    (b / "run.json").write_text(json.dumps(suites))
    store = Store(b)
    assert store.record(key).record.encoding_label == "\\x1b]0;owned\\x07scaled\\x9b31m"
    assert store.suite_name() == "b\\x1b[2J"
    verb([a, b], tmp_path / "out")
    assert "\x1b]0" not in capsys.readouterr().out


def test_each_dropped_record_of_three_names_the_kept_one(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    shutil.copytree(a, tmp_path / "c")
    for folder, year in ((a, 2001), (b, 2002), (tmp_path / "c", 2003)):
        rewritten(folder, key, finished=f"{year}-01-01T00:00:00+00:00")
    done = merge([a, b, tmp_path / "c"], tmp_path / "out")
    assert [(d.source, d.kept_source, d.because) for d in done.dropped] == [
        (a, tmp_path / "c", "newer"),
        (b, tmp_path / "c", "newer"),
    ]


def test_a_folder_in_use_is_refused(folders, tmp_path):
    a, b = folders
    with Store(b).writing(), pytest.raises(StoreError, match="in use"):
        merge([a, b], b)
    with pytest.raises(StoreError, match="no results folder"):
        merge([a, tmp_path / "nowhere"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["json", "arrays", "picture"])
def test_a_damaged_record_is_left_out_and_the_whole_one_taken(
    folders, tmp_path, damage, capsys, monkeypatch
):
    a, b = folders
    key = shared(a, b)
    name = {"json": "record.json", "arrays": "arrays.npz", "picture": "prediction.png"}[damage]
    file = Store(a).place(key) / name
    flipped = bytearray(file.read_bytes())
    # flip bits in the compressed data; the length does not change
    flipped[len(flipped) // 2] ^= 0xFF
    file.write_bytes(flipped)
    with pytest.raises(typer.Exit) as end:
        verb([a, b], tmp_path / "out")
    assert end.value.exit_code == 1
    assert f"left out the damaged record {Store(a).place(key)}" in capsys.readouterr().err
    assert file.read_bytes() == flipped
    merged = Store(tmp_path / "out").place(key)
    assert contents(merged) == contents(Store(b).place(key))


def test_a_damaged_record_whose_place_is_needed_is_kept_elsewhere(folders, capsys):
    a, b = folders
    place = Store(a).place(shared(a, b))
    file = place / "arrays.npz"
    flipped = bytearray(file.read_bytes())
    flipped[len(flipped) // 2] ^= 0xFF
    file.write_bytes(flipped)
    with pytest.raises(typer.Exit):
        verb([a, b], a)
    moved = a / "damaged" / place.name
    assert f"left out the damaged record {place}: " in (said := capsys.readouterr().err)
    assert f"moved to {moved}" in " ".join(said.split())
    assert (moved / "arrays.npz").read_bytes() == flipped
    assert contents(place) == contents(Store(b).place(place.name))


def test_records_of_a_newer_encbench_are_refused_before_anything_is_written(folders, tmp_path):
    a, b = folders
    file = Store(b).place(shared(a, b)) / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))
    with pytest.raises(StoreError, match="newer encbench"):
        merge([a, b], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_older_record_stays_as_it_is(folders, tmp_path):
    a, _ = folders
    stored = Store(a).records()[0]
    key = as_older(stored, "1.0")
    before = contents(Store(a).place(key))
    done = merge([a], tmp_path / "out")
    assert done.taken == {a: 2}
    assert contents(Store(tmp_path / "out").place(key)) == before


def as_older(stored, version, **changes):
    """Turn a record into one of schema version 2, made with a version of its plug-ins.

    Its key is that of schema version 2, which depends on versions.
    """
    data = json.loads((stored.path / "record.json").read_text()) | changes
    del data["cell"]["weights_version"]
    for part in ("encoding", "task"):
        data["cell"][part]["version"] = version
    key = hashlib.sha256(f"{stored.record.key} {version}".encode()).hexdigest()[:20]
    files = {name: entry.size for name, entry in stored.files.items()}
    data |= {"schema_version": 2, "key": key, "files": files, "checksum": None}
    folder = stored.path.parents[1] / key
    shutil.copytree(stored.path, folder)
    (folder / "manifest.json").unlink()
    (folder / "record.json").write_text(json.dumps(data, indent=2) + "\n")
    shutil.rmtree(stored.path)
    return key


def test_one_of_two_versions_of_a_cell_is_kept_and_the_other_named(folders, tmp_path, capsys):
    a, b = folders
    key = shared(a, b)
    newer = dict.fromkeys(("encoding", "task"), "2.0")
    cell = Store(b).record(key).record.cell
    changed = {
        part: getattr(cell, part).model_copy(update={"version": version})
        for part, version in newer.items()
    }
    rewritten(b, key, cell=cell.model_copy(update=changed), finished="2999-01-01T00:00:00+00:00")
    verb([a, b], tmp_path / "out")
    said = capsys.readouterr().out
    assert f"left out {key} (wave × scaled seed 0, ok, ours 1.0 instead of 2.0) of {a}" in said
    assert f"that of {b} is newer" in said
    assert Store(tmp_path / "out").record(key).record.cell.versions == ("2.0", "2.0")
    assert Store(a).record(key).record.cell.versions == ("1.0", "1.0")


@pytest.mark.parametrize("older", ["a", "b"])
def test_one_record_of_a_cell_is_kept_whatever_key_it_had(folders, tmp_path, older):
    """This also holds if the output folder has the cell under its older key."""
    a, b = folders
    key = shared(a, b)
    as_older(Store(tmp_path / older).record(key), "0.9")
    done = merge([a, b], a, "newer")
    (dropped,) = done.dropped
    records = Store(a).records()
    assert len(records) == sum(done.taken.values()) == 3
    assert len({cell_key(s.record.cell) for s in records}) == 3
    assert dropped.record.key not in {s.record.key for s in records}


def test_choices_are_reported(folders, tmp_path, capsys):
    a, b = folders
    rewritten(b, shared(a, b), status="failed")
    verb([a, b], tmp_path / "out")
    said = capsys.readouterr().out
    assert f"(wave × scaled seed 0, failed) of {b}: that of {a} is ok" in said
    assert f"3 records in {tmp_path / 'out'}: 2 of {a}, 1 of {b}" in said
    assert "no single suite" in said


def asked(suite, **changes):
    data = suite.model_dump(exclude_unset=True) | changes
    return Suite.model_validate(data).as_asked()


def test_suites_that_differ_in_one_list_are_one_suite(suite):
    one = asked(suite, name="one", encodings=["scaled", "nan"])
    two = asked(suite, name="two", encodings=["hungry", "scaled"])
    together = the_one_of(one, two)
    assert [e.name for e in together.encodings] == ["scaled", "nan", "hungry"]
    assert together.name == "one + two"
    assert together.training == suite.training
    seeds = the_one_of(asked(suite, seeds=[0, 1]), asked(suite, seeds=[1, 2]))
    assert (seeds.seeds, seeds.name) == ([0, 1, 2], suite.name)
    assert the_one_of(asked(suite), asked(suite, seeds=[1, 0])).seeds == [0, 1]
    assert merged_suites([one, one]) == [one]
    more = asked(suite, name="one", encodings=["scaled", "nan", "hungry"], seeds=[0, 1])
    for order in ([one, more], [more, one]):
        every = the_one_of(*order)
        assert {e.name for e in every.encodings} == {"scaled", "nan", "hungry"}
        assert sorted(every.seeds) == [0, 1]


def the_one_of(*suites):
    (suite,) = merged_suites(suites)
    return Suite.model_validate(suite)


TRAININGS = [{"steps": 4}, {"steps": 4, "batch_size": 256}]
NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True)
TASKS = st.lists(
    st.sampled_from(["x", "y", {"name": "z", "encodings": ["d"]}, {"name": "z"}]),
    min_size=1,
    max_size=3,
    unique_by=str,
)
SEEDS = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)
SUITES = st.builds(
    lambda encodings, tasks, seeds: Suite(encodings=encodings, tasks=tasks, seeds=seeds),
    NAMES,
    TASKS,
    SEEDS,
)


def cells(suite):
    return {
        (task.text, encoding.text, seed)
        for task in suite.tasks
        for encoding in task.encodings or suite.encodings
        for seed in suite.seeds
    }


# on a busy machine the strategy may be slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(SUITES, min_size=1, max_size=4))
def test_a_merged_suite_asks_for_just_the_cells_of_all(suites):
    merged = merged_suites([suite.as_asked() for suite in suites])
    if len(merged) > 1:
        assert all(suite.as_asked() in merged for suite in suites)
    union = set().union(*map(cells, suites))
    assert set().union(*(cells(Suite.model_validate(suite)) for suite in merged)) == union


def test_suites_whose_cross_product_would_be_more_are_listed(suite):
    one = asked(suite, encodings=["scaled"], seeds=[0])
    for other in (
        asked(suite, encodings=["nan"], seeds=[1]),
        asked(suite, training={"steps": 7}),
    ):
        assert merged_suites([one, other]) == [one, other]
        assert merged_suites([one, other, one]) == [one, other]
    assert merged_suites([]) == []
    assert merged_suites([one, {"encodings": []}]) == [one, {"encodings": []}]


def test_a_setting_that_equals_its_default_is_not_the_same_as_none(suite):
    """If the suite does not give a setting, the task's own is used."""
    suites = [asked(suite, seeds=[seed], training=t) for seed, t in enumerate(TRAININGS)]
    assert merged_suites(suites) == suites
    assert len(merged_suites([asked(suite, seeds=[0]), asked(suite, seeds=[1], network={})])) == 1


class OwnSettings(Wave):
    """A task each of whose settings differs from the default of all tasks."""

    network: ClassVar = NetworkDefaults(width=8, depth=1, parameterization="standard")
    training: ClassVar = {
        **{"optimizer": "adam", "schedule": "cosine", "lr": 0.1, "lr_factor": 2.0},
        **{"encoding_lr_factor": 2.0, "batch_size": 7, "steps": 9, "evaluations": 3},
        "matmul_precision": "high",
    }


DEFAULTS = {
    f"{section}.{key}": value
    for section, model in (("network", NetworkConfig()), ("training", TrainingConfig()))
    for key, value in model
} | {"ntk.points": 1024, "training.epochs": 100}


@pytest.mark.parametrize("setting", DEFAULTS)
@pytest.mark.parametrize("mixed", [False, True])
def test_merged_suites_plan_the_cells_of_their_parts(setting, mixed):
    """A setting given at its default takes precedence over the task's own."""
    section, key = setting.split(".")
    task = {"own": OwnSettings}
    registry = registry_of(ours=module(encodings={"scaled": Scaled, "nan": NotANumber}, tasks=task))
    given = {section: {key: DEFAULTS[setting]}}
    if setting == "training.optimizer":
        given[section]["lr"] = 1.0
    parts = [
        Suite(encodings=entries([encoding]), tasks=entries(["own"]), **settings)
        for encoding, settings in (("scaled", given), ("nan", {} if mixed else given))
    ]
    planned = set().union(*(keyed_plan(part, registry) for part in parts))
    merged = merged_suites([part.as_asked() for part in parts])
    again = (keyed_plan(Suite.model_validate(suite), registry) for suite in merged)
    assert set().union(*again) == planned


def test_a_merged_folder_names_the_suites_of_all(folders, tmp_path):
    a, b = folders
    merge([a, b], tmp_path / "out")
    store = Store(tmp_path / "out")
    assert store.suites() == [*Store(a).suites(), *Store(b).suites()]
    assert store.suite_name() == "a + b"
    assert {s.record.provenance.suite for s in store.records()} == {"a", "b"}


def test_suites_stored_by_an_older_encbench_are_read_without_their_defaults(suite, tmp_path):
    """Older versions stored defaults, which would take precedence over the task's settings."""
    full = suite.model_dump(mode="json")
    assert full["training"]["lr_factor"] == 1.5
    other = full | {"name": "other", "seeds": [3]}
    for stored, expected in ((full, 1), ({"merged": [full, other]}, 2), ({"merged": "x"}, 0)):
        (tmp_path / "run.json").write_text(json.dumps(stored))
        suites = Store(tmp_path).suites()
        assert len(suites) == expected
        for read in suites:
            valid = Suite.model_validate(read)
            assert valid.training.model_dump(exclude_unset=True) == {
                "batch_size": 16,
                "steps": 40,
                "evaluations": 4,
            }
            assert valid.ntk == suite.ntk


def test_equal_records_with_other_curves_are_not_identical(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    shutil.rmtree(Store(b).place(key))
    stored = Store(a).record(key)
    store = Store(b)
    with store.writing():
        arrays = {**stored.arrays, "loss": stored.arrays["loss"] + 1}
        pictures = {}
        for picture in stored.path.glob("*.png"):
            with Image.open(picture) as image:
                pictures[picture.stem] = np.asarray(image)
        store.write(stored.record, arrays, pictures)
    done = merge([a, b], tmp_path / "out")
    assert done.identical == 0
    assert [(d.record.key, d.source) for d in done.dropped] == [(key, b)]


def test_records_without_pictures_and_arrays_are_readable_and_lose_to_full_ones(folders, tmp_path):
    a, _ = folders
    merge([a], tmp_path / "small", without=["pictures", "arrays"])
    small = Store(tmp_path / "small")
    assert [s.record for s in small.records()] == [s.record for s in Store(a).records()]
    assert all(not s.files for s in small.records())
    assert merge([tmp_path / "small"], tmp_path / "copy").taken == {tmp_path / "small": 2}
    again = merge([tmp_path / "small", a], tmp_path / "again")
    assert again.taken == {tmp_path / "small": 0, a: 2}
    assert again.identical == 2
    assert all(s.files for s in Store(tmp_path / "again").records())
    with pytest.raises(UsageError, match="choose a new folder"):
        merge([a], a, without=["arrays"])
