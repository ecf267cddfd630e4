"""The occupancy task: its training data, and the evaluation of a network."""

import json

import numpy as np
import pytest
import torch
import trimesh
from encbench_tasks._occupancy import truth
from encbench_tasks._occupancy.shapes import SHAPES
from encbench_tasks.occupancy import OccupancyTask

import encbench
from encbench import ParameterError, Suite, load_suite, plan
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import default_registry


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A cache folder for results on a mesh: 300,000 labels of the ball, which take a second."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(labels, monkeypatch):
    monkeypatch.setenv("ENCBENCH_CACHE", str(labels))


@pytest.fixture
def ball(tmp_path):
    path = tmp_path / "ball.ply"
    trimesh.creation.icosphere(subdivisions=4, radius=0.5).export(path)
    return str(path)


def oracle(task, sharpness=400.0):
    """A network that predicts the ball, with logits proportional to the distance from it."""

    def predict(x):
        distance = 0.5 - np.linalg.norm(x.numpy() - 0.5, axis=1)
        return torch.sigmoid(torch.from_numpy(sharpness * distance)).float()[:, None]

    return predict


def test_the_task_is_found_by_name_and_described():
    offer = default_registry().find("task", "occupancy")
    assert offer.load() is OccupancyTask
    assert 0 < len(offer.summary()) <= 90
    assert all(p.description for p in parameters_of(OccupancyTask))
    assert (OccupancyTask.network.width, OccupancyTask.network.depth) == (256, 8)
    assert (OccupancyTask.loss, OccupancyTask.curve) == ("bce", "iou")


def test_an_epoch_is_labelled_points_that_depend_on_the_generator_alone(ball):
    task = OccupancyTask(mesh=ball, points=3000, near_surface=0.0)
    generator = torch.Generator().manual_seed(3)
    epochs = [task.epoch(generator) for _ in range(3)]
    x, y = epochs[0]
    assert (x.shape, x.dtype, y.shape, y.dtype) == (
        (3000, 3), torch.float64, (3000, 1), torch.float32)  # fmt: skip
    assert not torch.equal(epochs[0][0], epochs[1][0])
    radius = (x - 0.5).norm(dim=1)
    clear = (radius - 0.5).abs() > 5e-3
    assert torch.equal(y[clear, 0] == 1, radius[clear] < 0.5)
    # another object, with labels from the cache, has the same points
    again = OccupancyTask(mesh=ball, points=3000, near_surface=0.0)
    generator = torch.Generator().manual_seed(3)
    for x, y in epochs:
        x2, y2 = again.epoch(generator)
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)


def test_ntk_points_are_distinct_and_do_not_disturb_training(ball):
    task = OccupancyTask(mesh=ball, points=64)
    points = task.ntk_points(50, torch.Generator().manual_seed(0))
    assert (points.shape, points.dtype) == ((50, 3), torch.float64)
    assert len(torch.unique(points, dim=0)) == 50
    a, b = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    other = OccupancyTask(mesh=ball, points=64)
    for _ in range(3):
        task.ntk_points(10, torch.Generator().manual_seed(0))
        assert torch.equal(task.epoch(a)[0], other.epoch(b)[0])


def test_the_regular_grid_holds_cells_of_the_bounding_box_alike_in_size(tmp_path):
    sides = np.array([1.0, 0.5, 0.25])
    trimesh.creation.box(extents=8 * sides).export(tmp_path / "box.ply")
    trimesh.creation.icosphere(subdivisions=3, radius=0.1).export(tmp_path / "ball.ply")
    task = OccupancyTask(mesh=str(tmp_path / "box.ply"))
    grid = task.regular_grid()
    assert grid is task.regular_grid()
    assert (grid.truth.shape, grid.sides) == ((13, 25, 51, 1), (0.25, 0.5, 1.0))
    assert grid.truth.all(), "a box fills its box"
    low = [0.5 / 51, 0.25 + 0.25 / 25, 0.375 + 0.125 / 13]
    np.testing.assert_allclose(grid.x[[0, -1]], [low, 1 - np.array(low)], atol=1e-6)
    ball = OccupancyTask(mesh=str(tmp_path / "ball.ply"), resolution=16)
    grid = ball.regular_grid()
    inside = (grid.x - 0.5).norm(dim=1).reshape(grid.truth.shape) < 0.5
    assert grid.truth.shape == (16, 16, 16, 1)
    assert (inside.numpy() == grid.truth).mean() > 0.97


def test_a_perfect_network_is_found_perfect(ball):
    task = OccupancyTask(mesh=ball, resolution=48, side=48)
    outcome = task.evaluate(oracle(task))
    values = {
        offer.name: offer.load()()(*outcome.comparisons[offer.load().kind])
        for offer in default_registry().offers("metric")
        if offer.load().kind in outcome.comparisons
    }
    assert set(values) == {
        *("iou", "near_surface_iou", "bce", "chamfer_l1", "f_score", "normal_consistency"),
        *("depth_psnr", "depth_ms_ssim", "depth_ssim"),
    }
    assert values["iou"].value > 0.99
    assert values["iou"].details == {"points": 262144}
    assert values["near_surface_iou"].value > 0.95
    assert values["chamfer_l1"].value < 2e-3
    assert values["f_score"].value == 1
    assert values["normal_consistency"].value > 0.995
    assert values["depth_psnr"].value > 30
    assert values["depth_ms_ssim"].value > 0.99
    assert values["depth_ms_ssim"].details == {"scales": 3}
    assert task.progress_metric(oracle(task)) > 0.99


def test_depth_is_in_parts_of_the_box_and_1_where_there_is_nothing(ball):
    task = OccupancyTask(mesh=ball, resolution=32, side=49)
    for depth in task.evaluate(oracle(task)).comparisons["depth"]:
        # from azimuth 25° and elevation 20°; the box is Σ |direction| deep, the ball 1
        a, e = np.radians(25), np.radians(20)
        deep = np.cos(e) * np.sin(a) + np.sin(e) + np.cos(e) * np.cos(a)
        assert depth[24, 24, 0] == pytest.approx(0.5 - 0.5 / deep, abs=0.005)
        assert depth[24, 24, 0] == depth[..., 0].min()
        assert depth[0, 0, 0] == 1


def test_the_picture_of_a_perfect_network_is_that_of_the_solid(tmp_path):
    path = tmp_path / "bar.ply"
    trimesh.creation.box((1.0, 0.4, 0.2)).export(path)
    task = OccupancyTask(mesh=str(path), resolution=48, side=48)

    def bar(x):
        inside = np.min([0.5, 0.2, 0.1] - np.abs(x.numpy() - 0.5), axis=1)
        return torch.sigmoid(torch.from_numpy(400.0 * inside)).float()[:, None]

    pictures = task.evaluate(bar).pictures
    difference = np.abs(pictures["prediction"].astype(int) - pictures["target"])
    # except at edges, where a normal is between those of two sides
    assert np.median(difference) == 0
    assert (difference > 16).mean() < 0.025
    np.testing.assert_array_equal(task.render(bar, 1), pictures["prediction"])
    assert task.render(bar, 1.5).shape == (144, 72, 3)
    for scale in (0.1, 100):
        with pytest.raises(ParameterError, match="expected 16 to 4096"):
            task.render(bar, scale)


def test_a_network_that_says_outside_everywhere_has_outcomes_too(ball):
    task = OccupancyTask(mesh=ball, resolution=16, side=32)

    def never(x):
        return torch.full((len(x), 1), 1e-6)

    outcome = task.evaluate(never)
    metrics = {o.name: o.load()() for o in default_registry().offers("metric")}
    assert metrics["iou"](*outcome.comparisons["occupancy"]).value == 0
    assert metrics["chamfer_l1"](*outcome.comparisons["surface"]).value is None
    assert metrics["f_score"](*outcome.comparisons["surface"]).value == 0
    assert task.progress_metric(never) == 0
    assert (outcome.pictures["prediction"] == 255).all()


def test_a_prediction_that_is_not_finite_has_no_quality(ball):
    task = OccupancyTask(mesh=ball, resolution=16, side=32)

    def broken(x):
        return torch.full((len(x), 1), float("nan"))

    assert np.isnan(task.progress_metric(broken))
    outcome = task.evaluate(broken)
    metrics = {o.name: o.load()() for o in default_registry().offers("metric")}
    assert metrics["iou"](*outcome.comparisons["occupancy"]).value is None
    assert metrics["bce"](*outcome.comparisons["occupancy"]).value is None


def test_pictures_show_normals_and_depth_beside_the_truth(ball):
    task = OccupancyTask(mesh=ball, resolution=32, side=40)
    outcome = task.evaluate(oracle(task))
    shapes = {name: picture.shape for name, picture in outcome.pictures.items()}
    assert shapes == {
        "target": (80, 40, 3),
        "prediction": (80, 40, 3),
        "error": (40, 40, 3),
        "side_by_side": (80, 80, 3),
    }
    assert all(picture.dtype == np.uint8 for picture in outcome.pictures.values())
    target, prediction = (outcome.pictures[n].astype(int) for n in ("target", "prediction"))
    assert np.median(np.abs(target - prediction)) <= 4
    # depth: the middle of the ball is nearest, the corners are empty
    depth = target[40:, :, 0]
    assert depth[20, 20] == depth.min()
    assert depth[0, 0] == 255
    # lit from the upper left
    shaded = target[:40].sum(axis=2)
    assert shaded[0, 0] == 3 * 255
    assert shaded[12, 12] > shaded[20, 20] > shaded[28, 28] > 0


def test_the_extracted_mesh_is_handed_on_in_the_unit_cube(ball):
    outcome = OccupancyTask(mesh=ball, resolution=32, side=32).evaluate(oracle(None))
    true_surface, found_surface = outcome.comparisons["surface"]
    assert len(true_surface.points) == len(found_surface.points) == 65_536
    vertices, faces = outcome.arrays["mesh_vertices"], outcome.arrays["mesh_faces"]
    mesh = trimesh.Trimesh(vertices, faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi / 8, rel=0.01)


@pytest.mark.parametrize("method", ["winding", "rays"])
def test_a_built_in_shape_can_be_labelled_by_its_mesh(method):
    by_formula = OccupancyTask(mesh="flange", points=5000)
    by_mesh = OccupancyTask(mesh="flange", points=5000, truth=method)
    x, y = by_formula.epoch(torch.Generator().manual_seed(0))
    same_x, other_y = by_mesh.epoch(torch.Generator().manual_seed(0))
    assert torch.equal(x, same_x)
    assert 0 < (y != other_y).float().mean() < 0.03


@pytest.mark.parametrize(
    "wrong", [{"points": 0}, {"near_surface": 1.5}, {"sigma": 0.0}, {"sigma": 0.9}]
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ParameterError, match="OccupancyTask"):
        OccupancyTask(mesh="flange", **wrong)


def test_shapes_keep_their_hash_until_their_formula_changes():
    first = {name: OccupancyTask.data_hash(mesh=name) for name in SHAPES}
    assert len(set(first.values())) == len(SHAPES)
    assert first == {name: OccupancyTask.data_hash(mesh=name, points=7) for name in SHAPES}


@pytest.mark.parametrize("mesh", ["armadillo", "buddha", "dragon"])
def test_the_suites_of_table_4_are_the_papers(mesh):
    cells = plan(load_suite(f"paper/table4-{mesh}", default_registry()), default_registry())
    assert [c.encoding.label.split()[0] for c in cells] == ["baseline", "FFE", "MPE"]
    base, ffe, mpe = cells
    assert {c.training.optimizer for c in cells} == {"sgd"}
    assert (base.training.lr, base.training.batch_size) == (0.92224, 13187)
    assert (ffe.training.lr, ffe.training.batch_size) == (0.7893, 9799)
    assert ffe.encoding.parameters["levels"] == 7
    expected = {"armadillo": [44], "buddha": [38, 102], "dragon": [33, 136]}[mesh]
    assert mpe.encoding.parameters["resolutions"] == expected
    assert {(c.network.width, c.network.depth, c.training.epochs) for c in cells} == {
        (256, 8, 4000)
    }
    assert all(c.task.parameters["near_surface"] == 0 for c in cells)


def test_a_cell_learns_and_leaves_a_record(ball, tmp_path):
    suite = Suite.model_validate(
        {
            "name": "ball",
            "encodings": ["mpe:resolutions=[8]"],
            "tasks": [f"occupancy:mesh={ball},points=2048,resolution=16,side=32"],
            "network": {"width": 32, "depth": 2},
            "training": {"batch_size": 128, "epochs": 12, "evaluations": 4},
            "ntk": {"points": 32},
        }
    )
    (stored,) = encbench.run_suite(suite, tmp_path / "out", jobs=1, report=False).records
    record = stored.record
    assert record.status == "ok", record.error
    assert record.curve == "iou"
    assert record.metrics["iou"].value > 0.85
    assert record.learning_rate.rule == "auto"
    assert len(record.spectra) == 3
    assert stored.arrays["curve"][-1] > stored.arrays["curve"][0]
    assert stored.picture("side_by_side") is not None
    json.loads(record.model_dump_json())


def test_near_surface_points_are_a_hundredth_of_the_longest_side_away(ball):
    task = OccupancyTask(mesh=ball, resolution=16, side=16)
    predict, asked = oracle(task), []

    def watched(x):
        asked.append(x.numpy())
        return predict(x)

    (near,) = task.evaluate(watched).comparisons["near_surface"][0].shape
    (x,) = (each for each in asked if len(each) == near)
    distance = 0.5 - np.linalg.norm(x - 0.5, axis=1)
    # no point leaves the unit cube, which the ball touches in six places
    assert np.sqrt(np.mean(distance**2)) == pytest.approx(0.01, rel=0.05)


def test_what_depends_on_the_mesh_alone_is_computed_once(ball, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path / "empty"))
    cast, calls = truth.cast_mesh, []

    def watched(*arguments):
        calls.append(arguments)
        return cast(*arguments)

    monkeypatch.setattr(truth, "cast_mesh", watched)

    def outcome(side=16):
        task = OccupancyTask(mesh=ball, resolution=16, side=side)
        return task.evaluate(oracle(task)).comparisons

    first = outcome()
    assert len(calls) == 3
    for again in range(2):
        if again:  # as in another process, which finds the file
            truth.truth_of.cache_clear()
        for kind, (_, true) in outcome().items():
            if kind != "surface":
                np.testing.assert_array_equal(true, first[kind][1])
            elif not again:
                assert true is first[kind][1]
    assert len(calls) == 3
    outcome(side=20)
    assert len(calls) == 6


def test_a_mesh_file_that_changed_is_read_again(ball):
    before = OccupancyTask(mesh=ball, resolution=16, side=16)
    trimesh.creation.box((1, 0.5, 0.5)).export(ball)
    after = OccupancyTask(mesh=ball, resolution=16, side=16)
    assert after.solid.high[1] < before.solid.high[1]


def test_equal_networks_have_equal_metrics_whenever_they_are_evaluated(ball):
    outcomes = [
        task.evaluate(oracle(task))
        for task in (OccupancyTask(mesh=ball, resolution=16, side=16) for _ in range(2))
    ]
    for kind in ("occupancy", "near_surface"):
        for one, other in zip(*(o.comparisons[kind] for o in outcomes), strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(*(o.comparisons["surface"] for o in outcomes), strict=True):
        np.testing.assert_array_equal(one.points, other.points)
