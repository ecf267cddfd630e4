"""The result of a tuning: its numbers, and the files that show them."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pydantic import ValidationError
from scipy.special import stdtrit
from tabulate import tabulate

from encbench.errors import appearing, plural, printable, with_minus
from encbench.results.palette import colour_order, colours
from encbench.results.provenance import Data
from encbench.suite.file import Suite, suite_toml

RESULT, PAGE, CURVE, PICTURE = "tune.json", "tune.md", "best-of-k.csv", "best-of-k.png"
TUNED, TRIALS = "tuned.toml", "trials.toml"
END = 0.05
"""Share of a searched range that counts as its end."""
NEGLIGIBLE = 1e-12
"""An interval narrower than this fraction of the values is their rounding, and not shown."""
SHOWN = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500)
"""Numbers of trials k shown in the page's table; the CSV file has all."""


class Trial(Data):
    """One setting that was tried, and its result on the tuning targets."""

    number: int
    """0 is the default setting."""
    label: str
    parameters: dict[str, Any] = {}
    """Searched parameters of the encoding; likewise ``training`` and ``network``."""
    training: dict[str, Any] = {}
    network: dict[str, Any] = {}
    keys: list[str] = []
    """Keys of its cells, one per tuning target and seed."""
    value: float | None = None
    """Mean of the metric over the cells; None, the worst result, if a cell has no value."""
    without_value: int = 0
    """Number of cells that diverged, failed, or were stopped by a limit."""

    @property
    def setting(self) -> str:
        """ "levels=9, lr_factor=2.1", or "default"."""
        values = {**self.parameters, **self.training, **self.network}
        return ", ".join(f"{key}={value}" for key, value in values.items()) or "default"


class Summary(Data):
    """A metric over the reported targets and seeds."""

    keys: list[str] = []
    """Keys of the cells."""
    values: list[float | None]
    """Means over seeds, one per target; if there is only one target, the values of its seeds."""
    mean: float | None
    """None if a cell has no value, or if it would be ∞ − ∞ or a sum beyond all floats."""
    low: float | None = None
    """Lower end of the 95 % interval of the mean (Student's t); None for fewer than two values."""
    high: float | None = None

    @classmethod
    def of(cls, values: Sequence[float | None], keys: Sequence[str] = ()) -> Summary:
        known = [value for value in values if value is not None]
        summary = cls(keys=list(keys), values=list(values), mean=None)
        sum_of_all = total(known)
        if len(known) < len(values) or not known or sum_of_all is None:
            return summary
        summary.mean = sum_of_all / len(known)
        if len(known) > 1 and all(map(math.isfinite, known)):
            with np.errstate(over="ignore"):  # squares of values near 1e308
                error = float(np.std(known, ddof=1)) / math.sqrt(len(known))
            half = float(stdtrit(len(known) - 1, 0.975)) * error
            if math.isfinite(half):
                summary.low, summary.high = summary.mean - half, summary.mean + half
        return summary

    def text(self, *, change_of: float | None = None) -> str:
        """ "31.42 ± 0.81": the half-width with two digits, the mean with as many decimals.

        Without an interval, the mean has four digits. If it is a change of ``change_of``, it has a
        sign and, without an interval, the decimals of that number with four digits.
        """
        if self.mean is None:
            return "no value"
        sign = "" if change_of is None else "+"
        number, interval = f"{self.mean:{sign}.4g}", ""
        if change_of and math.isfinite(change_of):
            decimals = max(0, 3 - math.floor(math.log10(abs(change_of))))
            number = f"{self.mean:{sign}.{decimals}f}" if decimals <= 6 else number
        half = 0.0 if self.high is None else self.high - self.mean
        if half > NEGLIGIBLE * max(abs(self.mean), abs(change_of or 0.0)):
            decimals = max(0, 1 - math.floor(math.log10(half)))
            interval = f" ± {half:.2g}"
            if decimals <= 6:
                number, interval = f"{self.mean:{sign}.{decimals}f}", f" ± {half:.{decimals}f}"
        return with_minus(number) + interval


class TunedEncoding(Data):
    """One encoding: its search space, its trials, and the best of them on other cells."""

    label: str
    name: str
    seed: int
    """Seed for drawing its settings."""
    space: dict[str, dict[str, Any]]
    """Low, high and log of the range, or choices, by setting."""
    ranges: dict[str, str]
    """The ranges as ``--space`` takes them, by setting."""
    trials: list[Trial]
    best: int | None = None
    """Number of the best trial; 0, the default setting, if none has a value."""
    best_of: list[float | None] = []
    """Best value of k trials, k = 1, 2, …: with Sobol, the expected value over all orders; with
    TPE, whose order matters, that of the first k."""
    default: Summary | None = None
    """Metric on the reported targets and seeds; likewise ``tuned``, and ``gain`` of the pairs."""
    tuned: Summary | None = None
    gain: Summary | None = None

    @property
    def at_ends(self) -> list[str]:
        """Settings of the best trial at an end of their range, such as "levels=12"; none if the
        best trial is the default."""
        if not self.trials:
            return []
        best = self.trials[self.best or 0]
        given = best.parameters | {
            f"{section}.{key}": value
            for section, values in (("training", best.training), ("network", best.network))
            for key, value in values.items()
        }
        return [
            f"{name.rpartition('.')[2]}={given[name]}"
            for name, searched in self.space.items()
            if isinstance(given.get(name), int | float) and _is_at_end(given[name], searched)
        ]


def _is_at_end(value: float, searched: Mapping[str, Any]) -> bool:
    choices = searched["choices"]
    if choices is not None:
        # other choices have no order, such as 64, 256 and "all"
        ordered = all(isinstance(choice, int | float) for choice in choices)
        return ordered and len(choices) > 2 and value in (min(choices), max(choices))
    low, high = searched["low"], searched["high"]
    if searched["log"]:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return low < high and not END < (value - low) / (high - low) < 1 - END


class TuneResult(Data):
    """The result of a tuning, as in DIR/tune.json."""

    schema_version: Literal[1] = 1
    encbench: str
    suite: str
    sampler: Literal["sobol", "tpe"]
    seed: int
    """Seed from which the seeds for drawing each encoding's settings are derived."""
    trials: int
    """Number of trials requested per encoding, including the default setting."""
    metric: str
    title: str = ""
    """Title of the metric, such as "PSNR"; "" in results made before this field existed."""
    unit: str
    direction: Literal["higher", "lower"]
    tune_on: list[str]
    tune_seeds: list[int]
    report_on: list[str]
    report_seeds: list[int]
    notes: list[str] = []
    """Sentences that a reader must know to judge the result."""
    encodings: list[TunedEncoding]

    @property
    def chosen(self) -> set[str]:
        """Keys of the reported cells with tuned settings."""
        return {key for one in self.encodings if one.tuned for key in one.tuned.keys}

    @property
    def shown(self) -> str:
        """The metric's title, or its name."""
        return self.title or self.metric

    @property
    def higher(self) -> bool:
        return self.direction == "higher"

    @property
    def protocol(self) -> str:
        """How settings were chosen, in a sentence or two."""
        drawn = {
            "sobol": f"drawn beforehand from a scrambled Sobol sequence (seed {self.seed})",
            "tpe": f"proposed one after another by Optuna's TPE (seed {self.seed})",
        }
        return (
            f"Tuned with {plural(self.trials, 'trial')} for each encoding: the default setting, "
            f"and others {drawn[self.sampler]}. Chosen by mean {self.shown} on "
            f"{', '.join(self.tune_on)}, {_seeds(self.tune_seeds)}; reported on "
            f"{', '.join(self.report_on)}, {_seeds(self.report_seeds)}."
        )

    @property
    def legend(self) -> str:
        """Sentence that explains the numbers and their intervals."""
        several = len(self.report_on) > 1
        count = len(self.report_on) if several else len(self.report_seeds)
        units = plural(count, "target" if several else "seed")
        interval = f"± is the 95 % interval over {units}" if count > 1 else "one seed, no intervals"
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.shown}{unit}, {self.direction} is better; {interval}."


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def best_trial(values: Sequence[float | None], *, higher: bool) -> int:
    """Index of the best value, the first of equal ones; 0 if all are None."""
    sign = 1 if higher else -1
    scores = [-math.inf if value is None else sign * value for value in values]
    return scores.index(max(scores))


def expected_best(values: Sequence[float | None], *, higher: bool) -> list[float | None]:
    """Expected best of k of the values, k = 1, 2, …, if all subsets of size k are equally likely.

    This is the mean over all orders of the trials: with values sorted from worst to best,
    Σ_i v_i C(i − 1, k − 1) / C(n, k). Dodge et al. ("Show Your Work", EMNLP 2019) draw with
    replacement; without replacement the estimate is unbiased (Tang et al., "Showing Your Work
    Doesn't Always Work", ACL 2020). None counts as the worst of the other values; an expectation is
    None if values of both +∞ and −∞ are in it.
    """
    known = [value for value in values if value is not None]
    if not known:
        return [None] * len(values)
    worst = min(known) if higher else max(known)
    ordered = sorted((worst if v is None else v for v in values), reverse=not higher)
    n = len(ordered)
    return [
        total(ordered[i] * (math.comb(i, k - 1) / math.comb(n, k)) for i in range(k - 1, n))
        for k in range(1, n + 1)
    ]


def total(terms: Iterable[float]) -> float | None:
    """Their sum; None if it is ∞ − ∞, which ``math.fsum`` refuses, or exceeds all floats."""
    try:
        return math.fsum(terms)
    except (ValueError, OverflowError):
        return None


def best_so_far(values: Sequence[float | None], *, higher: bool) -> list[float | None]:
    """The best of the first k values, k = 1, 2, …."""
    firsts = (values[: k + 1] for k in range(len(values)))
    return [first[best_trial(first, higher=higher)] for first in firsts]


def earlier_result(directory: Path) -> TuneResult | None:
    """The result in a folder; None if there is none that can be read."""
    try:
        return TuneResult.model_validate_json((directory / RESULT).read_bytes())
    except (OSError, ValidationError):
        return None


def write_result(directory: Path, result: TuneResult) -> None:
    """Write DIR/tune.json.

    Raises:
        StoreError: the file cannot be written; an earlier one is kept.
    """
    _write(directory / RESULT, result.model_dump_json(indent=2) + "\n")


def write_suite_file(path: Path, suite: Suite) -> None:
    """Write a suite to a file that plans the same cells; raises as ``write_result``."""
    _write(path, suite_toml(suite.as_asked()))


def write_report(directory: Path, result: TuneResult) -> None:
    """Write the page, the best-of-k curves and their plot; raises as ``write_result``."""
    _write(directory / PAGE, page(result))
    _write(directory / CURVE, best_of_csv(result))
    figure = io.BytesIO()
    _draw_best_of(result).savefig(figure, format="png")
    _write(directory / PICTURE, figure.getvalue())


def _write(path: Path, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    with appearing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def best_of_csv(result: TuneResult) -> str:
    """CSV of encoding, k, and the best of k trials; missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["encoding", "trials", result.metric])
    for encoding in result.encodings:
        for k, value in enumerate(encoding.best_of, start=1):
            writer.writerow([encoding.label, k, "" if value is None else repr(value)])
    return text.getvalue()


def _draw_best_of(result: TuneResult) -> Figure:
    figure = Figure(figsize=(9, 4.5), layout="constrained", dpi=150)
    axes = figure.subplots()
    labels = [encoding.label for encoding in result.encodings]
    looks = colours(colour_order(labels, labels))
    lines = {
        encoding.label: [(k, v) for k, v in enumerate(encoding.best_of, 1) if v is not None]
        for encoding in result.encodings
    }
    drawn = {label: points for label, points in lines.items() if points}
    # the legend has the order of the lines' right ends, from top to bottom
    for label in sorted(drawn, key=lambda label: -drawn[label][-1][1]):
        colour, marker = looks[label]
        # "$" would begin a formula, and a label that begins with "_" is left out of the legend
        text = " " + label.replace("$", r"\$")
        axes.plot(*zip(*drawn[label], strict=True), label=text, color=colour, marker=marker, ms=4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trials k")
    what = "expected best of k trials" if result.sampler == "sobol" else "best so far"
    unit = f" [{result.unit}]" if result.unit else ""
    axes.set_ylabel(f"{result.shown}{unit}, {what}")
    axes.set_title("on the tuning targets", fontsize="medium")
    axes.grid(alpha=0.3)
    if drawn:
        figure.legend(loc="outside right upper", fontsize="small")
    return figure


def comparison_rows(result: TuneResult) -> list[list[str]]:
    """Rows of encoding, default, tuned, gain, trial and setting, the best tuned one first."""

    def order(encoding: TunedEncoding) -> float:
        mean = None if encoding.tuned is None else encoding.tuned.mean
        sign = -1 if result.higher else 1
        return math.inf if mean is None else sign * mean

    rows = []
    for encoding in sorted(result.encodings, key=order):
        assert encoding.best is not None, "chosen before it is shown"
        summaries = (encoding.default, encoding.tuned)
        numbers = [summary.text() if summary else "not run" for summary in summaries]
        gain = "0"
        if encoding.gain and encoding.best:
            gain = encoding.gain.text(change_of=encoding.tuned.mean if encoding.tuned else None)
        chosen = encoding.trials[encoding.best]
        rows.append([encoding.label, *numbers, gain, str(chosen.number), chosen.setting])
    return rows


HEADINGS = ("encoding", "default", "tuned", "change", "trial", "tuned setting")


def page(result: TuneResult) -> str:
    """The result in Markdown."""
    steps = [k for k in SHOWN if k < result.trials] + [result.trials]
    curves = []
    for encoding in result.encodings:
        found = (encoding.best_of[k - 1 : k] for k in steps)
        values = ["" if not v or v[0] is None else f"{v[0]:.4g}" for v in found]
        curves.append([encoding.label, *values])
    spaces = [
        [encoding.label, name, text.replace("|", ", ")]
        for encoding in result.encodings
        for name, text in encoding.ranges.items()
    ]
    without = [
        f"{_plain(encoding.label)}: {count} of {len(encoding.trials)} trials without a value"
        for encoding in result.encodings
        if (count := sum(trial.value is None for trial in encoding.trials))
    ]
    how = (
        "Expected best value of k of the trials, over all orders"
        if result.sampler == "sobol"
        else "Best value of the first k trials, since TPE's trials depend on their order"
    )
    lines = [
        f"# {_plain(result.suite)}, tuned",
        _plain(result.protocol),
        *map(_plain, result.notes),
        _plain(result.legend),
        _table(comparison_rows(result), HEADINGS),
        "## Expected results of fewer trials",
        f"{how}, on the tuning targets. Trials without a value count as the worst of the others. "
        f"All values: [{CURVE}]({CURVE}).",
        _table(curves, ["encoding", *(f"k = {k}" for k in steps)]),
        f"![Best of k trials]({PICTURE})",
        *(f"{line} (diverged, failed, or stopped by a limit)." for line in without),
        "## Search spaces",
        _table(spaces, ["encoding", "setting", "searched in"]),
        f"The tuned settings are a suite, `encbench run {TUNED}`; all trials are in `trials/`, "
        f"and every number of this page is in `{RESULT}`.",
    ]
    return "\n\n".join(lines) + "\n"


def _table(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> str:
    texts = [[_plain(text) for text in row] for row in rows]
    return str(tabulate(texts, headings, tablefmt="pipe", disable_numparse=True))


def _plain(text: str) -> str:
    """Escape Markdown markup in a text."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", printable(text).replace("\n", " "))
