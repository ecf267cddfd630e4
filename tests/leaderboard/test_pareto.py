"""Quality against cost: the front, which costs may share a plot, and readable names."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from encbench_leaderboard.board.pareto import SAME_SIZE, Tradeoffs, front, tradeoffs
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.render import style
from encbench_leaderboard.render.panels import plot
from encbench_leaderboard.render.terminal import print_standings
from encbench_leaderboard.report.build import describe, load_board
from encbench_leaderboard.report.figures.cost import cost_figure, front_text, left_out
from encbench_leaderboard.report.figures.selection import SHOWN
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.console import Console

from encbench.contracts.metric import MetricValue
from encbench.results import palette
from encbench.suite.budget import TOLERANCE
from encbench.suite.config import PluginRef
from tests.leaderboard.results import Results, provenance

number = st.integers(0, 4).map(float)
quality = number | st.sampled_from([np.inf, -np.inf])


@given(st.lists(st.tuples(number, quality), max_size=9), st.booleans())
def test_the_front_is_what_nothing_dominates(points: list[tuple[float, float]], higher: bool):
    sign = 1 if higher else -1
    expected = [
        not any(
            c <= cost and sign * q >= sign * quality and (c, q) != (cost, quality)
            for c, q in points
        )
        for cost, quality in points
    ]
    cost, quality = np.array(points).reshape(-1, 2).T
    assert front(cost, quality, higher=higher).tolist() == expected


def of(results: Results) -> Tradeoffs:
    return tradeoffs(boards(results.store.records()).tasks[0])


def drawn(results: Results) -> Figure:
    board = boards(results.store.records())
    block = cost_figure(board.tasks[0])
    assert block is not None
    with style.quiet():
        figure = plot(block, palette.colours(board.entries))
        assert figure is not None
        FigureCanvasAgg(figure).draw()
    return figure


def test_quality_is_set_against_parameters_time_and_memory(results: Results) -> None:
    results.add("small", psnr=20.0, parameters={"mlp": 10, "encoding": 5})
    results.add("large", psnr=30.0, parameters={"mlp": 10, "encoding": 90})
    results.add("poor", psnr=10.0, parameters={"mlp": 10, "encoding": 900})
    found = of(results)
    assert [panel.cost for panel in found.panels] == ["parameters", "training", "memory"]
    points = found.panels[0].points.set_index("entry")
    assert points["cost"].to_dict() == {"small": 15, "large": 100, "poor": 910}
    assert points["front"].to_dict() == {"small": True, "large": True, "poor": False}
    text = front_text(found)
    assert text is not None
    said = text.markdown
    assert "- by parameters: `large`, `small`; dominated: 1 of 3" in said


def test_a_metric_that_should_be_low_has_its_front_at_the_low_end(results: Results) -> None:
    for name, error, size in (("a", 0.5, 10), ("b", 0.1, 20), ("c", 0.6, 30)):
        metrics = {"chamfer": MetricValue(value=error, direction="lower")}
        results.add(name, curve="chamfer", metrics=metrics, parameters={"mlp": size})
    points = of(results).panels[0].points
    assert points["entry"].tolist() == ["b", "a", "c"]
    assert points["front"].tolist() == [True, True, False]


def test_times_of_two_machines_never_share_a_panel(results: Results) -> None:
    for name in ("a", "b"):
        results.add(name, durations={"training": 10.0})
        fast = provenance(processor="Xeon 8480")
        results.add(name, seed=1, durations={"training": 2.0}, provenance=fast)
    found = of(results)
    times = [panel for panel in found.panels if panel.cost == "training"]
    assert {panel.where.split(", ")[1] for panel in times} == {"EPYC 7763", "Xeon 8480"}
    for panel in times:
        assert set(panel.points["cost"]) == {2.0 if "Xeon" in panel.where else 10.0}
    assert any("2 different machines" in text for text in left_out(found))


def test_beyond_two_machines_the_page_says_what_is_left_out(results: Results) -> None:
    for place in range(4):
        results.add("a", seed=place, provenance=provenance(processor=f"CPU {place}"))
    found = of(results)
    assert [panel.cost for panel in found.panels].count("training") == 2
    assert any("4 different machines" in text and "only the 2" in text for text in left_out(found))


def test_memory_of_a_gpu_is_not_set_beside_that_of_a_cpu(results: Results) -> None:
    results.add("a")
    results.add("b", provenance=provenance(device="H200"))
    memory = [panel for panel in of(results).panels if panel.cost == "memory"]
    assert {panel.where for panel in memory} == {"cpu", "H200"}
    assert all(len(panel.points) == 1 for panel in memory)


def test_several_seeds_are_one_mark_with_the_interval_of_the_standings(results: Results) -> None:
    for seed, psnr in enumerate((29.0, 30.0, 34.0)):
        results.add("a", seed=seed, psnr=psnr, durations={"training": 5.0 + seed})
    board = boards(results.store.records()).tasks[0]
    point = tradeoffs(board).panels[1].points.iloc[0]
    row = board.standings.iloc[0]
    assert (point["quality"], point["cost"]) == (31.0, 6.0)
    assert (point["cost_low"], point["cost_high"]) == (5.0, 7.0)
    assert (point["quality_low"], point["quality_high"]) == (
        row["metric:psnr|low"],
        row["metric:psnr|high"],
    )
    assert point["quality_low"] < 31.0 < point["quality_high"]


def test_in_a_category_what_lacks_a_target_is_left_out(results: Results) -> None:
    for image in ("x", "y"):
        for name in ("a", "b"):
            if (image, name) != ("y", "b"):
                stored = results.add(name, task=f"image:image={image}")
                ref = PluginRef(
                    name="image",
                    distribution="encbench",
                    version="0.1.0",
                    parameters={"image": image},
                    label=f"image:image={image}",
                )
                cell = stored.record.cell.model_copy(update={"task": ref, "data_hash": image * 64})
                results.store.write(stored.record.model_copy(update={"cell": cell}), {}, {})
    board = boards(results.store.records())
    assert len(board.categories) == 1
    found = tradeoffs(board.categories[0])
    assert set(found.panels[0].points["entry"]) == {"a"}
    assert left_out(found) == [
        "1 encoding that did not finish on the same targets as the best is left out."
    ]


def test_as_many_targets_are_not_the_same_targets(results: Results) -> None:
    for name, images in (("a", "xyz"), ("b", "xyz"), ("c", "xyw")):
        for image in images:
            results.add(name, task=f"image:image={image}", data_hash=image, points=0)
    found = tradeoffs(boards(results.store.records()).categories[0])
    assert set(found.panels[0].points["entry"]) == {"a", "b"}
    assert found.unfinished == 1


def on_machine(results: Results, name: str, image: str, seconds: float, machine: str) -> None:
    results.add(
        name,
        task=f"image:image={image}",
        data_hash=image,
        points=0,
        durations={"training": seconds},
        provenance=provenance(machine=machine),
    )


def test_times_are_compared_on_the_same_targets_of_a_machine(results: Results) -> None:
    on_machine(results, "a", "small", 10.0, "m1")
    on_machine(results, "a", "large", 100.0, "m1")
    on_machine(results, "b", "small", 12.0, "m1")
    on_machine(results, "b", "large", 60.0, "m2")
    category = boards(results.store.records()).categories[0]
    found = tradeoffs(category)
    times = {p.where: p for p in found.panels if p.cost == "training"}
    (first,) = [p for where, p in times.items() if "m1" in where]
    assert first.points.set_index("entry")["cost"].to_dict() == {"a": 55.0}
    assert first.lacking == 1
    text = front_text(found)
    assert text is not None
    assert "`a`; dominated: 0 of 1; left out: 1 with training time on only some" in text.markdown
    assert any("only some of its targets" in said for said in left_out(found))
    on_machine(results, "b", "third", 1.0, "m1")
    on_machine(results, "a", "third", 1.0, "m2")
    assert cost_figure(boards(results.store.records()).categories[0]) is not None


def test_the_terminal_warns_of_times_of_different_machines(results: Results) -> None:
    for seed, machine in enumerate(("m1", "m2")):
        results.add("a", seed=seed, provenance=provenance(machine=machine), points=0)
    out = StringIO()
    print_standings(describe(*load_board(results.directory)), Console(file=out, width=200), 20)
    assert "times must not be compared" in out.getvalue()


def test_no_entry_with_times_of_all_targets_leaves_a_panel_empty(results: Results) -> None:
    for name, machines in (("a", ("m1", "m2")), ("b", ("m2", "m1"))):
        for image, machine in zip(("small", "large"), machines, strict=True):
            on_machine(results, name, image, 10.0, machine)
    board = boards(results.store.records())
    found = tradeoffs(board.categories[0])
    assert [len(p.points) for p in found.panels if p.cost == "training"] == [0, 0]
    assert [p.lacking for p in found.panels if p.cost == "training"] == [2, 2]
    text = front_text(found)
    assert text is not None
    assert ": none; dominated: 0 of 0; left out: 2 with" in text.markdown
    block = cost_figure(board.categories[0])
    assert block is not None
    with style.quiet():
        assert plot(block, palette.colours(board.entries)) is not None


def test_an_exact_fit_dominates_and_has_no_mark(results: Results) -> None:
    for name, psnr in (("a", np.inf), ("b", 40.0)):
        results.add(name, psnr=psnr)
    found = of(results)
    for panel in found.panels:
        points = panel.points.set_index("entry")
        assert points["front"].to_dict() == {"a": True, "b": False}
    assert drawn(results).axes[0].get_ylim()[1] < np.inf
    block = cost_figure(boards(results.store.records()).tasks[0])
    assert block is not None
    assert "Infinite means have no mark." in block.caption


def test_what_failed_has_no_mark(results: Results) -> None:
    results.add("a")
    results.add("b", status="failed", psnr=None)
    assert set(of(results).panels[0].points["entry"]) == {"a"}


@pytest.mark.parametrize("entries", [10, 30])
def test_the_legend_names_the_best_with_the_look_of_their_marks(
    results: Results, entries: int
) -> None:
    for place in range(entries):
        parameters = {"mlp": 2000 - 50 * place}
        results.add(f"e{place:02d}", psnr=20.0 + place, parameters=parameters, points=0)
    figure = drawn(results)
    legend = figure.axes[3].get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert {name for name in names if name[0] == "e"} == {
        f"e{place:02d}" for place in range(max(0, entries - SHOWN), entries)
    }
    listed = {
        (handle.get_color(), handle.get_marker())
        for handle, name in zip(legend.legend_handles, names, strict=True)
        if name[0] == "e" and isinstance(handle, Line2D)
    }
    assert len(listed) == min(entries, SHOWN)
    for axes in figure.axes[:3]:
        marks = {(line.get_color(), line.get_marker()) for line in axes.lines}
        assert listed <= marks
    assert (f"{entries - SHOWN} others" in names) == (entries > SHOWN)


def test_the_interval_of_two_cells_does_not_flatten_the_plot(results: Results) -> None:
    for name, psnr in (("a", 20.0), ("b", 30.0)):
        for seed in range(2):
            results.add(name, seed=seed, psnr=psnr + 6 * seed)
    bars = of(results).panels[0].points
    assert (bars["quality_high"] - bars["quality_low"]).min() > 70
    low, high = drawn(results).axes[0].get_ylim()
    assert 10 < low < 23
    assert 33 < high < 45


def test_an_error_over_decades_has_a_log_axis(results: Results) -> None:
    for name, error in (("a", 0.5), ("b", 0.01)):
        metrics = {"chamfer": MetricValue(value=error, direction="lower")}
        for seed in range(2):
            results.add(name, curve="chamfer", metrics=metrics, seed=seed)
    axes = drawn(results).axes[0]
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert 0 < low < 0.01 < 0.5 < high


def test_sizes_within_the_tolerance_of_a_budget_are_no_cost(results: Results) -> None:
    assert SAME_SIZE == TOLERANCE
    for encoding, size in {"a": 49_750, "b": 51_000}.items():
        results.add(encoding, parameters={"mlp": size, "encoding": 0}, points=0)
    (task,) = boards(results.store.records()).tasks
    assert [panel.cost for panel in tradeoffs(task).panels] == ["training", "memory"]
