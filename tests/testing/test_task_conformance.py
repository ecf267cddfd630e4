"""Each fault of a task is found by the check intended for it."""

from __future__ import annotations

import pytest

from encbench.testing import TaskConformance
from tests.testing import faulty_tasks as faulty


class TestOwnLoss(TaskConformance):
    task = faulty.OwnLoss


class TestNoise(TaskConformance):
    task = faulty.Noise
    parameters = {"points": 8}


def result_of(task, check):
    checks = type("Check", (TaskConformance,), {"task": task})
    return next(result for result in checks.run() if result.name == f"test_{check}")


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("Undocumented", "it_is_documented", "has no docstring"),
        ("Undescribed", "parameters_are_typed_and_described", "'points' of Undescribed has no"),
        ("NoTargets", "targets", "at least one set"),
        ("Fails", "targets", "OSError: the tide is out"),
        ("Dimensionless", "targets", "out_dim is None"),
        ("ShortHash", "data_hash", "hashlib.sha256(data).hexdigest()"),
        ("HashOfProcess", "data_hash", "from process to process"),
        ("GlobalGenerator", "epoch", "draw from the one it is given"),
        ("Unrepeatable", "epoch", "different epochs"),
        ("Wandering", "it_changes_nothing_that_others_share", "working directory"),
        ("SinglePrecision", "epoch", "(16, 1), torch.float64"),
        ("OutOfDomain", "epoch", "scale coordinates to"),
        ("NoProbability", "epoch", "y leaves [0, 1]"),
        ("Miscounted", "epoch", "(15, 1)"),
        ("Twice", "ntk_points", "a point twice"),
        ("Clipping", "progress", "expected nan"),
        ("OnCorners", "regular_grid", "no coordinate of x grows as (i + ½) / 8"),
        ("UnknownKind", "evaluation", "no installed metric measures 'smell'"),
        ("WrongShapes", "evaluation", "the metric 'psnr' cannot measure"),
        ("FloatPicture", "evaluation", "expected uint8"),
        ("UnknownLoss", "targets", "did you mean 'mse'? Expected one of"),
        ("FloatLoss", "a_loss_of_its_own", "loss returned a float, expected a scalar tensor"),
        ("LossOfEachPoint", "a_loss_of_its_own", "a tensor (16,) of torch.float32, expected"),
        ("Detached", "a_loss_of_its_own", "loss has no gradient"),
        ("OfItsInput", "a_loss_of_its_own", "no gradient of loss reaches"),
        ("LossIsNan", "a_loss_of_its_own", "not finite before the first step (nan)"),
        ("GradientIsNan", "a_loss_of_its_own", "(its gradient)"),
        ("LossRaises", "a_loss_of_its_own", "ZeroDivisionError: the tide is out"),
        ("SecondDerivative", "a_loss_of_its_own", "a smooth activation is needed"),
        ("Retrains", "a_loss_of_its_own", "loss changes the model"),
        ("ShiftsPoints", "a_loss_of_its_own", "loss changes x or y"),
        ("WrongChannels", "a_network_trains_on_it", "expected a pair of tensors"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")
def test_a_fault_is_found_and_explained(name, check, words):
    result = result_of(getattr(faulty, name), check)
    assert result.outcome == ("advice" if name in ("Undocumented", "Undescribed") else "failed")
    assert words in result.message


def test_every_check_has_a_fault_that_it_finds():
    marks = test_a_fault_is_found_and_explained.pytestmark
    found = {
        f"test_{row[1]}" for mark in marks if mark.name == "parametrize" for row in mark.args[1]
    }
    assert found == set(TaskConformance.checks())
