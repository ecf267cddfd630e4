"""Settings proposed one by one by Optuna's TPE: the optional extra ``encbench[tpe]``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState

from encbench.contracts.search import DIGITS
from encbench.runs.candidates import MOST_TRIES, Dimension

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Proposals:
    """The study of one encoding, which proposes each setting from the results of earlier ones.

    It is not stored: with the same seed and the recorded results, it proposes the same settings.

    Args:
        space: dimensions of the search space.
        seed: seed of the sampler.
        possible: returns whether a setting can be tried.
        default: the values of the default setting, which is tried first in any case.
        higher: whether higher values are better.
    """

    def __init__(
        self,
        space: Sequence[Dimension],
        seed: int,
        possible: Callable[[Sequence[Any]], bool],
        default: Sequence[Any],
        *,
        higher: bool,
    ) -> None:
        self._space, self._possible = space, possible
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed % 2**32),
            direction="maximize" if higher else "minimize",
        )
        self._distributions = {each.name: _distribution(each) for each in space}
        self._asked: OptunaTrial | None = None
        self._now = json.dumps(list(default))
        self._values: dict[str, float | None] = {}
        """Metric of each setting that was tried, by the setting's values as JSON."""

    def next(self) -> list[Any] | None:
        """Return a setting that was not tried yet; None if none is found."""
        for _ in range(MOST_TRIES if self._space else 0):
            trial = self._study.ask(self._distributions)
            values = [_value(each, trial.params[each.name]) for each in self._space]
            text = json.dumps(values)
            if text in self._values:
                self._tell(trial, self._values[text])
            elif not self._possible(values):
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._asked, self._now = trial, text
                return values
        self._asked = None
        return None

    def tell(self, value: float | None) -> None:
        """Set the metric of the last proposed setting, at first of the default; None is worst."""
        self._values[self._now] = value
        if self._asked is not None:
            self._tell(self._asked, value)

    def _tell(self, trial: OptunaTrial, value: float | None) -> None:
        if value is None:
            # TPE ranks pruned trials below all others, so it learns to avoid their settings
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, value)


def _distribution(dimension: Dimension) -> BaseDistribution:
    search = dimension.search
    if search.choices is not None:
        # Optuna's categories cannot be lists, so the index is used
        return CategoricalDistribution(range(len(search.choices)))
    assert search.low is not None, "a range has both ends"
    assert search.high is not None, "a range has both ends"
    if dimension.whole:
        return IntDistribution(int(search.low), int(search.high), log=search.log)
    return FloatDistribution(search.low, search.high, log=search.log)


def _value(dimension: Dimension, found: Any) -> Any:
    if dimension.search.choices is not None:
        return dimension.search.choices[found]
    return found if dimension.whole else float(f"{found:.{DIGITS}g}")
