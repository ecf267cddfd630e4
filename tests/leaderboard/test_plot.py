"""``encbench plot``: numbers against settings, a line per encoding."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from encbench_leaderboard.board.against import Against, Line, against
from encbench_leaderboard.board.budget import Until
from encbench_leaderboard.board.comparable import Number, comparable
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.plot import plot_against
from encbench_leaderboard.render.panels import plot
from encbench_leaderboard.report.figures.relation import STYLES, rates_figure, relation_figure
from encbench_leaderboard.report.standings_table import standings_table
from encbench_leaderboard.report.tables import cost_table
from encbench_leaderboard.statistics.intervals import intervals

from encbench.contracts.metric import MetricValue
from encbench.errors import UsageError
from encbench.results.palette import colours
from encbench.results.records import LearningRate, StoredRecord
from tests.leaderboard.results import Results, diverged


def changed(stored: StoredRecord, part: str, **update: Any) -> StoredRecord:
    """The record with a part of its cell changed, as if it had been run that way."""
    cell = stored.record.cell
    of_part = getattr(cell, part).model_copy(update=update)
    cell = cell.model_copy(update={part: of_part})
    return StoredRecord(stored.record.model_copy(update={"cell": cell}), stored.path)


def with_levels(stored: StoredRecord, levels: Any) -> StoredRecord:
    parameters = {"levels": levels, "convention": "paper"}
    return changed(stored, "encoding", parameters=parameters, label=f"ffe:levels={levels}")


def only(found: Against) -> list[Line]:
    (relation,) = found.relations
    return list(relation.lines)


def test_a_line_has_the_mean_and_interval_over_seeds(results: Results) -> None:
    values = {0.5: (20.0, 22.0, 24.0), 2.0: (30.0, 31.0, 35.0)}
    for factor, of_seeds in values.items():
        for seed, psnr in enumerate(of_seeds):
            results.add("ffe", psnr=psnr, seed=seed, training={"lr_factor": factor})
    (line,) = only(against(results.store.records(), "training.lr_factor", "psnr"))
    expected = intervals(np.array(list(values.values()))[:, :, None])
    assert (line.encoding, line.settings) == ("ffe", "")
    assert line.x.tolist() == [0.5, 2.0]
    assert line.y.tolist() == [one.mean for one in expected] == [22.0, 32.0]
    assert line.low.tolist() == [one.low for one in expected]
    assert line.high.tolist() == [one.high for one in expected]
    assert line.units.tolist() == [3, 3]


def test_over_targets_each_target_counts_once(results: Results) -> None:
    records = []
    for place, image in enumerate(("cat", "dog")):
        for seed in (0, 1):
            stored = results.add(psnr=30.0 + 2 * place + seed, seed=seed)
            stored = changed(
                stored, "task", parameters={"image": image}, label=f"image:image={image}"
            )
            cell = stored.record.cell.model_copy(update={"data_hash": image})
            records.append(
                StoredRecord(stored.record.model_copy(update={"cell": cell}), stored.path)
            )
    found = against(records, "training.lr_factor", "psnr")
    (line,) = only(found)
    assert found.relations[0].task == "image:image=*"
    assert (line.y.tolist(), line.units.tolist()) == ([31.5], [2])


def test_what_x_says_is_left_out_of_a_lines_name(results: Results) -> None:
    records = [with_levels(results.add("ffe", psnr=20.0 + levels), levels) for levels in (16, 4, 8)]
    (line,) = only(against([*records, results.add("identity")], "encoding.levels", "psnr"))
    assert line.encoding == "ffe"
    assert (line.x.tolist(), line.y.tolist()) == ([4, 8, 16], [24.0, 28.0, 36.0])
    found = against(records, "parameters", "psnr")
    assert [line.encoding for line in only(found)] == ["ffe"]


def test_other_settings_that_vary_make_lines_of_their_own(results: Results) -> None:
    for epochs in (15, 45):
        for factor in (1.0, 2.0):
            results.add("ffe", training={"lr_factor": factor, "epochs": epochs})
    results.add("mpe", training={"lr_factor": 1.0, "epochs": 15})
    found = against(results.store.records(), "training.lr_factor", "psnr")
    names = [(line.encoding, line.settings) for line in only(found)]
    assert names == [("ffe", "epochs=15"), ("ffe", "epochs=45"), ("mpe", "epochs=15")]
    figure = relation_figure(found, "training.lr_factor")
    assert list(figure.legend) == ["ffe", "mpe"]
    assert list(figure.styles) == list(STYLES[:2])
    (panel,) = figure.panels
    assert [series.entry for series in panel.series] == ["ffe", "ffe", "mpe"]


def test_a_rate_is_the_mean_of_the_rates_used(results: Results) -> None:
    for seed, rate in enumerate((10.0, 14.0)):
        used = LearningRate(value=rate, critical=10.0, rule="auto", halvings=seed)
        results.add("ffe", seed=seed, psnr=30.0 + seed, learning_rate=used)
    found = against(results.store.records(), "learning_rate", "psnr")
    (line,) = only(found)
    assert (line.x.tolist(), line.y.tolist()) == ([12.0], [30.5])
    assert found.notes == ["1 cell trained at a lower rate than set, because training diverged."]


def test_cells_that_did_not_finish_or_have_no_x_are_counted(results: Results) -> None:
    results.add("ffe", training={"lr_factor": 1.0})
    results.add("ffe", training={"lr_factor": 2.0}, status="diverged", error=diverged(3))
    results.add("ffe", training={"lr": 1.0})
    found = against(results.store.records(), "training.lr_factor", "psnr")
    assert [line.x.tolist() for line in only(found)] == [[1.0]]
    assert found.notes == [
        "1 cell left out: diverged.",
        "1 cell left out: no training.lr_factor.",
    ]


def test_eigenvalues_have_geometric_means(results: Results) -> None:
    for seed in (0, 1):
        results.add("ffe", seed=seed, decades=8.0 + seed)
    spectra = [stored.record.spectra for stored in results.store.records()]
    medians = [s.median for each in spectra for s in each if s.when == "start"]
    (line,) = only(against(results.store.records(), "training.epochs", "start.lambda_median"))
    assert line.y[0] == pytest.approx(math.sqrt(math.prod(medians)), rel=1e-12)
    assert line.low[0] < line.y[0] < line.high[0]


def test_the_cost_of_a_quality_is_left_out_where_a_cell_never_had_it(results: Results) -> None:
    for factor, finals in {1.0: (30.0, 40.0), 2.0: (20.0, 40.0)}.items():
        for seed, psnr in enumerate(finals):
            results.add("ffe", psnr=psnr, seed=seed, training={"lr_factor": factor})
    first = [
        next(float(s) for s, v in zip(curve["curve_step"], curve["curve"], strict=True) if v >= 25)
        for stored in results.store.records()
        if stored.record.cell.training.lr_factor == 1.0
        for curve in [stored.some_arrays("curve_step", "curve")]
    ]
    found = against(results.store.records(), "training.lr_factor", "steps_to_25")
    (line,) = only(found)
    assert line.x.tolist() == [1.0]
    assert line.y.tolist() == [sum(first) / 2]
    assert found.relations[0].title == "steps until PSNR was 25 dB"
    assert found.notes == [
        "1 cell never reached the value: the points that they belong to are left out."
    ]
    with pytest.raises(UsageError, match="4 cells never reached"):
        against(results.store.records(), "training.lr_factor", "steps_to_99")
    results.add("ffe", status="diverged", seed=2, training={"lr_factor": 2.0})
    assert against(results.store.records(), "training.lr_factor", "steps_to_25").notes == [
        "1 cell never reached the value: the points that they belong to are left out.",
        "1 cell never reached the value (diverged): the points that they belong to are left out.",
    ]


def test_a_value_to_reach_can_be_negative(results: Results) -> None:
    results.add("ffe", psnr=-3.0)
    found = against(results.store.records(), "training.epochs", "steps_to_-5")
    assert found.relations[0].title == "steps until PSNR was −5 dB"
    assert len(only(found)) == 1


def test_a_page_draws_the_metric_against_rates_where_several_were_tried(results: Results) -> None:
    def add(psnr: float, rate: float) -> None:
        used = LearningRate(value=rate, critical=None, rule="given")
        training = {"lr": rate, "optimizer": "adam"}
        results.add("ffe", psnr=psnr, training=training, learning_rate=used)

    add(20.0, 0.001)
    add(30.0, 0.01)
    (task,) = boards(results.store.records()).tasks
    assert rates_figure(task) is None
    add(25.0, 0.1)
    (task,) = boards(results.store.records()).tasks
    figure = rates_figure(task)
    assert figure is not None
    (panel,) = figure.panels
    assert panel.x.scale == "log"
    (series,) = panel.series
    assert series.x.tolist() == [0.001, 0.01, 0.1]
    assert series.y.tolist() == [20.0, 30.0, 25.0]


def test_x_that_is_no_number_has_places(results: Results) -> None:
    for optimizer in ("sgd", "adam"):
        results.add("ffe", training={"optimizer": optimizer})
    found = against(results.store.records(), "training.optimizer", "seconds")
    assert found.relations[0].places == ["adam", "sgd"]
    (panel,) = relation_figure(found, "training.optimizer").panels
    assert panel.x.ticks == ((0, "adam"), (1, "sgd"))
    with pytest.raises(UsageError, match=r"is not a number .*leave out --logx"):
        relation_figure(found, "training.optimizer", log_x=True)


def test_a_parameter_of_the_task_can_be_x(results: Results) -> None:
    records = []
    for side in (16, 32):
        stored = results.add(psnr=float(side))
        parameters = {"image": "cat", "side": side}
        label = f"image:image=cat,side={side}"
        stored = changed(stored, "task", parameters=parameters, label=label)
        cell = stored.record.cell.model_copy(update={"data_hash": label})
        records.append(StoredRecord(stored.record.model_copy(update={"cell": cell}), stored.path))
    found = against(records, "task.side", "psnr")
    (line,) = only(found)
    assert found.relations[0].task == "image:image=cat"
    assert (line.x.tolist(), line.y.tolist()) == ([16, 32], [16.0, 32.0])


def test_each_task_has_a_panel_and_a_filter_chooses(results: Results) -> None:
    for task in ("image:image=cat", "image:image=dog", "other"):
        results.add(task=task)
    records = results.store.records()
    assert [r.task for r in against(records, "seed", "psnr").relations] == [
        "image:image=cat",
        "image:image=dog",
        "other",
    ]
    assert [r.task for r in against(records, "seed", "psnr", "dog").relations] == [
        "image:image=dog"
    ]
    with pytest.raises(UsageError, match="no task 'othr'; did you mean 'other'"):
        against(records, "seed", "psnr", "othr")
    for number in range(6):
        results.add(task=f"more {number}")
    with pytest.raises(
        UsageError, match="9 tasks, but at most 8 can be drawn; choose with --task: im"
    ):
        against(results.store.records(), "seed", "psnr")


def test_names_that_are_not_there_get_the_nearest(results: Results) -> None:
    for factor in (1.0, 2.0):
        results.add("ffe", training={"lr_factor": factor})
    records = results.store.records()
    with pytest.raises(
        UsageError, match=r"did you mean 'training.lr_factor'.*: training.lr_factor$"
    ):
        against(records, "lr_factor", "psnr")
    with pytest.raises(UsageError, match=r"did you mean 'psnr'.* Metrics here: psnr, ms_ssim; rec"):
        against(records, "training.lr_factor", "pnsr")
    with pytest.raises(UsageError, match="nothing to draw: no cell that finished has both"):
        against([results.add("ffe", points=0)], "seed", "lambda_median")


def test_parameters_of_what_settings_name_are_drawn(results: Results) -> None:
    records = [
        changed(results.add("ffe", psnr=psnr), "network", activation=activation)
        for psnr, activation in ((20.0, "hosc:beta=2.0"), (30.0, "hosc"), (25.0, "relu"))
    ]
    for psnr, optimizer in ((20.0, "adam:beta2=0.9"), (30.0, "adam")):
        training = {"optimizer": optimizer}
        records.append(results.add("ffe", task="other", psnr=psnr, training=training))
    found = against(records, "hosc.beta", "psnr")
    (line,) = only(found)
    assert (line.x.tolist(), line.y.tolist(), line.settings) == ([2.0, 8.0], [20.0, 30.0], "")
    assert found.notes == ["3 cells left out: no hosc.beta."]
    (line,) = only(against(records, "adam.beta2", "psnr"))
    assert (line.x.tolist(), line.y.tolist()) == ([0.9, 0.999], [20.0, 30.0])
    with pytest.raises(UsageError, match=r"did you mean 'hosc.beta'\? What differs .*hosc.beta"):
        against(records, "hosc.betta", "psnr")


def test_a_parameter_of_an_encoding_is_drawn_by_its_name(results: Results) -> None:
    records = [with_levels(results.add("ffe", psnr=20.0 + n), n) for n in (4, 8)]
    (line,) = only(against(records, "ffe.levels", "psnr"))
    assert (line.x.tolist(), line.y.tolist()) == ([4.0, 8.0], [24.0, 28.0])


def test_values_under_different_conditions_are_not_compared(results: Results) -> None:
    for seed, scales in enumerate((3, 4)):
        value = MetricValue(value=0.9, details={"scales": scales})
        results.add("ffe", seed=seed, metrics={"ms_ssim": value}, curve="ms_ssim")
    with pytest.raises(UsageError, match="conditions, scales = 3 and scales = 4, and must not"):
        against(results.store.records(), "seed", "ms_ssim")


def test_a_log_axis_refuses_what_is_not_above_zero(results: Results) -> None:
    found = against([results.add("ffe", psnr=-1.0)], "seed", "psnr")
    with pytest.raises(UsageError, match="logarithmic y axis needs values above 0, got -1; leave"):
        relation_figure(found, "seed", log_y=True)


@pytest.mark.parametrize("log", [False, True])
def test_an_interval_that_leaves_the_axes_ends_in_an_arrow(results: Results, log: bool) -> None:
    for factor, of_seeds in {0.5: (20.0, 22.0), 1.0: (24.0, 24.1)}.items():
        for seed, psnr in enumerate(of_seeds):
            results.add("ffe", psnr=psnr, seed=seed, training={"lr_factor": factor})
    found = against(results.store.records(), "training.lr_factor", "psnr")
    drawing = plot(relation_figure(found, "training.lr_factor", log_y=log), colours(["ffe"]))
    assert drawing is not None
    (axes,) = drawing.axes
    assert axes.get_ylim()[0] < 21.0 < 24.1 < axes.get_ylim()[1]
    arrows = {line.get_marker(): line for line in axes.lines if line.get_marker() in ("v", "^")}
    for marker, edge in zip("v^", axes.get_ylim(), strict=True):
        assert arrows[marker].get_xydata().tolist() == [[0.5, pytest.approx(edge)]]
    assert "beyond the axes" in drawing.legends[0].get_texts()[-1].get_text()


def test_the_verb_draws_and_writes_the_numbers(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for factor in (0.5, 2.0):
        for seed in (0, 1):
            results.add("ffe", psnr=20 + factor + seed, seed=seed, training={"lr_factor": factor})
    x = "training.lr_factor"
    data = tmp_path / "numbers.csv"
    for suffix in ("svg", "pdf"):
        out = tmp_path / f"made/plot.{suffix}"
        plot_against(results.directory, x, output=out, data=data, log_x=True, title="a $ b $")
        assert out.stat().st_size > 1000
    plot_against(results.directory, x)
    assert (results.directory / f"psnr-against-{x}.png").exists()
    assert "wrote" in capsys.readouterr().out
    with data.open() as file:
        first, second = csv.DictReader(file)
    assert first["encoding"] == second["encoding"] == "ffe"
    assert (first[x], first["psnr"], first["n"], second[x]) == ("0.5", "21.0", "2", "2.0")
    assert float(first["psnr.low"]) < 21.0 < float(first["psnr.high"])
    with pytest.raises(
        UsageError, match=r"plot.gif: expected a name that ends in .png, .svg, .pdf"
    ):
        plot_against(results.directory, x, output=Path("plot.gif"))


def test_damaged_arrays_cost_only_the_points_of_their_record(
    results: Results, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for factor in (0.5, 2.0):
        stored = results.add("ffe", psnr=30 + factor, training={"lr_factor": factor})
    arrays = stored.path / "arrays.npz"
    arrays.write_bytes(bytes(arrays.stat().st_size))
    data = tmp_path / "numbers.csv"
    plot_against(results.directory, "training.lr_factor", "steps_to_25", data=data)
    with data.open() as file:
        (row,) = csv.DictReader(file)
    assert row["training.lr_factor"] == "0.5"
    assert [message.partition(";")[0] for message in caplog.messages] == [
        f"leaving out {arrays}, which is damaged"
    ]


def test_an_exact_fit_is_named_and_did_not_fail_to_reach_a_value(results: Results) -> None:
    for rate, of_seeds in {0.1: (30.0, 31.0), 0.2: (math.inf, 60.0), 0.4: (math.inf,) * 2}.items():
        for seed, psnr in enumerate(of_seeds):
            results.add("ffe", psnr=psnr, seed=seed, training={"lr": rate}, curves=False)
    records = results.store.records()
    found = against(records, "training.lr", "psnr")
    assert [line.x.tolist() for line in only(found)] == [[0.1]]
    assert found.notes == ["2 points left out: PSNR is infinite (exact fit)."]
    with pytest.raises(UsageError, match=r"; 1 point left out: PSNR is infinite \(exact fit\)"):
        against(records[-2:], "training.lr", "psnr")


def test_the_best_value_is_that_of_the_curves_metric(results: Results) -> None:
    end = {"l1": MetricValue(value=0.1, direction="lower", title="L1")}
    for seed in (0, 1):
        results.add("ffe", seed=seed, curve="accuracy", metrics=end, best=33.0)
    records = results.store.records()
    assert against(records, "training.epochs", "l1").relations[0].title == "L1 ↓"
    best, step = (against(records, "training.epochs", y) for y in ("best", "best_step"))
    assert best.relations[0].title == "best accuracy"
    assert step.relations[0].title == "step of the best accuracy"
    (task,) = boards(records).tasks
    titles = [column.title for column in standings_table(task).columns]
    assert "best accuracy" in titles
    assert "step of the best accuracy" in [column.title for column in cost_table(task).columns]
    results.add("mpe", curve="psnr", metrics=end)
    with pytest.raises(UsageError, match="different metrics, accuracy and psnr, and must not"):
        against(results.store.records(), "training.epochs", "best")
    (task,) = boards(results.store.records()).tasks
    assert not any("best" in column.title for column in standings_table(task).columns)


def on_images(results: Results, rate: float, values: dict[str, float | None]) -> None:
    """A cell on each image, at that learning rate; None: it diverged."""
    for image, psnr in values.items():
        results.add(
            "ffe",
            psnr=psnr,
            status="ok" if psnr else "diverged",
            task=f"image:image={image}",
            task_parameters={"image": image, "asked": ""},
            data_hash=image * 64,
            training={"lr": rate},
        )


def test_all_points_of_a_category_are_means_over_the_same_targets(results: Results) -> None:
    on_images(results, 0.1, {"a": 20.0, "b": 40.0, "c": 30.0})
    on_images(results, 0.2, {"a": None, "b": 39.0, "c": 29.0})
    found = against(results.store.records(), "training.lr", "psnr")
    (line,) = only(found)
    assert (line.x.tolist(), line.y.tolist()) == ([0.1, 0.2], [35.0, 34.0])
    shared = "2 of 3 targets (image:image=b, image:image=c), the same at each point"
    assert found.notes[1:] == [f"image:image=*: means are over {shared}."]
    on_images(results, 0.4, {"a": 18.0, "b": 38.0, "c": 28.0})
    on_images(results, 0.8, {"a": 17.0, "b": 37.0, "c": 27.0})
    on_images(results, 1.6, {"a": 11.0})
    found = against(results.store.records(), "training.lr", "psnr")
    (line,) = only(found)
    assert (line.x.tolist(), line.units.tolist()) == ([0.1, 0.4, 0.8], [3, 3, 3])
    assert found.notes[1].endswith("; 2 points left out: not on all of them.")


def test_means_over_fewer_seeds_and_eigenvalues_below_the_floor_are_named(
    results: Results,
) -> None:
    for rate in (0.1, 0.2):
        for seed in range(3):
            decades = 30.0 if (rate, seed) == (0.2, 0) else 8.0
            results.add("ffe", seed=seed, decades=decades, training={"lr": rate})
    found = against(results.store.records(), "training.lr", "lambda_minimum")
    assert [line.units.tolist() for line in only(found)] == [[3, 2]]
    assert found.notes == [
        "1 cell left out: λ_min at the end is below the floor.",
        "1 point drawn too high, without the cells below the floor.",
        "image:image=chelsea: means are over different numbers of seeds, 2 to 3.",
    ]


def test_ticks_of_numbers_of_parameters_have_thousands_and_room(results: Results) -> None:
    for encoding, size in {"a": 17_283, "b": 20_099, "c": 20_355}.items():
        results.add(encoding, parameters={"mlp": size}, points=0, curves=False, pictures=False)
    found = against(results.store.records(), "parameters", "psnr")
    (panel,) = relation_figure(found, "parameters", log_x=True).panels
    assert panel.x.ticks == ((17_283, "17,283"), (20_099, "20,099"))


def test_a_point_without_a_target_below_the_floor_says_so() -> None:
    cells = pd.DataFrame(
        [("e", "s", f"p{x}", float(x), unit) for x in (1, 2, 4) for unit in "ab"],
        columns=["encoding", "settings", "entry", "x", "unit"],
    ).assign(status="ok", seed=0, target="t", number=1.0, below=False)
    cells.loc[5, ["number", "below"]] = np.nan, True
    number = Number(cells["number"].to_numpy(), "λ_min", "λ_min", cells["below"].to_numpy())
    (note,) = comparable(cells, number, "image", category=True).notes
    assert note.endswith("; 1 point left out: not above the floor on all of them.")


def test_end_and_a_number_without_a_leading_zero_are_names_of_y(results: Results) -> None:
    for epochs in (10, 20):
        results.add("a", training={"epochs": epochs})
    records = results.store.records()
    named = against(records, "training.epochs", "end.lambda_maximum")
    (line,), (same,) = only(named), only(against(records, "training.epochs", "lambda_maximum"))
    assert line.y.tolist() == same.y.tolist()
    assert Until.of("seconds_to_.5") == Until("seconds", 0.5)
