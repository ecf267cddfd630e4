"""Ground truth: points inside intact, holed, overlapping and inside-out meshes."""

import igl
import numpy as np
import pytest
import scipy.linalg
import trimesh
from encbench_tasks._occupancy.shapes import SHAPES, solid_of_shape
from encbench_tasks._occupancy.solid import (
    DIRECTIONS,
    RayParity,
    WindingNumber,
    oriented,
    solid_of_mesh,
)
from encbench_tasks._occupancy.triangles import Triangles, edges_of, signed_volume

from encbench import DataError

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
    # on the middle planes, axis-parallel rays meet the diagonals of walls
    x = np.stack(np.meshgrid(*[np.linspace(-0.25, 1.25, 7)] * 3), axis=-1).reshape(-1, 3)
    x = x[(np.minimum(np.abs(x), np.abs(x - 1)) > SHELL).all(axis=1)]
    expected = ((x > low) & (x < high)).all(axis=1)
    for _ in range(3):
        np.testing.assert_array_equal(rays(x), expected)


@pytest.mark.parametrize("hit", [(), (0,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_the_majority_of_three_rays_decides(hit):
    """A plate across one ray is one crossing of this ray, and of no other."""
    vertices = np.zeros((0, 3))
    for direction in DIRECTIONS[list(hit)]:
        side, up = scipy.linalg.null_space(direction[None]).T
        around = [np.cos(angle) * side + np.sin(angle) * up for angle in (0.3, 2.4, 4.5)]
        vertices = np.concatenate([vertices, 3 * direction + 0.1 * np.array(around)])
    far = 9 + np.eye(3)  # there must be some triangle
    vertices = np.concatenate([vertices, far])
    rays = RayParity(Triangles(vertices, np.arange(len(vertices)).reshape(-1, 3)))
    assert rays(np.zeros((1, 3))).tolist() == [len(hit) >= 2]


def test_overlapping_parts_are_inside_once_for_winding_numbers_and_not_for_rays(solid_of, caplog):
    mesh = joined(box([0, 0, 0], [0.6, 1, 1]), box([0.4, 0, 0], [1, 1, 1]))
    # not in the middle, where rays meet the diagonals of walls and are ambiguous
    x = np.array([[0.5, 0.45, 0.52], [0.2, 0.45, 0.52]])
    assert solid_of(*mesh).occupied(x).tolist() == [True, True]
    assert not caplog.messages
    assert solid_of(*mesh, method="rays").occupied(x).tolist() == [False, True]
    assert "parts overlap, and truth=rays treats" in caplog.text


def test_the_wall_of_a_cavity_stays_one(solid_of):
    vertices, faces = box([0.25, 0.25, 0.25], [0.75, 0.75, 0.75])
    solid = solid_of(*joined(box([0, 0, 0], [1, 1, 1]), (vertices, faces[:, ::-1])))
    assert solid.occupied(np.array([[0.5, 0.5, 0.5], [0.1, 0.5, 0.5]])).tolist() == [False, True]


def test_a_mesh_inside_out_is_turned_with_a_warning(solid_of, caplog):
    vertices, faces = box([0, 0, 0], [1, 1, 1])
    solid = solid_of(vertices, faces[:, ::-1])
    assert signed_volume(solid.surface) == pytest.approx(1)
    assert solid.occupied(np.full((1, 3), 0.5)).all()
    assert "flipped 12 of 12 faces" in caplog.text


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


def inverted(mesh):
    vertices, faces = mesh
    return vertices, faces[:, ::-1]


BALL = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
BALL_FACES = np.array(BALL.faces)
SOME = np.random.default_rng(1).random(len(BALL_FACES)) < 0.3
DOUBLED = {
    "all, back to back": np.concatenate([BALL_FACES, BALL_FACES[:, ::-1]]),
    "all, in any order": np.random.default_rng(2).permutation(
        np.concatenate([BALL_FACES, BALL_FACES[:, ::-1]])
    ),
    "some": np.concatenate([BALL_FACES, BALL_FACES[SOME]]),
    "some, back to back": np.concatenate([BALL_FACES, BALL_FACES[SOME][:, ::-1]]),
    "some, their backs first": np.concatenate([BALL_FACES[SOME][:, ::-1], BALL_FACES]),
}


@pytest.mark.parametrize("faces", DOUBLED.values(), ids=DOUBLED)
@pytest.mark.parametrize("method", ["winding", "rays"])
def test_coincident_faces_are_one_surface(solid_of, caplog, faces, method):
    x = points() * 0.98 + 0.01
    right = solid_of(BALL.vertices, BALL_FACES, method=method).occupied(x)
    assert "coincide" not in caplog.text
    solid = solid_of(BALL.vertices, faces, method=method)
    assert len(solid.surface.faces) == len(BALL_FACES)
    np.testing.assert_array_equal(solid.occupied(x), right)
    assert f"left out {len(faces) - len(BALL_FACES):,} faces that coincide" in caplog.text


def test_warnings_of_one_face_are_in_the_singular(solid_of, caplog):
    solid_of(BALL.vertices, np.concatenate([BALL_FACES[:, [1, 0, 2]], BALL_FACES[:1]]))
    assert "left out 1 face that coincides with others" in caplog.text
    caplog.clear()
    solid_of(BALL.vertices, np.concatenate([BALL_FACES[:1, ::-1], BALL_FACES[1:]]))
    assert "flipped 1 of 1,280 faces" in caplog.text


TWO = trimesh.util.concatenate([BALL, BALL.copy().apply_translation([1.5, 0, 0])])
SECOND = TWO.faces[len(BALL_FACES) :]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "again",
    [[SECOND], [SECOND, SECOND[:, ::-1]], [SECOND, SECOND], [SECOND[:1], SECOND[:1, ::-1]]],
    ids=["same", "same and back", "twice the same", "one face, same and back"],
)
def test_each_place_of_the_surface_counts_once(solid_of, caplog, again, turned):
    faces = np.concatenate([TWO.faces, *again])
    right = solid_of(TWO.vertices, TWO.faces)
    solid = solid_of(TWO.vertices, faces[:, ::-1] if turned else faces)
    assert len(solid.surface.faces) == len(TWO.faces)
    assert signed_volume(solid.surface) == pytest.approx(signed_volume(right.surface))
    assert "coincide" in caplog.text
    x = points() * 0.98 + 0.01
    np.testing.assert_array_equal(solid.occupied(x), right.occupied(x))


@pytest.mark.parametrize("doubled", [1, 4, 6])
def test_quadrilaterals_split_along_either_diagonal_coincide(solid_of, caplog, doubled):
    vertices = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    quads += [q[::-1] for q in quads[:doubled]]
    faces = np.array([[(a, b, c), (a, c, d)] for a, b, c, d in quads]).reshape(-1, 3)
    assert solid_of(vertices, faces).occupied(points() * 0.98 + 0.01).all()
    assert f"left out {2 * doubled} faces" in caplog.text


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_solids_that_touch_keep_the_wall_between_them(solid_of, caplog, width):
    mesh = joined(box([0, 0, 0], [0.5, 1, 1]), box([0.5, 0, 0], [1, width, 1]))
    x = points() * 0.98 + 0.01
    x = x[(np.abs(x[:, 0] - 0.5) > SHELL) & (np.abs(x[:, 1] - width) > SHELL)]
    expected = (x[:, 0] < 0.5) | (x[:, 1] < width)
    solid = solid_of(*mesh)
    np.testing.assert_array_equal(solid.occupied(x), expected)
    if width == 1:  # the two triangles of the wall are stored twice, and sampled once
        assert len(solid.surface.faces) == 22
        assert "2 other faces coincide" in caplog.text
    else:
        assert not caplog.text


def double(mesh):
    vertices, faces = mesh
    return vertices, np.concatenate([faces, faces[:, ::-1]])


def inside_some_box(x, boxes):
    low, high = np.array(boxes).transpose(1, 0, 2)
    return ((x[:, None] > low) & (x[:, None] < high)).all(axis=2).any(axis=1)


UNIT = ([0, 0, 0], [1, 1, 1])
BESIDE = ([1, 0, 0], [2, 1, 1])
ALONG_AN_EDGE = ([1, 1, 0], [2, 2, 1])
BEYOND = ([2, 0, 0], [3, 1, 1])
AROUND = [([x, y, z], [x + 1, y + 1, z + 1]) for x, y, z in np.ndindex(3, 3, 3)]


@pytest.mark.parametrize(
    ("two_sided", "plain"),
    [
        ([UNIT], [BESIDE]),
        ([BESIDE], [UNIT]),
        ([UNIT], [ALONG_AN_EDGE]),
        ([UNIT], [BESIDE, BEYOND]),
        ([BESIDE], [UNIT, BEYOND]),
        ([UNIT, BESIDE], [BEYOND]),
        ([UNIT, BESIDE, BEYOND], []),
        (AROUND[:13] + AROUND[14:], []),
        (AROUND[13:14], AROUND[:13] + AROUND[14:]),
        (AROUND[:5], AROUND[5:13] + AROUND[14:]),
    ],
    ids=str,
)
@pytest.mark.parametrize("inside_out", [False, True])
def test_a_double_sided_part_that_touches_others_is_solid(solid_of, two_sided, plain, inside_out):
    parts = [double(box(*part)) for part in two_sided]
    parts += [inverted(box(*part)) if inside_out else box(*part) for part in plain]
    vertices, faces = joined(*parts)
    solid = solid_of(vertices, faces)
    x = vertices.min(axis=0) + points() * np.ptp(vertices, axis=0)
    middle = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    clear = np.abs(x - x.round()).min(axis=1) > 0.01
    found = solid.occupied((x - middle) / np.ptp(vertices, axis=0).max() + 0.5)
    expected = inside_some_box(x, two_sided + plain)
    np.testing.assert_array_equal(found[clear], expected[clear])


def test_what_double_sided_faces_may_or_may_not_enclose_is_outside_with_a_warning(solid_of, caplog):
    """The hole between 26 boxes; its walls are doubled once more, and one of them twice."""
    vertices, faces = joined(*(box(*each) for each in AROUND[:13] + AROUND[14:]))
    hole = ((vertices[faces] >= 1) & (vertices[faces] <= 2)).all(axis=(1, 2))
    again = np.concatenate([faces[hole], faces[hole][:2]])
    solid = solid_of(*double((vertices, again)))
    assert solid.occupied(np.full((1, 3), 0.5)).all()
    caplog.clear()
    solid = solid_of(vertices, np.concatenate([faces, again, again[:, ::-1]]))
    assert solid.occupied(np.array([[0.5, 0.5, 0.5], [0.1, 0.5, 0.5]])).tolist() == [False, True]
    assert "12 double-sided faces enclose cells that may be inside or outside" in caplog.text


def test_faces_turned_at_random_where_boxes_touch_are_turned_back(solid_of, caplog):
    rng = np.random.default_rng(0)
    some = [each for each in AROUND if rng.random() < 0.6 or each in (AROUND[0], AROUND[-1])]
    vertices, faces = joined(*(box(*each) for each in some))
    turned = rng.random(len(faces)) < 0.3
    faces[turned] = faces[turned][:, ::-1]
    x = 3 * points()
    found = solid_of(vertices, faces).occupied(x / 3)
    clear = np.abs(x - x.round()).min(axis=1) > 0.01
    np.testing.assert_array_equal(found[clear], inside_some_box(x, some)[clear])
    assert "relative to each other" not in caplog.text


def test_parts_that_cannot_be_oriented_relative_to_each_other_are_warned_of(solid_of, caplog):
    vertices, faces = joined(box(*UNIT), box(*BESIDE))
    # a fin makes one edge of five faces, some of which are turned
    fin = np.array([[0, 1, len(vertices)]])
    faces[[0, 5, 14]] = faces[[0, 5, 14]][:, ::-1]
    solid_of(np.concatenate([vertices, [[0.5, -1, 0.2]]]), np.concatenate([faces, fin]))
    assert "could not be oriented relative to each other" in caplog.text


def test_a_sheet_within_a_solid_bounds_nothing(solid_of, caplog):
    corners = np.array([(0.5, y, z) for y, z in ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))])
    sheet = np.array([[0, 1, 2], [0, 2, 3], [0, 2, 1], [0, 3, 2]])
    solid = solid_of(*joined(box([0, 0, 0], [1, 1, 1]), (corners, sheet)))
    assert solid.occupied(points() * 0.98 + 0.01).all()
    assert len(solid.surface.faces) == 12 + 2
    assert "2 other faces coincide" in caplog.text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (([0, 0, 0], [0.6, 1, 1]), ([0.4, 0, 0], [1, 1, 1])),
        (([0, 0, 0], [0.2, 1, 1]), ([0.1, 0.1, 0.1], [1, 0.9, 0.9])),
        (([0.3, 0.3, 0.3], [0.7, 0.7, 0.7]), ([0, 0.4, 0.4], [1, 0.6, 0.6])),
    ],
    ids=["half in", "the larger one inverted", "a bar through a box"],
)
def test_a_solid_that_overlaps_an_inverted_one_is_inside_of_either(solid_of, caplog, one, other):
    solid = solid_of(*joined(box(*one), inverted(box(*other))))
    low, high = np.array([one, other]).transpose(1, 0, 2)
    x = points() * (high.max(axis=0) - low.min(axis=0)) + low.min(axis=0)
    wall = np.minimum(np.abs(x[:, None] - low), np.abs(x[:, None] - high)).min(axis=(1, 2)) < 0.01
    x = x[~wall]
    expected = ((x[:, None] > low) & (x[:, None] < high)).all(axis=2).any(axis=1)
    centre = (high.max(axis=0) + low.min(axis=0)) / 2
    np.testing.assert_array_equal(solid.occupied(x - centre + 0.5), expected)
    assert "flipped 12 of 24 faces" in caplog.text


def test_a_closed_surface_that_encloses_nothing_is_an_error(solid_of):
    # a box, and the same box inside out with differently triangulated walls
    mesh = trimesh.creation.box()
    cut = mesh.subdivide()
    with pytest.raises(DataError, match="is closed but encloses nothing") as caught:
        solid_of(*joined((mesh.vertices, mesh.faces), (cut.vertices, cut.faces[:, ::-1])))
    assert "\n" not in str(caught.value)


def test_a_ball_counted_twice_is_a_ball(solid_of):
    x = points() * 0.98 + 0.01
    right = solid_of(BALL.vertices, BALL_FACES).occupied(x)
    twice = np.concatenate([BALL_FACES, BALL_FACES])
    np.testing.assert_array_equal(solid_of(BALL.vertices, twice).occupied(x), right)


def test_a_thin_plate_encloses_something(solid_of):
    solid = solid_of(*box([0, 0, 0], [1, 1, 1e-5]))
    assert solid.occupied(np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.51]])).tolist() == [True, False]


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
    x = solid.low + points(1000) * (solid.high - solid.low)
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
    # the mesh's volume against the share of points inside
    x = solid.low + points(20000) * (solid.high - solid.low)
    volume = solid.occupied(x).mean() * np.prod(solid.high - solid.low)
    assert signed_volume(solid.surface) == pytest.approx(volume, rel=0.05)
