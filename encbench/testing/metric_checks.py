"""The checks of metrics."""

from __future__ import annotations

import math
import pickle
from copy import deepcopy
from typing import Any, ClassVar

import numpy as np

from encbench.contracts.metric import Metric, MetricValue, in_range
from encbench.suite.seeding import seeded
from encbench.testing.conformance import Conformance, fail, require, skip
from encbench.testing.module_checks import SEED

IMAGES = ("image", "depth")
VALUES = (
    *("held_out_pixels", "signal", "audio", "held_out_audio"),
    *("distance", "near_surface_distance", "slope", "solution"),
)
LABELS = ("occupancy", "held_out_occupancy", "near_surface")
"""Kinds of comparisons for which there are samples: (H, W, C), (N, 1), and labels (N,)."""
ROUNDING = 1e-6


class MetricConformance(Conformance):
    """Checks that a metric keeps the contract of ``encbench.Metric``.

    Set ``metric`` to the class. If its kind of comparison is a task's own, also override
    ``samples``; without them the checks of values are skipped.
    """

    kind = "metric"
    metric: ClassVar[type[Metric] | None] = None
    """The class to check."""

    def samples(self) -> tuple[Any, Any, Any]:
        """A truth, a good prediction of it and a bad one, all of the metric's kind."""
        random = np.random.default_rng(SEED)
        rows, columns, channels = np.ogrid[1:7:48j, 1:7:48j, :3]
        truth = (0.5 + 0.5 * np.sin(rows * columns + channels)).astype(np.float32)
        noise = random.standard_normal(truth.shape).astype(np.float32)
        good, bad = (np.clip(truth + scale * noise, 0, 1) for scale in (0.05, 0.5))
        kind = self.subject.kind
        if kind in IMAGES:
            return truth, good, bad
        if kind in VALUES:
            return truth.reshape(-1, 1), good.reshape(-1, 1), bad.reshape(-1, 1)
        if kind in LABELS:
            return truth.ravel() > 0.5, good.ravel(), bad.ravel()
        skip(f"no samples of the kind {kind!r}; tests can override MetricConformance.samples()")

    def test_it_is_documented(self) -> None:
        """A docstring says what is measured."""
        self.advise_docstring()

    def test_title_unit_range_and_direction(self) -> None:
        """Title, kind, unit, range, direction and source are what the contract says."""
        subject, name = self.subject, self.subject.__name__
        for key, example in (("kind", "image"), ("title", "PSNR")):
            value = getattr(subject, key, None)
            require(
                isinstance(value, str) and bool(value.strip()),
                f'{name}.{key} is {value!r}; set it in the class: {key} = "{example}"',
            )
        for key in ("unit", "source", "bibtex"):
            value = getattr(subject, key)
            require(
                isinstance(value, str) or (key == "bibtex" and value is None),
                f"{name}.{key} is {value!r}, expected a text",
            )
        require(
            subject.direction in ("higher", "lower"),
            f'{name}.direction is {subject.direction!r}, expected "higher" or "lower"',
        )
        limits = getattr(subject, "range", None)
        require(
            isinstance(limits, tuple)
            and len(limits) == 2
            and all(isinstance(limit, float | int) for limit in limits)
            and limits[0] < limits[1],
            f"{name}.range is {limits!r}; give the smallest and the largest value, such as "
            "(0.0, math.inf)",
        )

    def test_values(self) -> None:
        """Values are finite numbers within the range, returned with details."""
        truth, *predictions = self.samples()
        low, high = self.subject.range
        for prediction in predictions:
            found = self._measure(prediction, truth)
            if found.value is None:
                reason = found.details["reason"]
                require(
                    not reason.startswith("the metric returned"),  # Metric.__call__'s words
                    f"{reason}; return (None, {{'reason': why}}) where it is undefined",
                )
                skip(f"it is undefined for the samples ({reason}); override samples()")
            require(
                math.isfinite(found.value) and in_range(found.value, (low, high), ROUNDING),
                f"the value {found.value:.9g} is not a finite number in its range "
                f"[{low:.9g}, {high:.9g}]; correct range or compute",
            )

    def test_a_perfect_prediction_is_best(self) -> None:
        """A prediction that equals the truth has the best value of the range."""
        truth, *_ = self.samples()
        value, best = self._value(truth, truth), self._best()
        require(
            math.isclose(value, best, abs_tol=ROUNDING),
            f"a prediction equal to the truth has the value {value:g}, and the best value of range "
            f"and direction is {best:g}; correct range, direction or compute",
        )

    def test_a_worse_prediction_is_not_better(self) -> None:
        """A worse prediction does not have a better value."""
        truth, good, bad = self.samples()
        near, far = self._value(good, truth), self._value(bad, truth)
        direction = self.subject.direction
        require(
            far <= near if direction == "higher" else far >= near,
            f"a good prediction has {near:g}, a worse one {far:g}, although {direction} is better; "
            "correct direction or compute",
        )

    def test_arguments_are_not_changed(self) -> None:
        """Compute writes into neither prediction nor truth."""
        truth, good, _ = deepcopy(self.samples())
        before = pickle.dumps(good), pickle.dumps(truth)
        self._built().compute(good, truth)
        for name, old, now in zip(("prediction", "truth"), before, (good, truth), strict=True):
            require(
                old == pickle.dumps(now), f"compute changes {name} in place; work on a copy of it"
            )

    def test_it_is_deterministic(self) -> None:
        """Equal arguments give equal values and details."""
        truth, good, _ = self.samples()
        found = []
        for seed in (SEED, SEED + 1):
            with seeded(seed):
                one = self._measure(good, truth)
            found.append(f"{one.value} with {one.details}")  # details may hold arrays
        require(
            found[0] == found[1],
            f"two calls gave {found[0]:.100} and {found[1]:.100}; draw random numbers from a "
            "generator with a fixed seed, and keep no state between calls",
        )

    def test_it_changes_nothing_that_others_share(self) -> None:
        """Torch's settings and the working directory stay as they are."""
        truth, good, _ = self.samples()
        self.require_nothing_changed(lambda: self._measure(good, truth))

    def _built(self) -> Metric:
        parameters = self.validated()
        try:
            made: Metric = self.subject(**parameters)
        except Exception as error:
            fail(f"{self.subject.__name__}() raised {type(error).__name__}: {error}")
        return made

    def _measure(self, prediction: Any, truth: Any) -> MetricValue:
        metric = self._built()
        try:
            return metric(prediction, truth)
        except Exception as error:
            fail(f"{type(error).__name__}: {error}")

    def _value(self, prediction: Any, truth: Any) -> float:
        value = self._measure(prediction, truth).value
        if value is None:
            skip("not compared, since it is undefined for the samples")
        return value

    def _best(self) -> float:
        return float(self.subject.range[self.subject.direction == "higher"])
