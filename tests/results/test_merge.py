"""Merging loses no result silently, changes no input, and says what it chose."""

import json
import shutil

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from encbench import Store, StoreError, Suite, UsageError, run_suite
from encbench.cli.merge import merge_folders as verb
from encbench.results.merging import merge, merged_suite


@pytest.fixture
def folders(tmp_path, registry, suite):
    """Two folders: both have scaled seed 0; a has seed 1 too, b a cell that failed."""
    for name, changes in {
        "a": {"seeds": [0, 1]},
        "b": {"encodings": ["scaled", "nan"]},
    }.items():
        asked = Suite.model_validate(suite.model_dump() | {"name": name} | changes)
        run_suite(asked, tmp_path / name, registry=registry, jobs=1, device="cpu")
    return tmp_path / "a", tmp_path / "b"


def shared(*folders):
    """Key of the one cell that all have."""
    (key,) = set.intersection(*({s.record.key for s in Store(f).records()} for f in folders))
    return key


def rewritten(folder, key, **changes):
    """A record as if it had been made otherwise."""
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
    # the lock is left by readers of no records too
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def test_the_union_by_key_as_it_was_written(folders, tmp_path):
    a, b = folders
    shutil.rmtree(b / "records" / shared(a, b))
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
    shutil.rmtree(b / "records" / key)
    shutil.copytree(a / "records" / key, b / "records" / key)
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
    assert (dropped.source, dropped.kept) == ((a, b) if status == "failed" else (b, a))
    assert Store(tmp_path / "out").record(key).record.status == status
    again = merge([b, a], tmp_path / "again", prefer)
    kept = Store(tmp_path / "again").record(key).record.status
    assert kept == ("failed" if prefer == "first" else status)
    assert len(again.dropped) == 1


def test_newer_compares_times_not_texts(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    # the first is an hour later, and would come first as text
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


def test_into_one_of_the_inputs(folders):
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


def test_the_earlier_record_is_merged_where_its_replacement_was_killed(folders, tmp_path):
    a, _ = folders
    records = a / "records"
    key = sorted(p.name for p in records.iterdir())[0]
    whole = contents(records / key)
    (records / key).rename(records / f".old-{key}")
    done = merge([a], tmp_path / "out")
    assert done.taken == {a: 2}
    assert done.damaged == {}
    assert contents(tmp_path / "out" / "records" / key) == whole


def test_a_record_that_names_a_file_elsewhere_is_damaged(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    (a / "elsewhere").write_text("1234567")
    file = a / "records" / key / "record.json"
    told = json.loads(file.read_text()) | {"checksum": None}
    told["files"]["../../elsewhere"] = 7
    file.write_text(json.dumps(told))
    done = merge([a], tmp_path / "out")
    assert "no name of a file" in done.damaged[a / "records" / key]
    assert not (tmp_path / "out" / "elsewhere").exists()


def test_of_three_what_is_left_out_names_what_is_kept(folders, tmp_path):
    a, b = folders
    key = shared(a, b)
    shutil.copytree(a, tmp_path / "c")
    for folder, year in ((a, 2001), (b, 2002), (tmp_path / "c", 2003)):
        rewritten(folder, key, finished=f"{year}-01-01T00:00:00+00:00")
    done = merge([a, b, tmp_path / "c"], tmp_path / "out")
    assert [(d.source, d.kept, d.because) for d in done.dropped] == [
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
    file = a / "records" / key / name
    flipped = bytearray(file.read_bytes())
    # in the middle of compressed data, whose length stays
    flipped[len(flipped) // 2] ^= 0xFF
    file.write_bytes(flipped)
    with pytest.raises(typer.Exit) as end:
        verb([a, b], tmp_path / "out")
    assert end.value.exit_code == 1
    assert f"left out the damaged record {a / 'records' / key}" in capsys.readouterr().err
    assert file.read_bytes() == flipped
    merged = tmp_path / "out" / "records" / key
    assert contents(merged) == contents(b / "records" / key)


def test_records_of_a_newer_encbench_are_refused_before_anything_is_written(folders, tmp_path):
    a, b = folders
    file = b / "records" / shared(a, b) / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))
    with pytest.raises(StoreError, match="newer encbench"):
        merge([a, b], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_older_record_stays_as_it_is(folders, tmp_path):
    a, _ = folders
    file = next((a / "records").iterdir()) / "record.json"
    data = json.loads(file.read_text())
    del data["lost_workers"], data["checksum"]
    file.write_text(json.dumps(data | {"schema_version": 1}))
    merge([a], tmp_path / "out")
    assert (tmp_path / "out" / "records" / data["key"] / "record.json").read_bytes() == (
        file.read_bytes()
    )


def test_what_was_chosen_is_said(folders, tmp_path, capsys):
    a, b = folders
    rewritten(b, shared(a, b), status="failed")
    verb([a, b], tmp_path / "out")
    said = capsys.readouterr().out
    assert f"(wave × scaled seed 0, failed) of {b}: that of {a} is ok" in said
    assert f"3 records in {tmp_path / 'out'}: 2 of {a}, 1 of {b}" in said
    assert "no single suite" in said


def dumped(suite, **changes):
    return Suite.model_validate(suite.model_dump() | changes).model_dump(mode="json")


def test_suites_that_differ_in_one_list_are_one_suite(suite):
    one = dumped(suite, name="one", encodings=["scaled", "nan"])
    two = dumped(suite, name="two", encodings=["hungry", "scaled"])
    together = Suite.model_validate(merged_suite([one, two]))
    assert [e.name for e in together.encodings] == ["scaled", "nan", "hungry"]
    assert together.name == "one + two"
    assert together.training == suite.training
    seeds = merged_suite([dumped(suite, seeds=[0, 1]), dumped(suite, seeds=[1, 2])])
    assert (seeds["seeds"], seeds["name"]) == ([0, 1, 2], suite.name)
    assert merged_suite([one, one]) == one
    more = dumped(suite, name="one", encodings=["scaled", "nan", "hungry"], seeds=[0, 1])
    for order in ([one, more], [more, one]):
        every = merged_suite(order)
        assert {e["name"] for e in every["encodings"]} == {"scaled", "nan", "hungry"}
        assert sorted(every["seeds"]) == [0, 1]


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


@given(st.lists(SUITES, min_size=1, max_size=4))
def test_a_merged_suite_asks_for_just_the_cells_of_all(suites):
    dumps = [suite.model_dump(mode="json") for suite in suites]
    merged = merged_suite(dumps)
    if "merged" in merged:
        assert all(dump in merged["merged"] for dump in dumps)
    else:
        union = set().union(*map(cells, suites))
        assert cells(Suite.model_validate(merged)) == union


def test_suites_whose_cross_product_would_be_more_are_listed(suite):
    one = dumped(suite, encodings=["scaled"], seeds=[0])
    for other in (
        dumped(suite, encodings=["nan"], seeds=[1]),
        dumped(suite, training={"steps": 7}),
    ):
        merged = merged_suite([one, other])
        assert merged == {"merged": [one, other]}
        # merged once more, it is flat, and no suite to be given again
        assert merged_suite([merged, one]) == {"merged": [one, other]}
    assert merged_suite([one, None]) == {"merged": [one]}
    assert merged_suite([None]) == {"merged": []}
    assert merged_suite([one, {"encodings": []}]) == {"merged": [one, {"encodings": []}]}


def test_a_leaderboard_of_merged_folders_does_not_name_a_suite_that_is_none(folders, tmp_path):
    a, b = folders
    merge([a, b], tmp_path / "out")
    store = Store(tmp_path / "out")
    assert "merged" in store.suite()
    assert store.suite_name() is None
    assert {s.record.provenance.suite for s in store.records()} == {"a", "b"}
