"""Each fault of an optimizer is found by the check intended for it."""

from __future__ import annotations

import pytest
import torch

from encbench import Optimizer
from encbench.testing import OptimizerConformance


class Descent(Optimizer):
    """Gradient descent."""

    def make(self, groups, *, fused):
        return torch.optim.SGD(groups)


class TestDescent(OptimizerConformance):
    optimizer = Descent


class Steps(torch.optim.SGD):
    """Gradient descent with a change of the gradients before each step."""

    def __init__(self, groups, change):
        super().__init__(groups)
        self.change = change

    def step(self, closure=None):
        for group in self.param_groups:
            for w in group["params"]:
                w.grad = self.change(w.grad)
        return super().step(closure)


class Undocumented(Descent):
    __doc__ = None


class Untyped(Descent):
    """Has a parameter without a type."""

    def __init__(self, power=1):
        self.power = power


class NoRate(Descent):
    """Has a default rate of 0."""

    default_lr = 0.0


class OldSignature(Descent):
    """Does not take ``fused``."""

    def make(self, groups):
        return torch.optim.SGD(groups)


class OwnGroups(Descent):
    """Gives torch groups without the keys that training sets."""

    def make(self, groups, *, fused):
        return torch.optim.SGD([{"params": g["params"], "lr": g["lr"]} for g in groups])


class Forgetful(Descent):
    """Trains the network only."""

    def make(self, groups, *, fused):
        return torch.optim.SGD(groups[:1])


class Ascent(Descent):
    """Moves along the gradient."""

    def make(self, groups, *, fused):
        return torch.optim.SGD(groups, maximize=True)


class OneRate(Descent):
    """Takes its own rate in every step."""

    def make(self, groups, *, fused):
        made = torch.optim.SGD(groups)
        made.register_step_pre_hook(lambda made, *_: made.param_groups[0].update(lr=0.01))
        return made


class OtherWhenFused(Descent):
    """Has momentum only when fused."""

    def make(self, groups, *, fused):
        return torch.optim.SGD(groups, momentum=0.9 * fused, fused=fused)


class NotPlain(Descent):
    """Has weight decay, and says it is plain."""

    plain = True

    def make(self, groups, *, fused):
        return torch.optim.SGD(groups, weight_decay=0.1)


class Decaying(Descent):
    """Moves entries whose gradient is 0."""

    skips_zero_gradients = True

    def make(self, groups, *, fused):
        return torch.optim.SGD(groups, weight_decay=0.1)


class ByMean(Descent):
    """Divides each gradient by its mean size, which entries with gradient 0 lower."""

    skips_zero_gradients = True

    def make(self, groups, *, fused):
        return Steps(groups, lambda grad: grad / grad.abs().mean())


class Noisy(Descent):
    """Adds noise to gradients."""

    def make(self, groups, *, fused):
        return Steps(groups, lambda grad: grad + 0.1 * torch.randn_like(grad))


class Counting(Descent):
    """Counts the steps of all optimizers together."""

    def make(self, groups, *, fused):
        count = self.__dict__.setdefault("count", [0])

        def change(grad):
            count[0] += 1
            return grad / count[0]

        return Steps(groups, change)


class Lambda(Descent):
    """Holds what cannot be pickled."""

    def __init__(self):
        self.change = lambda grad: grad


class Double(Descent):
    """Changes torch's default dtype."""

    def make(self, groups, *, fused):
        torch.set_default_dtype(torch.float64)
        return super().make(groups, fused=fused)


def result_of(optimizer, check):
    checks = type("Check", (OptimizerConformance,), {"optimizer": optimizer})
    name = f"test_{check}"
    one = {name: checks.checks()[name]}
    (result,) = type("One", (checks,), {"checks": classmethod(lambda _: one)}).run()
    return result


@pytest.mark.parametrize(
    ("optimizer", "check", "words"),
    [
        (Undocumented, "it_is_documented", "has no docstring"),
        (NoRate, "it_is_documented", "default_lr is 0.0, expected a positive number"),
        (Untyped, "parameters_are_typed_and_described", "'power' has no type"),
        (OldSignature, "make", "make(groups, fused=False) raised TypeError"),
        (OwnGroups, "make", "make loses the key 'highest_lr' of the groups"),
        (Forgetful, "make", "got 5 parameters, and its torch optimizer has 4"),
        (Ascent, "it_lowers_a_quadratic", "moves each w against its gradient"),
        (OneRate, "rates_of_groups", "with the rate of the part 'mlp' set to 0"),
        (OtherWhenFused, "fused_steps", "fused=True gives other steps"),
        (NotPlain, "what_it_says_of_its_steps", "plain, but not w − lr · gradient"),
        (Decaying, "what_it_says_of_its_steps", "entries whose gradient is 0 move"),
        (ByMean, "what_it_says_of_its_steps", "entries whose gradient is 0 affect others"),
        (Noisy, "it_is_deterministic", "two runs differ"),
        (Counting, "instances_share_no_state", "steps differ while others train"),
        (Lambda, "pickling", "Lambda cannot be pickled"),
        (Double, "it_changes_nothing_that_others_share", "default_dtype"),
    ],
)
def test_a_fault_is_found_and_explained(optimizer, check, words):
    result = result_of(optimizer, check)
    assert result.outcome == ("advice" if optimizer is Undocumented else "failed")
    assert words in result.message


def test_every_check_has_a_fault_that_it_finds():
    (mark,) = test_a_fault_is_found_and_explained.pytestmark
    assert {f"test_{row[1]}" for row in mark.args[1]} == set(OptimizerConformance.checks())
