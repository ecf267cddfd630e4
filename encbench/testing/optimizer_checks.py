"""The checks of optimizers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from encbench.contracts.optimizer import Optimizer
from encbench.suite.seeding import seeded
from encbench.testing.conformance import (
    Conformance,
    call_in_worker,
    fail,
    require,
    require_equal,
    skip,
    tensor_text,
)
from encbench.testing.module_checks import SEED
from encbench.training.optimizers import check_made

RATES = {"mlp": 0.02, "encoding": 0.01}
STEPS = 50
ROWS = 6
TRAINED_ROWS = 3
"""Rows of the encoding's table, and those of them that the loss depends on."""
FEW = 5
"""Steps after which two optimizers are compared."""


class QuadraticProblem:
    """½ Σ (w − t)² in the parameters of a network and an encoding, and a torch optimizer of it.

    Args:
        rows: rows of the encoding's table; the gradient of all but the first 3 is always 0.
        scale: factor of the gradient.
    """

    def __init__(
        self, optimizer: Optimizer, *, fused: bool = False, rows: int = ROWS, scale: float = 1.0
    ) -> None:
        generator = torch.Generator().manual_seed(SEED)
        self.scale = scale
        self.optimizer = optimizer
        self.parts: dict[str, list[nn.Parameter]] = {"mlp": [], "encoding": []}
        self.targets: list[Tensor] = []
        for part, shape in (*[("mlp", (4, 4))] * 3, ("mlp", (4,)), ("encoding", (ROWS, 2))):
            start, target = torch.randn(2, *shape, generator=generator, dtype=torch.float32)
            if part == "encoding":
                target[TRAINED_ROWS:] = start[TRAINED_ROWS:]
                start, target = start[:rows].clone(), target[:rows]
            self.parts[part].append(nn.Parameter(start))
            self.targets.append(target)
        groups: list[dict[str, Any]] = [
            {"params": parameters, "lr": RATES[part], "highest_lr": RATES[part], "part": part}
            for part, parameters in self.parts.items()
        ]
        self._set_gradients()  # as in training, parameters have had a backward pass
        try:
            self.made = optimizer.make(groups, fused=fused)
        except Exception as error:
            fail(f"make(groups, fused={fused}) raised {type(error).__name__}: {error}")
        require(
            isinstance(self.made, torch.optim.Optimizer),
            f"make returned {tensor_text(self.made)}, expected a torch.optim.Optimizer",
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self.parts["mlp"], *self.parts["encoding"]]

    def loss(self) -> float:
        pairs = zip(self.parameters, self.targets, strict=True)
        return sum(float((w.detach() - t).square().sum()) / 2 for w, t in pairs)

    def values(self, part: str) -> Tensor:
        """The parameters of a part as one vector."""
        return torch.cat([w.detach().flatten() for w in self.parts[part]])

    def step(self, count: int = 1) -> Tensor:
        """All parameters after these steps, the trained rows of the table only."""
        for _ in range(count):
            self._set_gradients()
            self.made.step()
        table = self.parts["encoding"][0].detach()[:TRAINED_ROWS]
        return torch.cat([self.values("mlp"), table.flatten()])

    def _set_gradients(self) -> None:
        for w, target in zip(self.parameters, self.targets, strict=True):
            w.grad = self.scale * (w.detach() - target)


class OptimizerConformance(Conformance):
    """Checks that an optimizer keeps the contract of ``encbench.Optimizer``.

    Set ``optimizer`` to the class and ``parameters`` to its own. Each check minimizes a quadratic
    in the parameters of a network, three matrices and a bias, and an encoding, one table.
    """

    kind = "optimizer"
    optimizer: ClassVar[type[Optimizer] | None] = None
    """The class to check."""

    def test_it_is_documented(self) -> None:
        """A docstring says what a step is, and the default learning rate is a number or None."""
        rate = self._built().default_lr
        require(
            rate is None or (isinstance(rate, float | int) and 0 < rate < math.inf),
            f"default_lr is {rate!r}, expected a positive number, or None if none is known",
        )
        source = self.subject.source
        require(isinstance(source, str), f"source is {source!r}, expected a text")
        self.advise_docstring()

    def test_make(self) -> None:
        """The torch optimizer has all parameters, in groups that keep their keys."""
        problem = QuadraticProblem(self._built())
        try:
            check_made(problem.optimizer, problem.made, problem.parameters)
        except TypeError as error:
            fail(str(error))

    def test_it_lowers_a_quadratic(self) -> None:
        """The loss of a quadratic falls."""
        problem = QuadraticProblem(self._built())
        before = problem.loss()
        problem.step(STEPS)
        require(
            problem.loss() < before,
            f"½ ‖w − t‖² is {before:.4g} at the start and {problem.loss():.4g} after {STEPS} steps "
            f"at rates {RATES}; a step moves each w against its gradient w.grad",
        )

    def test_rates_of_groups(self) -> None:
        """The rate of each group, which a schedule changes, is that of its parameters."""
        for still, moving in (("mlp", "encoding"), ("encoding", "mlp")):
            problem = QuadraticProblem(self._built())
            problem.step()
            for group in problem.made.param_groups:
                if group.get("part") == still:
                    group["lr"] = 0.0
            before = {part: problem.values(part) for part in RATES}
            problem.step()
            require(
                torch.equal(problem.values(still), before[still])
                and not torch.equal(problem.values(moving), before[moving]),
                f"with the rate of the part {still!r} set to 0, its parameters move, or those of "
                f"{moving!r} do not; in each step read group['lr'] of each parameter's group",
            )

    def test_fused_steps(self) -> None:
        """Steps with fused=True are those with fused=False."""
        plain, fused = (
            QuadraticProblem(self._built(), fused=fused).step(FEW) for fused in (False, True)
        )
        require_equal(fused, plain, 1e-5, "fused=True gives other steps than fused=False")

    def test_what_it_says_of_its_steps(self) -> None:
        """What plain and skips_zero_gradients promise is true of its steps."""
        optimizer = self._built()
        if not (optimizer.plain or optimizer.skips_zero_gradients):
            skip("it promises neither")
        problem = QuadraticProblem(optimizer)
        if optimizer.plain:
            lr = torch.cat([torch.full_like(problem.values(part), RATES[part]) for part in RATES])
            before = torch.cat([problem.values(part) for part in RATES])
            gradient = before - torch.cat([t.flatten() for t in problem.targets])
            problem.step()
            after = torch.cat([problem.values(part) for part in RATES])
            require_equal(after, before - lr * gradient, 1e-6, "plain, but not w − lr · gradient")
            problem = QuadraticProblem(optimizer)
        if optimizer.skips_zero_gradients:
            unused = problem.parts["encoding"][0].detach()[TRAINED_ROWS:].clone()
            found = problem.step(FEW)
            advice = "set skips_zero_gradients = False"
            now = problem.parts["encoding"][0].detach()[TRAINED_ROWS:]
            require_equal(now, unused, 0, f"entries whose gradient is 0 move; {advice}")
            without = QuadraticProblem(optimizer, rows=TRAINED_ROWS).step(FEW)
            require_equal(
                found, without, 1e-6, f"entries whose gradient is 0 affect others; {advice}"
            )

    def test_it_is_deterministic(self) -> None:
        """Equal gradients give equal steps."""
        with seeded(SEED):
            first = QuadraticProblem(self._built()).step(FEW)
        with seeded(SEED + 1):
            again = QuadraticProblem(self._built()).step(FEW)
        require_equal(
            again, first, 0, "two runs differ; draw no random numbers in make or in a step"
        )

    def test_instances_share_no_state(self) -> None:
        """Optimizers of two networks do not affect each other."""
        alone = QuadraticProblem(self._built()).step(FEW)
        shared = self._built()
        first, *others = (
            QuadraticProblem(shared),
            QuadraticProblem(shared, scale=3),
            QuadraticProblem(self._built()),
        )
        for _ in range(FEW):
            found = first.step()
            for other in others:
                other.step()
        require_equal(
            found, alone, 0, "steps differ while others train; keep state in the torch optimizer"
        )

    def test_pickling(self) -> None:
        """It can be pickled to a worker process."""
        optimizer = self._built()
        here, there = steps_of(optimizer), call_in_worker(steps_of, optimizer)
        require(
            here == there,
            "steps in a worker process differ from those here; does it read something that only "
            "this process has?",
        )

    def test_it_changes_nothing_that_others_share(self) -> None:
        """Torch's settings and the working directory stay as they are."""
        self.require_nothing_changed(lambda: QuadraticProblem(self._built()).step(FEW))

    def _built(self) -> Optimizer:
        parameters = self.validated()
        try:
            made: Optimizer = self.subject(**parameters)
        except Exception as error:
            fail(f"{type(error).__name__}: {error}")
        self.require_parameters_kept(parameters)
        return made


def steps_of(optimizer: Optimizer) -> list[float]:
    """The parameters of the quadratic after a few steps."""
    numbers: list[float] = QuadraticProblem(optimizer).step(FEW).tolist()
    return numbers
