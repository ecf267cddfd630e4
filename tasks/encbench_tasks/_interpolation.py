"""What interpolation makes of the pixels that a network is not trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encbench_tasks._pixels import Pixels
from encbench_tasks._split import Mask


def interpolated(given: Pixels, trained: Mask) -> dict[str, Pixels]:
    """Images that interpolation makes of the pixels trained on, by its name; these keep theirs.

    "mean of the neighbours" is over the given pixels of the smallest square window around a pixel
    that holds any: of a checkerboard over the adjacent four. On a grid there is "bilinear
    interpolation" instead, the border's value beyond it. "cubic interpolation" is Clough and
    Tocher's on Delaunay triangles of the given pixels, the other method outside their hull.

    Args:
        given: (H, W, C), of which only the pixels trained on are used.
        trained: (H, W).
    """
    # half a second, which cells that hold no pixels out do without
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
