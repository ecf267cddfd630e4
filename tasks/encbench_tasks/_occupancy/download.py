"""A download that goes on where it was cut off."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from encbench import DataError

__all__ = ["ResumableDownload"]

logger = logging.getLogger("encbench")
CHUNK = 1 << 16
TIMEOUT = (15, 60)
"""Seconds to connect, and between two pieces."""


class ResumableDownload:
    """A downloader for pooch: keeps what has arrived in a file, and asks for the rest.

    Proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY``), as ``requests`` reads it.
    """

    def __init__(self, part: Path) -> None:
        self.part = part

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download ``url`` to ``output_file``.

        Raises:
            DataError: the server cannot be reached, refuses, or breaks off; says so, and what
                has arrived is kept for the next try.
        """
        try:
            self._fetch(url)
        # requests hands on some of urllib3's errors as they are
        except (requests.RequestException, HTTPError, OSError) as error:
            have = self.part.stat().st_size if self.part.exists() else 0
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"downloading {url} failed after {have} bytes: {reason}; the same command goes "
                "on from there"
            ) from None
        shutil.move(self.part, output_file)

    def _fetch(self, url: str) -> None:
        have = self.part.stat().st_size if self.part.exists() else 0
        # identity: a packed file shall arrive packed, and be as long as announced
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                # complete already, or of another file: its checksum will tell
                if answer.headers.get("Content-Range") != f"bytes */{have}":
                    self.part.unlink()
                    self._fetch(url)
                return
            answer.raise_for_status()
            start = f"bytes {have}-"
            goes_on = answer.status_code == requests.codes.partial_content and answer.headers.get(
                "Content-Range", ""
            ).startswith(start)
            if not goes_on:
                have = 0
            elif have:
                logger.info("going on after %d bytes", have)
            length = answer.headers.get("Content-Length")
            total = int(length) + have if length else None
            with _bar() as bar, self.part.open("ab" if goes_on else "wb") as file:
                task = bar.add_task(url.rsplit("/", 1)[-1], total=total, completed=have)
                for piece in answer.raw.stream(CHUNK, decode_content=False):
                    file.write(piece)
                    bar.advance(task, len(piece))
        got = self.part.stat().st_size
        if total is not None and got != total:
            raise OSError(f"the connection ended after {got} of {total} bytes")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
    )
