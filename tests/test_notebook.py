"""Runs from Python: the same cells as the command line's, and their records as tables."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import encbench
from encbench import load, run

NOTEBOOK = Path(__file__).parents[1] / "docs/notebook.ipynb"
SMALL = "tasks=['signal:side=16,bandwidth=2'], network={'width': 8}"
TINY = {
    "encodings": ["identity", "ffe:levels=4"],
    "tasks": ["image:image=chelsea,side=16"],
    "network": {"width": 8},
    "training": {"steps": 4},
    "ntk": {"points": 16},
    "jobs": 1,
    "report": False,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(**TINY, seeds=[0, 1], out=tmp_path_factory.mktemp("runs") / "out", progress=False)


def test_a_row_a_cell_and_a_row_an_eigenvalue(results):
    frame = results.frame()
    assert list(frame["encoding.label"]) == ["identity", "identity", "ffe:levels=4", "ffe:levels=4"]
    assert list(frame["metric.psnr"]) == [s.record.metrics["psnr"].value for s in results]
    spectra = results.spectra()
    kernel = spectra[(spectra["part"] == "kernel") & (spectra["when"] == "end")]
    assert kernel.groupby("key").size().tolist() == [16] * 4
    stored = results.records[2]
    mine = kernel[kernel["key"] == stored.record.key]["eigenvalue"]
    np.testing.assert_array_equal(mine, stored.arrays["spectrum_end"])
    assert set(results.curves()["curve"]) == {"loss", "psnr"}


def test_a_notebook_shows_the_cells_and_their_quality(results):
    assert "<table" in results._repr_html_()
    assert "psnr [dB]" in results._repr_html_()
    assert "ffe:levels=4" in repr(results)


def test_a_loaded_folder_holds_the_same_records(results):
    again = load(results.directory)
    assert {s.record.key for s in again} == {s.record.key for s in results}


def test_spectra_are_drawn_a_colour_an_encoding(results):
    with mpl.rc_context({"backend": "agg"}):
        axes = results.plot_spectra()
    assert len(axes.lines) == 4
    assert len({str(line.get_color()) for line in axes.lines}) == 2
    with pytest.raises(encbench.UsageError, match="expected one of image:image=chelsea,side=16"):
        results.plot_spectra(task="image")
    with pytest.raises(encbench.UsageError, match="'start', 'middle' or 'end'"):
        results.plot_spectra("beginning")


def test_spectra_of_two_encodings_with_one_label_are_told_apart(tmp_path):
    entries = ["identity as base", "symmetric as base"]
    found = run(**TINY | {"encodings": entries}, out=tmp_path / "out", progress=False)
    with mpl.rc_context({"backend": "agg"}):
        axes = found.plot_spectra()
    texts = {text.get_text() for text in axes.get_legend().get_texts()}
    assert texts == {"base (identity)", "base (symmetric)"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"encodings": "mpe"}, "expected a list of names"),
        ({"encodings": []}, "expected a list of names"),
        ({"encodings": ["mpee"]}, "did you mean 'mpe'"),
        ({"suite": "quik"}, "did you mean 'quick'"),
        ({"training": {"stepz": 3}}, "unknown key training.stepz"),
        ({"seeds": []}, r"seeds is \[\]; expected whole numbers"),
        ({"seeds": 3}, "seeds is 3; expected whole numbers"),
        ({"tasks": 3}, "tasks is 3; expected a list of names"),
        ({"ntk": 3}, "ntk is 3; expected a dict, such as {'points': 512}"),
        ({"thread": 1}, "no option 'thread'; did you mean 'threads'"),
    ],
)
def test_wrong_input_is_refused_before_anything_runs(wrong, message, tmp_path: Path):
    with pytest.raises(encbench.UsageError, match=message):
        run(**TINY | wrong, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_documented_notebook_runs_and_holds_its_outputs(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = [c for c in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    names: dict[str, object] = {}
    with mpl.rc_context({"backend": "agg"}):
        for cell in code:
            assert cell["outputs"]
            assert not any(output["output_type"] == "error" for output in cell["outputs"])
            source = "".join(cell["source"]).replace("200}", "2}").replace("[0, 1, 2]", "[0]")
            source = source.replace("128}", "64}").replace("suite=suite", f"suite=suite, {SMALL}")
            exec(compile(source, "notebook", "exec"), names)
    assert isinstance(names["results"], encbench.Results)
    assert str(Path.home()) not in NOTEBOOK.read_text("utf-8")
