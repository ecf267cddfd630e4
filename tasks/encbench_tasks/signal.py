"""Targets of known spectrum in one, two and three dimensions."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from encbench import Outcome
from encbench.contracts.task import Predict
from encbench_tasks._grid_task import GREY, GridTask, as_picture, cell_centres, clamped, scaled
from encbench_tasks._pictures import error_picture
from encbench_tasks._pixels import Pixels
from encbench_tasks._signals import KIND_USES, Kind, complete, function_values
from encbench_tasks._split import Split

FORMULAS = 1
"""Part of the data hash: to be raised where a formula is changed."""


class SignalTask(GridTask):
    """Regress a function of known spectrum on [0, 1]^d, d = 1, 2 or 3, with values in [0, 1].

    - noise: band-limited noise of period 1; every frequency of 0 < |k| ≤ bandwidth has the same
      energy and a random phase, no other has any.
    - sines: sines of equal amplitude, frequencies evenly spaced up to the bandwidth.
    - chirp: the local frequency along each axis grows from 0 at x = 0 to the bandwidth at x = 1.
    - star: a Siemens star of sinusoidal spokes, plane; the frequency grows towards its centre.
    - sierpinski: the Sierpinski triangle, plane.
    - spheres: the inside of random balls; a jump, whose amplitudes fall as |k|^(−(d+1)/2).

    The points are the centres of side^d equal cells. All of them are trained on unless ``split``
    holds some out; entries are then ranked by PSNR at those.

    Args:
        kind: see above.
        dim: d. Default 1; 2 for star and sierpinski, 3 for spheres.
        side: cells along each axis. Default 512, 64 or 32 in one, two or three dimensions.
        bandwidth: highest frequency of noise, sines and chirp [cycles per unit]; default 8.
        count: of sines (8 unless given), of the star's spokes (16), of the triangle's
            subdivisions (5), of balls (8).
        seed: draws phases, directions and balls; default 0. It is not the cell's seed.
        split: which points are trained on: "all"; "checker", every second one; "random", a
            fraction; "grid", those of every ``stride``-th row.
        fraction: part of the points that is trained on, with split "random"; default 0.5.
        stride: with split "grid"; default 2.
        split_seed: draws the points of split "random", and the noise; default 0.
        noise: standard deviation of Gaussian noise on the values trained on, not clipped.

    Raises:
        DataError: the split leaves no point to train on or to hold out.
        ParameterError: a parameter is out of its range, or has no effect.
    """

    source: ClassVar[str] = (
        "sines: Rahaman et al., On the Spectral Bias of Neural Networks, ICML 2019; star: "
        "ISO 12233's sinusoidal Siemens star"
    )
    progress_points: ClassVar[int] = 1 << 12

    def __init__(
        self,
        *,
        kind: Annotated[Kind, Field(description="which function")] = "noise",
        dim: Annotated[
            Annotated[int, Field(ge=1, le=3)] | None,
            Field(description="coordinates; default 1; 2 for star, sierpinski; 3 for spheres"),
        ] = None,
        side: Annotated[
            Annotated[int, Field(ge=2)] | None,
            Field(description="points along each axis; default 512, 64 or 32 in 1D, 2D or 3D"),
        ] = None,
        bandwidth: Annotated[
            Annotated[int, Field(ge=1)] | None,
            Field(description="cycles per unit of noise, sines, chirp; default 8"),
        ] = None,
        count: Annotated[
            Annotated[int, Field(ge=1)] | None,
            Field(description="sines, spokes, subdivisions or balls"),
        ] = None,
        seed: Annotated[
            Annotated[int, Field(ge=0)] | None,
            Field(description="seed of phases and places; default 0"),
        ] = None,
        split: Annotated[Split, Field(description="which points are trained on")] = "all",
        fraction: Annotated[
            Annotated[float, Field(gt=0, lt=1)] | None,
            Field(description="part of the points trained on, with split=random; default 0.5"),
        ] = None,
        stride: Annotated[
            Annotated[int, Field(ge=2)] | None,
            Field(description="step in rows, with split=grid; default 2"),
        ] = None,
        split_seed: Annotated[
            Annotated[int, Field(ge=0)] | None,
            Field(description="seed of the points of split=random and of noise; default 0"),
        ] = None,
        noise: Annotated[
            float, Field(ge=0, le=1e6, description="σ of Gaussian noise on the values trained on")
        ] = 0.0,
    ) -> None:
        function = {"kind": kind, "dim": dim, "side": side, "bandwidth": bandwidth, "count": count}
        held_out = {"split": split, "fraction": fraction, "stride": stride, "noise": noise}
        parts = complete({**function, **held_out, "seed": seed, "split_seed": split_seed})
        shape = (parts["side"],) * parts["dim"]
        self.kind = kind
        self.periodic = kind in ("noise", "sines")
        values = function_values(cell_centres(shape).numpy(), parts)
        self.keep(values.reshape(*shape, 1).astype(np.float32), parts)

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """These parameters, what was not given filled in.

        Raises:
            ParameterError: a parameter is out of its range, or has no effect.
        """
        return [complete(parameters)]

    @classmethod
    def planned_dimension(cls, **parameters: Any) -> int:
        return int(complete(parameters)["dim"])

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        """SHA-256 of the formulas' version and of the parameters that decide the values."""
        found = complete(parameters)
        function = {k: v for k, v in found.items() if k in ("kind", "dim", "side", *KIND_USES)}
        text = json.dumps(["signal", FORMULAS, function], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def evaluate(self, predict: Predict) -> Outcome:
        """The prediction, clamped to [0, 1], beside the truth: a curve of one dimension, a picture
        of two, the three middle slices of three.

        With a split PSNR is over the points trained on, PSNR held out over the others, relative
        L2 over all.
        """
        prediction = clamped(predict(self.centres)).reshape(self.truth.shape)
        made = self.compared(prediction)
        baselines = {name: self.compared(values) for name, values in self.without_network.items()}
        if self.in_dim == 1:
            line = self.centres[:, 0].numpy(), prediction, self.truth
            titles = {"signal": ("x", "value")}
            return Outcome(made, lines={"signal": line}, line_titles=titles, baselines=baselines)
        error = np.abs(prediction - self.truth)[..., 0]
        pictures = {
            "target": as_picture(_slices(self.truth)),
            "prediction": as_picture(_slices(prediction)),
            "error": error_picture(_slices(error)),
        }
        if self.given is not self.truth or not self.trained.all():
            shown = as_picture(_slices(np.clip(self.given, 0, 1)))
            shown[~_slices(self.trained)] = GREY
            pictures["training"] = shown
        return Outcome(made, pictures, baselines=baselines)

    def compared(self, values: Pixels) -> dict[str, tuple[Any, Any]]:
        return super().compared(values) | {"signal": (values, self.truth)}

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """As the picture of ``evaluate``, of ``scale`` times as many pixels along each side.

        Raises:
            ParameterError: more than 2^28 pixels, or fewer than one.
        """
        if self.in_dim == 2:
            return super().render(predict, scale)
        side, _ = scaled(self.truth.shape[:2], scale)
        planes = []
        for axis in range(3):
            shape = [1 if one == axis else side for one in range(3)]
            planes.append(clamped(predict(cell_centres(shape))).reshape(side, side, 1))
        return as_picture(np.concatenate(planes, axis=1))


def _slices(values: NDArray[Any]) -> NDArray[Any]:
    """(side, side, …) as it is; of (side, side, side, …) the middle ones across each axis, side by
    side: horizontal, frontal and lateral."""
    if values.shape[:3] != (len(values),) * 3:
        return values
    middle = len(values) // 2
    return np.concatenate([values.take(middle, axis) for axis in range(3)], axis=1)
