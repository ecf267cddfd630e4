"""Pictures of errors and of signed functions, alike in all tasks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ERROR_RANGE = 0.1
"""Error that the brightest colour stands for."""


def error_picture(error: NDArray[np.floating], largest: float = ERROR_RANGE) -> NDArray[np.uint8]:
    """Draw errors (H, W) >= 0 in the colour map magma: black is 0, the brightest colour ``largest``
    or more, or NaN."""
    from matplotlib import colormaps  # half a second, not needed for planning

    scaled = np.nan_to_num(error / largest, nan=1.0)
    return np.ascontiguousarray(colormaps["magma"](scaled, bytes=True)[..., :3])


def signed_picture(values: NDArray[np.floating], largest: float) -> NDArray[np.uint8]:
    """Draw values (H, W) in the colour map RdBu: red −largest, white 0, blue largest, black NaN."""
    from matplotlib import colormaps  # as above

    made = colormaps["RdBu"](0.5 + values / (2 * largest), bytes=True)
    return np.ascontiguousarray(made[..., :3])


def contoured(values: NDArray[np.floating], largest: float, step: float) -> NDArray[np.uint8]:
    """Draw ``signed_picture`` with isolines at multiples of ``step``, that of 0 in black."""
    picture = signed_picture(values, largest)
    for level, colour in ((np.floor(values / step), 110), (values > 0, 0)):
        line = np.zeros(values.shape, np.bool_)
        line[1:] |= level[1:] != level[:-1]
        line[:, 1:] |= level[:, 1:] != level[:, :-1]
        picture[line] = colour
    return picture
