"""Methods without a network for shrunk, noisy and damaged images and for held-out pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from encbench_tasks._pixels import Pixels
from encbench_tasks._split import Mask

CALIBRATED = 128
"""Maximum side of the part on which a denoiser's parameter is chosen [px]."""
MOST_MISSING = 1 << 16
"""Maximum number of missing pixels for biharmonic inpainting."""


def enlarged(small: Pixels, stride: int) -> dict[str, Pixels]:
    """Enlarge an image (h, w, C) ``stride`` times by bilinear and by bicubic interpolation.

    The bicubic one is Keys' cubic convolution with a = −¾, with the border's value beyond it, as in
    torch and OpenCV.
    """
    batch = torch.from_numpy(small.astype(np.float64)).permute(2, 0, 1)[None]
    found = {}
    for mode in ("bilinear", "bicubic"):
        large = functional.interpolate(batch, scale_factor=stride, mode=mode, align_corners=False)
        found[f"{mode} interpolation"] = _unit(large[0].permute(1, 2, 0).numpy())
    return found


def denoised(noisy: Pixels) -> dict[str, Pixels]:
    """Denoise an image (H, W, C) by a Gaussian filter, and by total variation (Chambolle 2004).

    Neither is given the strength of the noise: its parameter is the one that best predicts pixels
    from their neighbours (Batson and Royer, "Noise2Self", 2019) in the middle of the image.
    """
    # a second, not needed for cells without noise
    from skimage.filters import gaussian
    from skimage.restoration import calibrate_denoiser, denoise_tv_chambolle

    # function, and the parameter that is chosen among values
    denoisers: dict[str, tuple[Callable[..., Any], str, list[float]]] = {
        "Gaussian filter": (gaussian, "sigma", list(np.geomspace(0.3, 5, 12))),
        "total variation": (denoise_tv_chambolle, "weight", list(np.geomspace(0.01, 1, 12))),
    }
    values = noisy.astype(np.float64)
    middle = tuple(
        slice(max(0, (n - CALIBRATED) // 2), (n + CALIBRATED) // 2) for n in noisy.shape[:2]
    )
    found = {}
    for title, (method, name, choices) in denoisers.items():
        denoise = partial(method, channel_axis=-1)
        _, (tried, losses) = calibrate_denoiser(  # type: ignore[no-untyped-call] # skimage leaves it untyped
            values[middle], denoise, {name: choices}, extra_output=True
        )
        found[title] = _unit(denoise(values, **tried[int(np.argmin(losses))]))
    return found


def inpainted(given: Pixels, trained: Mask) -> dict[str, Pixels]:
    """Biharmonic inpainting (Damelin and Hoang 2018) of the pixels (H, W, C) not trained on; none
    if there are more than ``MOST_MISSING``."""
    if (~trained).sum() > MOST_MISSING:
        return {}
    from skimage.restoration import inpaint_biharmonic  # a second

    known = np.where(trained[..., None], given, 0).astype(np.float64)
    made = inpaint_biharmonic(known, ~trained, channel_axis=-1)
    made[trained] = given[trained]
    return {"biharmonic inpainting": _unit(made)}


def _unit(values: np.ndarray) -> Pixels:
    clipped: Pixels = np.clip(values, 0, 1).astype(np.float32)
    return clipped


def interpolated(given: Pixels, trained: Mask) -> dict[str, Pixels]:
    """Interpolate between the pixels trained on, which keep their values; by name of the method.

    "mean of the neighbours" is over the given pixels in the smallest square window around a pixel
    that holds any: on a checkerboard, the adjacent four. On a grid it is replaced by "bilinear
    interpolation", with the border's value beyond it. "cubic interpolation" is Clough and Tocher's
    on Delaunay triangles of the given pixels, and the other method outside their hull.

    Args:
        given: (H, W, C), of which only the pixels trained on are used.
        trained: (H, W).
    """
    # half a second, not needed for cells without held-out pixels
    from scipy.interpolate import CloughTocher2DInterpolator
    from scipy.spatial import QhullError

    rows, columns = (np.flatnonzero(trained.any(axis=axis)) for axis in (1, 0))
    if trained.sum() == len(rows) * len(columns):
        name, filled = "bilinear interpolation", _bilinear(given, rows, columns)
    else:
        name, filled = "mean of the neighbours", _window_means(given, trained)
    found = {name: filled}
    known, wanted = np.argwhere(trained), np.argwhere(~trained)
    try:
        cubic = CloughTocher2DInterpolator(known, given[trained].astype(np.float64))(wanted)
    except QhullError:  # too few pixels, or all on one line
        pass
    else:
        smooth = filled.copy()
        smooth[~trained] = np.where(np.isnan(cubic), filled[~trained], cubic)
        found["cubic interpolation"] = smooth
    for image in found.values():
        image[trained] = given[trained]
    return {name: np.clip(image, 0, 1).astype(np.float32) for name, image in found.items()}


def _bilinear(given: Pixels, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Pixels:
    down, across = (
        np.stack([np.interp(np.arange(side), nodes, one) for one in np.eye(len(nodes))], axis=1)
        for side, nodes in zip(given.shape, (rows, columns), strict=False)
    )
    nodes = given[np.ix_(rows, columns)].astype(np.float64)
    return np.einsum("ir,rcv,jc->ijv", down, nodes, across)  # type: ignore[no-any-return]


def _window_means(given: Pixels, trained: Mask) -> Pixels:
    from scipy.ndimage import distance_transform_cdt

    # sums over windows of any size from sums over all pixels above and to the left
    values = np.concatenate([given, np.ones_like(given[..., :1])], axis=2, dtype=np.float64)
    sums = np.pad(values * trained[..., None], ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    radius = distance_transform_cdt(~trained, "chessboard")
    place = np.indices(trained.shape)
    low = np.maximum(place - radius, 0)
    high = np.minimum(place + radius + 1, np.reshape(trained.shape, (2, 1, 1)))
    total = (
        sums[high[0], high[1]]
        - sums[low[0], high[1]]
        - sums[high[0], low[1]]
        + sums[low[0], low[1]]
    )
    return total[..., :-1] / total[..., -1:]  # type: ignore[no-any-return]
