"""Where a result came from: enough to run it again and to know what differs if it does."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Provenance"]


class Provenance(BaseModel):
    """The circumstances of one cell."""

    model_config = ConfigDict(extra="forbid")

    encbench: str
    python: str
    libraries: dict[str, str]
    """Versions of torch, numpy and scipy."""
    os: str
    machine: str
    processor: str
    device: str
    """"cpu" or the name of the GPU."""
    threads: int
    git_commit: str | None = None
    """Commit of the working directory, with "+dirty" where it has changes."""
    started: str
    """UTC, ISO 8601."""
    finished: str | None = None
