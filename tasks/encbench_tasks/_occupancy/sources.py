"""Find the mesh of a name: a built-in shape, a fetched scan or a file; and fetch scans."""

from __future__ import annotations

import gzip
import hashlib
import logging
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pooch
import requests
from filelock import FileLock
from rich.console import Console
from rich.progress import Progress, TaskID

from encbench import DataError
from encbench.errors import MissingDataError, cannot_write, did_you_mean
from encbench_tasks._occupancy.cache import cache_folder
from encbench_tasks._occupancy.reading import sha256
from encbench_tasks._occupancy.shapes import SHAPES
from encbench_tasks._occupancy.solid import VERSION

logger = logging.getLogger("encbench")
REPOSITORY = "https://graphics.stanford.edu/pub/3Dscanrep"
TIMEOUT = (15, 60)
"""Maximum time to connect, and between two pieces of data [s]."""


@dataclass(frozen=True)
class FetchableMesh:
    """A mesh of the Stanford 3D Scanning Repository."""

    url: str
    member: str | None
    """Path inside the archive; None: the download is the mesh itself, gzipped."""
    sha256: str | None
    """SHA-256 of the unpacked mesh; if None, only the archive's own checksum is checked."""
    size: str


MESHES = {
    "stanford-armadillo": FetchableMesh(
        f"{REPOSITORY}/armadillo/Armadillo.ply.gz", None, None, "4 MB"
    ),
    "stanford-buddha": FetchableMesh(
        f"{REPOSITORY}/happy/happy_recon.tar.gz",
        "happy_recon/happy_vrip.ply",
        "2283371216d748a08376a3c88698e283cc8f18d10ced348d6d133051bcf217ab",
        "17 MB",
    ),
    "stanford-dragon": FetchableMesh(
        f"{REPOSITORY}/dragon/dragon_recon.tar.gz",
        "dragon_recon/dragon_vrip.ply",
        "fea87ff48f2aba22fb53e7b67c3ff3f7b8c2a3b3a0653af62c48bba67c6d5744",
        "11 MB",
    ),
}


def fetched_path(name: str) -> Path:
    """Where a mesh of ``MESHES`` is stored, or would be."""
    return cache_folder() / "meshes" / f"{name}.ply"


def locate_mesh(mesh: str) -> str | Path:
    """A built-in shape's name, or the path of a file. Names take precedence; ``./knot`` is a path.

    Raises:
        MissingDataError: there is no such shape or file.
        DataError: the mesh has not been fetched, or its path cannot be read.
    """
    if mesh in SHAPES:
        return mesh
    if mesh in MESHES:
        path = fetched_path(mesh)
        if not path.is_file():
            raise DataError(
                f"mesh {mesh!r} is not on this machine; `encbench data fetch {mesh}` "
                "downloads it, or give the path of a mesh file"
            )
        return path
    try:
        path = Path(mesh).expanduser()
        if path.is_file():
            return path
        exists = path.exists()
    # a name that is too long, or the home of an unknown user
    except (OSError, RuntimeError) as error:
        raise DataError(f"no mesh {mesh[:80]!r}: {error}; give a path that can be read") from None
    if exists:
        raise DataError(f"{mesh!r} is not a file; give the path of one mesh file")
    known = f"built in: {', '.join(SHAPES)}; to fetch: {', '.join(MESHES)}"
    hint = did_you_mean(mesh, [*SHAPES, *MESHES], known)
    raise MissingDataError(f"no mesh {mesh!r}: the file does not exist{hint}")


def data_hash_of(mesh: str) -> str:
    """SHA-256 of a mesh file's SHA-256 and ``VERSION``, or of a shape's name and version.

    Raises:
        DataError: as ``locate_mesh``, or the file cannot be read.
    """
    found = locate_mesh(mesh)
    if isinstance(found, Path):
        what = f"mesh {sha256(found)} {VERSION}"
    else:
        what = f"shape {found} {SHAPES[found].version}"
    return hashlib.sha256(f"encbench {what}".encode()).hexdigest()


def fetch(name: str) -> Path:
    """Return the path of a mesh of ``MESHES``, downloaded unless it is there already.

    The mesh appears under its name only after its SHA-256 was checked; a damaged one is deleted.

    Raises:
        DataError: no mesh of that name, the download failed, or its checksum is wrong.
        StoreError: the cache's folder cannot be written.
    """
    if name not in MESHES:
        raise DataError(f"no mesh {name!r} to fetch; there are {', '.join(MESHES)}")
    mesh, final = MESHES[name], fetched_path(name)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_suffix(".lock")):
            if final.exists():
                if mesh.sha256 in (None, pooch.file_hash(str(final))):
                    logger.info("%s is already here: %s", name, final)
                    return final
                logger.warning("%s has a wrong checksum; fetching it again", final)
            with TemporaryDirectory(dir=final.parent, ignore_cleanup_errors=True) as folder:
                unpacked = _download(mesh, folder)
                digest = pooch.file_hash(str(unpacked))
                if mesh.sha256 not in (None, digest):
                    raise DataError(
                        f"{mesh.url}: the mesh has SHA-256 {digest}, expected {mesh.sha256}; it "
                        "was deleted, fetch it again or from elsewhere"
                    )
                unpacked.replace(final)
    except OSError as error:
        raise cannot_write(final, error, "set ENCBENCH_CACHE to another folder") from None
    if mesh.sha256 is None:
        logger.warning("%s: no checksum is known to compare with; SHA-256 %s", name, digest)
    logger.info("%s: %s", name, final)
    return final


def _download(mesh: FetchableMesh, folder: str) -> Path:
    """Download a mesh, and return its path, unpacked, in a folder.

    Proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY``), as requests reads it.
    """
    # pooch advises to note the archive's hash; the mesh's own is checked instead
    pooch.get_logger().setLevel("WARNING")
    unpack = pooch.Untar([mesh.member]) if mesh.member else pooch.Decompress("gzip")
    with Progress(console=Console(stderr=True)) as progress:
        bar = _Bar(progress, progress.add_task(mesh.url.rsplit("/", 1)[-1], total=None))
        # the server must not decompress the file
        headers = {"Accept-Encoding": "identity"}
        downloader = pooch.HTTPDownloader(bar, timeout=TIMEOUT, headers=headers)
        try:
            found = pooch.retrieve(mesh.url, None, "archive", folder, unpack, downloader)
        except requests.RequestException as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"downloading {mesh.url} failed: {reason}; try again later") from None
        except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
            raise DataError(
                f"the download is damaged and was deleted ({error}); fetch it again"
            ) from None
    if not found:
        raise DataError(f"{mesh.url}: there is no {mesh.member} in the archive")
    return Path(found if isinstance(found, str) else found[0])


@dataclass
class _Bar:
    """rich's progress bar, with the methods that pooch calls."""

    progress: Progress
    task: TaskID
    total: int = 0

    def update(self, size: int) -> None:
        self.progress.update(self.task, total=self.total, advance=size)

    def reset(self) -> None:
        self.progress.reset(self.task)

    def close(self) -> None:
        pass
