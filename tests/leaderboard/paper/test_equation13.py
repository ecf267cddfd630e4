"""Eq. 13 for kernels with the same weights, against Jacobians computed row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from encbench_encodings.identity import Identity
from encbench_encodings.mpe import MultigridParametricEncoding
from encbench_leaderboard.paper.equation13 import remainders

from encbench import CoordinateMLP, NtkError
from encbench.ntk.kernel import brute_force_ntk

OUT = 2


def network(encoding):
    return CoordinateMLP(encoding, OUT, 16, 2, first_layer_scale="width").double()


def trace(kernel):
    """(N, N) mean over outputs of the diagonal blocks of a full kernel."""
    n = len(kernel) // OUT
    return torch.stack([kernel.view(n, OUT, n, OUT)[:, a, :, a] for a in range(OUT)]).mean(0)


def test_the_rest_is_what_two_networks_of_the_same_weights_and_the_grid_leave():
    torch.manual_seed(0)
    grids = MultigridParametricEncoding(2, resolutions=[3, 5], features_per_level=2, init_std=1.0)
    model, x = network(grids), torch.rand(12, 2, dtype=torch.float64)
    above, rest = remainders(model, x)
    plain = network(Identity(2))
    state = model.layers.state_dict()
    state["0.weight"] = state["0.weight"][:, -2:]  # the coordinates are the last features
    plain.layers.load_state_dict(state)
    parts = {name: trace(kernel) for name, kernel in brute_force_ntk(model, x).items()}
    total, without = sum(parts.values()), trace(brute_force_ntk(plain, x)["mlp"])
    expected = total - without - parts["encoding"]
    eigenvalues = [np.linalg.eigvalsh(k.detach().numpy()) for k in (total, without, expected)]
    assert [(r.level, r.feature) for r in rest[:-1]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert rest[-1].apart == pytest.approx(float(expected.norm() / total.norm()), rel=1e-9)
    assert rest[-1].negative == pytest.approx(eigenvalues[2][0] / eigenvalues[0][-1], rel=1e-6)
    assert above == int((eigenvalues[1] > eigenvalues[0] + 1e-12 * eigenvalues[0][-1]).sum())


def test_an_encoding_that_is_no_grid_is_refused():
    with pytest.raises(NtkError, match="about grids"):
        remainders(network(Identity(2)), torch.rand(4, 2))
