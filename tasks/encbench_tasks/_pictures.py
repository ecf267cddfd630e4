"""Pictures of errors, alike in all tasks."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

ERROR_RANGE = 0.1
"""Error that the brightest colour stands for."""


def error_picture(error: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Errors (H, W) >= 0 through the colour map magma: black 0, brightest 0.1, more, and NaN."""
    scaled = np.nan_to_num(error / ERROR_RANGE, nan=1.0)
    return np.ascontiguousarray(colormaps["magma"](scaled, bytes=True)[..., :3])
