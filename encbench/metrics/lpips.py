"""Learned perceptual image patch similarity, computed only if a task is asked for it."""

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
from encbench.metrics.pair import check_real

SMALLEST = 31
"""Minimum side of an image for AlexNet [pixels]."""
MEASURED_WITH = {"network": "alex", "version": "0.1"}


def weights_file() -> tuple[str, Path]:
    """torchvision's URL of AlexNet's weights, and the path at which torch caches them.

    Raises:
        DataError: lpips or torchvision is not installed.
    """
    try:
        import_module("lpips")
        url = import_module("torchvision.models").AlexNet_Weights.IMAGENET1K_V1.url
    # a torchvision built for another torch version raises a RuntimeError
    except (ImportError, RuntimeError) as error:
        raise DataError(
            "LPIPS needs the package lpips, and a torchvision that matches the installed torch "
            f"({error}); python -m pip install 'encbench[lpips]'"
        ) from None
    return url, Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def check_installed() -> None:
    """Check that LPIPS can be computed without a download.

    Raises:
        DataError: a package or the weights are missing; the message says how to get them.
    """
    _, path = weights_file()
    if not path.is_file():
        raise DataError(
            f"LPIPS needs AlexNet's weights, which are not at {path}; `encbench data fetch lpips` "
            "downloads them (244 MB)"
        )


def fetch_weights() -> Path:
    """Download AlexNet's weights with torch unless they are cached, and return their path.

    Raises:
        DataError: a package is missing, or the download failed.
    """
    url, path = weights_file()
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # the file name contains the beginning of the SHA-256
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2])
        except (OSError, RuntimeError) as error:
            raise DataError(f"{url}: the download failed: {error}; try it again") from None
    return path


@cache
def _network() -> Any:
    check_installed()
    with warnings.catch_warnings():
        # torchvision warns of the deprecated arguments with which lpips requests AlexNet
        warnings.simplefilter("ignore", UserWarning)
        return import_module("lpips").LPIPS(net=MEASURED_WITH["network"], verbose=False)


class Lpips(Metric):
    """Learned perceptual image patch similarity of images in [0, 1], 0 for equal images.

    Distance between AlexNet features, with weights fitted to human judgements (Zhang, Isola,
    Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric", CVPR 2018), as computed by version 0.1 of the package lpips, in float32. Grey images
    are repeated to three channels. Computed only with ``image:lpips=true``; needs
    ``encbench[lpips]``, and weights that ``encbench data fetch lpips`` downloads. Undefined for
    images with alpha, or with a side below 31 pixels.
    """

    kind = "perceptual"
    range = (0.0, math.inf)
    direction = "lower"
    title = "LPIPS"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        check_real(self.title, prediction, truth)
        got, expected = (np.asarray(image, np.float32) for image in (prediction, truth))
        if got.shape != expected.shape or got.ndim != 3:
            raise PluginError(
                "LPIPS needs two (H, W, C) images of equal shape, got shapes "
                f"{got.shape} and {expected.shape}"
            )
        if got.shape[2] not in (1, 3) or min(got.shape[:2]) < SMALLEST:
            return None, {
                "reason": f"{got.shape[1]} × {got.shape[0]} pixels of {got.shape[2]} values; LPIPS "
                f"needs grey or RGB images of at least {SMALLEST} × {SMALLEST}"
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
