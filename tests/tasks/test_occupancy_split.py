"""Splits of a solid's points: points trained on, points held out, and nearest labels."""

import numpy as np
import pytest
import torch
import trimesh
from encbench_tasks._occupancy.held_out import BoxCells, nearest_labels, trilinear_labels
from encbench_tasks._occupancy.points import uniform_points
from encbench_tasks.occupancy import OccupancyTask

from encbench import ParameterError, Suite, plan
from encbench.metrics.iou import iou
from encbench.plugins.registry import default_registry

SMALL = {"points": 400, "resolution": 16, "side": 16}


@pytest.fixture
def box(tmp_path):
    """The path of a box of 1 × 0.6 × 0.3, which fills its bounding box; and a ball's."""
    path = tmp_path / "box.ply"
    trimesh.creation.box((1.0, 0.6, 0.3)).export(path)
    return str(path)


@pytest.fixture
def ball(tmp_path):
    path = tmp_path / "ball.ply"
    trimesh.creation.icosphere(3).export(path)
    return str(path)


def in_ball(x):
    """A network that predicts a smaller ball than the true one."""
    return ((x - 0.5).norm(dim=1, keepdim=True) < 0.45).float()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_box_is_divided_into_whole_cells_that_alternate(box):
    task = OccupancyTask(mesh=box, **SMALL)
    cells = BoxCells(task.solid, 10)
    assert cells.counts.tolist() == [10, 6, 3]
    assert len(cells.nodes) == 11 * 7 * 4
    np.testing.assert_allclose(cells.nodes[[0, -1]], [task.solid.low, task.solid.high], atol=1e-7)
    x = uniform_points(task.solid, 2000, np.random.default_rng(0))
    even = cells.is_even(x)
    assert even.mean() == pytest.approx(0.5, abs=0.05)
    step = np.array([0.1, 0, 0])
    inner = x[:, 0] + 0.1 < task.solid.high[0] - 1e-6
    assert (cells.is_even(x[inner] + step) != even[inner]).all()
    outside = cells.nodes[:1] - 0.01
    assert cells.is_even(outside).tolist() == [True], "the nearest cell, with indices 0, counts"


def test_checkered_epochs_are_new_points_of_trained_cells_alone(ball):
    task = OccupancyTask(mesh=ball, split="checker", cells=6, **SMALL)
    random = generator()
    (x, y), (other, _) = task.epoch(random), task.epoch(random)
    even = BoxCells(task.solid, 6).is_even
    assert len(x) == len(y) == task.points_per_epoch == 400
    assert not torch.equal(x, other)
    assert even(x.numpy()).all()
    assert even(other.numpy()).all()
    assert even(task.ntk_points(100, generator()).numpy()).all()
    near = abs((x[200:] - 0.5).norm(dim=1) - 0.5)
    assert near.median() < 0.03, "half of them are near the surface"


def test_without_a_split_points_are_those_of_before(ball):
    task, same = OccupancyTask(mesh=ball, **SMALL), OccupancyTask(mesh=ball, split="all", **SMALL)
    assert torch.equal(task.epoch(generator())[0], same.epoch(generator())[0])
    assert (task.curve, task.held_out()) == ("iou", None)
    assert not task.evaluate(in_ball).baselines
    assert (OccupancyTask.curve, task.curve_points) == ("iou", 2048)


def test_random_points_are_the_same_in_every_epoch_and_cell(ball):
    one, again, other = (
        OccupancyTask(mesh=ball, split="random", split_seed=seed, **SMALL) for seed in (2, 2, 3)
    )
    x, y = one.epoch(generator(1))
    assert torch.equal(x, one.epoch(generator(2))[0])
    assert torch.equal(x, again.epoch(generator(3))[0])
    assert not torch.equal(x, other.epoch(generator(1))[0])
    of_ntk, held_out, trained = (
        set(map(tuple, points.tolist()))
        for points in (one.ntk_points(50, generator()), one.held_out()[0], x)
    )
    assert of_ntk <= trained
    assert held_out.isdisjoint(trained), "no point is both"
    assert y.shape == (400, 1)


def test_a_grid_is_labelled_at_its_nodes_alone(ball):
    task = OccupancyTask(mesh=ball, split="grid", cells=8, resolution=16, side=16)
    x, y = task.epoch(generator())
    assert task.points_per_epoch == len(x) == 9**3
    np.testing.assert_allclose(np.unique(x[:, 1]), np.linspace(0, 1, 9), atol=1e-6)
    radius = (x - 0.5).norm(dim=1)
    clear = (radius - 0.5).abs() > 0.01
    assert torch.equal(y[clear, 0] == 1, radius[clear] < 0.5)


@pytest.mark.parametrize("truth", ["winding", "rays"])
def test_nodes_on_the_surface_of_a_mesh_are_outside(box, truth):
    task = OccupancyTask(mesh=box, split="grid", cells=10, truth=truth, resolution=16, side=16)
    nodes = task.epoch(generator())[1].reshape(11, 7, 4)
    assert nodes[1:-1, 1:-1, 1:-1].all()
    assert nodes.sum() == 9 * 5 * 2, "at those on the walls rounding would decide"


def test_the_formula_of_a_shape_decides_on_its_surface():
    task = OccupancyTask(mesh="flange", split="grid", cells=40, resolution=16, side=16)
    x, inside = task.epoch(generator())
    np.testing.assert_array_equal(inside[:, 0].numpy(), task.solid.occupied(x.numpy()))


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ({"split": "random", "near_surface": 0.25}, (300, 1 << 18)),
        ({"split": "checker", "cells": 5}, (1 << 16, 1 << 16)),
        ({"split": "grid", "cells": 5, "points": 65536}, (216, 1 << 18)),
    ],
)
def test_iou_is_over_what_is_trained_on_and_what_is_held_out(ball, split, counts):
    task = OccupancyTask(mesh=ball, **(SMALL | split))
    outcome = task.evaluate(in_ball)
    fitted, held = outcome.comparisons["iou"], outcome.comparisons["held_out_occupancy"]
    assert (len(fitted[0]), len(held[0])) == counts
    x, inside = (tensor.numpy() for tensor in task.held_out())
    predicted = np.linalg.norm(x - 0.5, axis=1) < 0.45
    expected = (predicted & (inside[:, 0] == 1)).sum() / (predicted | (inside[:, 0] == 1)).sum()
    assert iou(*held) == pytest.approx(expected, abs=1e-3)
    if split["split"] == "checker":
        assert not BoxCells(task.solid, 5).is_even(x).any()
    elif split["split"] == "random":
        trained, labels = (tensor.numpy() for tensor in task.epoch(generator()))
        uniform = np.linalg.norm(trained[:300] - 0.5, axis=1) < 0.45
        assert iou(*fitted) == iou(uniform.astype(float), labels[:300, 0])
    assert task.curve == "iou_held_out"
    assert task.progress_metric(in_ball) == pytest.approx(iou(*held), abs=0.05)
    for compared in outcome.baselines.values():
        p, truth = compared["held_out_occupancy"]
        assert iou(p, truth) > 0.7, "the labels of a ball come near it"
        np.testing.assert_array_equal(truth, held[1])


def test_nearest_labels_are_those_of_a_plain_search():
    rng = np.random.default_rng(0)
    known, x, labels = rng.random((40, 3)), rng.random((25, 3)), rng.random(40) < 0.5
    distance = np.linalg.norm(x[:, None] - known[None], axis=2)
    found = nearest_labels(known, labels, x)
    np.testing.assert_array_equal(found["nearest point"], labels[distance.argmin(axis=1)])
    order = np.argsort(distance, axis=1)[:, :8]
    weights = 1 / np.take_along_axis(distance, order, 1)
    mean = (weights * labels[order]).sum(axis=1) / weights.sum(axis=1)
    np.testing.assert_allclose(found["nearest points by distance"], mean, rtol=1e-6)
    few = nearest_labels(known[:3], labels[:3], known[:3])
    for p in few.values():
        np.testing.assert_allclose(p, labels[:3], atol=1e-12)


def test_trilinear_labels_are_weighted_by_volume(box):
    cells = BoxCells(OccupancyTask(mesh=box, **SMALL).solid, 4)
    labels = np.zeros(len(cells.nodes), np.bool_)
    labels[0] = True
    side = (cells.solid.high - cells.solid.low) / cells.counts
    place = np.array([[0.25, 0.5, 0.125]])
    found = trilinear_labels(cells, labels, cells.solid.low + place * side)
    np.testing.assert_allclose(found, [0.75 * 0.5 * 0.875], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cells=4", "cells=4 has no effect with split=all; .* split=checker or split=grid"),
        ("split=checker,split_seed=1", "split_seed=1 has no effect with split=checker"),
        ("split=grid,points=100", "points=100 has no effect with split=grid, which trains on"),
        ("split=random,near_surface=1", "give near_surface less than 1, or more points"),
        ("split=checker,cells=1", "cells=1 is not valid"),
        ("noise=0.1", "has no parameter 'noise'"),
    ],
)
def test_misuse_is_one_line_at_planning(text, message):
    suite = {"encodings": ["identity"], "tasks": [f"occupancy:{text}"]}
    with pytest.raises(ParameterError, match=message) as raised:
        plan(Suite.model_validate(suite), default_registry())
    assert "\n" not in str(raised.value)


def test_parameters_without_a_split_are_those_of_before():
    suite = Suite.model_validate({"encodings": ["identity"], "tasks": ["occupancy"]})
    (cell,) = plan(suite, default_registry())
    assert sorted(cell.task.parameters) == [
        *("mesh", "near_surface", "points", "resolution", "side", "sigma", "truth")
    ]
