"""Points and labels: how they are drawn, made ahead and kept."""

import threading
import time

import numpy as np
import pytest
import torch
from encbench_tasks._occupancy.ahead import Ahead
from encbench_tasks._occupancy.cache import BLOCK, LabelCache
from encbench_tasks._occupancy.labels import Labels
from encbench_tasks._occupancy.points import draw_points, near_surface_points, uniform_points
from encbench_tasks._occupancy.shapes import solid_of_shape
from encbench_tasks._occupancy.solid import Solid
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
        # beside a plane the distance is |N(0, σ²)|; edges bring it a little nearer
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


def test_what_is_made_ahead_is_what_the_generator_asks_for_next():
    a, b = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    ahead = Ahead(squares)
    got = [ahead.next(a) for _ in range(5)]
    expected = [int(torch.randint(2**63 - 1, (), generator=b)) for _ in range(5)]
    assert [seed for seed, _ in got] == expected
    assert [main for _, main in got] == [True, False, False, False, False]


def test_another_generator_in_between_changes_nothing():
    ahead = Ahead(squares)
    a, b = torch.Generator().manual_seed(5), torch.Generator().manual_seed(6)
    mixed = [ahead.next(g)[0] for g in (a, b, a, a, b)]
    fresh = {s: torch.Generator().manual_seed(s) for s in (5, 6)}
    expected = [int(torch.randint(2**63 - 1, (), generator=fresh[s])) for s in (5, 6, 5, 5, 6)]
    assert mixed == expected


def test_timing_does_not_change_the_result():
    def slow(seed):
        time.sleep(0.02 * (seed % 3))
        return seed

    quick, late = Ahead(lambda seed: seed), Ahead(slow)
    a, b = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    for pause in (0, 0.05, 0, 0.03):
        time.sleep(pause)
        assert quick.next(a) == late.next(b)


def test_the_work_is_done_while_the_caller_does_other_things():
    started = threading.Event()

    def make(seed):
        started.set()
        return seed

    ahead = Ahead(make)
    ahead.next(torch.Generator().manual_seed(0))
    started.clear()
    ahead.next(torch.Generator().manual_seed(9))  # another generator: the guess is made anew
    assert started.wait(5)


def test_an_error_in_the_background_reaches_the_caller():
    seeds = []

    def make(seed):
        seeds.append(seed)
        if len(seeds) > 1:
            raise MemoryError("no room")
        return seed

    ahead, generator = Ahead(make), torch.Generator().manual_seed(0)
    ahead.next(generator)
    with pytest.raises(MemoryError, match="no room"):
        ahead.next(generator)


LABELS = np.random.default_rng(0).random(1001) < 0.3


def test_labels_come_back_as_they_were_stored(tmp_path):
    cache = LabelCache(tmp_path)
    assert cache.get("a", 1001) is None
    cache.put("a", LABELS)
    np.testing.assert_array_equal(LabelCache(tmp_path).get("a", 1001), LABELS)
    assert cache.get("b", 1001) is None
    assert cache.get("a", 900) is None


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[:20] + b"?" + d[21:], lambda d: b""]
)
def test_a_damaged_file_counts_as_absent(tmp_path, damage):
    cache = LabelCache(tmp_path)
    cache.put("a", LABELS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get("a", 1001) is None


def test_the_cache_stays_within_its_limit_and_keeps_what_was_used_last(tmp_path):
    import os

    cache = LabelCache(tmp_path, limit=10 * BLOCK)
    for number in range(20):
        cache.put(f"{number}", LABELS)
        os.utime(cache._file(f"{number}"), (number, number))
    assert cache.get("3", 1001) is not None  # and is now the latest
    cache.sweep()
    kept = [number for number in range(20) if cache.get(f"{number}", 1001) is not None]
    assert len(kept) == 9
    assert 3 in kept
    assert set(kept) - {3} == set(range(12, 20))


def test_many_writers_and_readers_never_see_half_a_file(tmp_path):
    wrong = []

    def work(seed):
        cache = LabelCache(tmp_path, limit=4 * BLOCK)
        for k in range(40):
            found = cache.get(f"{k % 7}", 1001)
            if found is not None and not np.array_equal(found, LABELS ^ bool(k % 7 % 2)):
                wrong.append(k)
            cache.put(f"{k % 7}", LABELS ^ bool(k % 7 % 2))
            cache.sweep()

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not list(tmp_path.glob("*.new"))


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path):
    (tmp_path / "file").write_text("")
    cache = LabelCache(tmp_path / "file" / "labels")
    cache.put("a", LABELS)
    assert cache.get("a", 1001) is None


def test_equal_points_are_labelled_once_and_other_points_again(solid, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path))
    calls = []

    def occupied(x):
        calls.append(len(x))
        return solid.occupied(x)

    counted = Solid(solid.surface, solid.low, solid.high, occupied)
    x = draw_points(solid, 500, 0.5, 0.01, 3)
    first, second = Labels(counted, "flange")(x), Labels(counted, "flange")(x)
    np.testing.assert_array_equal(first, second)
    assert calls == [500]
    Labels(counted, "other solid")(x)
    Labels(counted, "flange")(x + 1e-9)
    assert calls == [500, 500, 500]
