"""Everything built in passes the checks that are offered to third parties."""

from __future__ import annotations

import pytest

from encbench.plugins.registry import default_registry
from encbench.testing import (
    ActivationConformance,
    Conformance,
    EncodingConformance,
    MetricConformance,
    NetworkConformance,
    OptimizerConformance,
    TaskConformance,
)
from tests.metrics.test_occupancy_metrics import BOX, surface

NOT_KEPT = ("failed", "advice")
"""Outcomes that are refused; advice to third parties is an obligation for built-ins."""
GRID = {"levels": 2, "base_resolution": 2, "max_resolution": 3, "features_per_level": 1}
SMALL = {
    "audio": {"duration": 0.01},
    "bspline_grid": {"resolution": 4, "features": 1},
    "cafe": {"features": 2, "frequencies": 2, "chebyshev": 2},
    "composite": {
        "parts": ["hashgrid:log2_hashmap_size=3,levels=2,max_resolution=20", "ffe:levels=2@0"]
    },
    "ct": {"side": 16, "angles": 4},
    "densegrid": GRID,
    "dictionary_field": {
        "frequencies": [1.0, 2.5],
        "basis_resolutions": [2, 3],
        "coefficient_resolution": 2,
        "features_per_level": 2,
    },
    "ffe": {"levels": 3},
    "finer": {"features": 6},
    "gaplanes": {
        "features": 1,
        "line_resolution": 4,
        "plane_resolution": 3,
        "volume_resolution": 2,
    },
    "gaussian": {"features": 6},
    "gaussian_ffe": {"features": 4, "learnable": True},
    "grid": {"resolution": 3, "features": 1},
    "hashgrid": {**GRID, "log2_hashmap_size": 3},
    "hashgrid_paper": {"levels": 2, "log2_hashmap_size": 3},
    "image": {"side": 16},
    "kan_bspline": {"features": 2, "grid": 2},
    "kplanes": {"resolutions": [2, 3], "features_per_level": 2},
    "mpe": {"resolutions": [2, 3]},
    "occupancy": {"points": 256, "resolution": 8, "side": 16, "truth": "winding"},
    "pde": {"points": 64},
    "permutohedral": {"levels": 2, "log2_hashmap_size": 3},
    "rbf_grid": {"resolution": 3, "features": 1},
    "sdf": {"points": 64, "resolution": 8, "side": 16, "eikonal": 0.1},
    "signal": {"side": 20},
    "siren": {"features": 6},
    "sl2a": {"features": 3, "degree": 3},
    "sparse_multigrid": {"resolutions": [2, 3], "samples": 2},
    "tensorf_cp": {"rank": 2, "resolution": 4},
    "tensorf_vm": {"rank": 2, "resolution": 3},
    "tiledgrid": GRID,
    "triplane": {"features": 2, "resolution": 4},
    "video": {"side": 6, "frames": 4},
    "wire": {"features": 6},
}
"""Small tables prove as much as large ones; encodings not listed are checked with defaults."""


def conformance(
    kind: str, base: type[Conformance], name: str, parameters: dict
) -> type[Conformance]:
    cls = default_registry().find(kind, f"encbench:{name}").load()
    return type(f"Built{cls.__name__}", (base,), {kind: cls, "parameters": parameters})


def names(kind: str) -> list[str]:
    return [o.name for o in default_registry().offers(kind) if o.distribution == "encbench"]


@pytest.mark.parametrize("name", names("encoding"))
def test_a_builtin_encoding_keeps_the_contract(name):
    checks = conformance("encoding", EncodingConformance, name, SMALL.get(name, {}))
    failures = [f"{r.title}: {r.message}" for r in checks.run() if r.outcome in NOT_KEPT]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, {}) for name in names("task")),
        ("image", {"split": "random", "noise": 0.1}),
        ("image", {"split": "mask"}),
        ("image", {"split": "blocks", "noise": 0.1}),
        ("occupancy", {"split": "random"}),
        ("signal", {"dim": 3, "side": 6, "bandwidth": 2, "split": "checker"}),
        ("occupancy", {"split": "checker", "cells": 4}),
    ],
)
def test_a_builtin_task_keeps_the_contract(name, split):
    checks = conformance("task", TaskConformance, name, SMALL.get(name, {}) | split)
    failures = [f"{r.title}: {r.message}" for r in checks.run() if r.outcome in NOT_KEPT]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *((name, {}) for name in names("network")),
        ("none", {"readout": "linear"}),
        ("none", {"tv": 0.1}),
        ("resmlp", {"skip": 3}),
        ("bacon", {"bandwidth": 16.0, "outputs": [1, 2]}),
    ],
)
def test_a_builtin_network_keeps_the_contract(name, parameters):
    checks = conformance("network", NetworkConformance, name, parameters)
    failures = [f"{r.title}: {r.message}" for r in checks.run() if r.outcome == "failed"]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("name", names("activation"))
def test_a_builtin_activation_keeps_the_contract(name):
    checks = conformance("activation", ActivationConformance, name, {})
    failures = [f"{r.title}: {r.message}" for r in checks.run() if r.outcome == "failed"]
    assert not failures, "\n".join(failures)


class BuiltinMetric(MetricConformance):
    def samples(self):
        if self.subject.kind != "surface":
            return super().samples()
        return tuple(surface(BOX.copy().apply_scale(scale)) for scale in (1, 1.02, 2))


@pytest.mark.parametrize("name", names("metric"))
def test_a_builtin_metric_keeps_the_contract(name):
    results = list(conformance("metric", BuiltinMetric, name, {}).run())
    failures = [f"{r.title}: {r.message}" for r in results if r.outcome in NOT_KEPT]
    assert not failures, "\n".join(failures)
    # the weights of LPIPS are downloaded on request
    assert name == "lpips" or all(r.outcome == "passed" for r in results)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *((name, {"name": "RMSprop"} if name == "torch" else {}) for name in names("optimizer")),
        ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("adamw", {"weight_decay": 0.0}),
    ],
)
def test_a_builtin_optimizer_keeps_the_contract(name, parameters):
    checks = conformance("optimizer", OptimizerConformance, name, parameters)
    failures = [f"{r.title}: {r.message}" for r in checks.run() if r.outcome in NOT_KEPT]
    assert not failures, "\n".join(failures)
