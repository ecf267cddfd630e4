"""The level set of a field: as a mesh, and its intersections with rays."""

import numpy as np
import pytest
import trimesh
from encbench_tasks._occupancy import rays
from encbench_tasks._occupancy.lattice import Lattice, extract, logits_of, mixed_cells
from encbench_tasks._occupancy.rays import cast_mesh, level_set_normals, march, views_of
from encbench_tasks._occupancy.triangles import Triangles, edges_of, signed_volume
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter
from skimage.measure import marching_cubes

LOW, HIGH = np.zeros(3), np.ones(3)
CENTRE = np.array([0.45, 0.5, 0.55])


def ball(x, radius=0.3):
    """Distance from the sphere, positive inside."""
    return radius - np.linalg.norm(x - CENTRE, axis=1)


def torus(x):
    y = x - 0.5
    return 0.11 - np.hypot(np.hypot(y[:, 0], y[:, 2]) - 0.3, y[:, 1])


def waves(seed):
    """A random smooth field, with blobs about 0.1 wide."""
    rng = np.random.default_rng(seed)
    k, phase = rng.normal(0, 9, (3, 12)), rng.random(12) * 6.28
    return lambda x: np.sin(x @ k + phase).sum(axis=1) - 1.0


def test_logits_undo_the_sigmoid_and_stay_finite():
    z = np.linspace(-12, 12, 49)
    np.testing.assert_allclose(logits_of(1 / (1 + np.exp(-z))), z, rtol=1e-9, atol=1e-9)
    assert logits_of(np.array([0.0, 1.0, np.nan])).tolist() == [-16, 16, -16]


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_following_the_surface_finds_what_the_dense_lattice_finds_near_it(seed):
    field = waves(seed)
    dense = Lattice.over(LOW, HIGH, 32, field, coarsest=32)
    sparse = Lattice.over(LOW, HIGH, 32, field, coarsest=16)
    assert dense.known.all()
    assert not sparse.known.all()
    np.testing.assert_array_equal(sparse.values[sparse.known], dense.values[sparse.known])
    # every crossing that was found is known at all corners, so the surface has no seams
    cells = mixed_cells(sparse.values)
    x, y, z = np.nonzero(cells)
    for corner in np.ndindex(2, 2, 2):
        assert sparse.known[x + corner[0], y + corner[1], z + corner[2]].all()
    # at most specks between coarse nodes are missed
    missed = mixed_cells(dense.values) & ~cells
    assert missed.sum() < 0.02 * cells.sum() + 30


def test_few_points_are_evaluated_away_from_the_surface():
    asked = []

    def field(x):
        asked.append(len(x))
        return ball(x)

    lattice = Lattice.over(LOW, HIGH, 128, field, coarsest=32)
    assert sum(asked) == lattice.known.sum()
    assert sum(asked) < 0.06 * lattice.known.size
    dense = Lattice.over(LOW, HIGH, 128, ball, coarsest=128)
    np.testing.assert_array_equal(lattice.values > 0, dense.values > 0)
    assert len(extract(lattice).faces) == len(extract(dense).faces)


def test_a_box_that_is_no_cube_gets_cubic_cells():
    low, high = np.array([0.0, 0.25, 0.4]), np.array([1.0, 0.75, 0.6])
    lattice = Lattice.over(low, high, 64, ball, coarsest=16)
    assert lattice.values.shape == (65, 33, 17)
    np.testing.assert_allclose(low + lattice.spacing * (np.array(lattice.values.shape) - 1), high)


def test_the_mesh_of_a_ball_lies_on_its_sphere_and_faces_outwards():
    mesh = extract(Lattice.over(LOW, HIGH, 64, ball, coarsest=64))
    radius = np.linalg.norm(mesh.vertices - CENTRE, axis=1)
    np.testing.assert_allclose(radius, 0.3, atol=2e-4)
    assert edges_of(mesh.faces).watertight
    assert signed_volume(mesh) == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=2e-3)


@pytest.mark.parametrize("slab", [1, 5, 32])
def test_slabs_give_the_mesh_that_one_piece_gives(slab):
    lattice = Lattice.over(LOW, HIGH, 32, waves(3), coarsest=32)
    mesh = extract(lattice, slab)
    padded = np.pad(lattice.values, 1, constant_values=-16)
    vertices, faces, _, _ = marching_cubes(padded, 0.0, gradient_direction="ascent")
    whole = lattice.low + np.clip(vertices.astype(float) - 1, 0, 32) * lattice.spacing
    reference = Triangles(whole, faces.astype(np.int64))
    assert edges_of(mesh.faces).open == 0
    assert signed_volume(mesh) == pytest.approx(signed_volume(reference), rel=1e-7)
    assert mesh.areas.sum() == pytest.approx(reference.areas.sum(), rel=1e-6)


def test_what_reaches_the_wall_is_capped_there():
    mesh = extract(Lattice.over(LOW, HIGH, 16, lambda x: np.ones(len(x)), coarsest=16))
    assert edges_of(mesh.faces).open == 0
    assert signed_volume(mesh) == pytest.approx(1, rel=0.01)
    assert (mesh.vertices.min(), mesh.vertices.max()) == (0, 1)


def test_a_field_without_an_inside_has_no_surface():
    mesh = extract(Lattice.over(LOW, HIGH, 16, lambda x: -np.ones(len(x)), coarsest=16))
    assert mesh.vertices.shape == mesh.faces.shape == (0, 3)


def test_views_show_the_whole_box():
    low, high = np.array([0.0, 0.2, 0.4]), np.array([1.0, 0.8, 0.6])
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    for view in views_of(low, high, 64):
        centre = view.origins.mean(axis=0)
        reach = [np.abs((view.origins - centre) @ axis).max() for axis in (view.right, view.up)]
        for axis, most in zip((view.right, view.up), reach, strict=True):
            assert np.abs((corners - centre) @ axis).max() < most
        along = (corners - centre) @ view.direction
        assert along.min() == pytest.approx(0, abs=1e-9)
        assert along.max() == pytest.approx(view.depth)
        assert view.up[1] > 0
        frame = np.stack([view.right, view.up, view.direction])
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("index", range(3))
def test_rays_meet_a_sphere_where_the_formula_says(index):
    view = views_of(LOW, HIGH, 48)[index]
    lattice = Lattice.over(LOW, HIGH, 64, ball, coarsest=64)
    offset = CENTRE - view.origins
    along = offset @ view.direction
    miss = np.sqrt((offset**2).sum(axis=1) - along**2)
    expected = np.where(miss < 0.3, along - np.sqrt(np.maximum(0.09 - miss**2, 0)), np.inf)
    met = march(ball, lattice, view)
    clear = np.abs(miss - 0.3) > 2e-3
    np.testing.assert_allclose(met[clear], expected[clear], atol=1e-5)
    mesh = extract(lattice)
    seen, normals = cast_mesh(mesh, view)
    clear = np.abs(miss - 0.3) > 5e-3
    np.testing.assert_allclose(seen[clear], expected[clear], atol=5e-3)
    hit = clear & np.isfinite(expected)
    places = view.origins[hit] + met[hit, None] * view.direction
    outwards = (places - CENTRE) / 0.3
    assert (normals[hit] * outwards).sum(axis=1).min() > 0.98
    smooth = level_set_normals(ball, places, 1e-3)
    np.testing.assert_allclose((smooth * outwards).sum(axis=1), 1, atol=1e-3)


def test_rays_see_a_torus_as_its_mesh_is_seen_though_occupancy_is_no_distance():
    def steep(x):  # saturates within a hundredth, as trained networks do
        return np.clip(torus(x) * 2000, -16, 16)

    view = views_of(LOW, HIGH, 64)[2]
    met = march(steep, Lattice.over(LOW, HIGH, 64, steep, coarsest=32), view)
    mesh = extract(Lattice.over(LOW, HIGH, 128, torus, coarsest=128))
    seen, _ = cast_mesh(mesh, view)
    both = np.isfinite(met) & np.isfinite(seen)
    assert both.sum() > 500
    assert (np.isfinite(met) != np.isfinite(seen)).mean() < 0.01
    assert np.median(np.abs(met[both] - seen[both])) < 5e-4


def march_one_by_one(field, lattice, view):
    """One ray after the other, one sample after the other, without caching values."""
    near = maximum_filter(mixed_cells(lattice.values), size=3, mode="constant")
    low, step = lattice.low, lattice.spacing.min()
    cells = np.array(lattice.values.shape) - 1
    found = np.full(len(view.origins), np.inf)
    for ray, origin in enumerate(view.origins):
        walls = np.stack([low - origin, low + lattice.spacing * cells - origin]) / view.direction
        entry, leave = walls.min(axis=0).max(), walls.max(axis=0).min()
        length = max(leave - entry, 0)

        def inside(t, origin=origin):
            return field((origin + t * view.direction)[None])[0]

        for k in range(int(np.ceil(length / step)) + 1 if length else 0):
            t = entry + min(k * step, length)
            place = (origin + t * view.direction - low) / lattice.spacing
            cell = tuple(np.clip(place.astype(int), 0, cells - 1))
            if inside(t) > 0 if near[cell] else lattice.values[cell] > 0:
                found[ray] = entry
                if k:
                    outer, inner = entry + min((k - 1) * step, length), t
                    for _ in range(rays.BISECTIONS):
                        middle = (outer + inner) / 2
                        outer, inner = (outer, middle) if inside(middle) > 0 else (middle, inner)
                    below, above = inside(outer), inside(inner)
                    part = -below / (above - below) if below <= 0 < above else 1.0
                    found[ray] = outer + min(max(part, 0.0), 1.0) * (inner - outer)
                break
    return found


@pytest.mark.parametrize(("seed", "samples"), [(0, 1), (1, 1000), (2, 1 << 23)])
def test_rays_in_blocks_meet_what_each_meets_by_itself(seed, samples, monkeypatch):
    monkeypatch.setattr(rays, "SAMPLES_AT_ONCE", samples)
    field = waves(seed)
    low, high = np.array([0.0, 0.2, 0.1]), np.array([1.0, 0.7, 0.9])
    lattice = Lattice.over(low, high, 24, field, coarsest=12)
    view = views_of(low, high, 16)[seed]
    met = march(field, lattice, view)
    assert 30 < np.isfinite(met).sum() < len(met)
    # the rounding of a matrix product depends on the number of rows
    np.testing.assert_allclose(met, march_one_by_one(field, lattice, view), rtol=0, atol=1e-12)


def test_a_sample_is_asked_for_once():
    asked = []

    def field(x):
        asked.extend(map(tuple, x))
        return ball(x)

    view = views_of(LOW, HIGH, 32)[0]
    march(field, Lattice.over(LOW, HIGH, 32, ball, coarsest=32), view)
    assert len(set(asked)) == len(asked)


def test_a_field_that_is_positive_everywhere_is_met_at_the_wall():
    lattice = Lattice.over(LOW, HIGH, 16, lambda x: np.ones(len(x)), coarsest=16)
    view = views_of(LOW, HIGH, 24)[0]
    met = march(lambda x: np.ones(len(x)), lattice, view)
    seen, _ = cast_mesh(Triangles(*_cube()), view)
    hit = np.isfinite(seen)
    np.testing.assert_allclose(met[hit], seen[hit], atol=1e-6)
    assert np.isinf(met[~hit]).all()


def test_where_nothing_is_rays_meet_nothing():
    view = views_of(LOW, HIGH, 24)[0]
    empty = Lattice.over(LOW, HIGH, 16, lambda x: -np.ones(len(x)), coarsest=16)
    assert np.isinf(march(lambda x: -np.ones(len(x)), empty, view)).all()


def _cube():
    mesh = trimesh.creation.box(bounds=[LOW, HIGH])
    return np.array(mesh.vertices), np.array(mesh.faces, np.int64)


def test_surface_samples_are_uniform_over_the_area():
    mesh = Triangles(*_cube())
    points, normals = mesh.sample(60000, np.random.default_rng(0))
    on_wall = (np.abs(points) < 1e-12) | (np.abs(points - 1) < 1e-12)
    assert on_wall.any(axis=1).all()
    assert np.abs((normals * (points - 0.5)).sum(axis=1) - 0.5).max() < 1e-12
    lower = np.abs(points[:, 0]) < 1e-12
    assert lower.mean() == pytest.approx(1 / 6, abs=0.01)
    assert points[lower][:, 1].var() == pytest.approx(1 / 12, rel=0.03)
