"""Weighted sums of table rows, with all modes of differentiation."""

import pytest
import torch
from encbench_encodings._tables import gather_and_sum, weighted_rows
from torch.func import grad, hessian, jacfwd, jacrev, vmap

# torch scripts its own decompositions when forward mode is first used, and warns about itself.
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")


@pytest.fixture
def lookup():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    rows = torch.randint(0, 7, (5, 4), generator=generator)
    rows[0, 1] = rows[0, 0]  # a collision within one point
    weights = torch.rand(5, 4, generator=generator, dtype=torch.float64)
    return table, rows, weights


def test_lookup_is_the_weighted_sum_of_rows(lookup):
    table, rows, weights = lookup
    out = weighted_rows(table, rows, weights)
    for n in range(5):
        for c in range(3):
            expected = sum(
                weights[n, j].item() * table[rows[n, j], c].item() for j in range(rows.shape[1])
            )
            assert out[n, c].item() == pytest.approx(expected, rel=1e-14)


def test_no_points_give_no_features(lookup):
    table, rows, weights = lookup
    assert weighted_rows(table, rows[:0], weights[:0]).shape == (0, 3)


@forward_mode
@pytest.mark.filterwarnings("ignore:Please use `torch.vmap`:FutureWarning")  # torch 2.6
def test_first_and_second_derivatives_agree_with_differences(lookup):
    table, rows, weights = lookup
    inputs = (table.requires_grad_(), weights.requires_grad_())
    function = lambda t, w: weighted_rows(t, rows, w)  # noqa: E731 # gradcheck takes a callable
    assert torch.autograd.gradcheck(
        function, inputs, check_forward_ad=True, check_batched_grad=True
    )
    assert torch.autograd.gradgradcheck(function, inputs)


@forward_mode
@pytest.mark.parametrize("jacobian", [jacrev, jacfwd])
@pytest.mark.parametrize("argument", [0, 1])
def test_torch_func_jacobians_agree_with_plain_operations(lookup, jacobian, argument):
    table, rows, weights = lookup
    ours = jacobian(lambda t, w: weighted_rows(t, rows, w), argument)(table, weights)
    plain = jacobian(lambda t, w: gather_and_sum(t, rows, w), argument)(table, weights)
    torch.testing.assert_close(ours, plain)


def test_jacobians_of_single_points_batch_without_a_warning(lookup):
    table, rows, weights = lookup

    def of_a_point(function):
        one = lambda t, r, w: function(t, r[None], w[None])[0]  # noqa: E731 # closes over function
        return vmap(jacrev(one), (None, 0, 0))(table, rows, weights)

    torch.testing.assert_close(of_a_point(weighted_rows), of_a_point(gather_and_sum))


def test_gradient_through_a_batched_lookup(lookup):
    table, rows, weights = lookup
    total = lambda t: vmap(lambda r, w: weighted_rows(t, r[None], w[None])[0])(rows, weights).sum()  # noqa: E731 # one expression
    expected = grad(lambda t: gather_and_sum(t, rows, weights).sum())(table)
    torch.testing.assert_close(grad(total)(table), expected)


@forward_mode
def test_hessian_in_the_weights(lookup):
    table, rows, weights = lookup
    of = lambda f: hessian(lambda w: f(table, rows, w).pow(2).sum())(weights)  # noqa: E731 # one expression
    torch.testing.assert_close(of(weighted_rows), of(gather_and_sum))


def test_sparse_gradient_is_the_dense_one_on_the_rows_that_were_read(lookup):
    table, rows, weights = lookup
    dense = table.clone().requires_grad_()
    weighted_rows(dense, rows, weights).pow(2).sum().backward()
    sparse = table.clone().requires_grad_()
    weighted_rows(sparse, rows, weights, sparse=True).pow(2).sum().backward()
    assert sparse.grad.is_sparse
    assert set(sparse.grad._indices().flatten().tolist()) == set(rows.flatten().tolist())
    torch.testing.assert_close(sparse.grad.to_dense(), dense.grad)
    with torch.no_grad():
        dense.add_(dense.grad, alpha=-0.1)
        sparse.add_(sparse.grad, alpha=-0.1)
    torch.testing.assert_close(sparse, dense)
