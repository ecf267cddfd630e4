"""The GPU kernels of grids: in Triton's interpreter, compiled, and on a GPU."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import encbench_encodings
import pytest
import torch
from encbench_encodings import _multilevel
from encbench_encodings._multilevel import MultilevelGrid
from encbench_encodings.bspline_grid import BSplineGrid
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.mpe import MultigridParametricEncoding
from encbench_encodings.sparse_multigrid import SparseMultigrid
from encbench_encodings.triplane import TriPlane
from torch.func import functional_call, grad, jacrev, jvp, vmap

from tests.encodings.kernel_checks import (
    CASES,
    KINDS,
    check_derivatives,
    check_failure,
    check_features_and_gradient,
    grid_of,
    points_of,
)

with_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton")
# torch scripts its own decompositions when forward mode is first used, and warns about itself.
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")


def on_gpu(grid, x):
    return grid(x)


@with_triton
@pytest.mark.parametrize("what", [*KINDS, "derivatives", "failure"])
def test_interpreted_kernels_agree_with_float64(what):
    done = subprocess.run(
        [sys.executable, "-m", "tests.encodings.kernel_checks", what],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@with_triton
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("dim", "width", "smoothness", "hashed", "wraps_once"),
    [(1, 1, 0, False, True), (2, 3, 1, True, True), (3, 2, 1, True, True), (4, 2, 2, True, False)],
)
def test_the_kernel_compiles_without_a_gpu(transposed, dim, width, smoothness, hashed, wraps_once):
    # the interpreter accepts Python code that the compiler rejects
    import triton
    from encbench_encodings import _kernels

    constants = {
        "D": dim,
        "F": width,
        "COLUMNS": triton.next_power_of_2(width),
        "SMOOTHNESS": smoothness,
        "HASHED": hashed,
        "WRAPS_ONCE": wraps_once,
        "TRANSPOSED": transposed,
        "BLOCK": _kernels.BLOCK,
    }
    types = ["*fp32", "*fp32", "*i64", "*fp32", "fp32", "i32", "i32"]
    names = _kernels._interpolate.arg_names
    signature = dict(zip(names, types, strict=False)) | dict.fromkeys(constants, "constexpr")
    aligned = {(place,): [["tt.divisibility", 16]] for place in range(4)}
    source = triton.compiler.ASTSource(_kernels._interpolate, signature, constants, aligned)
    target = triton.backends.compiler.GPUTarget("cuda", 90, 32)
    assembly = triton.compile(source, target=target, options={"enable_fp_fusion": False}).asm
    assert "fma.rn.f32" not in assembly["ptx"] or not transposed
    if width == 2:
        vector = "add.v2.f32" if transposed else "ld.global.v2.b32"
        assert assembly["ptx"].count(vector) >= 2**dim


def test_without_triton_torchs_operations_are_used_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "encbench_encodings._kernels", raising=False)
    monkeypatch.delattr(encbench_encodings, "_kernels", raising=False)
    _multilevel._loaded_kernels.cache_clear()
    try:
        first, again = (_multilevel._loaded_kernels() for _ in range(2))
        assert isinstance(first, str)
        assert first is again
        monkeypatch.setattr(MultilevelGrid, "_suits_kernels", lambda self, x: True)
        grid = HashGrid(2, levels=2)
        grid(torch.rand(4, 2))
        assert grid.fallback == f"grids are computed without Triton kernels: {first}"
    finally:
        _multilevel._loaded_kernels.cache_clear()
    (message,) = caplog.messages
    assert "without Triton kernels" in message
    assert "triton" in message


def test_grids_with_other_nodes_do_not_claim_the_kernels():
    assert grid_of("mpe", "linear", 2, 2).layout is not None
    with torch.device("meta"):
        large = MultigridParametricEncoding(2, resolutions=[1 << 16])
    for grid in (SparseMultigrid(2), BSplineGrid(2), TriPlane(3).planes, large):
        assert grid.layout is None


def test_on_a_cpu_triton_is_not_imported():
    code = (
        "import sys, torch\n"
        "from encbench_encodings.hashgrid import HashGrid\n"
        "grid = HashGrid(2, levels=2)\n"
        "grid(torch.rand(4, 2)).sum().backward()\n"
        "assert 'encbench_encodings._kernels' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@pytest.mark.parametrize(("kind", "interpolation", "in_dim", "width"), CASES)
def test_features_and_gradients_on_a_gpu_agree_with_float64(kind, interpolation, in_dim, width):
    grid = grid_of(kind, interpolation, in_dim, width)
    check_features_and_gradient(on_gpu, grid, points_of(grid, 400), "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_fine_levels_on_a_gpu_read_the_rows_that_torch_reads(interpolation):
    # these levels have more positions than float32 can distinguish, so every rounding is visible
    grid = grid_of(
        "hashgrid", interpolation, 3, 2, levels=8, max_resolution=1 << 16, log2_hashmap_size=19
    )
    x = points_of(grid, 4000)
    rows, weights = grid.rows_and_weights(x)
    table = grid.table.detach().double()
    wanted = (weights.double().unsqueeze(-1) * table[rows]).sum(-2).flatten(1)
    got = copy.deepcopy(grid).cuda()(x.cuda()).cpu()
    torch.testing.assert_close(got.double(), wanted, rtol=0, atol=1e-5 * wanted.abs().max().item())


@pytest.mark.gpu
@forward_mode
def test_second_derivatives_batches_and_forward_mode_on_a_gpu():
    check_derivatives(on_gpu, "cuda")


@pytest.mark.gpu
def test_kernels_that_cannot_be_built_are_replaced_after_one_warning():
    (message,) = check_failure(on_gpu, "cuda")
    assert "without Triton kernels" in message


def transformed(grid, x):
    """Results of function transforms that the kernels do not support."""
    table, seed = grid.table.detach(), torch.ones_like(x)

    def features(table, x):
        return functional_call(grid, {"table": table}, (x,))

    def total(table, x):
        return features(table, x).sin().sum()

    inputs = x.clone().requires_grad_()
    yield from torch.autograd.grad(grid(inputs).sin().sum(), (inputs, grid.table))
    yield vmap(features, (0, None))(torch.stack((table, table.cos())), x)
    yield vmap(features, (None, 0))(table, torch.stack((x, x / 2)))
    yield vmap(jacrev(lambda table, x: features(table, x[None])[0]), (None, 0))(table, x[:5])
    yield jvp(features, (table, x), (table.cos(), seed))[1]
    yield jvp(lambda table: features(table, x), (table,), (table.cos(),))[1]
    yield grad(total, 1)(table, x)
    yield grad(lambda x: grad(total)(table, x).pow(2).sum())(x)
    with torch.autograd.forward_ad.dual_level():
        out = grid(torch.autograd.forward_ad.make_dual(x, seed))
        tangent = torch.autograd.forward_ad.unpack_dual(out).tangent.detach().clone()
    yield tangent


@pytest.mark.gpu
@forward_mode
@pytest.mark.parametrize("kind", ["hashgrid", "mpe"])
def test_derivatives_in_x_and_transforms_on_a_gpu_agree_with_the_cpu(kind):
    grid = grid_of(kind, "smoothstep", 2, 2)
    x = points_of(grid, 20)[:30]  # without points at cell borders, where the x derivative jumps
    there = copy.deepcopy(grid).cuda()
    for one, other in zip(
        list(transformed(there, x.cuda())), list(transformed(grid, x)), strict=True
    ):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("change", ["double", "half", "sparse", "deterministic"])
def test_what_the_kernels_do_not_take_is_left_to_torch(change):
    grid = HashGrid(2, levels=3, log2_hashmap_size=6, sparse_gradients=change == "sparse").cuda()
    x = torch.rand(20, 2, device="cuda")
    if change == "double":
        grid, x = grid.double(), x.double()
    if change == "half":
        grid = grid.half()
    torch.use_deterministic_algorithms(change == "deterministic", warn_only=True)
    try:
        out = grid(x)
    finally:
        torch.use_deterministic_algorithms(False)
    assert type(out.grad_fn).__name__ != "_FeaturesBackward"


@pytest.mark.gpu
def test_a_cuda_graph_replays_forward_and_backward():
    grid = grid_of("hashgrid", "linear", 3, 2).cuda()
    x = torch.rand(1000, 3, device="cuda")
    upstream = torch.rand(1000, grid.out_dim, device="cuda")

    def step():
        out = grid(x)
        # detached: torch warns if the graph of another stream is kept alive
        return out.detach(), torch.autograd.grad(out, grid.table, upstream)[0]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()  # compiles
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    for seed in range(3):
        torch.manual_seed(seed)
        x.uniform_()
        upstream.uniform_()
        graph.replay()
        for one, other in zip(captured, step(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_no_points_and_points_that_are_no_numbers_on_a_gpu():
    grid = grid_of("hashgrid", "nearest", 2, 2).cuda()
    assert grid(torch.empty(0, 2, device="cuda")).shape == (0, grid.out_dim)
    x = torch.rand(5, 2, device="cuda")
    x[2, 1] = torch.nan
    out = grid(x)
    assert out[2].isnan().all()
    assert out[[0, 1, 3, 4]].isfinite().all()
