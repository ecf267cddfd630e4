"""Each fault is found by the check intended for it, with a helpful message."""

from __future__ import annotations

import inspect

import pytest
import torch

from encbench import CoordinateMLP
from encbench.ntk.kernel import brute_force_ntk
from encbench.testing import Conformance, EncodingConformance
from tests.testing import faulty_encodings as faulty


class TestLine(EncodingConformance):
    """A class such as authors write, collected by pytest."""

    encoding = faulty.Line
    parameters = {"nodes": 3}
    differentiable = True


class TestSparseGradients(EncodingConformance):
    encoding = faulty.SparseGradients


class TestSized(EncodingConformance):
    encoding = faulty.Sized
    parameters = {"nodes": 3}


def result_of(encoding, check):
    checks = type("Check", (EncodingConformance,), {"encoding": encoding})
    return next(result for result in checks.run() if result.name == f"test_{check}")


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("Undocumented", "it_is_documented", "has no docstring"),
        ("Untyped", "parameters_are_typed_and_described", "'nodes' has no type annotation"),
        ("BadSearch", "parameters_are_typed_and_described", "Search of 'nodes' holds 1, which"),
        ("Undescribed", "parameters_are_typed_and_described", "'nodes' of Undescribed has no desc"),
        ("BadDefault", "parameters_are_typed_and_described", "breaks its own annotation"),
        ("Keywords", "parameters_are_typed_and_described", "*keywords, which hides"),
        ("OldSignature", "shapes", "in_dim comes first"),
        ("Abstract", "shapes", "abstract"),
        ("Appending", "shapes", "changes its parameter 'offsets' from [0] to [0, 1]"),
        ("NoSuper", "shapes", "super().__init__(in_dim, out_dim=…)"),
        ("WrongShape", "shapes", "(1, 2), expected (N, out_dim) = (1, 1)"),
        ("Crashing", "shapes", "forward raised ValueError: no luck today"),
        ("Single", "dtypes", "x.dtype"),
        ("Undefined", "values_are_finite", "values are NaN or infinite for [0."),
        ("Imprecise", "dtypes", "lower the highest frequency"),
        ("Stray", "tensors_move_with_the_module", "offset"),
        ("Unseeded", "it_is_determined_by_its_seed", "draw from torch's generator"),
        ("Noisy", "it_is_determined_by_its_seed", "forward draws random numbers"),
        ("Dropping", "it_is_determined_by_its_seed", "training and evaluation mode differ"),
        ("Doubling", "it_changes_nothing_that_others_share", "torch's default_dtype"),
        ("Ungrateful", "it_changes_nothing_that_others_share", "torch's grad_enabled"),
        ("Detached", "gradients", "detach()"),
        ("Unused", "gradients", "does not use the parameter 'spare'"),
        ("WrongBackward", "gradients", "custom backward"),
        ("Open", "borders", "not finite at x = [1.0]"),
        ("OpenGradient", "borders", "gradients are not finite at the borders"),
        ("Centred", "rows_are_independent", "no statistics over the batch"),
        ("InPlace", "rows_are_independent", "changes x in place"),
        ("WrongBlocks", "sparse_jacobian", "does not give the features"),
        ("MissingBlocks", "sparse_jacobian", "must cover everything"),
        ("SharedRows", "sparse_jacobian", "share rows"),
        ("Misnamed", "sparse_jacobian", "names the parameter 'tabel'"),
        ("WrongBlocks", "kernel", "sparse_jacobian"),
        ("Forgetful", "state_dict", "persistent buffer"),
        ("Unpicklable", "pickling", "cannot be pickled"),
    ],
)
def test_a_fault_is_found_and_explained(name, check, words):
    result = result_of(getattr(faulty, name), check)
    assert result.outcome == ("advice" if name in ("Undocumented", "Undescribed") else "failed")
    assert words in result.message
    assert result.details.startswith("Traceback") == (result.outcome == "failed")


def failed(results):
    return [result.name for result in results if result.outcome == "failed"]


@pytest.mark.parametrize(
    ("name", "check"),
    [("Undefined", "test_values_are_finite"), ("Random", "test_it_is_determined_by_its_seed")],
)
def test_checks_that_would_give_a_wrong_reason_are_skipped(name, check):
    checks = type("Check", (EncodingConformance,), {"encoding": getattr(faulty, name)})
    results = list(checks.run())
    assert failed(results) == [check]
    assert any(result.message.startswith("not compared, since") for result in results)


def test_checks_do_not_depend_on_the_state_that_an_encoding_changes():
    checks = type("Check", (EncodingConformance,), {"encoding": faulty.Reseeding})
    assert failed(checks.run()) == [
        "test_it_is_determined_by_its_seed",
        "test_it_changes_nothing_that_others_share",
    ]


def test_every_check_has_a_fault_that_it_finds():
    marks = test_a_fault_is_found_and_explained.pytestmark
    found = {f"test_{check}" for mark in marks for _, check, _ in mark.args[1]}
    # the check of devices needs CUDA
    assert found == set(EncodingConformance.checks()) - {"test_devices"}


def test_a_check_that_does_not_apply_is_skipped_with_its_reason():
    assert not torch.cuda.is_available() or pytest.skip("there is a CUDA device")
    result = result_of(faulty.Line, "devices")
    assert (result.outcome, result.message) == ("skipped", "torch finds no CUDA device here")


def test_only_subclasses_with_a_class_to_check_are_collected():
    assert not EncodingConformance.__test__
    assert TestLine.__test__
    assert issubclass(EncodingConformance, Conformance)


def test_titles_are_the_first_lines_of_the_docstrings():
    for name, check in EncodingConformance.checks().items():
        assert inspect.getdoc(check).endswith("."), name


def test_the_kernel_by_brute_force_is_that_of_a_jacobian_by_hand():
    torch.manual_seed(0)
    model = CoordinateMLP(faulty.Line(1, nodes=2), out_dim=1, width=1, depth=1).double()
    model.layers[0].bias.data.fill_(100)  # the unit is on: f is linear in the table
    x = torch.tensor([[0.25], [1.0]], dtype=torch.float64)
    slope = (model.layers[0].weight * model.layers[2].weight).item()
    # f = slope · ((1 − x) θ_0 + x θ_1) + …
    jacobian = slope * torch.cat((1 - x, x), 1)
    torch.testing.assert_close(
        brute_force_ntk(model, x)["encoding"], jacobian @ jacobian.T, rtol=1e-12, atol=1e-12
    )
