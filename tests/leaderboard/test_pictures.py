"""The pictures show the right data, and nothing below the floor."""

from __future__ import annotations

import os
import signal
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import pytest
from encbench_leaderboard.board.spectra_mean import resolved
from encbench_leaderboard.board.table import Board, TaskBoard, boards
from encbench_leaderboard.render import pictures, style
from encbench_leaderboard.render.html.data import Entries
from encbench_leaderboard.render.html.plots import plot_data
from encbench_leaderboard.render.panels import plot
from encbench_leaderboard.render.picture_grid import busiest_crop, contact_sheet
from encbench_leaderboard.report import blocks
from encbench_leaderboard.report.figures.cost import cost_figure
from encbench_leaderboard.report.figures.predictions import lines_figure, sheet
from encbench_leaderboard.report.figures.selection import SHOWN, spread, thin_index, thinned
from encbench_leaderboard.report.figures.spectra import spectra_figure
from encbench_leaderboard.report.figures.training import curves_figure
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from encbench.contracts.metric import MetricValue
from encbench.errors import StoreError
from encbench.results import palette
from encbench.runs import forked
from tests.leaderboard.results import FLOOR, Results, diverged, photograph

LONG = "mpe:levels=2,resolutions=[96,277],features_per_level=3,spacing=geometric,init_std=0.0"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with style.quiet():
        yield


def board_of(results: Results) -> Board:
    return boards(results.store.records())


FIGURES = {
    **{"lines": lines_figure, "spectra": spectra_figure},
    **{"curves": curves_figure, "cost": cost_figure},
}


def draw(results: Results, kind: str) -> Figure | None:
    board = board_of(results)
    if kind == "sheet":
        shown = sheet(board.tasks[0])
        return shown and contact_sheet(shown)
    figure = FIGURES[kind](board.tasks[0])
    return figure and plot(figure, palette.colours(board.entries))


def small(task: TaskBoard) -> blocks.Figure:
    """A figure with a point per cell and nothing else, drawn in a third of the others' time."""
    quality = np.array([stored.record.metrics["psnr"].value for stored in task.records])
    points = blocks.Series("", np.arange(len(quality)), quality)
    panel = blocks.Panel(blocks.Axis("cell"), blocks.Axis("PSNR"), [points])
    return blocks.Figure("cost", "quality", "", lambda: [panel])


def page_of(board: Board, *kinds: str) -> blocks.Page:
    """A page with only these kinds of pictures; most take half a second to draw."""
    made = {"sheet": sheet, "small": small, **FIGURES}

    def section(task: TaskBoard) -> blocks.Section:
        found = [made[kind](task) for kind in kinds]
        return blocks.Section(
            task.slug,
            task.label,
            [block for block in found if block is not None],
            targets=[target.slug for target in task.targets],
        )

    tasks = (*board.categories, *board.tasks)
    return blocks.Page("Leaderboard", [section(task) for task in tasks], board.entries)


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def drawn_lines(figure: Figure, axes: int) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in figure.axes[axes].lines]


@pytest.fixture(
    scope="module",
    params=[
        *(("spectra", 10), ("curves", 2), ("curves", 10)),
        *(("cost", 1), ("cost", 10), ("sheet", 1), ("sheet", 10)),
    ],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def picture(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Figure, np.ndarray]:
    """A drawn picture of one, two or ten entries with long names, and its pixels."""
    kind, entries = request.param
    results = Results(tmp_path_factory.mktemp("run"))
    for place in range(entries):
        results.add(f"{LONG}{place}", psnr=20.0 + place, decades=8.0 + place)
    with style.quiet():
        figure = draw(results, kind)
        assert figure is not None
        return figure, pixels(figure)


def test_a_picture_is_wide_and_not_blank(picture: tuple[Figure, np.ndarray]) -> None:
    _, shown = picture
    assert shown.shape[1] >= 840
    assert np.all(shown[0, 0] == 255), "light background"
    assert (shown.min(axis=2) < 200).mean() > 0.003
    # one number per pixel, since sorting rows of three takes seconds
    assert len(np.unique(shown.astype(np.int64) @ [1 << 16, 1 << 8, 1])) > 50


def test_no_text_leaves_the_page_or_overlaps_other_text(
    picture: tuple[Figure, np.ndarray],
) -> None:
    figure, _ = picture
    width, height = figure.bbox.width, figure.bbox.height
    texts = [axes.title for axes in figure.axes if axes.title.get_text().strip()]
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes)]:
        texts += legend.get_texts() if legend else []
    texts += [text for axes in figure.axes for text in axes.texts]
    boxes = [text.get_window_extent() for text in texts]
    assert boxes
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])


def test_no_eigenvalue_under_the_floor_is_drawn(results: Results) -> None:
    results.add("deep", decades=24.0, points=128)
    figure = draw(results, "spectra")
    assert figure is not None
    lines = drawn_lines(figure, 0) + drawn_lines(figure, 1)
    spectra = [line for line in lines if len(line) > 2]
    assert len(spectra) == 6
    assert all(line.min() > FLOOR for line in spectra)
    assert all(len(line) < 128 for line in spectra)


def test_the_legend_counts_what_is_under_the_floor(results: Results) -> None:
    stored = results.add("deep", decades=24.0, points=128)
    figure = draw(results, "spectra")
    assert figure is not None
    below = int((stored.arrays["spectrum_end"] <= FLOOR).sum())
    assert below > 0
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert f"deep\n{below} of 128 ≤ floor" in texts


def test_a_noisier_part_of_the_kernel_stops_at_its_own_noise(results: Results) -> None:
    stored = results.add("a", points=32)
    noisy = np.geomspace(1e2, 1e-9, 32)
    noisy[-1] = -1e-8
    arrays = {**stored.arrays, "spectrum_mlp_end": noisy}
    results.store.write(stored.record, arrays, {})
    figure = draw(results, "spectra")
    assert figure is not None
    # the floor's own line has two points
    solid = [line for line in figure.axes[1].lines if line.get_linestyle() == "-"]
    spectra = [y for y in (np.asarray(line.get_ydata()) for line in solid) if len(y) > 2]
    assert len(spectra) == 1
    assert spectra[0].min() > 1e-7


def test_spectra_of_different_sizes_share_an_axis_of_fractions(results: Results) -> None:
    results.add("a", points=32, decades=6.0)
    results.add("b", points=64, decades=6.0)
    figure = draw(results, "spectra")
    assert figure is not None
    assert "size" in figure.axes[0].get_xlabel()
    ends = [np.asarray(line.get_xdata()).max() for line in figure.axes[0].lines]
    assert max(ends) == 1.0


@given(st.lists(st.floats(-1e-6, 1e3), max_size=30), st.floats(0, 1.0))
def test_resolved_eigenvalues_are_above_the_floor_and_descend(
    values: list[float], floor: float
) -> None:
    kept = resolved(np.array(values), floor)
    assert len(kept) == sum(value > floor for value in values)
    assert np.all(kept > floor)
    assert np.all(np.diff(kept) <= 0)


def test_a_curve_that_stopped_early_ends_in_a_cross(results: Results) -> None:
    results.add("a")
    results.add("b", status="diverged", error=diverged(12), psnr=None)
    figure = draw(results, "curves")
    assert figure is not None
    assert sum(line.get_marker() == "x" for line in figure.axes[0].lines) == 1


def test_a_cell_that_diverged_does_not_stretch_the_axes(results: Results) -> None:
    finished = results.add("a").arrays
    stored = results.add("b", status="diverged", error=diverged(12), psnr=None)
    arrays = stored.arrays | {"loss": np.geomspace(1e-2, 1e24, 40), "curve": -finished["curve"]}
    results.store.write(stored.record, arrays, {})
    figure = curves_figure(board_of(results).tasks[0])
    assert figure is not None
    for panel, name in zip(figure.panels, ("loss", "curve"), strict=True):
        assert panel.y.limits is not None
        low, high = panel.y.limits
        assert low < finished[name].min()
        assert finished[name].max() < high < 20 * finished[name].max()


def test_functions_of_one_variable_are_drawn_with_their_truth(results: Results) -> None:
    x = np.linspace(0, 1, 7)[::-1]
    truth = np.stack([x, x**2], axis=1)
    for place, entry in enumerate("ab"):
        stored = results.add(entry, psnr=30.0 - place)
        lines = {"line.u": np.column_stack([x, truth + 0.1 * place, truth])}
        results.store.write(stored.record, {**stored.arrays, **lines}, {})
    figure = lines_figure(board_of(results).tasks[0])
    assert figure is not None
    assert [panel.y.title for panel in figure.panels] == ["u, channel 0", "u, channel 1"]
    for channel, panel in enumerate(figure.panels):
        assert [series.entry for series in panel.series] == ["", "a", "b"]
        wanted = truth[::-1, channel]
        for series, offset in zip(panel.series, (0, 0, 0.1), strict=True):
            np.testing.assert_array_equal(series.x, x[::-1])
            np.testing.assert_allclose(series.y, wanted + offset, rtol=1e-12)
        assert panel.y.limits == pytest.approx((-0.25, 1.25))
    drawn = draw(results, "lines")
    assert drawn is not None
    assert {text.get_text() for text in drawn.legends[0].get_texts()} == {"a", "b", "truth"}


def test_arrays_that_are_no_lines_are_left_out(results: Results) -> None:
    stored = results.add("a")
    assert draw(results, "lines") is None
    odd = {"line.u": np.zeros((3, 4)), "line.v": np.zeros(3), "u": np.zeros((3, 3))}
    results.store.write(stored.record, {**stored.arrays, **odd}, {})
    assert draw(results, "lines") is None


@given(st.integers(1, 60), st.integers(2, 20))
def test_a_thinned_curve_is_made_of_means_of_its_neighbours(size: int, points: int) -> None:
    value = np.random.default_rng(size).random(size)
    step = np.arange(size) * 10
    thin_step, thin = thinned(step, value, points)
    assert len(thin) == min(size, points)
    ends = list(np.searchsorted(step, thin_step) + 1)
    expected = [value[a:b].mean() for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    np.testing.assert_allclose(thin, expected, rtol=1e-12)
    assert ends[-1] == size
    assert thin[0] == value[0]


def test_a_loss_that_is_no_number_is_not_drawn(results: Results) -> None:
    stored = results.add("a")
    loss = stored.arrays["loss"].copy()
    loss[20:] = np.nan
    loss[5] = 0.0
    results.store.write(stored.record, {**stored.arrays, "loss": loss}, {})
    figure = draw(results, "curves")
    assert figure is not None
    assert len(drawn_lines(figure, 0)[0]) == 19


@pytest.mark.parametrize("kind", ["spectra", "curves"])
def test_a_picture_holds_only_the_best_of_many(results: Results, kind: str) -> None:
    for place in range(SHOWN + 3):
        results.add(f"e{place}", psnr=20.0 + place, pictures=False)
    figure = draw(results, kind)
    assert figure is not None
    names = {text.get_text().split("\n")[0] for text in figure.legends[0].get_texts()}
    assert {f"e{place}" for place in range(3, SHOWN + 3)} <= names
    assert not {"e0", "e1", "e2"} & names


def test_error_bars_end_where_the_interval_does_on_paper_and_on_the_page() -> None:
    x, y, low, high = (np.array(v) for v in ([2.0, 6.0], [10.0, 20.0], [9.0, 17.0], [12.0, 21.0]))
    points = blocks.Series(
        "a", x, y, kind="points", low=low, high=high, x_low=x - 0.5, x_high=x + 0.25
    )
    panel = blocks.Panel(blocks.Axis("MB"), blocks.Axis("dB"), [points])
    figure = blocks.Figure("cost", "costs", "", lambda: [panel], {"a": "a"})
    drawing = plot(figure, palette.colours(["a"]))
    assert drawing is not None
    across, upright = (
        [segment.tolist() for segment in bars.get_segments()]
        for bars in drawing.axes[0].collections
        if isinstance(bars, LineCollection)
    )
    assert across == [[[1.5, 10.0], [2.25, 10.0]], [[5.5, 20.0], [6.25, 20.0]]]
    assert upright == [[[2.0, 9.0], [2.0, 12.0]], [[6.0, 17.0], [6.0, 21.0]]]
    (trace,) = plot_data(figure, Entries(["a"]))["traces"]
    lengths = [trace[f"error_{axis}"][end] for axis in "xy" for end in ("arrayminus", "array")]
    assert lengths == [[0.5, 0.5], [0.25, 0.25], [1.0, 3.0], [2.0, 1.0]]


def test_several_seeds_are_one_mean_and_a_band(results: Results) -> None:
    stored = [results.add("a", seed=seed, decades=8.0) for seed in range(3)]
    figure = draw(results, "spectra")
    assert figure is not None
    solid = [x for x in figure.axes[0].lines if x.get_linestyle() == "-" and len(x.get_ydata()) > 2]
    drawn = np.asarray(solid[0].get_ydata())
    tops = [r.arrays["spectrum_end"].max() for r in stored]
    assert drawn[0] == pytest.approx(np.exp(np.mean(np.log(tops))), rel=1e-12)
    assert figure.axes[0].collections, "the band"
    assert any("mean of 3 cells" in t.get_text() for t in figure.legends[0].get_texts())


@pytest.mark.parametrize(("outputs", "points"), [("trace", 64), ("full", 32)])
def test_a_picture_of_spectra_says_which_kernel_and_how_many_points(
    results: Results, outputs: str, points: int
) -> None:
    results.add(outputs=outputs, points=points)
    figure = draw(results, "spectra")
    assert figure is not None
    assert f"{outputs} kernel, N = {points} points" in figure.axes[0].get_title()


def test_only_so_many_spectra_are_read_and_of_every_target(results: Results) -> None:
    assert spread(["a"] * 5 + ["b"] * 2 + ["c"], 4) == [0, 1, 5, 7]
    assert spread(["a", "b"], 9) == [0, 1]


@pytest.mark.parametrize("kind", ["spectra", "curves", "cost", "sheet"])
def test_nothing_to_draw_is_no_picture(results: Results, kind: str) -> None:
    results.add("a", status="failed", points=0, curves=False, pictures=False, psnr=None)
    assert draw(results, kind) is None


def test_figures_do_not_pile_up_where_nothing_else_collects_them(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(5):
        results.add("a", task=f"image:image=i{place}.png,side={place}", pictures=False)
    drawn: list[weakref.ref[Figure]] = []
    most, whole = 0, style.save

    def save(figure: Figure, files: Sequence[Path]) -> Sequence[Path]:
        nonlocal most
        drawn.append(weakref.ref(figure))
        most = max(most, sum(seen() is not None for seen in drawn))
        return whole(figure, files)

    monkeypatch.setattr(style, "save", save)
    pictures.draw(page_of(board_of(results), "small"), tmp_path)
    assert len(drawn) > 4
    assert most <= 3


def drawn_now(results: Results, folder: Path, *kinds: str) -> set[str]:
    """Names of the pictures that a page draws again if all files are older."""
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        os.utime(file, (0, 0))
    pictures.draw(page_of(board_of(results), *kinds), folder)
    return {file.name for file in folder.iterdir() if file.stat().st_mtime > 0}


def test_only_pictures_whose_records_changed_are_drawn_again(
    results: Results, tmp_path: Path
) -> None:
    first, _ = (results.add("a", task=f"image:image={name}.png") for name in "xy")
    assert len(drawn_now(results, tmp_path / "page", "sheet", "small")) == 4
    assert drawn_now(results, tmp_path / "page", "sheet", "small") == set()
    results.store.write(first.record, dict(first.arrays), {"target": photograph(48, 64)})
    changed = drawn_now(results, tmp_path / "page", "sheet", "small")
    assert changed == set()
    assert len(list((tmp_path / "page").iterdir())) == 3, "a record without a prediction"
    results.add("b", task="image:image=y.png")
    slug = next(task.slug for task in board_of(results).tasks if "y" in task.label)
    assert drawn_now(results, tmp_path / "page", "sheet", "small") == {
        f"{slug}-{kind}.png" for kind in ("sheet", "cost")
    }


def test_what_was_edited_or_damaged_or_drawn_by_another_version_is_drawn_again(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in enumerate("wxyz"):
        results.add("a", task=name, psnr=20.0 + place)
    folder = tmp_path / "page"
    everything = drawn_now(results, folder, "small")
    whole = {file: file.read_bytes() for file in sorted(folder.iterdir())}
    edited, cut, empty, foreign = whole
    with Image.open(edited) as image:
        inverted, kept = ImageOps.invert(image.convert("RGB")), PngInfo()
        kept.add_text("encbench", image.info["encbench"])
    inverted.save(edited, pnginfo=kept)
    cut.write_bytes(whole[cut][:-20])
    empty.write_bytes(b"")
    foreign.write_bytes(whole[edited])
    assert drawn_now(results, folder, "small") == everything
    assert {file: file.read_bytes() for file in whole} == whole
    monkeypatch.setattr(pictures, "version", lambda name: f"another {name}")
    page = page_of(board_of(results), "small")
    pictures.draw(replace(page, blocks=page.blocks[:1]), folder)
    changed = {file for file in whole if file.read_bytes() != whole[file]}
    assert [file.name for file in changed] == [f"{page.blocks[0].name}-cost.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="one process draws elsewhere")
def test_processes_draw_what_one_draws(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.add("a")
    drawn, here = [], pictures._draw
    for place, count in enumerate((1, 2, 2)):
        monkeypatch.setattr(forked, "cores", lambda count=count: count)
        if place == 2:
            monkeypatch.setattr(pictures, "_draw", _killed_in_a_child)
            monkeypatch.setattr(pictures, "_drawn_here", here, raising=False)
        folder = tmp_path / str(place) / "page"
        folder.parent.mkdir()
        assert len(pictures.draw(page_of(board_of(results), "small", "sheet"), folder)) == 2
        drawn.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert drawn[0] == drawn[1] == drawn[2]


def _killed_in_a_child(job: object) -> bool:
    if parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return bool(pictures._drawn_here(job))  # type: ignore[attr-defined] # set by the test


def test_an_encoding_has_one_colour_wherever_it_stands(results: Results) -> None:
    results.add("a", psnr=30.0, task="t1")
    results.add("b", psnr=20.0, task="t1")
    results.add("b", psnr=30.0, task="t2")
    colours = palette.colours(board_of(results).entries)
    seen = []
    for task in board_of(results).tasks:
        block = curves_figure(task)
        assert block is not None
        figure = plot(block, colours)
        assert figure is not None
        for handle, text in zip(
            figure.legends[0].legend_handles, figure.legends[0].get_texts(), strict=True
        ):
            assert handle is not None
            seen.append((text.get_text(), handle.get_color()))
    assert len(seen) == 3
    assert len(set(seen)) == 2


def test_ten_encodings_have_ten_colours() -> None:
    entries = [f"e{place}" for place in range(20)]
    colours = palette.colours(entries)
    assert len({colour for colour, _ in colours.values()}) == 20


def test_labels_that_would_be_cut_to_the_same_text_are_given_whole() -> None:
    cut = style.legends([LONG + "1", LONG + "2", LONG[:-14]], 30, 2)
    assert len(set(cut.values())) == 3
    assert cut[LONG + "1"].endswith("init_std=0.01")
    assert "[96,277]" in cut[LONG + "1"]


def test_a_label_in_a_picture_is_the_name_that_a_user_types() -> None:
    longest = f"mpe:resolutions={[*range(16, 64)]}".replace(" ", "")
    drawn = style.legends(["mpe:resolutions=[16,32]", LONG, longest], 38, 99)
    assert drawn["mpe:resolutions=[16,32]"] == "mpe:resolutions=[16,32]"
    for label, text in drawn.items():
        assert text.replace("\n", "") == label
        assert all(len(line) <= 38 and line[-1] in ",:]0" for line in text.split("\n"))


def test_the_crop_is_where_the_target_varies_most() -> None:
    target = photograph(60, 90) / 255
    crop = busiest_crop(target)
    grey = target.mean(axis=2)
    variances = {
        (top, left): grey[top : top + crop.height, left : left + crop.width].var()
        for top in range(60 - crop.height + 1)
        for left in range(90 - crop.width + 1)
    }
    assert (crop.height, crop.width) == (15, 22)
    assert variances[crop.top, crop.left] == pytest.approx(max(variances.values()), rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 5), (8, 8)])
def test_a_crop_lies_in_any_picture(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = rng.random((*shape, 3))
    crop = busiest_crop(picture)
    assert crop.of(picture).shape[:2] == (crop.height, crop.width)
    assert crop.height >= min(8, shape[0])


@pytest.mark.parametrize("mode", ["L", "RGBA", "panorama", "tower"])
def test_a_sheet_takes_any_kind_of_picture(results: Results, mode: str) -> None:
    stored = results.add("a")
    target = photograph(48, 64)
    pictures = {
        "L": target[..., 0],
        "RGBA": np.dstack([target, target[..., 0]]),
        "panorama": photograph(20, 200),
        "tower": photograph(200, 20),
    }[mode]
    results.store.write(stored.record, {}, {"target": pictures, "prediction": pictures})
    figure = draw(results, "sheet")
    assert figure is not None
    assert pixels(figure).std() > 5


def test_error_maps_share_one_scale(results: Results) -> None:
    for psnr in (20.0, 40.0):
        results.add(f"e{psnr}", psnr=psnr)
    figure = draw(results, "sheet")
    assert figure is not None
    maps = [i for a in figure.axes for i in a.images if np.asarray(i.get_array()).ndim == 2]
    assert len(maps) == 2
    assert maps[0].norm is maps[1].norm
    # the better one first: its errors are smaller
    assert np.mean(maps[0].get_array()) < np.mean(maps[1].get_array()) / 4


def test_of_colours_that_stand_for_values_the_tasks_own_error_is_drawn(results: Results) -> None:
    metrics = {"relative_l2": MetricValue(value=0.1, direction="lower")}
    stored = results.add("ffe", metrics=metrics, curve="relative_l2")
    pixels = np.full((48, 67, 3), (10, 20, 250), np.uint8)
    Image.fromarray(pixels).save(stored.path / "error.png")
    stored.files = {**stored.files, "error.png": stored.files["target.png"]}
    shown = sheet(boards([stored]).tasks[0])
    assert shown is not None
    assert not shown.differences
    assert "the error as the task draws it" in shown.rows
    drawn = contact_sheet(shown)
    assert drawn is not None
    error = drawn.axes[-1].images[0].get_array()
    assert error is not None
    assert np.allclose(error, pixels / 255)
    assert not any("data range" in axes.get_title() for axes in drawn.axes)


def test_the_sheet_of_one_encoding_has_no_empty_column(results: Results) -> None:
    results.add("a")
    one = draw(results, "sheet")
    results.add("b")
    two = draw(results, "sheet")
    assert one is not None
    assert two is not None
    (width, height), (full, same) = one.get_size_inches(), two.get_size_inches()
    assert (width, height) == pytest.approx((full * 2 / 3, same))
    assert max(axes.get_position().x1 for axes in one.axes) > 0.95


def test_a_prediction_of_another_size_is_left_out(results: Results) -> None:
    stored = results.add("a")
    pictures = {"target": photograph(48, 64), "prediction": photograph(24, 32)}
    results.store.write(stored.record, {}, pictures)
    assert draw(results, "sheet") is None


@pytest.mark.parametrize("damage", ["cut", "zeros"])
def test_a_damaged_picture_is_left_out_and_named(results: Results, damage: str) -> None:
    results.add("whole", psnr=30.0)
    stored = results.add("damaged", psnr=31.0)
    file = stored.path / "prediction.png"
    size = file.stat().st_size
    if damage == "zeros":
        file.write_bytes(b"\0" * size)
    else:
        file.write_bytes(file.read_bytes()[: size // 2].ljust(size, b"\0"))
    assert draw(results, "sheet") is not None
    shown = sheet(board_of(results).tasks[0])
    assert shown is not None
    assert shown.caption.endswith(
        f" Without a picture: `damaged` (records/ce/{stored.path.name}/prediction.png is damaged)."
    )


def test_what_did_not_finish_is_named_where_its_picture_would_be(results: Results) -> None:
    results.add("whole", psnr=30.0)
    results.add("slow", status="timeout", psnr=None, pictures=False)
    results.add("broken", status="out_of_memory", psnr=None, pictures=False)
    shown = sheet(board_of(results).tasks[0])
    assert shown is not None
    assert shown.caption.endswith(" Without a picture: `broken` (out of memory), `slow` (timeout).")


def test_arrays_are_read_when_a_figure_is_drawn_and_not_before(results: Results) -> None:
    for seed in range(2):
        results.add("a", seed=seed)
    task = board_of(results).tasks[0]
    figures = [spectra_figure(task), curves_figure(task)]
    for stored in task.records:
        (stored.path / "arrays.npz").unlink()
    for figure in figures:
        assert figure is not None
        with pytest.raises(StoreError, match=r"arrays.npz is damaged"):
            assert figure.panels


def test_a_figure_holds_more_entries_than_a_picture_names(results: Results) -> None:
    for place in range(SHOWN + 3):
        results.add(f"e{place:02d}", psnr=20.0 + place, pictures=False)
    task = board_of(results).tasks[0]
    for make in (spectra_figure, curves_figure, cost_figure):
        figure = make(task)
        assert figure is not None
        assert len(figure.legend) == SHOWN
        drawn = {series.entry for panel in figure.panels for series in panel.series}
        assert drawn - {""} == {f"e{place:02d}" for place in range(SHOWN + 3)}


def test_steps_are_epochs_and_seconds_too_where_the_record_knows_them(results: Results) -> None:
    results.add("a", epochs=50.0, durations={"training": 20.0})
    results.add("b", epochs=0.0, durations={})
    figure = curves_figure(board_of(results).tasks[0])
    assert figure is not None
    for panel in figure.panels:
        known, unknown = sorted(panel.series, key=lambda series: series.entry)
        assert unknown.other_x == {}
        assert known.x[-1] == 1000
        assert known.other_x["epoch"][-1] == pytest.approx(50)
        assert known.other_x["training time [s]"][-1] == pytest.approx(20)
        np.testing.assert_allclose(known.other_x["epoch"] / known.x, 0.05)


@given(st.integers(1, 100_000))
def test_a_thinned_line_keeps_its_ends_and_its_order(size: int) -> None:
    at = thin_index(size)
    assert (at[0], at[-1]) == (0, size - 1)
    assert np.all(np.diff(at) > 0)
    assert len(at) <= 330
    assert np.diff(at).max(initial=1) <= size / 249 + 1


def test_a_page_is_drawn_in_each_format_the_same_bytes_each_time(
    results: Results, tmp_path: Path
) -> None:
    results.add("a")
    page = page_of(board_of(results), "small")
    folders = [tmp_path / "one" / "page", tmp_path / "two" / "page"]
    for folder in folders:
        folder.parent.mkdir()
        links = pictures.draw(page, folder, formats=("png", "svg", "pdf"))
        name = page.blocks[0].name
        assert links[name, "cost"] == f"page/{name}-cost.png"
    one, two = ({f.name: f.read_bytes() for f in sorted(x.iterdir())} for x in folders)
    assert len(one) == 3
    assert {Path(name).suffix for name in one} == {".png", ".svg", ".pdf"}
    assert one == two


def test_what_is_no_longer_drawn_is_removed_in_all_formats(
    results: Results, tmp_path: Path
) -> None:
    results.add("a", curves=False)
    page = page_of(board_of(results), "small", "curves")
    pictures.draw(page, tmp_path, formats=("png", "svg"))
    assert len(list(tmp_path.glob("*-cost.*"))) == 2
    stale = [tmp_path / f"{page.blocks[0].name}-{kind}.pdf" for kind in ("curves", "energy")]
    for file in stale:
        file.write_bytes(b"")
    (tmp_path / "mine.png").write_bytes(b"")
    links = pictures.draw(page, tmp_path)
    assert {kind for _, kind in links} == {"cost"}
    assert not any(file.exists() for file in stale)
    assert [f.suffix for f in tmp_path.glob("*-cost.*")] == [".png"]
    assert (tmp_path / "mine.png").exists()
