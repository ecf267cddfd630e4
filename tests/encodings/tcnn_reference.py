"""tiny-cuda-nn's grid in plain Python numbers, one point, level and corner at a time."""

import math
import struct

PRIMES = (1, 2654435761, 805459861, 3674653429)


def float32(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


def levels(
    kind: str,
    in_dim: int,
    count: int,
    base: int,
    growth: float,
    log2_hashmap_size: int = 19,
) -> list[tuple[float, int, int]]:
    """(scale, resolution, entries) of each level."""
    log2_growth = float32(math.log2(float32(growth)))
    result = []
    for level in range(count):
        factor = float32(math.pow(2.0, float32(level * log2_growth)))
        scale = float32(float32(factor * base) - 1.0)
        resolution = math.ceil(scale) + 1
        entries = resolution**in_dim
        while entries % 8:
            entries += 1
        if kind == "tiled":
            entries = min(entries, base**in_dim)
        elif kind == "hash":
            entries = min(entries, 1 << log2_hashmap_size)
        result.append((scale, resolution, entries))
    return result


def index(kind: str, vertex: list[int], resolution: int, entries: int) -> int:
    """Entry of a vertex within its level, every operation in unsigned 32 bits."""
    if kind == "hash" and resolution ** len(vertex) > entries:
        key = 0
        for coordinate, prime in zip(vertex, PRIMES, strict=False):
            key ^= (coordinate * prime) % 2**32
        return key % entries
    key, stride = 0, 1
    for coordinate in vertex:
        key = (key + coordinate * stride) % 2**32
        stride *= resolution
    return key % entries


def encode(
    kind: str,
    point: list[float],
    grid_levels: list[tuple[float, int, int]],
    table: list[list[float]],
    interpolation: str,
) -> list[float]:
    """Features of one point in float64, by level, then feature."""
    features: list[float] = []
    start = 0
    for scale, resolution, entries in grid_levels:
        cell, fraction = [], []
        for coordinate in point:
            position = coordinate * scale + 0.5
            cell.append(math.floor(position))
            rest = position - math.floor(position)
            if interpolation == "smoothstep":
                rest = rest * rest * (3 - 2 * rest)
            fraction.append(rest)
        result = [0.0] * len(table[0])
        for corner in range(1 if interpolation == "nearest" else 2 ** len(point)):
            weight, vertex = 1.0, []
            for axis in range(len(point)):
                upper = corner >> axis & 1
                vertex.append(cell[axis] + upper)
                if interpolation != "nearest":
                    weight *= fraction[axis] if upper else 1 - fraction[axis]
            row = table[start + index(kind, vertex, resolution, entries)]
            for column, value in enumerate(row):
                result[column] += weight * value
        features += result
        start += entries
    assert start == len(table)
    return features
