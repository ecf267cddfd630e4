"""Estimate how long an experiment will take on this machine.

``encbench.runs.estimate`` instead rehearses cells with their spectra, which is right for any
plug-in, but takes minutes per experiment at the paper's sizes.
"""

from __future__ import annotations

import math
import time
from functools import lru_cache

import torch

from encbench.plugins.registry import Registry
from encbench.runs.parts import build_task
from encbench.suite.config import CellConfig
from encbench.suite.plan import plan
from encbench.training.loop import batch_of, total_steps
from encbench_leaderboard.paper.experiments import Experiment

STEP = 6e-4
"""[s] of a step without its matrix products."""
KERNEL = 4e-13
"""[s] of a kernel per pair of points and weight of the network."""
SPECTRUM = 5e-10
"""[s] of a spectrum of N points, per N³."""
CELL = 0.6
"""[s] of the rest of a cell: building and evaluating it."""
SOLID = 11.0
"""[s] the same for a solid, with its surface and views."""
WIDEST = 34
"""Approximate number of an encoding's features."""
MEASURED = 0.05
"""[s] for which matrix products are timed."""


def foretold_seconds(one: Experiment, registry: Registry, jobs: int) -> float:
    """Estimate the seconds that all cells of an experiment take, within a factor of two.

    The estimate is from the operations per step and their rate, measured now. Each trial of a
    search counts like the default setting, though its time depends on its batch size.
    """
    finals = [_cell_seconds(cell, registry) for cell in plan(one.suite, registry)]
    if one.tuning is None:
        return one.expected * sum(finals) / min(jobs, len(finals))
    # one trial of each encoding at a time, as if each depended on those before
    default = one.tuning.trial_suite(entry.entry for entry in one.tuning.searched)
    trials = [_cell_seconds(cell, registry) for cell in plan(default, registry)]
    at_once = min(jobs, len(trials))
    return (2 * sum(finals) + one.tuning.asked.trials * sum(trials)) / at_once


def _cell_seconds(cell: CellConfig, registry: Registry) -> float:
    points, in_dim = _shape(cell.task.model_dump_json(), registry, cell)
    network, n = cell.network, cell.ntk.points
    width, depth = network.width or 1, network.depth or 1
    weights = (depth - 1) * width**2 + width * WIDEST
    batch = batch_of(cell.training, points)
    steps = total_steps(cell.training, points)
    seconds = SOLID if in_dim == 3 else CELL
    seconds += steps * (STEP + 6 * batch * weights / _rate(min(batch, 512), width))
    if isinstance(n, int) and n:
        seconds += 3 * (KERNEL * n**2 * weights + SPECTRUM * n**3)
    return seconds


_shapes: dict[str, tuple[int, int]] = {}


def _shape(task: str, registry: Registry, cell: CellConfig) -> tuple[int, int]:
    """Return points per epoch and number of coordinates of a task, which is built once."""
    if task not in _shapes:
        built = build_task(cell, registry)
        _shapes[task] = int(built.points_per_epoch), int(built.in_dim)
    return _shapes[task]


@lru_cache
def _rate(batch: int, width: int) -> float:
    """Floating-point operations per second of one thread, in matrix products of a layer's shape."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        a, b = torch.rand(batch, width), torch.rand(width, width)
        best = math.inf
        end = time.perf_counter() + MEASURED
        while time.perf_counter() < end:
            began = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)
    return 2 * batch * width**2 / best
