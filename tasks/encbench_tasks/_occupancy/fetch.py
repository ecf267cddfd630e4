"""Fetching scanned meshes: download, unpack, check, put in place."""

from __future__ import annotations

import gzip
import hashlib
import logging
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pooch
from filelock import FileLock

from encbench import DataError
from encbench_tasks._occupancy.catalogue import MESHES, FetchableMesh, fetched_path
from encbench_tasks._occupancy.download import ResumableDownload

__all__ = ["fetch"]

logger = logging.getLogger("encbench")


def fetch(name: str) -> Path:
    """The path of a mesh of the catalogue, downloaded unless it is there already.

    The mesh appears under its name only once its SHA-256 is right. A download that broke off
    goes on where it was; one that is damaged is deleted.

    Raises:
        DataError: no mesh of that name, the download failed, or it is not the file that it
            should be.
    """
    if name not in MESHES:
        raise DataError(f"no mesh {name!r} to fetch; there are {', '.join(MESHES)}")
    mesh, final = MESHES[name], fetched_path(name)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_suffix(".lock")):
            return _fetch(name, mesh, final)
    except OSError as error:
        raise DataError(
            f"cannot write {final}: {error.strerror or error}; set ENCBENCH_CACHE to another folder"
        ) from None


def _fetch(name: str, mesh: FetchableMesh, final: Path) -> Path:
    if final.exists():
        if mesh.sha256 in (None, pooch.file_hash(str(final))):
            logger.info("%s is already here: %s", name, final)
            return final
        logger.warning("%s is not the file that it should be; fetching it again", final)
    # pooch would say to write down the archive's hash; the mesh's own is what counts here
    pooch.get_logger().setLevel("WARNING")
    part = final.with_suffix(".part")
    archive = Path(
        pooch.retrieve(
            mesh.url,
            known_hash=None,
            fname=f"{name}.download",
            path=final.parent,
            downloader=ResumableDownload(part),
        )
    )
    unpacked = final.with_suffix(".new")
    try:
        digest = _unpack(archive, mesh.member, unpacked)
        if mesh.sha256 is not None and digest != mesh.sha256:
            raise DataError(
                f"{mesh.url}: the mesh has SHA-256 {digest}, expected {mesh.sha256}; it was "
                "deleted, fetch it again or from elsewhere"
            )
        unpacked.replace(final)
    finally:
        archive.unlink(missing_ok=True)
        unpacked.unlink(missing_ok=True)
    if mesh.sha256 is None:
        logger.warning("%s: no checksum is known to compare with; SHA-256 %s", name, digest)
    logger.info("%s: %s", name, final)
    return final


def _unpack(archive: Path, member: str | None, target: Path) -> str:
    """Unpack one file; its SHA-256."""
    digest = hashlib.sha256()
    try:
        with _opened(archive, member) as source, target.open("wb") as file:
            while piece := source.read(1 << 20):
                digest.update(piece)
                file.write(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, KeyError) as error:
        raise DataError(
            f"the download is damaged and was deleted ({error}); fetch it again"
        ) from None
    return digest.hexdigest()


@contextmanager
def _opened(archive: Path, member: str | None) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if member is None:
        with gzip.open(archive) as file:
            yield file
        return
    with tarfile.open(archive) as packed:
        inside = packed.extractfile(member)
        if inside is None:
            raise KeyError(f"{member} is not a file")
        with inside:
            yield inside
