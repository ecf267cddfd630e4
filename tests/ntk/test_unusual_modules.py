"""Modules that hide what they compute get their autograd kernel, or a helpful error."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from encbench import CoordinateMLP, NtkError
from encbench.ntk import (
    critical_learning_rate,
    cross_ntk,
    diagnose,
    empirical_ntk,
    operator,
    predict_loss,
    spectrum,
)
from encbench.ntk.kernel import brute_force_ntk
from encbench.plugins.registry import default_registry
from tests.ntk.conftest import relative_error
from tests.ntk.grids import CollidingGrid, LearnedFeatures, SilentGrid


class Complex(nn.Module):
    """Complex weights and a complex buffer, with a real output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 8, dtype=torch.complex64)
        self.middle = nn.Linear(8, 8, dtype=torch.complex64)
        self.last = nn.Linear(8, 2)
        self.register_buffer("phase", torch.randn(8, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x.to(self.first.weight.dtype))
        return self.last(self.middle(torch.sin(h * self.phase)).real)


class ComplexOutput(Complex):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x.to(self.first.weight.dtype))


class SinglePrecision(Complex):
    """Its forward has a fixed dtype."""

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x.to(torch.complex64)).real.to(x.dtype)


class Masked(nn.Module):
    """Uses a weight a second time, scaled by ``share``, at few points."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        self.first, self.shared, self.last = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.shared(torch.tanh(self.first(x))))
        rare = ((x[:, :1] > 0.30) & (x[:, :1] < 0.36)).to(x)
        return self.last(h) + self.share * rare * (h @ self.shared.weight)[:, :2]


class EverywhereTwice(Masked):
    """Uses a weight a second time, scaled by 0.3 %, at every point."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.shared(torch.tanh(self.first(x))))
        return self.last(h) + 0.003 * (h @ self.shared.weight)[:, :2]


class OneNumber(nn.Module):
    """Has parameters without a dimension, one of them unused."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.unused = (nn.Parameter(torch.tensor(value)) for value in (1.5, 2.5))
        self.last = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.sin(self.gain * x))


class NoGradInside(nn.Module):
    """One of two paths has no gradient, though forward mode would differentiate it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 2)
        self.gain = nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        with torch.no_grad():
            held = 0.3 * h
        return self.last(h + held * self.gain)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


def weight_normed_by_hook() -> nn.Module:
    model = small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch advises parametrizations
        nn.utils.weight_norm(model[0])
    model(torch.rand(3, 2))
    return model


def pruned() -> nn.Module:
    model = small()
    prune.l1_unstructured(model[0], "weight", amount=0.4)
    model(torch.rand(3, 2))
    return model


def one_gradient_at_a_time(model: nn.Module, x: Tensor) -> Tensor:
    """The full kernel from one autograd gradient per point and output."""
    model = copy.deepcopy(model)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.to(torch.complex128 if tensor.is_complex() else torch.float64)
    rows = []
    for point in x:  # each with its own graph: a backward pass involves only one point
        for output in model(point[None]).flatten():
            gradients = torch.autograd.grad(
                output, list(model.parameters()), retain_graph=True, materialize_grads=True
            )
            real = [torch.view_as_real(g) if g.is_complex() else g for g in gradients]
            rows.append(torch.cat([g.flatten() for g in real]))
    jacobian = torch.stack(rows)
    return jacobian @ jacobian.T


def require_kernel(model: nn.Module, expected: Tensor, x: Tensor) -> None:
    assert relative_error(empirical_ntk(model, x, outputs="full").total, expected) < 1e-12
    single = empirical_ntk(model, x, outputs="full", dtype=torch.float32).total
    assert relative_error(single.double(), expected) < 1e-5
    v = torch.randn(len(expected), dtype=torch.float64)
    for cached in (True, False):
        product = torch.from_numpy(operator(model, x, outputs="full", cached=cached) @ v.numpy())
        assert relative_error(product, expected @ v) < 1e-11
    largest = float(torch.linalg.eigvalsh(expected)[-1])
    assert critical_learning_rate(model, x) == pytest.approx(len(expected) / largest, rel=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        Complex,
        OneNumber,
        Masked,
        lambda: Masked(0.003),
        EverywhereTwice,
        NoGradInside,
        weight_normed_by_hook,
        pruned,
    ],
)
def test_the_kernel_is_made_of_autograds_gradients(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    model, x = make(), torch.rand(120, 2, dtype=torch.float64)
    x[:, 0] = torch.linspace(0, 1, 120)  # every 17th point, those checked first, misses the mask
    with torch.no_grad():
        model(x[:2].float())  # tensors that hooks compute are then detached, and can be copied
    expected = one_gradient_at_a_time(model, x)
    model(x[:2].float())  # after a step of training they are not detached
    require_kernel(model, expected, x)


def test_a_network_that_magnifies_rounding_a_million_times_has_a_kernel() -> None:
    torch.manual_seed(0)
    encoding = default_registry().find("encoding", "wire").load()(3)
    model = CoordinateMLP(encoding, 1, 16, 7, activation="gabor").double()
    x = torch.rand(16, 3, dtype=torch.float64)
    with torch.no_grad():
        alone = torch.cat([model(row[None]) for row in x])
        assert float((alone - model(x)).abs().max()) > 1e-12, "rows depend on their batch"
    wanted = sum(brute_force_ntk(model, x).values())
    assert relative_error(empirical_ntk(model, x).total, wanted) < 1e-8
    assert critical_learning_rate(model, x, loss="bce") > 0


# raised by modules that torch.compile imports
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize(
    "wrap", [torch.compile, nn.DataParallel, lambda model: nn.Sequential(torch.compile(model))]
)
def test_wrapped_models_have_the_kernel_of_what_they_wrap(wrap: Any) -> None:
    torch.manual_seed(1)
    model, x = small(), torch.rand(12, 2, dtype=torch.float64)
    require_kernel(wrap(model), one_gradient_at_a_time(model, x), x)
    network = CoordinateMLP(CollidingGrid(), 3, width=8)
    if not isinstance(wrap(network), nn.Sequential):
        parts = empirical_ntk(wrap(network), x).parts
        assert torch.equal(parts["encoding"], empirical_ntk(network, x).parts["encoding"])


def test_complex_outputs_are_refused() -> None:
    with pytest.raises(NtkError, match=r"complex128.*return its real part"):
        empirical_ntk(ComplexOutput(), torch.rand(5, 2))


def test_a_dtype_written_into_forward_is_refused_where_it_does_not_fit() -> None:
    with pytest.raises(NtkError, match=r"fails in torch.float64: .*dtype=torch.float32"):
        empirical_ntk(SinglePrecision(), torch.rand(5, 2))
    assert empirical_ntk(SinglePrecision(), torch.rand(5, 2), dtype=torch.float32).points == 5


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("make", [CollidingGrid, SilentGrid, LearnedFeatures])
def test_callers_may_have_switched_gradients_off(make: Any, context: Any) -> None:
    torch.manual_seed(1)
    # a product with the kernel takes many small steps, and every eigenvalue needs one
    model, outside = CoordinateMLP(make(), 2, width=8), torch.rand(3, 2, dtype=torch.float64)
    kernel = empirical_ntk(model, outside, outputs="full").total
    critical, diagnosis = critical_learning_rate(model, outside), diagnose(model, outside)
    with context():
        x = outside.clone()  # in inference mode autograd cannot use this tensor
        assert torch.equal(empirical_ntk(model, x, outputs="full").total, kernel)
        assert spectrum(kernel).maximum > 0
        assert critical_learning_rate(model, x) == critical
        assert diagnose(model, x) == diagnosis
        assert relative_error(cross_ntk(model, x, x, outputs="full"), kernel) < 1e-14
        for cached in (True, False):
            theta = operator(model, x, outputs="full", cached=cached)
            assert theta.top(2).values[0] == pytest.approx(spectrum(kernel).maximum)
            for product in (theta, theta.matvec):
                assert predict_loss(product, torch.ones(3, 2), [0.0]).loss == pytest.approx(1.0)


class Sorted(nn.Module):
    """Its first layer gets the points in another order, as in a network that routes them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        order = x[:, 0].argsort(descending=True)
        return self.last(torch.tanh(self.first(x[order])[order.argsort()]))


class HeldInAList(Masked):
    """Uses weights of its layers a second time, through a list."""

    def __init__(self) -> None:
        super().__init__()
        self.again = [self.first.weight, self.last.weight]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.tanh(x @ self.again[0].T) @ self.again[1].T


class Distances(nn.Module):
    """torch 2.13 gives a wrong gradient of cdist under vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.centres, self.last = nn.Parameter(torch.rand(8, 2)), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.exp(-(torch.cdist(x, self.centres) ** 2)))


class Sign(torch.autograd.Function):
    """w · sign(x) with a straight-through gradient, which cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return torch.sign(x) * w

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return grad * (x.abs() < 1) * w, (grad * torch.sign(x)).sum(0)


class StraightThrough(Distances):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.gain = nn.Linear(2, 8), nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(Sign.apply(self.first(x), self.gain))  # type: ignore[no-untyped-call] # torch leaves it untyped


class Checkpointed(Sorted):
    def forward(self, x: Tensor) -> Tensor:
        h = checkpoint(lambda a: torch.tanh(self.first(a)), x, use_reentrant=False)
        return self.last(h)


@pytest.mark.parametrize("make", [Sorted, HeldInAList, Distances, StraightThrough, Checkpointed])
def test_the_kernel_sees_what_only_autograd_sees(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    model, x = make(), torch.rand(12, 2, dtype=torch.float64)
    require_kernel(model, one_gradient_at_a_time(model, x), x)


def test_a_table_may_be_stored_by_columns() -> None:
    torch.manual_seed(1)
    network, x = CoordinateMLP(CollidingGrid(), 2, width=8), torch.rand(12, 2).double()
    expected = empirical_ntk(network, x).total
    for table in network.encoding.parameters():
        table.data = table.data.t().contiguous().t()
    assert relative_error(empirical_ntk(network, x).total, expected) < 1e-14


def borrowing() -> nn.Module:
    lender, model = nn.Linear(2, 2), small()
    model.add_module("lent", lender)
    model.register_forward_hook(lambda module, args, out: out + lender.weight.to(out).sum())
    return model


def hooked() -> nn.Module:
    model = small()
    model[0].weight.register_hook(lambda grad: grad / 2)
    return model


def locked() -> nn.Module:
    model = small()
    model.lock = threading.Lock()
    return model


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (borrowing, "forward uses 'lent.weight' through a reference"),
        (hooked, "a hook changes the gradient of '0.weight'"),
        (locked, "cannot be copied: .*lock"),
        (lambda: nn.Sequential(nn.LazyLinear(2)), "'0.weight' has no shape yet; call the model"),
        (lambda: torch.jit.script(small()), "instead of a TorchScript module, pass"),
    ],
)
def test_models_without_a_faithful_copy_are_refused(make: Any, complaint: str) -> None:
    with pytest.raises(NtkError, match=complaint):
        empirical_ntk(make(), torch.rand(5, 2))
