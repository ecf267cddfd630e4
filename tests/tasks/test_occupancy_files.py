"""Mesh files that become solids, and errors for those that cannot."""

import codecs
import gzip
import json
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import trimesh
from encbench_tasks._occupancy import sources
from encbench_tasks._occupancy.reading import read_triangles
from encbench_tasks._occupancy.shapes import SHAPES
from encbench_tasks._occupancy.solid import solid_of_mesh
from encbench_tasks._occupancy.sources import data_hash_of, locate_mesh
from encbench_tasks._occupancy.triangles import Triangles, edges_of, signed_volume, triangulated

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


ELL = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
COMB = [
    (0, 0),
    (5, 0),
    (5, 2),
    (4, 2),
    (4, 1),
    (3, 1),
    (3, 2),
    (2, 2),
    (2, 1),
    (1, 1),
    (1, 2),
    (0, 2),
]
DART = [(0, 0), (2, 1), (0, 2), (1, 1)]


@pytest.mark.parametrize(("outline", "area"), [(ELL, 3), (COMB, 8), (DART, 1)])
@pytest.mark.parametrize("suffix", ["off", "obj", "ply"])
@pytest.mark.parametrize("first", [0, 1, 3])
def test_faces_that_bend_inwards_keep_their_area(tmp_path, outline, area, suffix, first):
    outline = outline[first:] + outline[:first]
    count, path = len(outline), tmp_path / f"prism.{suffix}"
    vertices = [(0.0, x, z) for x, z in outline] + [(1.0, x, z) for x, z in outline]
    sides = [[i, (i + 1) % count, (i + 1) % count + count, i + count] for i in range(count)]
    faces = [[*range(count)][::-1], [*range(count, 2 * count)], *sides]
    if suffix == "ply":
        write_ply(path, vertices, faces)
    else:
        written = [" ".join(map(str, place)) for place in vertices]
        if suffix == "off":
            lines = ["OFF", f"{2 * count} {len(faces)} 0", *written]
            lines += [" ".join(map(str, [len(face), *face])) for face in faces]
        else:
            lines = [f"v {place}" for place in written]
            lines += ["f " + " ".join(f"{i - 2 * count}/1/1" for i in face) for face in faces]
        path.write_text("\n".join(lines))
    mesh = read_triangles(path)
    ends = np.abs(mesh.area_vectors[:, 0]).sum()
    assert ends == pytest.approx(2 * area)
    assert abs(signed_volume(mesh)) == pytest.approx(area)
    assert edges_of(mesh.faces).watertight


FRAME = [
    (0, 0),
    (6, 0),
    (6, 6),
    (0, 6),
    (1, 1),
    (1, 2),
    (2, 2),
    (2, 1),
    (4, 1),
    (4, 2),
    (5, 2),
    (5, 1),
]
ONE_HOLE = [0, 1, 2, 3, 0, 4, 5, 6, 7, 4]
TWO_HOLES = [0, 1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 10, 11, 8, 7, 4]
THIRDS = [(k, 0) for k in range(3)] + [(3, k) for k in range(3)]
THIRDS += [(3 - k, 3) for k in range(3)] + [(0, 3 - k) for k in range(3)]
LONG_COMB = [(0, 0), (150, 0)]
LONG_COMB += [
    (k + x, y) for k in range(149, -1, -1) for x, y in ((1, 3), (0.5, 3), (0.5, 1), (0, 1))
]


@pytest.mark.parametrize(
    ("outline", "loop", "area"),
    [
        (FRAME, ONE_HOLE, 35),
        (FRAME, TWO_HOLES, 34),
        (THIRDS, [*range(12)], 9),
        (THIRDS, [0, 1, 1, *range(2, 12), 11], 9),
        (LONG_COMB, [*range(602)], 300),
    ],
    ids=["one hole", "two holes", "corners along sides", "repeated corners", "comb"],
)
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_any_face_is_covered_once_by_triangles_with_area(outline, loop, area, tilt):
    places = np.array([(x, y, tilt * x) for x, y in outline], float)
    for first in range(min(len(loop), 16)):
        for way in (1, -1):
            face = (loop[first:] + loop[:first])[::way]
            mesh = Triangles(places, triangulated([face], places))
            assert mesh.areas.min() > 1e-12
            assert mesh.areas.sum() == pytest.approx(area * np.hypot(1, tilt))
            assert mesh.area_vectors[:, 2].sum() == pytest.approx(area * way)
        if len(loop) > 100:
            return


def test_a_concave_face_of_too_many_corners_is_an_error(tmp_path):
    outline = [(k, 3 * (k % 2), 0) for k in range(2100)] + [(0, 9, 0)]
    path = tmp_path / "teeth.off"
    rows = [*outline, (len(outline), *range(len(outline)))]
    path.write_text(
        "\n".join(["OFF", f"{len(outline)} 1 0", *(" ".join(map(str, r)) for r in rows)])
    )
    with pytest.raises(DataError, match=r"a face of 2101 corners that is not convex, at most 2048"):
        read_triangles(path)


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
        ([(1e-310, 0, 0), *SQUARE[:1] * 3], TETRAHEDRON, "all vertices are at one place"),
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
        ("flat.obj", b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "a vertex without three coordinates"),
        ("text.obj", b"Dear diary, this is no mesh.\n", "empty, without vertices and faces"),
        ("noise.stl", bytes(range(200)), "not a readable STL mesh .*ends at byte 200 of"),
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
    with pytest.raises(
        DataError, match=r"PLY mesh \(damaged: ends at byte (\d+) of (\d+)\)"
    ) as caught:
        solid_of_mesh(path)
    have, whole = map(int, re.findall(r"byte (\d+) of (\d+)", str(caught.value))[0])
    assert (have, whole) == (path.stat().st_size, path.stat().st_size + 100)


@pytest.mark.parametrize("kept", [60, 84, 500, -1])
def test_an_stl_that_was_cut_short_says_at_which_byte(ball, tmp_path, kept):
    data = ball.export(file_type="stl")
    path = tmp_path / "cut.stl"
    path.write_bytes(data[:kept])
    expected = f"ends at byte {len(data[:kept])} of {len(data) if kept > 80 or kept < 0 else 84}"
    with pytest.raises(DataError, match=rf"STL mesh \(damaged: {expected}\)"):
        solid_of_mesh(path)
    text = ball.export(file_type="stl_ascii")
    path.write_text(text[: len(text) // 2])
    with pytest.raises(
        DataError, match=rf"damaged: ends at byte {len(text) // 2}, without endsolid"
    ):
        solid_of_mesh(path)


@pytest.mark.parametrize("kind", ["glb", "off"])
def test_other_meshes_that_were_cut_short_say_at_which_byte(ball, tmp_path, kind):
    data = ball.export(file_type=kind)
    data = data.encode() if isinstance(data, str) else data
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data[:-100])
    with pytest.raises(DataError, match=rf"damaged: ends at byte {len(data) - 100}"):
        solid_of_mesh(path)


PRISM = [(np.cos(t), np.sin(t), z) for z in (0, 1) for t in np.arange(5) * 0.4 * np.pi]
PRISM_FACES = [(4, 3, 2, 1, 0), (5, 6, 7), (5, 7, 8), (5, 8, 9)]
PRISM_FACES += [(i, (i + 1) % 5, (i + 1) % 5 + 5, i + 5) for i in range(5)]


def ply(order, faces=PRISM_FACES, vertices=PRISM, element="face"):
    """A PLY file of polygons, with a colour before each vertex's position and a flag per face."""
    word = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
    head = [f"ply\nformat {word} 1.0\ncomment mixed\nelement vertex {len(vertices)}"]
    head += ["property uchar red", *(f"property double {axis}" for axis in "xyz")]
    head += [f"element {element} {len(faces)}", "property list uint int vertex_indices"]
    head += ["property ushort flag", "end_header\n"]
    if not order:
        rows = [(7, *v) for v in vertices] + [(len(f), *f, 9) for f in faces]
        return (
            "\n".join(head) + "\n".join(" ".join(map(repr, map(float, r))) for r in rows)
        ).encode()
    body = [struct.pack(f"{order}B3d", 7, *v) for v in vertices]
    body += [struct.pack(f"{order}I{len(f)}iH", len(f), *f, 9) for f in faces]
    return "\n".join(head).encode() + b"".join(body)


def off(word="OFF"):
    rows = [(*v, *(0.5 for letter in word[:-3] for _ in "123")) for v in PRISM]
    rows += [(len(f), *f, 0.1, 0.2, 0.3) for f in PRISM_FACES]
    lines = [word, "# a prism", f"{len(PRISM)} {len(PRISM_FACES)} 0"]
    return "\n".join(lines + [" ".join(map(str, row)) for row in rows]).encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *((f"prism{n}.ply", ply(order)) for n, order in enumerate(("", "<", ">"))),
        *((f"prism.{word}.off", off(word)) for word in ("OFF", "COFF", "NOFF")),
    ],
    ids=str,
)
def test_faces_of_any_number_of_corners_are_split(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    mesh = read_triangles(path)
    assert (len(mesh.vertices), len(mesh.faces)) == (10, 3 + 3 + 10)
    assert edges_of(mesh.faces).watertight
    assert signed_volume(mesh) == pytest.approx(2.5 * np.sin(0.4 * np.pi))
    assert solid_of_mesh(path).occupied(np.full((1, 3), 0.5)).all()


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_triangle_strips_are_unrolled(tmp_path, order):
    walls = [i for k in range(6) for i in (k % 5 + 5, k % 5)]
    strips = [(*walls, -1, 1, 0, 2, 4, 3, -1, 5, 6, 9, 7, 8)]
    path = tmp_path / "strips.ply"
    path.write_bytes(ply(order, strips, element="tristrips"))
    mesh = read_triangles(path)
    assert len(mesh.faces) == 16
    assert edges_of(mesh.faces).watertight
    assert signed_volume(mesh) == pytest.approx(2.5 * np.sin(0.4 * np.pi))


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_the_last_face_of_a_ply_may_be_shorter_than_the_others(tmp_path, order):
    quads = PRISM_FACES[4:]
    path = tmp_path / "last.ply"
    path.write_bytes(ply(order, [*quads, (0, 1, 2)]))
    assert len(read_triangles(path).faces) == 11


@pytest.mark.parametrize("kind", ["int64", "uint64"])
def test_a_ply_may_have_corners_of_64_bits(tmp_path, kind):
    path = tmp_path / "long.ply"
    data = ply("").replace(b"list uint int", f"list {kind} {kind}".encode())
    path.write_bytes(data)
    assert len(read_triangles(path).faces) == 16


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".off"])
def test_faces_of_two_corners_are_left_out(tmp_path, suffix):
    path, lines = tmp_path / f"lines{suffix}", [(0, 1), (2, 3)]
    contents = {
        ".ply": lambda faces: ply("<", faces),
        ".obj": obj,
        ".off": lambda faces: plain_off(b"\n", b"\n", faces),
    }
    path.write_bytes(contents[suffix](TRIANGLES + lines))
    assert len(read_triangles(path).faces) == len(TRIANGLES)
    path.write_bytes(contents[suffix](lines))
    with pytest.raises(DataError, match="a point cloud of 10 points, without faces"):
        read_triangles(path)


def stl_text(faces, vertices=PRISM):
    lines = ["solid prism facet normal"]
    for face in faces:
        lines += ["facet normal nan 0 0", "outer loop"]
        lines += [" vertex {} {} {}".format(*vertices[corner]) for corner in face]
        lines += ["endloop", "endfacet"]
    return "\n".join([*lines, "endsolid prism facet normal"]).encode()


def stl(faces, vertices=PRISM, *, head=b"solid prism, facet after facet", count=None):
    body = [struct.pack("<12fH", 0, 0, 0, *(x for i in f for x in vertices[i]), 0) for f in faces]
    return (
        head.ljust(80) + struct.pack("<I", len(faces) if count is None else count) + b"".join(body)
    )


def obj(faces, vertices=PRISM, *, before="", back=0):
    """An OBJ file whose corners are counted from 1, or back from ``back``, the last one."""
    lines = [before, *("v {} {} {} 0.5 0.5 0.5".format(*v) for v in vertices)]
    lines += ["f " + " ".join(f"{i + 1 - back}//1" for i in face) for face in faces]
    return "\n".join([*lines, ""]).encode()


def plain_off(between, last, faces=PRISM_FACES):
    """An OFF file whose vertices are ``between`` each other, and before the faces ``last``."""
    places = between.join(b"%r %r %r" % tuple(map(float, place)) for place in PRISM)
    rows = last.join(b" ".join(b"%d" % i for i in (len(f), *f)) for f in faces)
    return b"OFF\n%d %d 0\n" % (len(PRISM), len(faces)) + places + last + rows


TRIANGLES = [(4, 3, 2), (4, 2, 1), (4, 1, 0), *PRISM_FACES[1:4]]
TRIANGLES += [t for a, b, c, d in PRISM_FACES[4:] for t in ((a, b, c), (a, c, d))]
BOM = b"\xef\xbb\xbf"
LACKS_A_CORNER = b"OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n4 0 1 2\n3 0 1 2\n"


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "polygons in text.stl": stl_text(PRISM_FACES),
        "text.stl": BOM + stl_text(TRIANGLES),
        "name.stl": stl_text(TRIANGLES).replace(b"prism", b"p" * 2000),
        "spaces behind.stl": stl_text(TRIANGLES).upper() + b"\r\n" * 2000,
        "solid.stl": stl(TRIANGLES),
        "behind.stl": stl(TRIANGLES) + b"more",
        "bom.obj": BOM + obj(TRIANGLES),
        "tab.obj": obj(TRIANGLES).replace(b" ", b"\t").replace(b"v", b"  v"),
        "cr.obj": obj(TRIANGLES).replace(b"\n", b"\r"),
        "back.obj": obj(TRIANGLES, back=11),
        "lines.obj": obj(TRIANGLES, before="mtllib no.mtl\no a\nl 1 2\nusemtl b"),
        "bom.off": BOM + off(),
        "bom.ply": BOM + ply(""),
        "one line.off": plain_off(b" ", b"\n"),
        "all on one line.off": plain_off(b" ", b" "),
        "a number a line.off": plain_off(b"\n", b"\n").replace(b" ", b"\n"),
        "counts on the same line.off": plain_off(b" ", b" ").replace(b"\n", b" "),
        "a vertex on the line of the counts.off": off().replace(b" 0\n", b" 0 ", 1),
        "a number on the line of the counts.off": plain_off(b"\n", b"\n").replace(
            b" 0\n1.0 ", b" 0 1.0\n", 1
        ),
    }.items(),
    ids=str,
)
def test_unusual_files_are_read(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    mesh = read_triangles(path)
    assert edges_of(mesh.faces).watertight
    assert signed_volume(mesh) == pytest.approx(2.5 * np.sin(0.4 * np.pi))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("word.ply", ply("").replace(b"9.0", b"9,0", 1), r"\('9,0' where a number is needed\)"),
        ("part.ply", ply("").replace(b" 6.0 ", b" 6.5 ", 1), "the number 6.5 where a whole one"),
        ("kind.ply", ply("").replace(b"double", b"half"), "the line 'property half x', which"),
        ("order.ply", ply("").replace(b"ascii", b"binary"), "the line 'format binary 1.0', which"),
        ("less.stl", stl(TRIANGLES, count=0), "has 16 triangles, and says that it has 0"),
        ("more.stl", stl(TRIANGLES, count=17), "damaged: ends at byte 884 of 934"),
        ("inside.stl", stl_text(TRIANGLES)[:-70] + b"\nendsolid", "damaged: a facet without three"),
        ("page.stl", b"<html>404</html>" * 10, "neither text that begins with solid nor binary"),
        ("none.stl", b"solid nothing\nendsolid nothing", "empty, without vertices and faces"),
        ("zero.obj", obj(TRIANGLES, back=1), "vertex 0, but vertices are counted from 1"),
        (
            "far.obj",
            obj(TRIANGLES).replace(b"f 5", b"f 12"),
            "vertex 12, .* has 10, counted from 1",
        ),
        ("back.obj", obj(TRIANGLES).replace(b"f 5", b"f -12"), "vertex -12, but 10 vertices come"),
        ("cut.obj", obj(TRIANGLES)[:-6], "damaged: ends at byte .*, within a face"),
        ("part.obj", obj(TRIANGLES).replace(b"f 5", b"f 5.0"), "'5.0' where a whole number"),
        ("binary.off", b"OFF BINARY\n\0\0\0\x08", "binary; save it as text"),
        ("head.off", b"OFF\n", "the numbers of vertices and faces are missing"),
        ("word.off", off().replace(b"\n5 4", b"\n5 x"), "'x' where a whole number is needed"),
        ("four.off", off().replace(b"OFF", b"4OFF", 1), "not in three dimensions; export it as"),
        ("face.off", LACKS_A_CORNER, "face 0 says 4 corners and has 3"),
        ("less.off", LACKS_A_CORNER.replace(b"\n4 ", b"\n-1 "), "face 0 says -1 corners"),
        ("none.off", b"OFF\n-3 1 0\n" * 9, "says -3 vertices and 1 faces"),
        (
            "few.off",
            off().replace(b" 9 0\n", b" 8 0\n"),
            "says 10 vertices and 8 faces, and has 19",
        ),
        ("wide.off", codecs.BOM_UTF16_LE + off().decode().encode("utf-16-le"), "save it as UTF-8"),
        ("wide.obj", obj(TRIANGLES).decode().encode("utf-16"), "save it as UTF-8"),
        ("wide.stl", stl_text(TRIANGLES).decode().encode("utf-16"), "save it as UTF-8"),
        ("short.off", b"OFF\n3 1 0\n0 0 0\n1 0\n0 1 0\n3 0 1 2\n", "without three coordinates"),
        ("ply.stl", ply("<"), "the content is that of .ply, not of .stl; rename the file"),
        ("stl.obj", stl(TRIANGLES), "the content is that of .stl, not of .obj; rename the file"),
        ("page.glb", b"<html>404</html>" * 10, "does not begin with glTF"),
        ("cut.glb", b"glTF\2\0\0\0", "damaged: ends at byte 8 of 20"),
        ("old.glb", b"glTF\1\0\0\0" + b"\x14\0\0\0".ljust(12, b"\0"), "version 1; export glTF 2"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_plain_words(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_triangles(path)


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_a_ply_of_mixed_faces_that_was_cut_short_is_an_error(tmp_path, order):
    data = ply(order)
    path = tmp_path / "cut.ply"
    for length in range(len(data) - 150, len(data) - 3, 7):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=rf"damaged: ends at byte {length}"):
            read_triangles(path)


def glb(scene, data=b""):
    text = json.dumps({"asset": {"version": "2.0"}, **scene}).encode()
    chunk = struct.pack("<I4s", len(text), b"JSON") + text
    if data:
        chunk += struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunk)) + chunk


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"scenes": []}, "its meshes are in no scene; export a scene that places them"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 144}]}, "at byte 96 of 144 of view 0"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 60}]}, "accessor 1 ends at byte 96 of 60"),
        ({"accessors": [{"count": -4, "type": "VEC3"}]}, "accessor 0 has -4 elements"),
    ],
)
def test_a_glb_that_declares_more_than_it_holds_is_an_error(tmp_path, change, message):
    corners = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], "<f4")
    faces = np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)], "<u4")
    data = corners.tobytes() + faces.tobytes()
    positions = {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"}
    indices = {"bufferView": 0, "componentType": 5125, "count": 12, "type": "SCALAR"}
    scene = {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [positions, indices | {"byteOffset": corners.nbytes}],
        "bufferViews": [{"buffer": 0, "byteLength": 96}],
        "buffers": [{"byteLength": 96}],
    }
    path = tmp_path / "some.glb"
    path.write_bytes(glb(scene | change, data))
    if not message:
        assert signed_volume(read_triangles(path)) == pytest.approx(1 / 6)
        return
    with pytest.raises(DataError, match=message):
        read_triangles(path)


@pytest.mark.parametrize("bomb", ["zeros.ply.gz", "zeros.glb", "counts.ply", "counts.off"])
def test_a_small_file_does_not_ask_for_gigabytes(tmp_path, bomb):
    path = tmp_path / bomb
    if bomb == "zeros.ply.gz":
        path.write_bytes(gzip.compress(ply("<") + bytes(20 << 20)))
        message = "more than .* MiB when unpacked"
        with pytest.raises(DataError, match=message):
            data_hash_of(str(path))
    elif bomb == "zeros.glb":
        accessors = [{"componentType": 5126, "count": n, "type": "VEC3"} for n in (10**9, 10**12)]
        meshes = [{"primitives": [{"attributes": {"POSITION": 0}}]}]
        scene = {"accessors": accessors, "meshes": meshes, "nodes": [{"mesh": 0}]}
        path.write_bytes(glb(scene | {"scenes": [{"nodes": [0]}], "scene": 0}))
        message = "3006000000000 coordinates and indices, at most"
    elif bomb == "counts.off":
        path.write_bytes(b"OFF\n2000000 12 0\n1 2 3\n")
        message = "damaged: ends at byte"
    else:
        path.write_bytes(ply("<").replace(b"vertex 10", b"vertex 1000000000000"))
        message = "damaged: ends at byte"
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        read_triangles(path)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_rays_are_refused_on_a_mesh_with_holes(ball, tmp_path):
    path = tmp_path / "holed.ply"
    trimesh.Trimesh(ball.vertices, ball.faces[3:], process=False).export(path)
    with pytest.raises(DataError, match="truth=winding"):
        solid_of_mesh(path, "rays")


def test_the_data_hash_is_of_the_content_and_of_how_meshes_are_processed(
    ball, tmp_path, monkeypatch
):
    data = ball.export(file_type="ply")
    (tmp_path / "a.ply").write_bytes(data)
    (tmp_path / "b.ply.gz").write_bytes(gzip.compress(data))
    (tmp_path / "c.ply").write_bytes(data[:-1] + b"\1")
    names = *(str(tmp_path / name) for name in ("a.ply", "b.ply.gz", "c.ply")), *SHAPES
    first, packed, other, *shapes = before = [*map(data_hash_of, names)]
    assert first == packed
    assert len({first, other, *shapes}) == 2 + len(SHAPES)
    monkeypatch.setattr(sources, "VERSION", 0)
    changed = [one != two for one, two in zip(before, map(data_hash_of, names), strict=True)]
    assert changed == [True] * 3 + [False] * len(SHAPES)


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
        locate_mesh(name)


@pytest.mark.skipif(not DRAGON.exists(), reason=f"no scanned dragon at {DRAGON}")
def test_a_scan_with_holes_is_labelled_as_exact_winding_numbers_say():
    igl = pytest.importorskip("igl")
    solid = solid_of_mesh(DRAGON)
    x = solid.low + np.random.default_rng(0).random((1000, 3)) * (solid.high - solid.low)
    exact = igl.winding_number(solid.surface.vertices, solid.surface.faces, x)
    clear = np.abs(exact - 0.5) > 0.01
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(solid.occupied(x[clear]), exact[clear] > 0.5)


@pytest.mark.parametrize(
    ("scene", "reason"),
    [
        (
            {"extensionsRequired": ["KHR_draco_mesh_compression"]},
            "compressed by KHR_draco_mesh_compression; export it uncompressed",
        ),
        (
            {"buffers": [{"uri": "scan.bin", "byteLength": 12}]},
            "its data are in scan.bin; export one file with all data",
        ),
        (
            {"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 6}]}]},
            "it has triangle fans, which are not read; export it without them",
        ),
        (
            {"accessors": [{"componentType": 5126, "count": 3, "type": "VEC3", "sparse": {}}]},
            "it has sparse accessors",
        ),
        (
            {
                "accessors": [
                    {"componentType": 5122, "count": 3, "type": "VEC3", "normalized": True}
                ]
            },
            "it has normalized coordinates",
        ),
        ({"extensionsUsed": ["EXT_mesh_gpu_instancing"]}, "it has instances"),
        ({"nodes": [{"mesh": 0, "weights": [0, 0.5]}]}, "it has morph targets"),
    ],
)
def test_glb_whose_data_cannot_be_read_says_why(tmp_path, scene, reason):
    path = tmp_path / "scan.glb"
    accessors = [{"componentType": 5126, "count": 3, "type": "VEC3"}]
    meshes = [{"primitives": [{"attributes": {"POSITION": 0}}]}]
    path.write_bytes(glb({"accessors": accessors, "meshes": meshes} | scene))
    with pytest.raises(DataError, match=reason):
        read_triangles(path)
