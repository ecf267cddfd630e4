"""Exported values equal the recorded ones to the last digit, in any program."""

import csv
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from encbench import Store, StoreError, UsageError, run_suite
from encbench.cli.export import export
from encbench.results.tabular import (
    ExportColumn,
    cell_columns,
    cell_row,
    fixed_columns,
    write_csv,
    write_table,
)
from tests.conftest import one_cell

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "results.md"


@pytest.fixture
def suite():
    return one_cell(points=16)


@pytest.fixture
def results(tmp_path, registry, suite):
    """Three cells: one ok, one failed, one with values that are NaN."""
    suite = type(suite).model_validate(suite.model_dump() | {"encodings": ["scaled", "nan"]})
    run = run_suite(suite, tmp_path / "results", registry=registry, jobs=1, device="cpu")
    assert [s.record.status for s in run.records] == ["ok", "failed"]
    (fine, _) = run.records
    store = Store(tmp_path / "results")
    psnr = fine.record.metrics["psnr"].model_copy(update={"value": math.nan})
    with store.writing():
        changes = {"key": "0" * 20, "best": math.inf, "metrics": {"psnr": psnr}}
        store.write(fine.record.model_copy(update=changes), fine.arrays, {})
    return store


def read_csv(text, columns):
    kinds = {c.name: c.kind for c in columns}
    read = {"text": str, "integer": int, "number": float, "truth": {"true": True, "false": False}}
    read["truth"] = read["truth"].__getitem__
    return [
        {name: None if text == "" else read[kinds[name]](text) for name, text in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    ]


def same(one, other):
    both = isinstance(one, float) and isinstance(other, float)
    return (both and math.isnan(one) and math.isnan(other)) or (
        one == other and type(one) is type(other)
    )


def expected_rows(store):
    rows = [cell_row(stored.record) for stored in store.records()]
    columns = cell_columns(rows)
    return columns, [{c.name: row.get(c.name) for c in columns} for row in rows]


def test_csv_comes_back_as_it_was(results, capsys):
    columns, rows = expected_rows(results)
    export(results.directory, "-")
    read = read_csv(capsys.readouterr().out, columns)
    assert len(read) == len(rows) == 3
    for got, meant in zip(read, rows, strict=True):
        assert list(got) == list(meant)
        # in CSV, missing values and empty texts are the same
        wrong = [n for n, v in meant.items() if not same(got[n], None if v == "" else v)]
        assert wrong == []


def test_parquet_comes_back_as_it_was_with_types_and_units(results, tmp_path):
    columns, rows = expected_rows(results)
    export(results.directory, str(tmp_path / "out.parquet"))
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == [c.name for c in columns]
    for got, meant in zip(table.to_pylist(), rows, strict=True):
        assert [n for n in meant if not same(got[n], meant[n])] == []
    unit = table.schema.field("duration.training_s").metadata
    assert unit == {b"unit": b"s"}
    assert table.schema.field("peak_memory_bytes").metadata == {b"unit": b"B"}
    # a column without values still has its type
    assert str(table.schema.field("training.epochs").type) == "int64"


def test_a_row_says_what_the_record_says(results):
    fine = next(
        s.record for s in results.records() if s.record.status == "ok" and s.record.key != "0" * 20
    )
    row = cell_row(fine)
    assert row["metric.psnr"] == fine.metrics["psnr"].value
    assert row["metric.psnr.unit"] == "dB"
    assert row["duration.training_s"] == fine.durations["training"]
    assert row["spectrum.end.median"] == fine.spectra[-1].median
    assert row["spectrum.end.weyl.ok"] is True
    assert row["provenance.machine"] == fine.provenance.machine
    assert row["provenance.libraries.torch"] == fine.provenance.libraries["torch"]
    assert row["learning_rate.value"] == fine.learning_rate.value
    assert row["training.lr"] == "auto"
    assert json.loads(row["encoding.parameters"]) == {"scale": 1.0}


def test_cells_that_are_not_ok_are_rows_with_their_reason(results):
    columns, rows = expected_rows(results)
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert failed["error.type"] == "ValueError"
    assert "this encoding cannot" in failed["error.message"]
    assert failed["phase"] == "setup"
    assert failed["metric.psnr"] is None
    assert {c.name for c in fixed_columns()} <= {c.name for c in columns}


def test_fixed_columns_do_not_depend_on_what_ran(results, registry, suite, tmp_path):
    failing = type(suite).model_validate(suite.model_dump() | {"encodings": ["nan"]})
    run = run_suite(failing, tmp_path / "other", registry=registry, jobs=1, device="cpu")
    only_failed = cell_columns([cell_row(s.record) for s in run.records])
    every, _ = expected_rows(results)
    fixed = fixed_columns()
    assert only_failed[: len(fixed)] == every[: len(fixed)] == fixed
    assert len({c.name for c in every}) == len(every)


def test_every_fixed_column_is_documented():
    text = DOCUMENTATION.read_text(encoding="utf-8")
    names = {c.name.replace(".start.", ".WHEN.") for c in fixed_columns()}
    names = {n for n in names if ".middle." not in n and ".end." not in n}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_spectra_and_curves_are_long_tables_of_all_values(results, tmp_path, suffix):
    spectra, curves = tmp_path / f"spectra.{suffix}", tmp_path / f"curves.{suffix}"
    export(results.directory, str(tmp_path / f"cells.{suffix}"), spectra, curves)
    stored = next(s for s in results.records() if s.record.key == "0" * 20)
    if suffix == "csv":
        rows, points = (
            list(csv.DictReader(io.StringIO(f.read_text(encoding="utf-8"))))
            for f in (spectra, curves)
        )
    else:
        rows, points = (pq.read_table(f).to_pylist() for f in (spectra, curves))
    for part, name in (("kernel", "spectrum_end"), ("mlp", "spectrum_mlp_end")):
        mine = [
            row for row in rows if (row["key"], row["when"], row["part"]) == ("0" * 20, "end", part)
        ]
        assert [float(r["eigenvalue"]) for r in mine] == stored.arrays[name].tolist()
        assert [int(r["index"]) for r in mine] == list(range(1, len(mine) + 1))
    for curve in ("loss", "psnr"):
        mine = [p for p in points if (p["key"], p["curve"]) == ("0" * 20, curve)]
        array = "loss" if curve == "loss" else "curve"
        assert [float(p["value"]) for p in mine] == stored.arrays[array].tolist()
        assert [int(p["step"]) for p in mine] == stored.arrays[f"{array}_step"].tolist()


def test_bands_are_a_row_for_each_octave_at_each_step(results, tmp_path):
    fine = next(s for s in results.records() if s.record.status == "ok")
    bands = {
        "band_upper": np.array([0.0, 1, 2]),
        "band_target": np.array([0.5, 0.25, 0.125]),
        "band_step": np.array([0.0, 7]),
        "band_error": np.array([[0.1, 0.2, 0.3], [0.01, 0.02, math.nan]]),
    }
    with results.writing():
        results.write(fine.record, fine.arrays | bands, {})
    export(results.directory, str(tmp_path / "cells.csv"), bands=tmp_path / "bands.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "bands.csv").read_text())))
    assert {row["key"] for row in rows} == {fine.record.key}, "others have no bands"
    named = ("step", "above", "up_to", "error", "target")
    read = [[float(row[name]) for name in named] for row in rows]
    np.testing.assert_array_equal(
        read,
        [
            [0, 0, 0, 0.1, 0.5],
            [0, 0, 1, 0.2, 0.25],
            [0, 1, 2, 0.3, 0.125],
            [7, 0, 0, 0.01, 0.5],
            [7, 0, 1, 0.02, 0.25],
            [7, 1, 2, math.nan, 0.125],
        ],
    )


def test_without_pyarrow_parquet_says_how_to_install_it(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'encbench\[parquet\]'"):
        export(results.directory, str(tmp_path / "out.parquet"))
    export(results.directory, str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").exists()


def test_misuse_is_told_before_anything_is_written(results, tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.csv or \.parquet"):
        export(results.directory, str(tmp_path / "cells.csv"), spectra=tmp_path / "spectra.txt")
    assert not (tmp_path / "cells.csv").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        export(results.directory, str(tmp_path / "file" / "cells.csv"))
    with pytest.raises(StoreError, match="no results folder"):
        export(tmp_path / "nowhere", "-")
    one = tmp_path / "one.csv"
    (tmp_path / "link.csv").symlink_to(one)
    for other in (one, tmp_path / "link.csv"):
        with pytest.raises(UsageError, match="a file of its own for each table"):
            export(results.directory, str(one), curves=other)
    assert not one.exists()
    with pytest.raises(StoreError, match="File name too long"):
        export(results.directory, str(tmp_path / f"{'a' * 300}.csv"))
    Store(tmp_path / "empty").directory.mkdir()
    with pytest.raises(StoreError, match="holds no records"):
        export(tmp_path / "empty", "-")


def test_a_folder_that_is_missing_is_made(results, tmp_path):
    export(results.directory, str(tmp_path / "new" / "cells.csv"))
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["cells.csv"]


def test_damaged_arrays_cost_only_the_curves_of_their_record(results, tmp_path, caplog):
    whole, broken = tmp_path / "whole.csv", tmp_path / "broken.csv"
    export(results.directory, str(tmp_path / "cells.csv"), curves=whole)
    with whole.open() as file:
        keys = list(dict.fromkeys(row["key"] for row in csv.DictReader(file)))
    assert len(keys) > 1
    arrays = results.place(keys[0]) / "arrays.npz"
    arrays.write_bytes(bytes(arrays.stat().st_size))
    export(results.directory, str(tmp_path / "cells.csv"), curves=broken)
    with broken.open() as file:
        assert {row["key"] for row in csv.DictReader(file)} == set(keys[1:])
    assert [message.partition(";")[0] for message in caplog.messages] == [
        f"leaving out {arrays}, which is damaged"
    ]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_that_was_there_stays_until_the_new_one_is_complete(tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    path.write_text("before")

    def rows():
        yield [[1]]
        raise StoreError("arrays.npz is damaged")

    with pytest.raises(StoreError, match="damaged"):
        write_table([ExportColumn("n", "integer")], rows(), path)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_text_with_commas_quotes_and_lines_survives_csv():
    awkward = ['a, "b"', "two\nlines", "γ(x) = s·x", " spaces "]
    file = io.StringIO()
    write_csv([ExportColumn("text", "text")], [[awkward]], file)
    assert [row["text"] for row in csv.DictReader(io.StringIO(file.getvalue()))] == awkward


def test_a_number_that_parquet_cannot_hold_is_one_clear_line(tmp_path):
    columns, chunks = [ExportColumn("seed", "integer")], [[[1 << 70]]]
    with pytest.raises(StoreError, match="does not fit into 64 bits"):
        write_table(columns, chunks, tmp_path / "out.parquet")
    write_table(columns, chunks, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == f"seed\n{1 << 70}\n"


def test_parquet_s_row_groups_join_without_a_seam(tmp_path, monkeypatch):
    monkeypatch.setattr("encbench.results.tabular.GROUP", 5)
    chunks = [[["a"] * n, np.arange(10 * n, 11 * n)] for n in (1, 4, 2, 7, 0, 3)]
    columns = [ExportColumn("name", "text"), ExportColumn("n", "integer")]
    write_table(columns, chunks, tmp_path / "out.parquet")
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups == 3
    assert file.read()["n"].to_pylist() == [n for chunk in chunks for n in chunk[1].tolist()]
    write_table(columns, [], tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


def test_numbers_survive_csv_to_the_last_digit():
    rng = np.random.default_rng(0)
    numbers = [*(rng.standard_normal(50) * 10.0 ** rng.integers(-300, 300, 50)), 0.1, 1e300]
    file = io.StringIO()
    write_csv([ExportColumn("x", "number")], [[np.array(numbers)]], file)
    assert [float(r["x"]) for r in csv.DictReader(io.StringIO(file.getvalue()))] == numbers
