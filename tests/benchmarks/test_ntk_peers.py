"""Our kernel beside neural-tangents', which needs an environment of its own: peers/README.md."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from encbench_encodings.identity import Identity
from encbench_encodings.mpe import MultigridParametricEncoding

from encbench import CoordinateMLP, NTKLinear
from encbench.ntk import empirical_ntk

PEER = os.environ.get("ENCBENCH_NEURAL_TANGENTS")
SCRIPT = Path(__file__).parent / "peers" / "neural_tangents_kernel.py"

pytestmark = pytest.mark.skipif(
    PEER is None, reason="ENCBENCH_NEURAL_TANGENTS names no interpreter; see peers/README.md"
)


def export(model: CoordinateMLP, x: torch.Tensor, path: Path) -> None:
    """The network and the points as plain arrays."""
    layers = [m for m in model.layers if isinstance(m, NTKLinear)]
    arrays = {"x": x.numpy(), "beta": layers[0].beta, "scales": [m.scale for m in layers]}
    for index, layer in enumerate(layers):
        arrays[f"w{index}"] = layer.weight.detach().double().t().numpy()
        arrays[f"b{index}"] = layer.bias.detach().double().numpy()
    blocks = model.encoding.sparse_jacobian(x) or []
    if blocks:
        (block,) = blocks
        table = dict(model.encoding.named_parameters())[block.parameter]
        arrays |= {"rows": block.rows.numpy(), "weights": block.weights.numpy()}
        arrays["table"] = table.detach().double().reshape(block.num_rows, block.width).numpy()
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("name", "points", "repeats"),
    [("identity", 1024, 5), ("identity", 4096, 3), ("mpe 200²", 512, 1), ("mpe 200²", 1024, 1)],
)
@pytest.mark.timeout(1800)
def test_kernel_against_neural_tangents(benchmark, tmp_path, name, points, repeats):
    torch.manual_seed(0)
    make = {
        "identity": lambda: Identity(2),
        "mpe 200²": lambda: MultigridParametricEncoding(2, resolutions=[200]),
    }
    model = CoordinateMLP(make[name](), 3, 512, 2)
    x = torch.rand(points, 2, dtype=torch.float64)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    export(model, x, tmp_path / "problem.npz")
    subprocess.run(
        [PEER, SCRIPT, tmp_path / "problem.npz", tmp_path / "result.npz", str(repeats)], check=True
    )
    ours = benchmark.pedantic(
        lambda: empirical_ntk(model, x, parts=()).total, rounds=5, warmup_rounds=1
    )
    # the fixture keeps its times to itself when it is disabled
    start = time.perf_counter()
    empirical_ntk(model, x, parts=())
    seconds = benchmark.stats.stats.median if benchmark.enabled else time.perf_counter() - start
    torch.set_num_threads(before)
    theirs = np.load(tmp_path / "result.npz")
    difference = np.abs(ours.numpy() - theirs["kernel"]).max() / np.abs(theirs["kernel"]).max()
    peer = statistics.median(theirs["seconds"])
    benchmark.extra_info |= {
        "peer": "neural-tangents 0.6.5, structured derivatives",
        "peer_seconds": peer,
        "ratio": peer / seconds,
        "relative_difference": float(difference),
    }
    print(
        f"\n{name} N={points}: {seconds:.3f} s, neural-tangents {peer:.3f} s, {peer / seconds:.1f}×"
    )
    assert difference < 1e-12
