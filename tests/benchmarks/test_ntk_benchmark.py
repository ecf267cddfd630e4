"""How fast and how large the kernel is. Ratios are recorded in ``extra_info``, never asserted.

Run with ``pytest tests/benchmarks/test_ntk_benchmark.py --benchmark-enable``, on a quiet machine,
OMP_NUM_THREADS=1. Without it every case runs once, at a size of seconds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
import torch
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.identity import Identity
from encbench_encodings.mpe import MultigridParametricEncoding
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from encbench import CoordinateMLP, Encoding
from encbench.ntk import critical_learning_rate, empirical_ntk, operator, spectrum
from encbench.ntk.lanczos import smallest_eigenvalue
from encbench.runs.spectra import measure_spectrum

OUT_DIM = 3
EPS = torch.finfo(torch.float64).eps
FLOPS_PER_PAIR = 3077  # of the trace kernel's lower triangle, 2 × 512, 3 outputs, d = 2

Make = Callable[[], Encoding]
ENCODINGS: dict[str, Make] = {
    "identity": lambda: Identity(2),
    "mpe": lambda: MultigridParametricEncoding(2, resolutions=[200]),
    "hashgrid": lambda: HashGrid(2),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def case(points: int, make: Make = ENCODINGS["identity"]) -> tuple[CoordinateMLP, Tensor]:
    torch.manual_seed(0)
    return CoordinateMLP(make(), OUT_DIM), torch.rand(points, 2, dtype=torch.float64)


def torch_func_contraction(model: CoordinateMLP, x: Tensor) -> Tensor:
    """The kernel as PyTorch's tutorial computes it: per-sample Jacobians, then contracted."""
    model = CoordinateMLP.double(model)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def single(p: dict[str, Tensor], point: Tensor) -> Tensor:
        return functional_call(model, p, (point[None],))[0]

    jacobians = vmap(jacrev(single), (None, 0))(parameters, x)
    total = torch.zeros(len(x), len(x), dtype=torch.float64)
    for j in jacobians.values():
        total += torch.einsum("Naf,Maf->NM", j.detach().flatten(2), j.detach().flatten(2))
    return total / OUT_DIM


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def gemm_rate(repeats: int = 5) -> float:
    """Floating point operations a second of a float64 product, the best of some."""
    a = torch.rand(1024, 1024, dtype=torch.float64)
    return 2 * 1024**3 / min(seconds(lambda: a @ a) for _ in range(repeats))


def test_kernel_against_torch_func_jacobian_contraction(benchmark: BenchmarkFixture) -> None:
    points = 1024 if benchmark.enabled else 24
    model, x = case(points)
    if benchmark.enabled and psutil.virtual_memory().available < 14 * 2**30:
        pytest.skip("the Jacobian of 1024 points needs 14 GiB")
    kernel = benchmark(lambda: empirical_ntk(model, x, parts=()).total)
    baseline = seconds(
        lambda: torch.testing.assert_close(
            torch_func_contraction(model, x), kernel, rtol=1e-9, atol=1e-9
        )
    )
    if benchmark.enabled:
        benchmark.extra_info["torch.func seconds"] = baseline
        benchmark.extra_info["times faster"] = baseline / benchmark.stats.stats.min


@pytest.mark.parametrize("name", list(ENCODINGS))
def test_fraction_of_the_gemm_bound(benchmark: BenchmarkFixture, name: str) -> None:
    points = 4096 if benchmark.enabled else 200
    model, x = case(points, ENCODINGS[name])
    benchmark.pedantic(lambda: empirical_ntk(model, x, parts=()), rounds=3)
    if benchmark.enabled:
        bound = FLOPS_PER_PAIR * points**2 / gemm_rate()
        benchmark.extra_info["GEMM bound seconds"] = bound
        benchmark.extra_info["fraction of bound"] = bound / benchmark.stats.stats.min


def test_full_kernel(benchmark: BenchmarkFixture) -> None:
    model, x = case(1024 if benchmark.enabled else 16)
    benchmark.pedantic(lambda: empirical_ntk(model, x, outputs="full", parts=()), rounds=3)


PEAK = """
import sys, torch
from encbench import CoordinateMLP
from encbench.ntk import empirical_ntk
from encbench_encodings.identity import Identity
def high_water():  # not ru_maxrss, which a child inherits from its parent
    with open("/proc/self/status") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

torch.set_num_threads(1)
torch.manual_seed(0)
points = int(sys.argv[1])
model = CoordinateMLP(Identity(2), 3)
empirical_ntk(model, torch.rand(64, 2), parts=())
before = high_water()
empirical_ntk(model, torch.rand(points, 2), parts=())
print(high_water() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux")
def test_peak_memory_beside_the_kernel(
    benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = 8000 if benchmark.enabled else 100
    command = [sys.executable, "-c", PEAK, str(points)]

    def peak() -> int:
        if not benchmark.enabled:  # whether it runs is seen in this process, too
            monkeypatch.setattr(sys, "argv", ["-c", str(points)])
            exec(PEAK, {})
            return int(capsys.readouterr().out)
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    used = benchmark.pedantic(peak, rounds=1)
    benchmark.extra_info["bytes"] = used
    benchmark.extra_info["times the kernel"] = used / (8 * points**2)


@pytest.mark.parametrize("points", [4096, 16384, 65536])
@pytest.mark.parametrize("cached", [True, False])
def test_operator_product_is_linear_in_points(
    benchmark: BenchmarkFixture, points: int, cached: bool
) -> None:
    model, x = case(points if benchmark.enabled else points // 64)
    theta = operator(model, x, outputs="full", cached=cached)
    v = torch.ones(theta.shape[0], dtype=torch.float64).numpy()
    benchmark.pedantic(lambda: theta @ v, rounds=2, warmup_rounds=1)


def test_operator_beyond_what_is_held(benchmark: BenchmarkFixture) -> None:
    """A product at four times the points, in units of one at a quarter of them."""
    points = 262144 if benchmark.enabled else 1024
    v = torch.ones(points, dtype=torch.float64)
    theta = operator(*case(points // 4))
    quarter = min(seconds(lambda: theta.product(v[: points // 4])) for _ in range(2))
    theta = operator(*case(points))
    benchmark.pedantic(lambda: theta.product(v), rounds=2, warmup_rounds=1)
    benchmark.extra_info["points held"] = theta.held
    if benchmark.enabled:
        benchmark.extra_info["times a quarter of the points"] = benchmark.stats.stats.min / quarter


def test_spectrum_of_a_cell(benchmark: BenchmarkFixture) -> None:
    """All that a record holds of one kernel, in units of one run of the eigensolver."""
    model, x = case(4096 if benchmark.enabled else 64, ENCODINGS["mpe"])
    found = benchmark.pedantic(
        lambda: measure_spectrum(model, x, "trace", "start", 0)[0], rounds=1, warmup_rounds=0
    )
    kernel = empirical_ntk(model, x).parts["encoding"]
    eigenvalues = seconds(lambda: torch.linalg.eigvalsh(kernel))
    smallest = seconds(lambda: smallest_eigenvalue(kernel, 8 * EPS * found.maximum))
    benchmark.extra_info["method"] = found.method
    if benchmark.enabled:
        benchmark.extra_info["runs of eigvalsh"] = benchmark.stats.stats.min / eigenvalues
        benchmark.extra_info["λ_n in runs of eigvalsh"] = smallest / eigenvalues


def test_critical_learning_rate_of_300_points(benchmark: BenchmarkFixture) -> None:
    model, x = case(300, ENCODINGS["hashgrid"])
    benchmark.pedantic(
        lambda: critical_learning_rate(model, x), rounds=3 if benchmark.enabled else 1
    )


def test_eigenvalues(benchmark: BenchmarkFixture) -> None:
    model, x = case(4096 if benchmark.enabled else 64)
    kernel = empirical_ntk(model, x, parts=()).total
    benchmark.pedantic(lambda: spectrum(kernel), rounds=1)
