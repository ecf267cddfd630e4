"""The grid of radial basis functions, compared with explicit distances to the centres."""

import numpy as np
import pytest
import torch
from encbench_encodings.rbf_grid import RbfGrid
from scipy.spatial.distance import cdist
from scipy.special import expit

from encbench import ParameterError
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)

KERNELS = {
    "inverse_quadratic": lambda r: 1 / (1 + r**2),
    "inverse_multiquadric": lambda r: 1 / np.sqrt(1 + r**2),
    "gaussian": lambda r: np.exp(-0.5 * r**2),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_features_are_normalized_kernels_of_the_centres_of_a_cell(in_dim, kernel):
    n, alpha = 5, 1.7
    encoding = filled(RbfGrid(in_dim, resolution=n, features=2, kernel=kernel, alpha=alpha))
    x = torch.cat((random_points(30, in_dim), border_points(in_dim))).numpy()
    index = np.stack(np.meshgrid(*[np.arange(n)] * in_dim, indexing="ij"), -1).reshape(-1, in_dim)
    width = 0.5 / (n - 1) / np.sqrt(alpha)
    phi = KERNELS[kernel](cdist(x, index / (n - 1)) / width)
    cell = np.minimum(np.floor(x * (n - 1)), n - 2)
    near = index[None] - cell[:, None]
    phi = phi * ((near == 0) | (near == 1)).all(-1)
    values = encoding.grid().detach().numpy()[tuple(index.T[::-1])]
    expected = phi @ values / phi.sum(1, keepdims=True)
    np.testing.assert_allclose(encoding(torch.from_numpy(x)).detach(), expected, atol=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
def test_jacobian_and_gradients(kernel):
    encoding = filled(RbfGrid(2, resolution=4, features=2, kernel=kernel))
    check_sparse_jacobian(encoding, random_points(6, 2))
    check_gradients(encoding, random_points(3, 2))


def test_the_jump_from_cell_to_cell_is_that_of_the_centre_left_behind():
    encoding = RbfGrid(1, resolution=3, features=1).double()
    encoding.table.data[:] = torch.tensor([[1.0], [0.0], [0.0]])
    before, behind = encoding(torch.tensor([[0.5 - 1e-12], [0.5]], dtype=torch.float64))
    assert (before - behind).item() == pytest.approx(0.2 / 1.2)


def test_two_gaussians_are_a_logistic_function_and_stay_finite_far_outside():
    encoding = RbfGrid(1, resolution=2, features=1, kernel="gaussian", alpha=9.0).double()
    encoding.table.data[:] = torch.tensor([[0.0], [1.0]])
    x = torch.linspace(-200, 200, 41, dtype=torch.float64).unsqueeze(1)
    np.testing.assert_allclose(encoding(x).detach(), expit(18 * (2 * x.numpy() - 1)), atol=1e-13)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ParameterError, match="kernel must be one of 'inverse_quadratic'"):
        RbfGrid(2, kernel="linear")
