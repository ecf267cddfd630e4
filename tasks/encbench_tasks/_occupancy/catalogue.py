"""Scanned meshes that can be fetched, and where they come to lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from encbench_tasks._occupancy.cache import cache_folder

__all__ = ["MESHES", "FetchableMesh", "fetched_path"]

REPOSITORY = "https://graphics.stanford.edu/pub/3Dscanrep"


@dataclass(frozen=True)
class FetchableMesh:
    """A mesh of the Stanford 3D Scanning Repository."""

    url: str
    member: str | None
    """Path inside the archive; None: the download is the mesh itself, gzipped."""
    sha256: str | None
    """Of the unpacked mesh; None: not known here, only the archive's own checksum holds."""
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
    """Where a fetched mesh lies, or would lie."""
    return cache_folder() / "meshes" / f"{name}.ply"
