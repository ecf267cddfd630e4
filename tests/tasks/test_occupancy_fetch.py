"""Fetching meshes, from a server on this machine that can send wrong or damaged files."""

import gzip
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trimesh
from encbench_tasks._occupancy import sources
from encbench_tasks._occupancy.sources import FetchableMesh, data_hash_of, fetch, fetched_path
from typer.testing import CliRunner

from encbench import DataError
from encbench.cli.app import build
from encbench.plugins.registry import default_registry
from encbench.results.provenance import Provenance
from encbench.results.records import Record
from encbench.results.store import Store

PLY = trimesh.creation.icosphere(subdivisions=4).export(file_type="ply")
PLY_SHA = hashlib.sha256(PLY).hexdigest()


def packed(content=PLY, member="recon/mesh.ply"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Server:
    """Serves one body, counts requests, and may end a response early."""

    def __init__(self):
        self.body = packed()
        self.break_after = None
        self.status = 200
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.headers.get("Range"))
                if outer.status != 200:
                    self.send_error(outer.status)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body[: outer.break_after])

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http.server_port}/mesh_recon.tar.gz"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    mesh = FetchableMesh(server.url, "recon/mesh.ply", PLY_SHA, "1 kB")
    monkeypatch.setitem(sources.MESHES, "ball", mesh)
    yield server
    server.http.shutdown()
    server.http.server_close()


def only_the_mesh_is_there():
    return {p.suffix for p in fetched_path("ball").parent.iterdir()} <= {".ply", ".lock"}


def test_a_mesh_is_unpacked_checked_and_found_by_name(server):
    path = fetch("ball")
    assert path.read_bytes() == PLY
    assert data_hash_of("ball") == data_hash_of(str(path))
    assert only_the_mesh_is_there()


def test_a_mesh_that_is_there_is_not_downloaded_again(server):
    fetch("ball")
    fetch("ball")
    assert server.requests == [None]


def test_a_mesh_that_was_changed_on_disk_is_fetched_again(server, caplog):
    path = fetch("ball")
    path.write_bytes(PLY[:-1])
    assert fetch("ball").read_bytes() == PLY
    assert "fetching it again" in caplog.text


def test_a_download_that_breaks_off_leaves_nothing_and_may_be_tried_again(server):
    server.break_after = 1000
    with pytest.raises(DataError, match=r"downloading http.* failed: .*1000 bytes") as caught:
        fetch("ball")
    assert "\n" not in str(caught.value)
    assert not fetched_path("ball").exists()
    assert only_the_mesh_is_there()
    server.break_after = None
    assert fetch("ball").read_bytes() == PLY


def test_a_tampered_mesh_is_refused_and_deleted(server):
    changed = bytearray(PLY)
    changed[-1] ^= 1
    server.body = packed(bytes(changed))
    with pytest.raises(DataError, match=f"expected {PLY_SHA}"):
        fetch("ball")
    assert not fetched_path("ball").exists()
    assert only_the_mesh_is_there()
    server.body = packed()
    assert fetch("ball").read_bytes() == PLY


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"<html>not found</html>", lambda b: b""]
)
def test_a_truncated_or_foreign_archive_is_refused_and_deleted(server, damage):
    whole = server.body
    server.body = damage(whole)
    with pytest.raises(DataError, match="damaged"):
        fetch("ball")
    assert not fetched_path("ball").exists()
    server.body = whole
    assert fetch("ball").read_bytes() == PLY


def test_an_archive_without_the_mesh_is_refused(server):
    server.body = packed(member="recon/other.ply")
    with pytest.raises(DataError, match=r"mesh\.ply"):
        fetch("ball")


def test_a_mesh_that_is_merely_gzipped_is_unpacked(server, monkeypatch, caplog):
    server.body = gzip.compress(PLY)
    monkeypatch.setitem(sources.MESHES, "ball", FetchableMesh(server.url, None, None, "1 kB"))
    assert fetch("ball").read_bytes() == PLY
    assert f"no checksum is known to compare with; SHA-256 {PLY_SHA}" in caplog.text


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_that_refuses_is_quoted(server, status):
    server.status = status
    with pytest.raises(DataError, match=str(status)):
        fetch("ball")


def test_a_server_that_is_not_there_is_an_error_of_one_line(server, monkeypatch):
    gone = FetchableMesh("http://127.0.0.1:9/x.tar.gz", "m.ply", PLY_SHA, "1 kB")
    monkeypatch.setitem(sources.MESHES, "ball", gone)
    with pytest.raises(
        DataError, match=r"downloading http://127\.0\.0\.1:9/x\.tar\.gz failed"
    ) as caught:
        fetch("ball")
    assert "\n" not in str(caught.value)


def test_the_proxy_of_the_environment_is_asked(server, monkeypatch):
    # the server answers requests for any host, as a proxy does
    proxy = server.url.rsplit("/", 1)[0]
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    far = FetchableMesh("http://mesh.invalid/x.tar.gz", "recon/mesh.ply", PLY_SHA, "1 kB")
    monkeypatch.setitem(sources.MESHES, "ball", far)
    assert fetch("ball").read_bytes() == PLY


def test_many_at_once_download_once(server):
    threads = [threading.Thread(target=fetch, args=("ball",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == [None]


def test_the_catalogue_names_the_official_addresses():
    for mesh in sources.MESHES.values():
        assert mesh.url.startswith("https://graphics.stanford.edu/pub/3Dscanrep/")
        assert mesh.sha256 is None or len(mesh.sha256) == 64


def invoke(*arguments):
    app = build(default_registry(), list(arguments))
    return CliRunner().invoke(app, list(arguments))


def test_the_verb_lists_and_fetches(server):
    assert "not here" in invoke("data", "list").output
    result = invoke("data", "fetch", "ball")
    assert result.exit_code == 0
    assert result.output.strip().endswith(str(fetched_path("ball")))
    assert isinstance(invoke("data", "fetch", "bal").exception, DataError)
    assert "fetch needs names" in str(invoke("data", "fetch").exception)


@pytest.mark.parametrize("suffix", [".ply", ".glb", ".obj"])
def test_the_verb_exports_a_learned_mesh(tmp_path, suffix):
    reference = {"name": "occupancy", "distribution": "d", "version": "1"}
    cell = {"encoding": reference, "task": reference, "network": {}, "training": {}, "ntk": {}}
    record = Record(key="ab12", status="ok", cell=cell, provenance=Provenance.collect("cpu", 1))
    mesh = trimesh.creation.icosphere(subdivisions=2)
    store = Store(tmp_path / "run")
    arrays = {"mesh_vertices": mesh.vertices, "mesh_faces": mesh.faces}
    with store.writing():
        store.write(record, arrays, {})
        store.write(record.model_copy(update={"key": "cd34"}), {}, {})
    out = tmp_path / f"out{suffix}"
    result = invoke("data", "export-mesh", str(tmp_path / "run"), "ab", "-o", str(out))
    assert result.exit_code == 0, result.exception
    assert len(trimesh.load_mesh(out).faces) == len(mesh.faces)
    for words, message in (
        (["cd", "-o", str(out)], "holds no mesh"),
        (["zz", "-o", str(out)], "0 records"),
        (["ab", "-o", "mesh.txt"], "name ends in"),
        (["ab"], "needs a results folder"),
    ):
        failed = invoke("data", "export-mesh", str(tmp_path / "run"), *words)
        assert message in str(failed.exception)
