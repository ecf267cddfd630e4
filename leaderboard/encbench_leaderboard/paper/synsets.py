"""Images of a folder like ImageNet's: one per synset, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from encbench.errors import DataError, UsageError
from encbench.plugins.registry import Registry

SEED = 0
"""Seed of the drawing, so that the same folder gives the same images."""


def synset_images(
    folder: Path, most: int, side: int | None, registry: Registry
) -> tuple[list[dict[str, Any]], list[str]]:
    """Draw one image from each of at most ``most`` synsets, as parameters of the task ``image``.

    Args:
        folder: FOLDER/SYNSET/IMAGE; without folders in it, each image counts as a synset.
        most: maximum number of synsets, drawn at random.
        side: longer sides are shrunk to this number of pixels; smaller images stay as they are.
        registry: where the task is found.

    Returns:
        The parameters; and notes on unreadable images, empty folders, and too few synsets.

    Raises:
        UsageError: it is not a folder, or holds no image that can be read.
    """
    task = registry.find("task", "image").load()
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
        inside = [path for path in inside if not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(
            f"--images {folder}: {error.strerror}; give a folder of folders of images, as "
            "ImageNet's train/ is"
        ) from None
    notes: list[str] = []

    def listed(place: Path) -> list[str]:
        try:
            return [str(found["image"]) for found in task.targets(image=str(place))]
        except DataError:
            return []

    if inside:
        synsets = [listed(path) for path in inside]
        for path, images in zip(inside, synsets, strict=True):
            if not images:
                notes.append(f"{path} holds no image and is left out")
    else:
        synsets = [[image] for image in listed(folder)]
    draw = random.Random(SEED)
    synsets = [images for images in synsets if images]
    found: list[dict[str, Any]] = []
    for images in draw.sample(synsets, len(synsets)):
        if len(found) == most:
            break
        for image in draw.sample(images, len(images)):
            parameters = _readable(task, image, side, notes)
            if parameters is not None:
                found.append(parameters)
                break
    if not found:
        why = f"; {notes[0]}" if notes else ""
        raise UsageError(
            f"--images {folder} holds no image that can be read{why}. Give a folder of folders of "
            "images, as ImageNet's train/ is"
        )
    if len(found) < most:
        notes.append(f"{folder}: {len(found)} synsets with an image; {most} are wanted")
    return sorted(found, key=lambda parameters: str(parameters["image"])), notes


def _readable(
    task: Callable[..., Any], image: str, side: int | None, notes: list[str]
) -> dict[str, Any] | None:
    """Return parameters with which the image can be read, shrunk if it is larger; None for a broken
    one, with a note."""
    parameters: dict[str, Any] = {"image": image, "channels": "rgb"}
    shrunk = [] if side is None else [parameters | {"side": side}]
    error: DataError | None = None
    for wanted in (*shrunk, parameters):
        try:
            task(**wanted)
            return wanted
        except DataError as found:
            error = found
    notes.append(f"left out: {error}")
    return None
