"""What an encoding costs: features of a batch, and features with the gradients of its parameters.

Every registered encoding, with its default parameters, in 2D (or the fewest dimensions it takes).
Run with ``pytest tests/benchmarks/test_encodings_benchmark.py --benchmark-enable``, on a quiet
machine, OMP_NUM_THREADS=1. The number of parameters stands in ``extra_info``: time alone would
flatter small tables. Without ``--benchmark-enable`` every case runs once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from encbench import Encoding
from encbench.plugins.registry import Offer, default_registry

OFFERS = default_registry().offers("encoding")
BATCHES = [32, 4096]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def case(offer: Offer, batch: int, benchmark: BenchmarkFixture) -> tuple[Encoding, Tensor]:
    """The encoding in float32, and points in [0, 1); what was measured goes into extra_info."""
    torch.manual_seed(0)
    kind: type[Encoding] = offer.load()
    in_dim = max(2, kind.min_dim)
    encoding = kind(in_dim)
    benchmark.group = f"in_dim={in_dim} batch={batch}"
    benchmark.extra_info.update(
        encoding=offer.name,
        distribution=offer.distribution,
        in_dim=in_dim,
        out_dim=encoding.out_dim,
        batch=batch,
        parameters=sum(parameter.numel() for parameter in encoding.parameters()),
        torch=torch.__version__,
    )
    return encoding, torch.rand(batch, in_dim)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.name)
def test_forward(benchmark: BenchmarkFixture, offer: Offer, batch: int) -> None:
    encoding, x = case(offer, batch, benchmark)
    with torch.no_grad():
        features = benchmark(encoding, x)
    assert features.shape == (batch, encoding.out_dim)
    assert bool(features.isfinite().all())


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.name)
def test_forward_and_backward(benchmark: BenchmarkFixture, offer: Offer, batch: int) -> None:
    encoding, x = case(offer, batch, benchmark)
    trained = [parameter for parameter in encoding.parameters() if parameter.requires_grad]
    if not trained:
        pytest.skip(f"{offer.name} has no parameters by default, and so no backward pass")
    upstream = torch.rand(batch, encoding.out_dim)

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(encoding(x), trained, upstream)

    gradients = benchmark(step)
    assert len(gradients) == len(trained)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)
