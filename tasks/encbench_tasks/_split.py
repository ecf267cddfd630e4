"""Splits into points trained on and held out: their parameters, and the splits of grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from encbench import DataError, ParameterError

Split = Literal["all", "checker", "random", "grid"]
ImageSplit = Literal["all", "checker", "random", "grid", "blocks", "mask"]
VideoSplit = Literal["all", "frames", "checker", "random"]
Mask = NDArray[np.bool_]
Fraction = Annotated[
    float | None,
    Field(gt=0, lt=1, description="part of the points trained on, with split=random; default 0.5"),
]
Stride = Annotated[int | None, Field(ge=2, description="step, with split=grid; default 2")]
SplitSeed = Annotated[
    int | None, Field(ge=0, description="seed of split=random and of noise; default 0")
]
Noise = Annotated[
    float, Field(ge=0, le=1e6, description="σ of Gaussian noise on the values trained on")
]
Uses = Mapping[str, tuple[tuple[str, ...], Any]]
"""By parameter: the splits that use it, and its default."""
GRID_USES: Uses = {
    "fraction": (("random",), 0.5),
    "stride": (("grid",), 2),
    "split_seed": (("random", "noise"), 0),
}
"""Split parameters of tasks whose points form a regular grid."""
IMAGE_USES: Uses = {
    "fraction": (("random",), 0.5),
    "stride": (("grid", "blocks"), 2),
    "mask": (("mask",), "scratches"),
    "split_seed": (("random", "mask", "noise"), 0),
}
"""Split parameters of images."""
VIDEO_USES: Uses = {**GRID_USES, "stride": (("frames",), 2)}


def settled(
    task: str,
    parameters: Mapping[str, Any],
    uses: Uses,
    splits: Sequence[str] = get_args(Split),
) -> dict[str, Any]:
    """Fill in the parameters of a task's split, and leave out parameters without an effect.

    A task that trains on all points without noise then has the same parameters as before splits
    existed, so that its records keep their keys.

    Args:
        task: its name, for messages.
        parameters: "split" and "noise" among them; None if not given.
        uses: the parameters of splits. "noise" in a parameter's splits stands for noise > 0.
        splits: the splits of the task.

    Raises:
        ParameterError: a parameter is out of its range, or is given and has no effect.
    """
    for name, value in parameters.items():
        if name.endswith("seed") and value is not None and value < 0:
            raise ParameterError(f"task {task!r}: {name} must be at least 0, got {value}")
    split, noise = parameters.get("split", "all"), parameters.get("noise", 0.0)
    stride = parameters.get("stride")
    if not noise >= 0:
        raise ParameterError(f"task {task!r}: noise must be at least 0, got {noise}")
    if split not in splits or (stride is not None and stride < 2):
        raise ParameterError(
            f"task {task!r}: split must be one of {', '.join(splits)} and stride at least 2, got "
            f"{split!r} and {stride}"
        )
    found = {k: v for k, v in parameters.items() if k not in uses}
    for name, (users, default) in uses.items():
        given = parameters.get(name)
        if split in users or (noise and "noise" in users):
            found[name] = default if given is None else given
        elif given is not None:
            needed = [f"split={s}" if s != "noise" else "noise > 0" for s in users]
            chosen = " and ".join(
                [f"split={split}"] * (users != ("noise",)) + ["noise=0"] * ("noise" in users)
            )
            raise without_effect(task, f"{name}={given}", chosen, *needed)
    without = {"split": "all", "noise": 0.0, "lpips": False}
    return {k: v for k, v in found.items() if k not in without or v != without[k]}


def without_effect(task: str, given: str, chosen: str, *needed: str) -> ParameterError:
    """The error that a parameter of a task is given and has no effect with another."""
    return ParameterError(
        f"task {task!r}: {given} has no effect with {chosen}; leave it out, or give "
        + " or ".join(needed)
    )


def trained_points(
    shape: Sequence[int], split: Split | VideoSplit, fraction: float, seed: int, stride: int
) -> Mask:
    """(n_1, …, n_d): whether a point of a regular grid, such as a pixel, is trained on.

    "checker": points whose indices have an even sum. "random": round(fraction · points) of them,
    drawn without replacement. "grid": every ``stride``-th along each axis, with distances from
    opposite borders that differ by at most one; "frames": the same along the first axis only.

    Raises:
        DataError: no point is trained on, or none is held out.
    """
    if split == "all":
        return np.ones(shape, np.bool_)
    places = np.indices(shape)
    if split == "checker":
        return np.asarray(places.sum(axis=0) % 2 == 0)
    if split in ("grid", "frames"):
        first = [(side - 1) % stride // 2 for side in shape]
        ahead = zip(places, first, strict=True)
        kept = [(index - start) % stride == 0 for index, start in ahead]
        return np.asarray(kept[0] if split == "frames" else np.logical_and.reduce(kept))
    points = places[0].size
    count = round(fraction * points)
    if not 0 < count < points:
        raise DataError(
            f"split=random with fraction={fraction:g} of {' × '.join(map(str, shape[::-1]))} "
            f"{'pixels' if len(shape) == 2 else 'points'} leaves none to "
            f"{'hold out' if count else 'train on'}; give another fraction, or more of them"
        )
    mask = np.zeros(points, np.bool_)
    mask[np.random.default_rng(seed).permutation(points)[:count]] = True
    return mask.reshape(shape)
