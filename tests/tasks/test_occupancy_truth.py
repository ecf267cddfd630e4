"""Ground truth: what is inside, on whole, holed, overlapping and inside-out meshes."""

import igl
import numpy as np
import pytest
import trimesh
from encbench_tasks._occupancy.meshes import solid_of_mesh
from encbench_tasks._occupancy.repair import edges_of, oriented, signed_volume
from encbench_tasks._occupancy.shapes import SHAPES, solid_of_shape
from encbench_tasks._occupancy.solid import Triangles
from encbench_tasks._occupancy.truth import RayParity, WindingNumber

SHELL = 1e-4


def triangles(mesh):
    return Triangles(np.array(mesh.vertices, float), np.array(mesh.faces, np.int64))


def box(low, high):
    mesh = trimesh.creation.box(bounds=[low, high])
    return np.array(mesh.vertices), np.array(mesh.faces)


def joined(*parts):
    offsets = np.cumsum([0, *(len(v) for v, _ in parts)])
    vertices = np.concatenate([v for v, _ in parts])
    return vertices, np.concatenate([f + n for (_, f), n in zip(parts, offsets, strict=False)])


@pytest.fixture
def solid_of(tmp_path):
    def make(vertices, faces, **options):
        path = tmp_path / "mesh.ply"
        trimesh.Trimesh(vertices, faces, process=False).export(path)
        return solid_of_mesh(path, **options)

    return make


def points(count=4000, seed=0):
    return np.random.default_rng(seed).random((count, 3))


@pytest.mark.parametrize("method", [WindingNumber, RayParity])
def test_a_box_holds_exactly_what_is_between_its_walls(method):
    low, high = np.array([0.1, 0.2, 0.3]), np.array([0.9, 0.7, 0.8])
    x = points()
    wall = np.minimum(np.abs(x - low), np.abs(x - high)).min(axis=1) < SHELL
    x = x[~wall]
    expected = ((x > low) & (x < high)).all(axis=1)
    np.testing.assert_array_equal(method(Triangles(*box(low, high)))(x), expected)


@pytest.mark.parametrize("method", [WindingNumber, RayParity])
def test_a_ball_of_triangles_agrees_with_the_formula_between_its_in_and_circumscribed_ball(method):
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    distance = np.linalg.norm(ball.triangles_center, axis=1).min()
    x = points(8000) - 0.5
    radius = np.linalg.norm(x, axis=1)
    clear = (radius < distance - SHELL) | (radius > 0.4 + SHELL)
    assert clear.mean() > 0.99
    inside = method(triangles(ball))(x[clear])
    np.testing.assert_array_equal(inside, radius[clear] < 0.4)


def test_the_fast_winding_number_is_the_exact_one_to_a_hundredth(solid_of):
    shape = solid_of_shape("flange", 48).surface
    # a tenth of the faces torn out
    faces = shape.faces[np.random.default_rng(0).random(len(shape.faces)) > 0.1]
    x = points(500)
    exact = igl.winding_number(shape.vertices, np.ascontiguousarray(faces), x)
    fast = WindingNumber(Triangles(shape.vertices, faces)).numbers(x)
    np.testing.assert_allclose(fast, exact, atol=0.01)
    assert np.ptp(exact) > 0.5


def test_rays_through_edges_and_corners_give_the_same_answer_each_time():
    low, high = np.zeros(3), np.ones(3)
    rays = RayParity(Triangles(*box(low, high)))
    # the middle planes, whose axis-parallel rays pass the walls' diagonals
    x = np.stack(np.meshgrid(*[np.linspace(-0.25, 1.25, 7)] * 3), axis=-1).reshape(-1, 3)
    x = x[(np.minimum(np.abs(x), np.abs(x - 1)) > SHELL).all(axis=1)]
    expected = ((x > low) & (x < high)).all(axis=1)
    for _ in range(3):
        np.testing.assert_array_equal(rays(x), expected)


def test_overlapping_parts_are_inside_once_for_winding_numbers_and_not_for_rays(solid_of):
    mesh = joined(box([0, 0, 0], [0.6, 1, 1]), box([0.4, 0, 0], [1, 1, 1]))
    # off the middle, where rays through the diagonals of walls are in doubt
    x = np.array([[0.5, 0.45, 0.52], [0.2, 0.45, 0.52]])
    assert solid_of(*mesh).occupied(x).tolist() == [True, True]
    assert solid_of(*mesh, method="rays").occupied(x).tolist() == [False, True]


def test_the_wall_of_a_cavity_stays_one(solid_of):
    vertices, faces = box([0.25, 0.25, 0.25], [0.75, 0.75, 0.75])
    solid = solid_of(*joined(box([0, 0, 0], [1, 1, 1]), (vertices, faces[:, ::-1])))
    assert solid.occupied(np.array([[0.5, 0.5, 0.5], [0.1, 0.5, 0.5]])).tolist() == [False, True]


def test_a_mesh_inside_out_is_turned_with_a_warning(solid_of, caplog):
    vertices, faces = box([0, 0, 0], [1, 1, 1])
    solid = solid_of(vertices, faces[:, ::-1])
    assert signed_volume(solid.surface) == pytest.approx(1)
    assert solid.occupied(np.full((1, 3), 0.5)).all()
    assert "turned 12 of 12 faces" in caplog.text


def test_faces_turned_at_random_are_turned_back(solid_of):
    ball = trimesh.creation.icosphere(subdivisions=3)
    faces = np.array(ball.faces)
    turned = np.random.default_rng(0).random(len(faces)) < 0.3
    faces[turned] = faces[turned][:, ::-1]
    assert edges_of(faces).clashing > 100
    x = points() * 0.98 + 0.01
    right = solid_of(ball.vertices, ball.faces).occupied(x)
    np.testing.assert_array_equal(solid_of(ball.vertices, faces).occupied(x), right)


def test_a_part_inside_out_beside_another_is_inside(solid_of):
    vertices, faces = box([0.6, 0, 0], [1, 0.4, 0.4])
    solid = solid_of(*joined(box([0, 0, 0], [0.5, 0.4, 0.4]), (vertices, faces[:, ::-1])))
    assert solid.occupied(np.array([[0.8, 0.5, 0.5], [0.2, 0.5, 0.5], [0.55, 0.5, 0.5]])).tolist() \
        == [True, True, False]  # fmt: skip


def test_a_hole_is_closed_and_warned_of(solid_of, caplog):
    ball = trimesh.creation.icosphere(subdivisions=4)
    kept = ball.faces[ball.triangles_center[:, 2] < 0.95]
    solid = solid_of(ball.vertices, kept)
    x = points() * 0.96 + 0.02
    clear = np.abs(np.linalg.norm(x - 0.5, axis=1) - 0.5) > 0.03
    expected = np.linalg.norm(x - 0.5, axis=1) < 0.5
    assert (solid.occupied(x)[clear] == expected[clear]).mean() > 0.998
    assert "holes" in caplog.text


def test_edges_are_counted_by_their_defect():
    closed = np.array(trimesh.creation.box().faces)
    assert edges_of(closed).watertight
    assert edges_of(closed[1:]).open == 3
    clashing = closed.copy()
    clashing[0] = clashing[0][::-1]
    assert edges_of(clashing).clashing == 3
    fin = np.concatenate([closed, [[closed[0, 0], closed[0, 1], 99]]])
    assert edges_of(fin).branching == 1


def test_orientation_follows_the_larger_area():
    ball = trimesh.creation.icosphere(subdivisions=2)
    faces = np.array(ball.faces)
    faces[:10] = faces[:10][:, ::-1]
    mesh, turned = oriented(Triangles(np.array(ball.vertices), faces), edges_of(faces).clashing)
    assert turned == 10
    assert edges_of(mesh.faces).watertight
    assert signed_volume(mesh) > 4


@pytest.mark.parametrize("name", SHAPES)
def test_a_built_in_shape_and_its_mesh_agree_away_from_the_surface(name):
    cells = 96
    solid = solid_of_shape(name, cells)
    assert edges_of(solid.surface.faces).watertight
    x = solid.low + points(4000) * (solid.high - solid.low)
    squared, _, _ = igl.point_mesh_squared_distance(x, solid.surface.vertices, solid.surface.faces)
    clear = np.sqrt(squared) > 1.5 / cells
    assert clear.mean() > 0.4
    exact = igl.winding_number(solid.surface.vertices, solid.surface.faces, x[clear])
    np.testing.assert_array_equal(solid.occupied(x[clear]), exact > 0.5)


@pytest.mark.parametrize(("name", "genus"), [("gyroid", None), ("knot", 1), ("flange", 7)])
def test_built_in_shapes_differ_in_genus_and_fill_the_box_that_they_state(name, genus):
    solid = solid_of_shape(name, 96)
    mesh = trimesh.Trimesh(solid.surface.vertices, solid.surface.faces)
    euler = mesh.euler_number
    assert mesh.body_count == 1
    if genus is None:
        assert 1 - euler // 2 > 10
    else:
        assert 1 - euler // 2 == genus
    assert (solid.high - solid.low).max() == pytest.approx(1)
    np.testing.assert_allclose((solid.low + solid.high) / 2, 0.5, atol=1e-12)
    np.testing.assert_allclose(solid.surface.vertices.min(axis=0), solid.low, atol=2 / 96)
    np.testing.assert_allclose(solid.surface.vertices.max(axis=0), solid.high, atol=2 / 96)
    # volume of the mesh against the share of points inside
    x = solid.low + points(20000) * (solid.high - solid.low)
    volume = solid.occupied(x).mean() * np.prod(solid.high - solid.low)
    assert signed_volume(solid.surface) == pytest.approx(volume, rel=0.05)
