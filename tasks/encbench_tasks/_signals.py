"""Targets of known spectrum on [0, 1]^d, d coordinates, at the cell centres of a regular grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from encbench import ParameterError
from encbench.errors import did_you_mean
from encbench_tasks._split import GRID_USES, settled

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
"""Values, phases and kept errors are in memory as float64."""
KIND_USES: Mapping[str, Mapping[str, Any]] = {
    "bandwidth": dict.fromkeys(("noise", "sines", "chirp"), 8),
    "count": COUNTS,
    "seed": dict.fromkeys(("noise", "sines", "spheres"), 0),
}
"""Parameter to the kinds that use it, and its value where none is given."""


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
    # the samples stand half a cell from the origin
    shift = np.exp(1j * np.pi * sum(each) / side)
    spectrum = np.zeros((side,) * dim, np.complex128)
    spectrum[np.ix_(*[k % side] * dim)] = np.where(inside, white / np.abs(white) * shift, 0)
    return _scaled(np.fft.ifftn(spectrum).real)


def sum_of_sines(x: Array, count: int, bandwidth: int, seed: int) -> Array:
    """``count`` sines of equal amplitude and random phase at x (N, d), scaled to [0, 1]. The
    frequencies are evenly spaced up to bandwidth, in whole cycles per unit; of more dimensions the
    direction is that of a random integer vector at most one shorter (Rahaman et al. 2019)."""
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
    spokes / (2π r) at radius r; ½ where side samples an axis are too few for it."""
    across, down = (x - 0.5).T
    waves = 0.5 + 0.5 * np.cos(spokes * np.arctan2(down, across))
    return np.where(np.hypot(across, down) < spokes / (np.pi * side), 0.5, waves)


def sierpinski(x: Array, subdivisions: int) -> Array:
    """The Sierpinski triangle of so many subdivisions at x (N, 2): 1 where the binary digits of
    the two coordinates have no 1 in common, else 0."""
    across, down = (x * 2**subdivisions).astype(np.int64).T
    return np.asarray((across & down) == 0, np.float64)


def spheres(x: Array, count: int, seed: int) -> Array:
    """1 inside any of ``count`` balls, else 0, at x (N, d): centres uniform, radii between a half
    and one and a half of those that would fill three tenths of the cube."""
    rng, dim = np.random.default_rng(seed), x.shape[1]
    unit = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)
    radius = (0.3 / (count * unit)) ** (1 / dim)
    inside = np.zeros(len(x), np.bool_)
    for centre, size in zip(rng.random((count, dim)), rng.uniform(0.5, 1.5, count), strict=True):
        inside |= ((x - centre) ** 2).sum(axis=1) < (size * radius) ** 2
    return inside.astype(np.float64)


def _scaled(values: Array) -> Array:
    """Smallest value to 0, largest to 1."""
    low, high = values.min(), values.max()
    scaled: Array = (values - low) / (high - low)
    return scaled


def complete(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the task with what was not given filled in, and those of its split settled.

    Raises:
        ParameterError: a parameter is out of its range, or is given and has no effect.
    """
    found = settled("signal", parameters, GRID_USES)
    kind = found.setdefault("kind", "noise")
    if kind not in get_args(Kind):
        raise _refused(
            f"no kind={kind!r}"
            + did_you_mean(kind, get_args(Kind), f"expected one of {', '.join(get_args(Kind))}")
        )
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
            others = " or ".join(f"kind={other}" for other in defaults)
            raise _refused(
                f"{name}={given} has no effect with kind={kind}; leave it out, or give {others}"
            )
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
            f"kind={kind} needs side={fewest} or more for {reason}, got side={side}; give fewer of "
            "the one, or more of the other"
        )
    if kind == "sines" and count > bandwidth:
        raise _refused(
            f"count={count} sines need as many whole frequencies; give bandwidth={count} or more"
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
