"""Find the file of an image's name: a built-in photograph, a file, or a folder of files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from encbench import DataError
from encbench.errors import MissingDataError, did_you_mean

PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cell": "cell.png",
    "chelsea": "chelsea.png",
    "clock": "clock_motion.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "immunohistochemistry": "ihc.png",
    "moon": "moon.png",
    "motorcycle_left": "motorcycle_left.png",
    "motorcycle_right": "motorcycle_right.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "shepp_logan_phantom": "phantom.png",
}
"""Images inside scikit-image's wheel, by scikit-image's own names if it has any."""

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tga", ".tif", ".tiff", ".webp"),
)
"""Files with these endings, in any case, are the images of a folder."""


def locate_image(image: str) -> Path:
    """The file that ``image`` names. A built-in name takes precedence; ``./chelsea`` is a path.

    Raises:
        MissingDataError: there is no such image.
        DataError: it is a folder, or in a folder that cannot be read.
    """
    if image in PHOTOGRAPHS:
        return _built_in(image)
    path = expanded(image)
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    # a name that is too long, or a folder without permission
    except OSError as error:
        raise DataError(
            f"no image {image[:80]!r}: {error.strerror}; give a path that can be read"
        ) from None
    if is_file:
        return path
    if is_folder:
        raise DataError(
            f"{image!r} is a folder where one image is needed; give one of its files "
            "(ImageTask.targets lists them)"
        )
    if path.exists():
        raise DataError(f"{image!r} is neither a file nor a folder; give the path of an image")
    raise MissingDataError(_missing(image, path))


def image_targets(image: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One set of parameters per image; a folder gives its files in natural order.

    Raises:
        DataError: the folder cannot be listed, or holds no image.
    """
    folder = named_folder(image)
    names = [image] if folder is None else map(str, folder_images(folder))
    return [{"image": name, **parameters} for name in names]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; give the path of an image file"
        ) from None


def named_folder(image: str) -> Path | None:
    """The folder that ``image`` names; None if it names a built-in, a file, or nothing."""
    path = expanded(image)
    try:
        return path if image not in PHOTOGRAPHS and path.is_dir() else None
    except OSError:
        return None


def folder_images(folder: Path) -> list[Path]:
    """The images directly in a folder, in natural order (``img2`` before ``img10``).

    Images are recognized by their endings; hidden files and subfolders are left out.

    Raises:
        DataError: the folder cannot be listed, or holds no image.
    """
    try:
        names = [entry.name for entry in folder.iterdir() if not entry.is_dir()]
    except OSError as error:
        raise DataError(f"folder {str(folder)!r} cannot be listed: {error.strerror}") from None
    images = [n for n in names if Path(n).suffix.lower() in SUFFIXES and not n.startswith(".")]
    if not images:
        found = f"but {len(names)} other files" if names else "as it is empty"
        raise DataError(
            f"folder {str(folder)!r} holds no image, {found}; images end in "
            f"{' '.join(SUFFIXES)} (subfolders are not searched)"
        )
    return [folder / name for name in sorted(images, key=_natural)]


def expanded(name: str) -> Path:
    """The path that a name means; ``~`` is the user's home.

    Raises:
        DataError: the name is empty.
    """
    if not name:
        raise DataError("an empty name; give that of a built-in, or the path of a file")
    try:
        return Path(name).expanduser()
    except RuntimeError:  # "~somebody" who has no home here is a file's name
        return Path(name)


@cache
def _data_folder() -> Path:
    # found without importing scikit-image, which a listing does not need
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise DataError(
            "the built-in photographs are scikit-image's, which is not installed; "
            "pip install scikit-image"
        )
    return Path(spec.origin).parent / "data"


def _built_in(name: str) -> Path:
    path = _data_folder() / PHOTOGRAPHS[name]
    if not path.is_file():
        raise DataError(
            f"built-in photograph {name!r} is not in this scikit-image ({path} is missing); "
            "reinstall scikit-image, or give the path of an image"
        )
    return path


def _missing(image: str, path: Path) -> str:
    if "/" not in image and path.parent == Path() and not path.suffix:
        return f"no image {image!r}: neither a file nor a built-in photograph" + did_you_mean(
            image.lower(), PHOTOGRAPHS, f"built in: {', '.join(PHOTOGRAPHS)}", 2
        )
    if not path.parent.is_dir():
        return f"no image {image!r}: there is no folder {str(path.parent)!r}; correct the path"
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        beside = []
    images = [name for name in beside if Path(name).suffix.lower() in SUFFIXES]
    hint = did_you_mean(path.name, [*images, *PHOTOGRAPHS], count=2) or "; correct the path"
    return f"no image {image!r}: the file does not exist{hint}"


def _natural(name: str) -> tuple[list[tuple[int, int | str]], str]:
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part], name
