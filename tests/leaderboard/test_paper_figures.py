"""``encbench figures``: the paper's figures from records, and what to run for the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.paper_figures import line_plots, network_maps
from encbench_leaderboard.paper_figures.drawing import draw_figures
from encbench_leaderboard.paper_figures.figures_verb import figures
from encbench_leaderboard.paper_figures.line_plots import epoch_curves
from encbench_leaderboard.paper_figures.network_maps import learned_values
from encbench_leaderboard.paper_figures.network_maps import region_maps as describe_regions
from encbench_leaderboard.report.blocks import Panel
from PIL import Image

from encbench import Store, StoreError, UsageError, load_model, load_suite, run_suite
from encbench.contracts.metric import MetricValue
from encbench.plugins.registry import default_registry
from encbench.results.merging import merge
from tests.leaderboard.results import Results

SUITE = """
encodings = ["mpe:resolutions=[30],features_per_level=1", "identity", "siren"]
tasks = ["image:image=chelsea,side=8"]
[network]
width = 8
[training]
steps = 4
batch_size = 16
[ntk]
points = 0
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tiny networks with their weights."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(SUITE)
    suite = load_suite(str(folder / "tiny.toml"), default_registry())
    run_suite(suite, folder, jobs=1, device="cpu", report=False, save_weights=True)
    return folder


def panels_of(described: Any) -> list[Panel]:
    return list(described.draw.args[0].panels)


def three_kinds(results: Results) -> Any:
    """A task with a network without encoding, one with a fixed and one with a learned encoding."""
    for encoding, own in (("identity", 0), ("ffe", 0), ("mpe", 900)):
        results.add(encoding, parameters={"mlp": 100, "encoding": own})
    (task,) = boards(results.store.records()).tasks
    return task


def test_figure_2_has_the_learned_encoding_twice_and_no_encoding_once(results: Results) -> None:
    task = three_kinds(results)
    (panel,) = panels_of(line_plots.with_and_without(task, {}))
    lines = {(line.entry, line.style): line for line in panel.series}
    assert set(lines) == {("mpe", "solid"), ("mpe", "dashed"), ("identity", "solid")}
    (stored,) = task.of_entry("mpe")
    floor = next(s.floor for s in stored.record.spectra if s.when == "end")
    for style, name in (("solid", "spectrum_end"), ("dashed", "spectrum_mlp_end")):
        values = stored.arrays[name]
        assert lines["mpe", style].y.tolist() == values[values > floor].tolist()


def test_figure_4_has_a_panel_for_each_kind_of_encoding(results: Results) -> None:
    task = three_kinds(results)
    panels = panels_of(line_plots.three_panels(task, {}))
    shown = [[(line.entry, line.label, line.style) for line in panel.series] for panel in panels]
    assert shown == [
        [(entry, "middle", "dashed"), (entry, "end", "solid")]
        for entry in ("identity", "ffe", "mpe")
    ]


def test_figure_4_says_once_which_panels_it_lacks(results: Results) -> None:
    results.add("mpe", parameters={"mlp": 100, "encoding": 900})
    (task,) = boards(results.store.records()).tasks
    missing = line_plots.three_panels(task, {}).missing
    assert missing == [
        "Figure 4 has no panel for no encoding, encodings without parameters: no spectrum was "
        "recorded."
    ]


def test_figure_11_counts_what_is_under_the_floor_at_the_start(results: Results) -> None:
    task = three_kinds(results)
    block = line_plots.at_start(task, {}).draw.args[0]
    (stored,) = task.of_entry("ffe")
    below = [s.size - s.resolved_rank for s in stored.record.spectra]
    assert len(set(below)) > 1
    assert block.legend["ffe"] == f"ffe\n{below[0]} of 64 ≤ floor"
    assert {line.label for line in block.panels[0].series} == {"start"}


def test_figure_6_is_over_epochs(results: Results) -> None:
    task_of = results.add("mpe", epochs=50.0)
    (task,) = boards([task_of]).tasks
    loss, quality = panels_of(epoch_curves(task, {}))
    assert loss.x.title == quality.x.title == "epoch"
    assert quality.series[0].x.tolist() == (task_of.arrays["curve_step"] * 0.05).tolist()


def test_nodes_that_no_pixel_touches_are_coloured(trained: Path) -> None:
    (task,) = boards(Store(trained).records()).tasks
    described = learned_values(task, {})
    (shown,) = described.draw.args[0]
    # of 30 nodes per axis, the two next to each of 8 pixel centres
    cells = np.floor((np.arange(8) + 0.5) / 8 * 29).astype(int)
    touched = np.isin(np.arange(30), [cells, cells + 1])
    rows = np.isin(np.arange(30), np.floor((np.arange(5) + 0.5) / 5 * 29)[:, None] + [0, 1])
    coloured = shown.pixels[..., 0] != shown.pixels[..., 2]
    assert (coloured == ~(rows[:, None] & touched)).all()
    stored = described.records[0]
    table = load_model(stored).encoding.table.detach().numpy().reshape(30, 30)
    used = table[~coloured]
    low, high = np.percentile(used, [1, 99])
    grey = np.clip((used - low) / (high - low), 0, 1)
    np.testing.assert_allclose(shown.pixels[~coloured, 0], grey, atol=1e-6)
    assert described.missing == [
        "siren: describes no grids of learned values (Encoding.learned_grids)."
    ]


def test_region_maps_say_which_network_has_none(trained: Path) -> None:
    (task,) = boards(Store(trained).records()).tasks
    described = describe_regions(task, {}, 16)
    assert [stored.record.encoding_label.partition(":")[0] for stored in described.records] == [
        entry.partition(":")[0] for entry in task.standings["entry"] if entry != "siren"
    ]
    assert described.missing[0].startswith("siren: activation regions are those of ReLU units")
    whole, *_ = described.draw.args[0]
    labels, count = network_maps._regions(described.records[0], 16)
    assert labels.shape == (16, 16)
    assert whole.title.endswith(f"{count:,} patterns")
    assert len(np.unique(labels)) == count


def test_figures_of_two_tasks_with_captions(results: Results, tmp_path: Path) -> None:
    for image in ("cat", "dog"):
        results.add("mpe", task=f"image:image={image}", parameters={"mlp": 1, "encoding": 900})
    out = tmp_path / "paper"
    found = draw_figures(results.directory, ["2"], out, formats=["png", "pdf"], dpi=40)
    for figure in found:
        assert all(file.stat().st_size > 1000 for file in figure.files)
        assert "From 1 record, seed 0: cell0" in figure.caption
        assert figure.missing == "The network without an encoding: add -e identity."
    with Image.open(found[0].files[0]) as picture:
        assert picture.width == 9 * 40
    draw_figures(results.directory, ["12,figure13"], out, task="dog")
    captions = (out / "captions.md").read_text()
    headings = [line for line in captions.splitlines() if line.startswith("## ")]
    assert [line.split(":")[0] for line in headings] == [
        f"## Figure {number}" for number in (2, 2, 12, 13)
    ]
    assert "](figure-2-image-image-cat.png)" in captions
    assert "with --save-weights" in captions


def test_what_cannot_be_drawn_says_what_to_run(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    results.add("ffe", points=0, pictures=False, curves=False)
    with pytest.raises(StoreError, match="no data to draw a figure from"):
        figures(results.directory)
    said = capsys.readouterr().out
    assert "captions" not in said
    assert not (results.directory / "figures").exists()
    for number, mend in {
        "2": "--ntk-points 1024",
        "3": "no record has a picture",
        "5": "several targets",
        "6": "no training curve",
        "13": "--save-weights",
        "14": "-t occupancy",
        "levels": "ntk.split=level",
    }.items():
        (line,) = (line for line in said.splitlines() if f"not drawn: figure {number}:" in line)
        assert mend in line
    with pytest.raises(StoreError, match=r"cannot draw figure 12: .*--save-weights"):
        figures(results.directory, only=["12"])


def test_records_without_their_arrays_are_not_said_to_lack_spectra(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results.add("mpe")
    merge([results.directory], tmp_path / "slim", without=["arrays"])
    figures(tmp_path / "slim")
    said = capsys.readouterr().out
    for number in (2, 4, 6, 11):
        assert f"figure {number}: the records have no arrays" in said


def test_depth_is_the_lower_half_of_a_view(results: Results) -> None:
    found = {"iou": MetricValue(value=0.9), "depth_psnr": MetricValue(value=20.0, unit="dB")}
    stored = results.add("mpe", task="occupancy", metrics=found, curve="iou")
    (figure,) = draw_figures(results.directory, ["14"], dpi=40)
    assert figure.files
    assert stored.record.key in figure.caption


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["1"]}, r"no figure '1' to draw; .*[Tt]here are 2, 3, 4, .* 14"),
        ({"only": ["spectra"]}, r"no figure 'spectra'"),
        ({"formats": ["gif"]}, r"format 'gif', expected png, svg, pdf"),
        ({"task": "horse"}, r"contains 'horse'; there are image:image=chelsea"),
    ],
)
def test_a_wrong_request_is_one_line(
    results: Results, options: dict[str, Any], message: str
) -> None:
    results.add("ffe")
    with pytest.raises(UsageError, match=message):
        draw_figures(results.directory, **options)


def test_damaged_arrays_cost_only_the_lines_of_their_record(
    results: Results, caplog: pytest.LogCaptureFixture
) -> None:
    (stored,) = three_kinds(results).of_entry("ffe")
    file = stored.path / "arrays.npz"
    file.write_bytes(bytes(file.stat().st_size))
    (drawn,) = draw_figures(results.directory, ["11"], dpi=40)
    assert drawn.files
    assert drawn.missing == "Not drawn: ffe (no spectrum)."
    assert [message.partition(";")[0] for message in caplog.messages] == [
        f"leaving out {file}, which is damaged"
    ]
