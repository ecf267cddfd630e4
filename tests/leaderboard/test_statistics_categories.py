"""Categories: tasks that differ only in their target."""

from __future__ import annotations

import math
from typing import Any

import pytest
from encbench_leaderboard.board.categories import Target, find_categories
from encbench_leaderboard.board.table import TaskBoard, boards

from encbench.results.records import StoredRecord
from encbench.suite.config import PluginRef, cell_key
from tests.leaderboard.results import Results, diverged


def image(name: str, data: str | None = "", plugin: str = "image", **parameters: Any) -> Target:
    """A task on an image; its data follow from its name unless given."""
    ref = PluginRef(
        name=plugin,
        distribution="encbench",
        version="0.1.0",
        parameters={"image": name, "side": 128, "channels": "auto"} | parameters,
        label=f"image:image={name},side=128",
    )
    return Target(ref, f"data of {name}" if data == "" else data)


def members(*targets: Target) -> list[tuple[int, ...]]:
    return [category.members for category in find_categories(targets)]


def test_images_of_a_folder_are_a_category() -> None:
    found = find_categories([image("a.png"), image("b.png"), image("c.png")])
    assert [(c.label, c.parameter, c.members) for c in found] == [
        ("image:image=*,side=128", "image", (0, 1, 2))
    ]
    assert len(set(found[0].units)) == 3


def test_another_size_is_another_category() -> None:
    targets = [image(n, side=s) for s in (64, 128) for n in ("a.png", "b.png")]
    assert members(*targets) == [(0, 1), (2, 3)]


def test_one_image_at_two_sizes_is_no_category() -> None:
    assert members(image("a.png", side=64), image("a.png", side=128)) == []


def test_a_number_is_a_setting_even_where_data_follow_from_it() -> None:
    assert members(image("a.png", "1", frequency=1), image("a.png", "2", frequency=2)) == []
    assert members(image("a.png", "1", kind="sine"), image("a.png", "2", kind="saw")) == [(0, 1)]


def test_one_image_in_two_colourings_is_no_category() -> None:
    assert members(image("a.png", channels="grey"), image("a.png", channels="rgb")) == []


def test_two_differences_are_no_category() -> None:
    assert members(image("a.png", channels="grey"), image("b.png", channels="rgb")) == []


def test_a_copy_of_an_image_is_the_same_target() -> None:
    copies = image("a.png", "same"), image("copy of a.png", "same")
    assert members(*copies) == []
    found = find_categories([*copies, image("b.png")])
    assert found[0].members == (0, 1, 2)
    assert len(set(found[0].units)) == 2


def test_a_file_that_changed_between_runs_is_left_out() -> None:
    targets = [image("a.png", "then"), image("a.png", "now"), image("b.png"), image("c.png")]
    assert members(*targets) == [(2, 3)]


def test_an_image_that_could_not_be_read_stays_among_the_others() -> None:
    assert members(image("a.png"), image("b.png"), image("gone.png", None)) == [(0, 1, 2)]
    assert members(image("a.png"), image("gone.png", None)) == []


def test_another_plugin_is_another_category() -> None:
    assert members(image("a.png"), image("b.png", plugin="occupancy")) == []


def test_a_task_is_in_the_larger_of_two_categories() -> None:
    targets = [
        image("a.png", "1", channels="x"),
        image("a.png", "2", channels="y"),
        image("b.png", "3", channels="x"),
        image("c.png", "4", channels="x"),
    ]
    assert members(*targets) == [(0, 2, 3)]


def add(results: Results, name: str, encoding: str, seed: int, psnr: float | None) -> StoredRecord:
    """A cell of an image task as the image plug-in records it."""
    failed = {"status": "diverged", "error": diverged(3)} if psnr is None else {}
    stored = results.add(encoding, psnr=psnr, seed=seed, pictures=False, curves=False, **failed)
    target = image(name)
    cell = stored.record.cell.model_copy(update={"task": target.ref, "data_hash": target.data_hash})
    record = stored.record.model_copy(update={"cell": cell, "key": cell_key(cell)})
    results.store.remove(stored.record.key)
    return results.store.write(record, {}, {})


def category_of(results: Results) -> TaskBoard:
    return boards(results.store.records()).categories[0]


def test_each_image_counts_once_however_many_seeds_it_has(results: Results) -> None:
    for seed, psnr in enumerate((20.0, 22.0, 24.0)):
        add(results, "a.png", "ffe", seed, psnr)
    add(results, "b.png", "ffe", 0, 40.0)
    table = category_of(results).standings
    assert table["metric:psnr"][0] == pytest.approx((22.0 + 40.0) / 2)
    assert (table["n"][0], table["units"][0]) == (4, 2)


def test_a_category_pools_what_its_tasks_have(results: Results) -> None:
    for name, base in (("a.png", 20.0), ("b.png", 30.0), ("c.png", 45.0)):
        add(results, name, "mpe", 0, base + 2.0 + base / 100)
        add(results, name, "ffe", 0, base)
    board = boards(results.store.records())
    pooled = board.categories[0]
    assert board.groups == [pooled]
    assert [task.label for task in pooled.targets] == [task.label for task in board.tasks]
    # images differ by 25 dB, encodings by 2 on every image: a paired test finds it
    assert list(pooled.standings["entry"]) == ["mpe", "ffe"]
    assert list(pooled.standings["rank_low"]) == list(pooled.standings["rank_high"]) == [1, 2]
    low, high = pooled.standings["metric:psnr|low"][0], pooled.standings["metric:psnr|high"][0]
    assert low < 20 < 45 < high


def test_an_entry_that_failed_on_an_image_stands_below_those_that_did_not(
    results: Results,
) -> None:
    for name, hard in (("a.png", 0.0), ("b.png", 15.0)):
        add(results, name, "steady", 0, 35.0 - hard)
    add(results, "a.png", "moody", 0, 36.0)
    add(results, "b.png", "moody", 0, None)
    table = category_of(results).standings
    assert list(table["entry"]) == ["steady", "moody"]
    assert list(table["units"]) == [2, 1]
    assert list(table["rank"]) == [1, 2]


def test_tasks_outside_any_category_stand_for_themselves(results: Results) -> None:
    add(results, "a.png", "ffe", 0, 30.0)
    add(results, "b.png", "ffe", 0, 31.0)
    results.add("ffe", task="occupancy")
    board = boards(results.store.records())
    assert [group.label for group in board.groups] == ["image:image=*,side=128", "occupancy"]
    assert len({group.slug for group in (*board.tasks, *board.categories)}) == 4


def test_eigenvalues_are_averaged_over_decades(results: Results) -> None:
    results.add("ffe", seed=0, decades=4.0)
    results.add("ffe", seed=1, decades=8.0)
    results.add("ffe", seed=2, decades=40.0)
    task = boards(results.store.records()).tasks[0]
    values = task.cells["end:median"].dropna()
    assert len(values) == 2
    assert task.standings["end:median"][0] == pytest.approx(math.sqrt(values.prod()))
    assert task.standings["end:median|below"][0] == 1
    assert task.standings["end:resolved_rank"][0] == task.cells["end:resolved_rank"].mean()
