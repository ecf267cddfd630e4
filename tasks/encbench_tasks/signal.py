"""Targets of known spectrum in one, two and three dimensions."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from encbench import Outcome, ParameterError
from encbench.contracts.task import Predict
from encbench.errors import check_choice
from encbench_tasks._grid_task import GridTask, as_picture, cell_centres, clamped, scaled
from encbench_tasks._pixels import Pixels
from encbench_tasks._split import (
    GRID_USES,
    Fraction,
    Noise,
    Split,
    SplitSeed,
    Stride,
    settled,
    without_effect,
)

FORMULAS = 1
"""Part of the data hash; increase it when a formula changes."""
Array = NDArray[np.float64]
Kind = Literal["noise", "sines", "chirp", "star", "sierpinski", "spheres"]
DIMS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("noise", "sines", "chirp"), (1, 2, 3)),
    **dict.fromkeys(("star", "sierpinski"), (2,)),
    "spheres": (3, 1, 2),
}
"""Dimensions of each kind, the first the default."""
SIDES = {1: 512, 2: 64, 3: 32}
COUNTS = {"sines": 8, "star": 16, "sierpinski": 5, "spheres": 8}
MOST_POINTS = 1 << 22
"""Maximum number of points: values, phases and errors are in memory as float64."""
MOST_TERMS = 1 << 30
"""Maximum number of sines or balls, times points: some ten seconds."""
KIND_USES: Mapping[str, Mapping[str, Any]] = {
    "bandwidth": dict.fromkeys(("noise", "sines", "chirp"), 8),
    "count": COUNTS,
    "seed": dict.fromkeys(("noise", "sines", "spheres"), 0),
}
"""By parameter: the kinds that use it, each with its default."""


class SignalTask(GridTask):
    """Regress a function of known spectrum on [0, 1]^d, d = 1, 2 or 3, with values in [0, 1].

    - noise: band-limited noise of period 1; every frequency 0 < |k| ≤ bandwidth has the same energy
      and a random phase, the others have none.
    - sines: sines of equal amplitude, frequencies evenly spaced up to the bandwidth.
    - chirp: the local frequency along each axis grows from 0 at x = 0 to the bandwidth at x = 1.
    - star: a Siemens star of sinusoidal spokes, d = 2; the frequency grows towards its centre.
    - sierpinski: the Sierpinski triangle, d = 2.
    - spheres: 1 inside random balls, else 0; with this jump, amplitudes fall as |k|^(−(d+1)/2).

    The points are the centres of side^d equal cells. All of them are trained on unless ``split``
    holds some out; entries are then ranked by PSNR at those.

    Args:
        kind: see above.
        dim: d. Default 1; 2 for star and sierpinski, 3 for spheres.
        side: cells along each axis. Default 512, 64 or 32 in one, two or three dimensions.
        bandwidth: highest frequency of noise, sines and chirp [cycles per unit]; default 8.
        count: number of sines (default 8, at most the bandwidth), of the star's spokes (16), of the
            triangle's subdivisions (5), or of balls (8).
        seed: draws phases, directions and balls; default 0. It is not the cell's seed.
        split: which points are trained on: "all"; "checker", every second one; "random", a
            fraction; "grid", those of every ``stride``-th row.
        fraction: part of the points that is trained on, with split "random"; default 0.5.
        stride: step, with split "grid"; default 2.
        split_seed: draws the points of split "random", and the noise; default 0.
        noise: standard deviation of Gaussian noise on the values trained on, not clipped.

    Raises:
        DataError: the split leaves no point to train on or to hold out.
        ParameterError: a parameter is out of its range, or has no effect.
    """

    sampling = ("side",)
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
            int | None,
            Field(
                ge=1,
                le=3,
                description="coordinates; default 1; 2 for star, sierpinski; 3 for spheres",
            ),
        ] = None,
        side: Annotated[
            int | None,
            Field(
                ge=2, description="points along each axis; default 512, 64 or 32 in 1D, 2D or 3D"
            ),
        ] = None,
        bandwidth: Annotated[
            int | None, Field(ge=1, description="cycles per unit of noise, sines, chirp; default 8")
        ] = None,
        count: Annotated[
            int | None, Field(ge=1, description="sines, spokes, subdivisions or balls")
        ] = None,
        seed: Annotated[
            int | None, Field(ge=0, description="seed of phases and places; default 0")
        ] = None,
        split: Annotated[Split, Field(description="which points are trained on")] = "all",
        fraction: Fraction = None,
        stride: Stride = None,
        split_seed: SplitSeed = None,
        noise: Noise = 0.0,
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
        """Return these parameters with defaults filled in."""
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
        """Compare the prediction, clamped to [0, 1], with the truth; draw a curve in one dimension,
        a picture in two, the three middle slices in three.

        With a split, PSNR is over the points trained on, PSNR held out over the others, relative
        L2 over all.
        """
        prediction = clamped(predict(self.centres)).reshape(self.truth.shape)
        if self.in_dim == 1:
            line = self.centres[:, 0].numpy(), prediction, self.truth
            titles = {"signal": ("x", "value")}
            return self.outcome(prediction, lines={"signal": line}, line_titles=titles)
        return self.outcome(prediction, self.pictures(prediction, _slices))

    def compared(self, values: Pixels) -> dict[str, tuple[Any, Any]]:
        return super().compared(values) | {"signal": (values, self.truth)}

    def render(self, predict: Predict, scale: float) -> NDArray[np.uint8]:
        """Draw the picture of ``evaluate`` with ``scale`` times as many pixels along each side."""
        if self.in_dim == 2:
            return super().render(predict, scale)
        side, _ = scaled(self.truth.shape[:2], scale)
        planes = []
        for axis in range(3):
            shape = [1 if one == axis else side for one in range(3)]
            planes.append(clamped(predict(cell_centres(shape))).reshape(side, side, 1))
        return as_picture(np.concatenate(planes, axis=1))


def _slices(values: NDArray[Any]) -> NDArray[Any]:
    """Return (side, side, …) as it is, and the three middle slices of (side, side, side, …) side by
    side: horizontal, frontal and lateral."""
    if values.shape[:3] != (len(values),) * 3:
        return values
    middle = len(values) // 2
    return np.concatenate([values.take(middle, axis) for axis in range(3)], axis=1)


def band_limited_noise(dim: int, side: int, bandwidth: int, seed: int) -> Array:
    """A trigonometric polynomial of period 1 at side^dim cell centres: each integer frequency k,
    0 < |k| ≤ bandwidth cycles per unit, has the same energy and a random phase, all others none.
    Scaled to [0, 1]. Needs side > 2 · bandwidth."""
    width = 2 * bandwidth + 1
    white = np.fft.fftn(np.random.default_rng(seed).standard_normal((width,) * dim))
    k = np.rint(np.fft.fftfreq(width, 1 / width)).astype(int)
    each = np.meshgrid(*[k] * dim, indexing="ij")
    radius = np.sqrt(sum(part**2 for part in each))
    inside = (radius > 0) & (radius <= bandwidth)
    # the first sample is half a cell from the origin
    shift = np.exp(1j * np.pi * sum(each) / side)
    spectrum = np.zeros((side,) * dim, np.complex128)
    spectrum[np.ix_(*[k % side] * dim)] = np.where(inside, white / np.abs(white) * shift, 0)
    return _scaled(np.fft.ifftn(spectrum).real)


def sum_of_sines(x: Array, count: int, bandwidth: int, seed: int) -> Array:
    """``count`` sines of equal amplitude and random phase at x (N, d), scaled to [0, 1]. The
    frequencies f are evenly spaced up to bandwidth, in whole cycles per unit; in more dimensions
    each is a random integer vector k with f − 1 < |k| ≤ f (Rahaman et al. 2019)."""
    rng = np.random.default_rng(seed)
    each = np.meshgrid(*[np.arange(-bandwidth, bandwidth + 1)] * x.shape[1], indexing="ij")
    vectors = np.stack(each, axis=-1).reshape(-1, x.shape[1])
    lengths = np.sqrt((vectors**2).sum(axis=1))
    total = np.zeros(len(x))
    for highest in np.rint(np.arange(1, count + 1) * bandwidth / count):
        k = rng.choice(vectors[(lengths <= highest) & (lengths > highest - 1)])
        total += np.sin(2 * np.pi * (x @ k + rng.random()))
    return _scaled(total)


def chirp(x: Array, bandwidth: int) -> Array:
    """½ − ½ cos(π · bandwidth · |x|²) at x (N, d): the local frequency along each axis is
    bandwidth · x, from 0 at the origin."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * bandwidth * (x**2).sum(axis=1)))


def star(x: Array, spokes: int, side: int) -> Array:
    """½ + ½ cos(spokes · angle) around the centre, at x (N, 2). The local frequency is
    spokes / (2π r) at radius r; the value is ½ where side samples per axis are too few for it."""
    across, down = (x - 0.5).T
    waves = 0.5 + 0.5 * np.cos(spokes * np.arctan2(down, across))
    return np.where(np.hypot(across, down) < spokes / (np.pi * side), 0.5, waves)


def sierpinski(x: Array, subdivisions: int) -> Array:
    """The Sierpinski triangle of so many subdivisions at x (N, 2): 1 where the binary digits of
    the two coordinates have no 1 in common, else 0."""
    across, down = (x * 2**subdivisions).astype(np.int64).T
    return np.asarray((across & down) == 0, np.float64)


def spheres(x: Array, count: int, seed: int) -> Array:
    """1 inside any of ``count`` balls, else 0, at x (N, d): centres are uniform, radii 0.5 to 1.5
    times that of separate balls that fill three tenths of the cube."""
    rng, dim = np.random.default_rng(seed), x.shape[1]
    unit = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)
    radius = (0.3 / (count * unit)) ** (1 / dim)
    inside = np.zeros(len(x), np.bool_)
    for centre, size in zip(rng.random((count, dim)), rng.uniform(0.5, 1.5, count), strict=True):
        inside |= ((x - centre) ** 2).sum(axis=1) < (size * radius) ** 2
    return inside.astype(np.float64)


def _scaled(values: Array) -> Array:
    """Scale linearly: the smallest value to 0, the largest to 1."""
    low, high = values.min(), values.max()
    scaled: Array = (values - low) / (high - low)
    return scaled


def complete(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's parameters with defaults filled in, and those of the split settled.

    Raises:
        ParameterError: a parameter is out of its range, or is given and has no effect.
    """
    found = settled("signal", parameters, GRID_USES)
    kind = found.setdefault("kind", "noise")
    check_choice("task 'signal': kind", kind, get_args(Kind))
    dim = found["dim"] = DIMS[kind][0] if found.get("dim") is None else found["dim"]
    if dim not in DIMS[kind]:
        takes = " or ".join(map(str, sorted(DIMS[kind])))
        raise _refused(
            f"kind={kind} is a function of dim={takes}, got dim={dim}; leave dim out, or give "
            "another kind"
        )
    side = found["side"] = SIDES[dim] if found.get("side") is None else found["side"]
    for name, defaults in KIND_USES.items():
        given = found.pop(name, None)
        if kind in defaults:
            found[name] = defaults[kind] if given is None else given
        elif given is not None:
            others = [f"kind={other}" for other in defaults]
            raise without_effect("signal", f"{name}={given}", f"kind={kind}", *others)
    bandwidth, count = found.get("bandwidth", 1), found.get("count", 1)
    if side < 2 or bandwidth < 1 or count < 1:
        raise _refused(
            f"side must be at least 2, bandwidth and count at least 1, got {side}, {bandwidth} "
            f"and {count}"
        )
    if side**dim > MOST_POINTS:
        raise _refused(f"side={side} makes {side**dim:,} points, at most {MOST_POINTS:,} are taken")
    fewest, reason = {
        "sierpinski": (2 ** min(count, 30), f"count={count}"),
        "star": (2 * count, f"count={count}"),
        "spheres": (2, ""),
    }.get(kind, (2 * bandwidth + 1, f"bandwidth={bandwidth}"))
    if side < fewest:
        raise _refused(
            f"kind={kind} needs side={fewest} or more for {reason}, got side={side}; give a larger "
            f"side, or a smaller {reason.partition('=')[0]}"
        )
    if kind == "sines" and count > bandwidth:
        if parameters.get("count") is None:
            count = found["count"] = bandwidth
        else:
            raise _refused(
                f"count={count} sines need as many whole frequencies; give bandwidth={count} or "
                f"more, or count={bandwidth} or less"
            )
    if kind in ("sines", "spheres") and count * side**dim > MOST_TERMS:
        raise _refused(
            f"count={count:,} {kind} at {side**dim:,} points take too long; give "
            f"count={MOST_TERMS // side**dim:,} or less, or a smaller side"
        )
    return found


def _refused(problem: str) -> ParameterError:
    return ParameterError(f"task 'signal': {problem}")


def function_values(x: Array, parts: Mapping[str, Any]) -> Array:
    """The function of ``complete`` parameters at x (N, d), all cell centres."""
    kind, side, seed = parts["kind"], parts["side"], parts.get("seed", 0)
    match kind:
        case "noise":
            return band_limited_noise(x.shape[1], side, parts["bandwidth"], seed)
        case "sines":
            return sum_of_sines(x, parts["count"], parts["bandwidth"], seed)
        case "chirp":
            return chirp(x, parts["bandwidth"])
        case "star":
            return star(x, parts["count"], side)
        case "sierpinski":
            return sierpinski(x, parts["count"])
    return spheres(x, parts["count"], seed)
