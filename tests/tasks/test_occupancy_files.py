"""Which files become solids, and what becomes of those that cannot."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import trimesh
from encbench_tasks._occupancy.files import read_triangles
from encbench_tasks._occupancy.meshes import solid_of_mesh
from encbench_tasks._occupancy.names import data_hash_of, locate

from encbench import DataError

DRAGON = Path(__file__).parents[3] / "shared/data/stanford/dragon_vrip_res3.ply.gz"


@pytest.fixture
def ball():
    return trimesh.creation.icosphere(subdivisions=2)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off", ".glb", ".ply.gz", ".OBJ.gz"])
def test_every_format_gives_the_same_closed_surface(ball, tmp_path, suffix):
    kind = suffix.removesuffix(".gz")[1:].lower()
    exported = ball.export(file_type=kind)
    data = exported.encode() if isinstance(exported, str) else exported
    path = tmp_path / f"ball{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    mesh = read_triangles(path)
    assert (len(mesh.vertices), len(mesh.faces)) == (len(ball.vertices), len(ball.faces))
    np.testing.assert_allclose(mesh.areas.sum(), ball.area, rtol=1e-5)


def test_parts_of_a_scene_are_put_in_their_places(ball, tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(ball)
    scene.add_geometry(ball, transform=trimesh.transformations.translation_matrix([5, 0, 0]))
    path = tmp_path / "two.glb"
    scene.export(path)
    mesh = read_triangles(path)
    assert len(mesh.faces) == 2 * len(ball.faces)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [7, 2, 2], atol=1e-5)


def test_quadrilaterals_are_split(tmp_path):
    path = tmp_path / "quads.obj"
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    quads = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + [
        "f " + " ".join(map(str, q)) for q in quads
    ]
    path.write_text("\n".join(lines))
    assert len(read_triangles(path).faces) == 12


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e9])
def test_a_solid_of_any_size_anywhere_fits_the_unit_cube(ball, tmp_path, size):
    vertices = np.array(ball.vertices) * [1, 0.5, 0.25] * size + 3 * size
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in ball.faces]
    path = tmp_path / "ellipsoid.obj"
    path.write_text("\n".join(lines))
    solid = solid_of_mesh(path)
    np.testing.assert_allclose(solid.low, [0, 0.25, 0.375], atol=1e-9)
    np.testing.assert_allclose(solid.high, [1, 0.75, 0.625], atol=1e-9)
    assert solid.occupied(np.array([[0.5, 0.5, 0.5], [0.02, 0.3, 0.4]])).tolist() == [True, False]


def test_vertices_that_no_face_uses_do_not_move_the_box(ball, tmp_path):
    path = tmp_path / "stray.off"
    vertices = np.concatenate([ball.vertices, [[100.0, 0, 0]]])
    trimesh.Trimesh(vertices, ball.faces, process=False).export(path)
    solid = solid_of_mesh(path)
    np.testing.assert_allclose(solid.high - solid.low, 1, atol=0.05)


def write_ply(path, vertices, faces):
    head = ["ply", "format ascii 1.0", f"element vertex {len(vertices)}"]
    head += [f"property float {axis}" for axis in "xyz"]
    head += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    body = [" ".join(map(str, v)) for v in vertices]
    body += [" ".join(map(str, [len(f), *f])) for f in faces]
    path.write_text("\n".join(head + body) + "\n")


SQUARE = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
TETRAHEDRON = [(0, 1, 2), (0, 3, 1), (0, 2, 3), (1, 3, 2)]


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.random.default_rng(0).random((20, 3)), [], "point cloud of 20 points"),
        (SQUARE, [(0, 1, 2)], "flat"),
        (SQUARE, [(0, 1, 2), (0, 2, 3)], "flat"),
        ([(1, 2, 3)] * 4, TETRAHEDRON, "all vertices are at one place"),
        ([*SQUARE[:3], ("nan", 0, 1)], TETRAHEDRON, "1 of 4 vertices are not finite"),
        ([*SQUARE[:3], (0, 0, 1)], [(0, 1, 99)], "mesh"),
        ([*SQUARE[:3], (0, 0, 1)], [(0, 0, 1), (1, 2, 2), (3, 3, 3), (3, 0, 3)], "area"),
        # two walls of a corner: open, and with no inside
        ([*SQUARE, (0, 0, 1), (1, 0, 1)], [(0, 1, 2), (0, 2, 3), (0, 5, 1), (0, 4, 5)], "open"),
    ],
)
def test_what_bounds_no_solid_is_one_clear_error(tmp_path, vertices, faces, message):
    path = tmp_path / "mesh.ply"
    write_ply(path, vertices, faces)
    with pytest.raises(DataError, match=message) as caught:
        solid_of_mesh(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.ply", b"", "empty"),
        ("text.ply", b"Dear diary, this is no mesh.\n", "not a readable PLY mesh"),
        ("text.obj", b"Dear diary, this is no mesh.\n", "without faces|not a readable OBJ"),
        ("noise.stl", bytes(range(200)), "without faces"),
        ("cut.ply.gz", gzip.compress(b"ply\n" * 1000, mtime=0)[:20], "gzip file is damaged"),
        ("mesh.xyz", b"1 2 3", "name ends in .ply"),
        ("mesh", b"1 2 3", "name ends in .ply"),
    ],
)
def test_files_that_are_no_meshes_are_one_clear_error(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        solid_of_mesh(path)
    assert "\n" not in str(caught.value)


def test_a_ply_that_was_cut_short_is_an_error(ball, tmp_path):
    path = tmp_path / "cut.ply"
    path.write_bytes(ball.export(file_type="ply")[:-100])
    with pytest.raises(DataError, match="PLY"):
        solid_of_mesh(path)


def test_rays_are_refused_on_a_mesh_with_holes(ball, tmp_path):
    path = tmp_path / "holed.ply"
    trimesh.Trimesh(ball.vertices, ball.faces[3:], process=False).export(path)
    with pytest.raises(DataError, match="truth=winding"):
        solid_of_mesh(path, "rays")


def test_the_data_hash_is_of_the_content_packed_or_not(ball, tmp_path):
    data = ball.export(file_type="ply")
    (tmp_path / "a.ply").write_bytes(data)
    (tmp_path / "b.ply.gz").write_bytes(gzip.compress(data))
    expected = hashlib.sha256(data).hexdigest()
    assert data_hash_of(str(tmp_path / "a.ply")) == expected
    assert data_hash_of(str(tmp_path / "b.ply.gz")) == expected
    assert len({data_hash_of(name) for name in ("gyroid", "knot", "flange")}) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("knoot", "did you mean 'knot'"),
        ("no/such/mesh.ply", "does not exist"),
        ("x" * 5000, "no mesh"),
        (".", "not a file"),
        ("stanford-dragon", "encbench data fetch stanford-dragon"),
    ],
)
def test_a_name_that_means_nothing_is_explained(name, message, monkeypatch, tmp_path):
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=message):
        locate(name)


@pytest.mark.skipif(not DRAGON.exists(), reason=f"no scanned dragon at {DRAGON}")
def test_a_scan_with_holes_is_labelled_as_exact_winding_numbers_say():
    igl = pytest.importorskip("igl")
    solid = solid_of_mesh(DRAGON)
    x = solid.low + np.random.default_rng(0).random((1000, 3)) * (solid.high - solid.low)
    exact = igl.winding_number(solid.surface.vertices, solid.surface.faces, x)
    clear = np.abs(exact - 0.5) > 0.01
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(solid.occupied(x[clear]), exact[clear] > 0.5)
