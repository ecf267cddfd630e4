"""The task sdf: exact distances, their sampling, and the evaluation of a network."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from encbench_tasks import sdf as sdf_module
from encbench_tasks._occupancy import evaluation, truth
from encbench_tasks._occupancy.evaluation import gradient_lengths
from encbench_tasks._occupancy.points import Labels, sampled_points
from encbench_tasks._occupancy.solid import solid_of_mesh
from encbench_tasks.sdf import SdfTask

from encbench import CoordinateMLP, DataError, ParameterError, Suite, plan
from encbench.errors import SuiteError
from encbench.plugins.registry import default_registry


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(truth, "UNIFORM_POINTS", 4096)
    monkeypatch.setattr(truth, "NEAR_POINTS", 1024)
    monkeypatch.setattr(truth, "SURFACE_SAMPLES", 1024)
    monkeypatch.setattr(evaluation, "VOLUME_POINTS", 1024)
    monkeypatch.setattr(evaluation, "SLOPE_POINTS", 256)
    monkeypatch.setattr(sdf_module, "GRID_SIDE", 8)


def saved(mesh, tmp_path):
    path = tmp_path / "mesh.ply"
    mesh.export(path)
    return str(path)


@pytest.fixture
def box(tmp_path):
    return saved(trimesh.creation.box((1.0, 0.5, 0.25)), tmp_path)


def box_distance(x):
    """Signed distance from the box 1 × ½ × ¼ centred in the cube."""
    beyond = np.abs(x - 0.5) - [0.5, 0.25, 0.125]
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
    return outside + np.minimum(beyond.max(axis=1), 0)


def brute_force(mesh, x):
    """Distances (N,) to triangles, one at a time: to the plane within the triangle, or to its three
    edges."""
    nearest = np.full(len(x), np.inf)
    for a, b, c in mesh.vertices[mesh.faces]:
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal)
        above = (x - a) @ normal
        foot = x - above[:, None] * normal
        within = np.all(
            [np.cross(q - p, foot - p) @ normal >= 0 for p, q in ((a, b), (b, c), (c, a))], axis=0
        )
        nearest = np.where(within, np.minimum(nearest, np.abs(above)), nearest)
        for p, q in ((a, b), (b, c), (c, a)):
            t = np.clip((x - p) @ (q - p) / ((q - p) @ (q - p)), 0, 1)
            nearest = np.minimum(nearest, np.linalg.norm(x - p - t[:, None] * (q - p), axis=1))
    return nearest


def test_distances_are_those_of_every_triangle_tried(tmp_path):
    torus = trimesh.creation.torus(0.3, 0.12, major_sections=12, minor_sections=8)
    solid = solid_of_mesh(Path(saved(torus, tmp_path)))
    x = np.concatenate([np.random.default_rng(0).random((400, 3)), solid.surface.vertices[:20]])
    found = Labels(solid, "torus").distances(x)
    np.testing.assert_allclose(np.abs(found), brute_force(solid.surface, x), atol=1e-12)
    proximity = trimesh.Trimesh(solid.surface.vertices, solid.surface.faces)
    assert np.array_equal(found[:400] < 0, proximity.contains(x[:400]))


def test_distances_of_a_box_are_its_formula(box):
    task = SdfTask(mesh=box, points=512, seed=3)
    x, y = task.epoch(torch.Generator())
    assert (x.shape, x.dtype, y.shape, y.dtype) == (
        (512, 3), torch.float64, (512, 1), torch.float32)  # fmt: skip
    np.testing.assert_allclose(y[:, 0], box_distance(x.numpy()), atol=1e-7)
    grid = task.regular_grid()
    np.testing.assert_allclose(grid.truth.ravel(), box_distance(grid.x.numpy()), atol=1e-7)
    assert grid is task.regular_grid()


def test_points_lie_on_the_surface_near_it_and_in_the_whole_cube(box):
    solid = solid_of_mesh(Path(box))
    x = sampled_points(solid, 4000, 0.5, 0.375, 0.01, 0)
    distance = np.abs(box_distance(x))
    assert distance[:2000].max() < 1e-7
    # except at edges, the distance of a point moved by N(0, σ²) along each axis is |N(0, σ²)|
    assert np.median(distance[2000:3500]) == pytest.approx(0.6745 * 0.01, rel=0.08)
    assert np.abs(x[3500:].mean(axis=0) - 0.5).max() < 0.05
    assert np.ptp(x[3500:, 2]) > 0.98
    assert len(sampled_points(solid, 7, 0.5, 0.5, 0.01, 0)) == 7
    assert not np.array_equal(x, sampled_points(solid, 4000, 0.5, 0.375, 0.01, 1))


def test_a_perfect_network_is_found_perfect(box):
    task = SdfTask(mesh=box, points=64, resolution=32, side=32)

    def predict(x):
        return torch.from_numpy(box_distance(x.numpy())[:, None].astype(np.float32))

    outcome = task.evaluate(predict)
    metrics = {offer.name: offer.load()() for offer in default_registry().offers("metric")}
    values = {
        name: metric(*pair).value
        for name, metric in metrics.items()
        if (pair := outcome.comparisons.get(name, outcome.comparisons.get(metric.kind)))
    }
    assert values["l1"] < 1e-7
    assert values["near_surface_l1"] < 1e-7
    assert values["iou"] == values["near_surface_iou"] == 1
    # where two sides are equally near, the slope is smaller
    assert values["eikonal_residual"] < 0.01
    assert values["chamfer_l1"] < 3e-3  # edges are rounded by a cell
    assert "bce" not in values
    assert task.progress_metric(predict) < 1e-7
    assert outcome.pictures["prediction"].shape == (96, 32, 3)
    np.testing.assert_array_equal(
        outcome.pictures["prediction"][:32], outcome.pictures["target"][:32]
    )
    np.testing.assert_array_equal(task.render(predict, 1), outcome.pictures["prediction"])
    broken = task.evaluate(lambda x: torch.full((len(x), 1), torch.nan)).comparisons
    assert metrics["l1"](*broken["distance"]).value is None
    assert metrics["iou"](*broken["iou"]).value is None


def test_gradient_lengths_are_those_of_autograd():
    torch.manual_seed(0)
    encoding = default_registry().find("encoding", "ffe").load()(3, levels=4)
    model = CoordinateMLP(encoding, 1, 16, 1, activation="tanh")
    asked = []

    def predict(x):
        asked.append(x)
        with torch.no_grad():
            return model(x.float())

    found = gradient_lengths(predict, np.random.default_rng(0))
    x = (asked[0] + asked[1]) / 2
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model.double()(x).sum(), x)
    np.testing.assert_allclose(found, gradient.norm(dim=1), rtol=2e-3, atol=2e-4)


def test_the_eikonal_term_is_of_the_gradients_length(box):
    task = SdfTask(mesh=box, points=64, loss="l1", eikonal=0.5)

    def slope(x):
        return (x * torch.tensor([3.0, 0.0, 4.0])).sum(dim=1, keepdim=True)

    x = torch.rand(10, 3, generator=torch.Generator().manual_seed(0))
    assert task.loss(slope, x, slope(x) - 0.25).item() == pytest.approx(0.25 + 0.5 * 16)
    assert SdfTask(mesh=box, points=64, loss="mse").loss == "mse"


def planned(task, encoding="identity", **settings):
    suite = {"encodings": [encoding], "tasks": [task], **settings}
    return plan(Suite.model_validate(suite), default_registry())


@pytest.mark.parametrize(
    ("task", "encoding", "words"),
    [
        ("sdf:on_surface=0.75", "identity", "on_surface=0.75 and near_surface=0.375 are more than"),
        ("sdf:eikonal=-1", "identity", "eikonal"),
        ("sdf:loss=map", "identity", "'mape'"),
        ("sdf:eikonal=0.1", "densegrid:interpolation=nearest", "has no first derivative"),
    ],
)
def test_what_makes_no_sense_is_refused_in_planning(task, encoding, words):
    with pytest.raises((ParameterError, SuiteError)) as caught:
        planned(task, encoding)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_negative_seed_is_refused_without_a_plan_too():
    with pytest.raises(ParameterError, match="seed must be at least 0, got -1"):
        SdfTask(seed=-1)


def test_gradient_descent_needs_the_squared_error_or_a_rate():
    sgd = {"training": {"optimizer": "sgd"}}
    assert planned("sdf:loss=mse", **sgd)
    for task, has in (("sdf", "the loss 'mape'"), ("sdf:eikonal=0.1", "a loss of its own")):
        with pytest.raises(SuiteError, match=has):
            planned(task, **sgd)


def test_an_open_mesh_is_warned_of_and_one_without_faces_refused(tmp_path, caplog):
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.update_faces(np.arange(len(ball.faces)) > 3)
    SdfTask(mesh=saved(ball, tmp_path), points=8)
    assert "border edges: the mesh has holes" in caplog.text
    cloud = saved(trimesh.PointCloud(ball.vertices), tmp_path)
    with pytest.raises(DataError, match="without faces"):
        SdfTask(mesh=cloud, points=8)
