"""Points and labels: how they are drawn, prefetched and cached."""

import os
import threading
import time

import numpy as np
import pytest
import torch
from encbench_tasks._occupancy import cache
from encbench_tasks._occupancy.points import (
    Labels,
    Prefetch,
    draw_points,
    near_surface_points,
    uniform_points,
)
from encbench_tasks._occupancy.shapes import solid_of_shape
from scipy.stats import kstest


@pytest.fixture(scope="module")
def solid():
    return solid_of_shape("flange", 48)


def test_uniform_points_are_uniform_in_the_bounding_box(solid):
    x = uniform_points(solid, 20_000, np.random.default_rng(0))
    unit = (x - solid.low) / (solid.high - solid.low)
    for axis in range(3):
        assert kstest(unit[:, axis], "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(unit.T) - np.eye(3)).max() < 0.03


def test_points_are_float32_numbers_so_that_labels_are_of_what_networks_see(solid):
    x = draw_points(solid, 1000, 0.5, 0.01, 0)
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x.astype(np.float32), x)


def test_points_near_the_surface_are_as_near_as_sigma_says(solid):
    import igl

    for sigma in (0.005, 0.02):
        x = near_surface_points(solid, 5000, sigma, np.random.default_rng(0))
        squared, _, _ = igl.point_mesh_squared_distance(
            x, solid.surface.vertices, solid.surface.faces
        )
        # beside a plane the distance is |N(0, σ²)|; near edges it is a little smaller
        assert np.sqrt(squared.mean()) == pytest.approx(sigma, rel=0.15)


def test_nothing_leaves_the_unit_cube(solid):
    x = near_surface_points(solid, 5000, 0.5, np.random.default_rng(0))
    assert (x >= 0).all()
    assert (x <= 1).all()


@pytest.mark.parametrize("near", [0.0, 0.3, 1.0])
def test_the_mix_has_the_stated_part_near_the_surface(solid, near):
    x = draw_points(solid, 2000, near, 1e-9, 7)
    assert len(x) == 2000
    assert ((x > solid.low - 1e-6) & (x < solid.high + 1e-6)).all()
    import igl

    squared, _, _ = igl.point_mesh_squared_distance(x, solid.surface.vertices, solid.surface.faces)
    assert (squared < 1e-12).mean() == pytest.approx(near, abs=0.01)


def squares(seed):
    return seed, threading.current_thread() is threading.main_thread()


def test_what_is_prefetched_is_what_the_generator_asks_for_next():
    a, b = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    prefetch = Prefetch(squares)
    got = [prefetch.next(a) for _ in range(5)]
    expected = [int(torch.randint(2**63 - 1, (), generator=b)) for _ in range(5)]
    assert [seed for seed, _ in got] == expected
    assert [main for _, main in got] == [True, False, False, False, False]


def test_another_generator_in_between_changes_nothing():
    prefetch = Prefetch(squares)
    a, b = torch.Generator().manual_seed(5), torch.Generator().manual_seed(6)
    mixed = [prefetch.next(g)[0] for g in (a, b, a, a, b)]
    fresh = {s: torch.Generator().manual_seed(s) for s in (5, 6)}
    expected = [int(torch.randint(2**63 - 1, (), generator=fresh[s])) for s in (5, 6, 5, 5, 6)]
    assert mixed == expected


def test_timing_does_not_change_the_result():
    def slow(seed):
        time.sleep(0.02 * (seed % 3))
        return seed

    quick, late = Prefetch(lambda seed: seed), Prefetch(slow)
    a, b = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    for pause in (0, 0.05, 0, 0.03):
        time.sleep(pause)
        assert quick.next(a) == late.next(b)


def test_the_work_is_done_while_the_caller_does_other_things():
    started = threading.Event()

    def make(seed):
        started.set()
        return seed

    prefetch = Prefetch(make)
    prefetch.next(torch.Generator().manual_seed(0))
    started.clear()
    prefetch.next(torch.Generator().manual_seed(9))  # another generator: the guess is made anew
    assert started.wait(5)


def test_an_error_in_the_background_reaches_the_caller():
    seeds = []

    def make(seed):
        seeds.append(seed)
        if len(seeds) > 1:
            raise MemoryError("no room")
        return seed

    prefetch, generator = Prefetch(make), torch.Generator().manual_seed(0)
    prefetch.next(generator)
    with pytest.raises(MemoryError, match="no room"):
        prefetch.next(generator)


class Ball:
    """A ground truth that counts its calls."""

    def __init__(self):
        self.asked = 0

    def occupied(self, x):
        self.asked += 1
        return np.linalg.norm(x - 0.5, axis=1) < 0.3


X = np.random.default_rng(0).random((1001, 3))
INSIDE = Ball().occupied(X)


@pytest.fixture(name="folder")
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path))
    return tmp_path


def label_files(folder):
    return sorted(folder.rglob("output.pkl"))


def test_labels_come_back_as_they_were_stored(folder):
    first, second = Ball(), Ball()
    np.testing.assert_array_equal(Labels(first, "a")(X), INSIDE)
    np.testing.assert_array_equal(Labels(second, "a")(X), INSIDE)
    np.testing.assert_array_equal(Labels(second, "a")(X[:900]), INSIDE[:900])
    assert (first.asked, second.asked) == (1, 1)
    assert len(label_files(folder)) == 2


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: b"?" + d[1:], lambda d: b""])
def test_labels_whose_file_is_damaged_are_computed_again(folder, damage):
    Labels(Ball(), "a")(X)
    (file,) = label_files(folder)
    file.write_bytes(damage(file.read_bytes()))
    again, after = Ball(), Ball()
    np.testing.assert_array_equal(Labels(again, "a")(X), INSIDE)
    np.testing.assert_array_equal(Labels(after, "a")(X), INSIDE)
    assert (again.asked, after.asked) == (1, 0)


def test_the_cache_stays_within_its_limit_and_keeps_what_was_used_last(folder, monkeypatch):
    monkeypatch.setattr(cache, "MOST_SETS", 9)
    labels = Labels(Ball(), "a")
    for number in range(20):
        labels(X + number)
        latest = max(label_files(folder), key=lambda file: file.stat().st_ctime_ns)
        os.utime(latest, (number, number))
    Labels(Ball(), "a")
    assert len(label_files(folder)) == 9
    kept = Ball()
    for number in range(11, 20):
        Labels(kept, "a")(X + number)
    assert kept.asked == 0


def test_many_writers_and_readers_get_the_right_labels(folder):
    wrong = []

    def work():
        got = [Labels(Ball(), f"{k % 4}")(X) for k in range(20)]
        wrong.extend(labels for labels in got if not np.array_equal(labels, INSIDE))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(Labels(Ball(), "a")(X), INSIDE)


def test_equal_points_are_labelled_once_and_other_points_again(folder):
    ball = Ball()
    first, second = Labels(ball, "ball")(X), Labels(ball, "ball")(X)
    np.testing.assert_array_equal(first, second)
    assert ball.asked == 1
    Labels(ball, "other solid")(X)
    Labels(ball, "ball")(X + 1e-9)
    assert ball.asked == 3
