"""The shares of an encoding's levels in the kernel: in records, a command and a page."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from encbench_encodings.mpe import MultigridParametricEncoding
from encbench_encodings.siren import Siren
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.render import style
from encbench_leaderboard.render.html.data import Entries
from encbench_leaderboard.render.html.plots import plot_data
from encbench_leaderboard.render.panels import plot
from encbench_leaderboard.report.figures.spectra import levels_figure

from encbench import CoordinateMLP, ntk
from encbench.cli.ntk import ntk as command
from encbench.errors import UsageError
from encbench.results.kernel_summary import LevelShare, SpectrumSummary, SplitSummary
from encbench.results.level_areas import BAR, stacked_areas
from encbench.runs import spectra
from encbench.runs.spectra import measure_spectrum
from encbench.suite.config import NtkConfig
from tests.leaderboard.results import Results


def measured(encoding, by="level", points=12, outputs="trace"):
    torch.manual_seed(0)
    model = CoordinateMLP(encoding, 2, 8, 2)
    x = torch.rand(points, 2, dtype=torch.float64)
    return model, x, *measure_spectrum(model, x, outputs, "end", 9, split=by)


def test_a_setting_that_is_not_set_is_not_in_the_key() -> None:
    assert NtkConfig().model_dump() == {"points": 1024, "outputs": "trace"}
    assert NtkConfig(split="level").model_dump()["split"] == "level"


@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_a_record_has_the_shares_of_trace_and_eigenvalues(outputs) -> None:
    grids = MultigridParametricEncoding(2, resolutions=[3, 6], init_std=1.0)
    model, x, summary, arrays = measured(grids, outputs=outputs)
    again = SpectrumSummary.model_validate_json(summary.model_dump_json())
    kernel = ntk.empirical_ntk(model, x, outputs=outputs)
    levels = ntk.kernel_by_level(model, x, outputs=outputs)
    parts = [kernel.parts["mlp"], *(level.kernel for level in levels)]
    traces = [float(part.trace() / kernel.total.trace()) for part in parts]
    assert [share.trace for share in again.split.parts] == pytest.approx(traces, rel=1e-12)
    names = ["network", "level 0, 3 nodes", "level 1, 6 nodes"]
    assert [share.name for share in again.split.parts] == names
    shares = arrays["levels_end"]
    assert shares.shape == (summary.resolved_rank, 3)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    values, vectors = np.linalg.eigh(kernel.total.numpy())
    first = [vectors[:, -1] @ part.numpy() @ vectors[:, -1] / values[-1] for part in parts]
    np.testing.assert_allclose(shares[0], first, rtol=1e-6)
    assert [s.mean for s in again.split.parts] == pytest.approx(shares.mean(0, dtype=float))


def test_missing_shares_are_explained(monkeypatch) -> None:
    *_, summary, arrays = measured(Siren(2, features=4))
    assert summary.split.not_computed.startswith("Siren has no levels: its learned parameters")
    assert "levels_end" not in arrays
    monkeypatch.setattr(spectra, "SPLIT_ROWS", 8)
    *_, summary, arrays = measured(MultigridParametricEncoding(2, resolutions=[3]), "feature")
    assert "12 rows, more than 8" in summary.split.not_computed
    assert [share.mean for share in summary.split.parts] == [None] * 3
    assert sum(share.trace for share in summary.split.parts) == pytest.approx(1)
    assert "levels_end" not in arrays
    *_, summary, _ = measured(MultigridParametricEncoding(2, resolutions=[3]), "none")
    assert "split" not in summary.model_dump()


PARTS = [
    LevelShare(name=name, trace=trace, mean=mean)
    for name, trace, mean in (("network", 0.9, 0.2), ("coarse", 0.06, 0.3), ("fine", 0.04, 0.5))
]
SHARES = np.array([[1.0, 0.0, 0.0], [0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])


def test_areas_are_stacked_to_one() -> None:
    areas = list(stacked_areas(PARTS, SHARES))
    bars, curves = areas[:3], areas[3:]
    assert [float(bar.high[0]) for bar in bars] == pytest.approx([0, 0.6, 1])
    assert bars[0].x.tolist() == list(BAR)
    assert curves[0].x.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curves[1].high - curves[1].low, np.repeat(SHARES[:, 1], 2))
    np.testing.assert_allclose(curves[-1].high, 1)
    assert [area.shade for area in curves] == [None, 0, 1]
    assert curves[1].label == "coarse: 6 % of the trace"
    assert len(list(stacked_areas(PARTS, None))) == 3


def test_a_page_draws_the_areas(tmp_path) -> None:
    results = Results(tmp_path)
    stored = results.add("mpe", points=6, more_arrays={"levels_end": SHARES})
    spectra = stored.record.spectra
    spectra[-1].split = SplitSummary(parts=PARTS)
    results.add("mpe:levels=1", points=6, spectra=spectra, more_arrays={"levels_end": SHARES})
    reason = spectra[-1].model_copy(update={"split": SplitSummary(not_computed="siren: why")})
    results.add("siren", points=6, spectra=[reason])
    figure = levels_figure(boards(results.store.records()).tasks[0])
    (panel,) = figure.panels
    assert panel.title == "mpe:levels=1, end: 3 of 6 eigenvalues"
    assert "Not drawn: siren: why." in figure.caption
    assert [series.kind for series in panel.series] == ["area"] * 6
    with style.quiet():
        (axes,) = plot(figure, {}).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(texts) == sorted(series.label for series in panel.series[:3])
    data = plot_data(figure, Entries(["mpe:levels=1"]))
    filled = [trace["meta"] for trace in data["traces"] if trace.get("fill") == "toself"]
    assert [meta["colours"][0] for meta in filled[1:3]] == ["#440154", "#fde725"]
    assert {meta["alpha"] for meta in filled} == {"ff"}


def test_narrow_terminals_show_which_encoding_a_spectrum_is_of(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    command(encoding=["identity"], task=["image:side=8"], points="4", width=8, device="cpu")
    assert "identity  " in capsys.readouterr().out


def test_the_command_prints_and_draws_the_shares(tmp_path, capsys) -> None:
    picture, numbers = tmp_path / "levels.png", tmp_path / "levels.json"

    def run(*encodings, **options):
        asked = {"points": "32", "width": 8, "depth": 2, "split": "level", "device": "cpu"}
        command(encoding=list(encodings), task=["image:image=camera,side=8"], **asked | options)

    run("mpe:resolutions=[3,6]", "ffe:levels=2", plot=picture, output=numbers)
    printed = " ".join(capsys.readouterr().out.split())
    assert "level 1, 6 nodes" in printed
    assert "ffe:levels=2: FourierFeatureEncoding has no levels" in printed
    assert picture.read_bytes()[:4] == b"\x89PNG"
    shares = json.loads(numbers.read_text())[0]["shares"]
    np.testing.assert_allclose(np.sum(shares, axis=1), 1, rtol=1e-6)
    with pytest.raises(UsageError, match="none of the encodings has levels"):
        run("ffe:levels=2", plot=picture)
    with pytest.raises(UsageError, match="leave out --matrix-free"):
        run("mpe", matrix_free=True)
