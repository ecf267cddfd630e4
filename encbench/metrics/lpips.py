"""Learned perceptual image patch similarity, measured where a task is asked for it."""

from __future__ import annotations

import math
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch

from encbench.contracts.metric import Metric
from encbench.errors import DataError, PluginError

SMALLEST = 31
"""Pixels of a side that AlexNet needs at least."""
MEASURED_WITH = {"network": "alex", "version": "0.1"}


def weights_file() -> tuple[str, Path]:
    """The address of AlexNet's weights, as torchvision has it, and where torch keeps them.

    Raises:
        DataError: lpips or torchvision is not installed.
    """
    try:
        import_module("lpips")
        url = import_module("torchvision.models").AlexNet_Weights.IMAGENET1K_V1.url
    # torchvision made for another torch raises a RuntimeError
    except (ImportError, RuntimeError) as error:
        raise DataError(
            "LPIPS needs the package lpips, and torchvision for the torch that is here "
            f"({error}); python -m pip install 'encbench[lpips]'"
        ) from None
    return url, Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def check_installed() -> None:
    """Nothing where LPIPS can be measured here without a download.

    Raises:
        DataError: a package, or the weights, are missing; says how to get them.
    """
    _, path = weights_file()
    if not path.is_file():
        raise DataError(
            f"LPIPS needs AlexNet's weights, which are not at {path}; `encbench data fetch lpips` "
            "downloads them (244 MB)"
        )


def fetch_weights() -> Path:
    """The path of AlexNet's weights, downloaded by torch unless they are there already.

    Raises:
        DataError: a package is missing, or the download failed.
    """
    url, path = weights_file()
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # a part of the SHA-256 is in the name
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2])
        except (OSError, RuntimeError) as error:
            raise DataError(f"{url}: the download failed: {error}; try it again") from None
    return path


@cache
def _network() -> Any:
    check_installed()
    with warnings.catch_warnings():
        # torchvision's, of how lpips asks it for AlexNet
        warnings.simplefilter("ignore", UserWarning)
        return import_module("lpips").LPIPS(net=MEASURED_WITH["network"], verbose=False)


class Lpips(Metric):
    """Learned perceptual image patch similarity of images in [0, 1], 0 for equal images.

    Distance of AlexNet's features, with weights fitted to human judgements (Zhang, Isola,
    Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric", CVPR 2018), as the package lpips 0.1 measures it, in float32. Grey images are
    repeated three times. Measured only with ``image:lpips=true``; needs
    ``encbench[lpips]``, and weights that ``encbench data fetch lpips`` downloads. Not defined for
    images with alpha, or of less than 31 pixels a side.
    """

    kind = "perceptual"
    range = (0.0, math.inf)
    direction = "lower"
    title = "LPIPS"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        got, expected = (np.asarray(image, np.float32) for image in (prediction, truth))
        if got.shape != expected.shape or got.ndim != 3:
            raise PluginError(
                "LPIPS needs two (H, W, C) images of equal shape, got shapes "
                f"{got.shape} and {expected.shape}"
            )
        if got.shape[2] not in (1, 3) or min(got.shape[:2]) < SMALLEST:
            return None, {
                "reason": f"{got.shape[1]} × {got.shape[0]} pixels of {got.shape[2]} values; LPIPS "
                f"is of grey or RGB images of at least {SMALLEST} × {SMALLEST}"
            }
        if not (np.isfinite(got).all() and np.isfinite(expected).all()):
            return None, {"reason": "the prediction or the truth has values that are not finite"}
        x, y = (
            torch.from_numpy(image).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)
            for image in (got, expected)
        )
        with torch.no_grad():
            value = _network()(x, y, normalize=True)
        return float(value), dict(MEASURED_WITH)
