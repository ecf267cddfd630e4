"""Spectra and training curves, thinned to what a screen can show and packed for the page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.spectra_mean import floor_of, resolved
from encbench_leaderboard.render.html.strings import Interned
from encbench_leaderboard.report.figures.curves import thinned

__all__ = ["POINTS", "curves", "indices", "packed", "spectra", "turns"]

POINTS = 200
"""Most eigenvalues of a spectrum, and most points of a curve, in the page."""


def packed(values: np.ndarray) -> str:
    """Numbers (n,) as base64 of little-endian float64: short, and the same to the last bit."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode("ascii")


def indices(size: int) -> np.ndarray:
    """At most ``POINTS`` of the indices 1 … size, dense at both ends, where spectra bend."""
    if size <= POINTS:
        return np.arange(1, size + 1)
    head = np.geomspace(1, size, POINTS // 2).round().astype(np.int64)
    return np.union1d(head, size + 1 - head)


def spectra(stored: StoredRecord, index_sets: Interned) -> dict[str, dict[str, Any]]:
    """Moment to the packed spectrum of K, and "mlp_" + moment to that of the MLP's part.

    ``size`` eigenvalues, of which the ``resolved`` first lie above ``floor``; ``values`` are
    those at the indices of set number ``index``.
    """
    found = {}
    for summary in stored.record.spectra:
        for part in ("", "mlp_"):
            values = stored.arrays.get(f"spectrum_{part}{summary.when}")
            if values is None or not len(values):
                continue
            floor = floor_of(summary, values, part)
            above = resolved(values, floor)
            at = indices(len(above))
            found[f"{part}{summary.when}"] = {
                "size": len(values),
                "resolved": len(above),
                "floor": floor,
                "index": index_sets.number(packed(at)),
                "values": packed(above[at - 1]),
            }
    return found


def curves(stored: StoredRecord) -> dict[str, dict[str, str]]:
    """ "loss" and "curve" (the followed metric), each with packed steps and values.

    Means of neighbours where there are more than ``POINTS``; what is not finite is left out, and
    of the loss what a logarithmic axis cannot hold.
    """
    found = {}
    for name in ("loss", "curve"):
        step, value = (stored.arrays.get(key) for key in (f"{name}_step", name))
        if step is None or value is None or len(step) != len(value):
            continue
        drawable = np.isfinite(value) & ((value > 0) if name == "loss" else True)
        if drawable.any():
            step, value = thinned(step[drawable], value[drawable], POINTS)
            found[name] = {"step": packed(step), "value": packed(value)}
    return found


def turns(ranked: Mapping[int, Sequence[str]]) -> Iterator[tuple[int, str]]:
    """(task, entry) with the best of every task first, then every task's second best, …"""
    for place in range(max((len(entries) for entries in ranked.values()), default=0)):
        for task, entries in ranked.items():
            if place < len(entries):
                yield task, entries[place]
