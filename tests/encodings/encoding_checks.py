"""Checks that every encoding must pass, as functions that its tests call."""

import torch
from torch import Tensor
from torch.func import functional_call, jacrev

from encbench import Encoding


def border_points(in_dim: int, nodes: int = 5) -> Tensor:
    """All combinations of 0, 1, interior nodes i / (nodes − 1) and one value between nodes."""
    axis = torch.cat(
        (torch.linspace(0, 1, nodes, dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64))
    )
    if in_dim > 2:
        axis = axis[[0, 1, -2, -1]]
    return torch.cartesian_prod(*[axis] * in_dim).reshape(-1, in_dim)


def random_points(count: int, in_dim: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, in_dim, generator=generator, dtype=torch.float64)


def filled(encoding: Encoding, seed: int = 0) -> Encoding:
    """The encoding in float64 with parameters of order one, so that errors are not small."""
    generator = torch.Generator().manual_seed(seed)
    encoding = encoding.double()
    for parameter in encoding.parameters():
        parameter.data.normal_(generator=generator)
    return encoding


def check_sparse_jacobian(encoding: Encoding, x: Tensor) -> None:
    """Check that blocks equal the dense Jacobian of torch.func, and reproduce the features."""
    blocks = encoding.sparse_jacobian(x)
    assert blocks is not None
    parameters = {name: value.detach() for name, value in encoding.named_parameters()}
    dense = jacrev(lambda values: functional_call(encoding, values, (x,)))(parameters)
    rebuilt = {name: torch.zeros_like(jacobian) for name, jacobian in dense.items()}
    touched: dict[str, set[int]] = {name: set() for name in parameters}
    features = encoding(x)
    for block in blocks:
        table = parameters[block.parameter]
        assert block.rows.shape == block.weights.shape
        assert block.rows.dtype == torch.int64
        assert block.weights.dtype == x.dtype
        assert block.num_rows == table.shape[0]
        assert block.width == table.shape[1]
        rows = set(block.rows.flatten().tolist())
        assert not rows & touched[block.parameter], "blocks of one parameter share rows"
        touched[block.parameter] |= rows
        part = features[:, block.start : block.start + block.width]
        factor = torch.ones_like(part) if block.factor is None else block.factor
        looked_up = factor * (block.weights.unsqueeze(-1) * table[block.rows]).sum(1)
        torch.testing.assert_close(looked_up, part, rtol=1e-13, atol=1e-13)
        for n, (row_list, weight_list) in enumerate(
            zip(block.rows.tolist(), block.weights.tolist(), strict=True)
        ):
            for row, weight in zip(row_list, weight_list, strict=True):
                for column in range(block.width):
                    slope = weight * factor[n, column]
                    rebuilt[block.parameter][n, block.start + column, row, column] += slope
    for name, jacobian in dense.items():
        torch.testing.assert_close(rebuilt[name], jacobian, rtol=1e-13, atol=1e-13)


def check_gradients(encoding: Encoding, x: Tensor) -> None:
    """Compare analytic with numeric derivatives, in parameters and in x (not at cell borders).

    Only along random directions, because each single parameter needs two more forward passes. The
    conformance suite, which every encoding passes, checks single parameters.
    """
    names = [name for name, _ in encoding.named_parameters()]
    values = [value.detach().clone().requires_grad_() for value in encoding.parameters()]

    def features(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(encoding, dict(zip(names, values, strict=True)), (x,))

    inputs = (x.clone().requires_grad_(), *values)
    assert torch.autograd.gradcheck(features, inputs, fast_mode=True)
