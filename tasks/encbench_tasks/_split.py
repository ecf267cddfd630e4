"""Splits into what is trained on and what is held out: their parameters, and those of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encbench import DataError, ParameterError

Split = Literal["all", "checker", "random", "grid"]
Mask = NDArray[np.bool_]
Uses = Mapping[str, tuple[tuple[str, ...], Any]]
"""Parameter to the splits that use it, and its value where none is given."""


def settled(task: str, parameters: Mapping[str, Any], uses: Uses) -> dict[str, Any]:
    """Parameters of a task with those of its split filled in, and those without an effect left out.

    What trains on all points without noise then has the parameters that it had before there were
    splits, so that its records keep their keys.

    Args:
        task: its name, for messages.
        parameters: "split" and "noise" among them; None is a value that was not given.
        uses: the parameters of splits. "noise" in a parameter's splits stands for noise > 0.

    Raises:
        ParameterError: a parameter is given that has no effect.
    """
    split, noise = parameters.get("split", "all"), parameters.get("noise", 0.0)
    found = {k: v for k, v in parameters.items() if k not in uses}
    for name, (splits, default) in uses.items():
        given = parameters.get(name)
        if split in splits or (noise and "noise" in splits):
            found[name] = default if given is None else given
        elif given is not None:
            needed = " or ".join(f"split={s}" if s != "noise" else "noise > 0" for s in splits)
            raise ParameterError(
                f"task {task!r}: {name}={given} has no effect with split={split}"
                f"{' and noise=0' if 'noise' in splits else ''}; leave it out, or give {needed}"
            )
    without = {"split": "all", "noise": 0.0}
    return {k: v for k, v in found.items() if k not in without or v != without[k]}


def trained_pixels(
    height: int, width: int, split: Split, fraction: float, seed: int, stride: int
) -> Mask:
    """(height, width): whether a pixel is trained on.

    "checker": where row + column is even. "random": round(fraction · pixels) of them, drawn
    without replacement. "grid": every ``stride``-th row and column, whose distances from opposite
    borders differ by at most a pixel.

    Raises:
        DataError: no pixel is trained on, or none is held out.
    """
    row, column = np.indices((height, width))
    if split == "all":
        return np.ones((height, width), np.bool_)
    if split == "checker":
        return np.asarray((row + column) % 2 == 0)
    if split == "grid":
        first = [(side - 1) % stride // 2 for side in (height, width)]
        return np.asarray(((row - first[0]) % stride == 0) & ((column - first[1]) % stride == 0))
    count = round(fraction * row.size)
    if not 0 < count < row.size:
        raise DataError(
            f"split=random with fraction={fraction:g} of {width} × {height} pixels leaves none to "
            f"{'hold out' if count else 'train on'}; give another fraction or a larger image"
        )
    mask = np.zeros(row.size, np.bool_)
    mask[np.random.default_rng(seed).permutation(row.size)[:count]] = True
    return mask.reshape(height, width)
