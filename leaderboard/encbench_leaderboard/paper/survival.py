"""Claims about quality, checked under the paper's protocol, and tuned with Adam and decay."""

from __future__ import annotations

import math
from dataclasses import dataclass

from encbench.runs.tuning_report import TunedEncoding
from encbench_leaderboard.paper.evidence import (
    MS_SSIM_TOLERANCE,
    PSNR_TOLERANCE,
    READINGS,
    TUNED,
    Evidence,
    Finding,
    against_printed,
    by_target,
    difference,
    metric,
    of_sign,
    on_common_targets,
    reasons,
    text,
)
from encbench_leaderboard.paper.printed import (
    BASELINE,
    FFE_4,
    FFE_8,
    FFE_16,
    FFE_TUNED,
    GAINS,
    MPE_100,
    MPE_200,
    MPE_TUNED,
    TABLE_3,
)
from encbench_leaderboard.statistics.intervals import Interval

FFES, MPES = (FFE_4, FFE_8, FFE_16), (MPE_100, MPE_200)


@dataclass(frozen=True)
class QualityClaim:
    """A claim that one encoding is better than another, by the printed difference."""

    statement: str
    where: str
    metric: str
    printed: float
    experiment: str
    """Name of the experiment with the paper's protocol."""
    pair: tuple[str, str]
    """The better and the worse encoding in it."""
    families: tuple[tuple[str, ...], tuple[str, ...]]
    """Candidates for each when tuned; the best on the photograph tuned on is taken."""


def _gap(better: str, worse: str, place: int) -> float:
    return round(TABLE_3[better][place] - TABLE_3[worse][place], 3)


_ONE = (BASELINE,)
QUALITY_CLAIMS = (
    QualityClaim(
        "MPE over the baseline",
        "abstract, Table 2",
        "psnr",
        GAINS[BASELINE][0],
        "table2",
        (MPE_TUNED, BASELINE),
        (MPES, _ONE),
    ),
    QualityClaim(
        "MPE over FFE",
        "abstract, Table 2",
        "psnr",
        GAINS["FFE"][0],
        "table2",
        (MPE_TUNED, FFE_TUNED),
        (MPES, FFES),
    ),
    QualityClaim(
        "MPE over the baseline, MS-SSIM",
        "abstract, Table 3",
        "ms_ssim",
        GAINS[BASELINE][1],
        READINGS[1],
        (MPE_200, BASELINE),
        (MPES, _ONE),
    ),
    QualityClaim(
        "MPE over FFE, MS-SSIM",
        "abstract, Table 3",
        "ms_ssim",
        GAINS["FFE"][1],
        READINGS[1],
        (MPE_200, FFE_16),
        (MPES, FFES),
    ),
    *(
        QualityClaim(
            f"{better} over {worse}",
            "Table 3",
            "psnr",
            _gap(better, worse, 0),
            READINGS[1],
            (better, worse),
            ((better,), (worse,)),
        )
        for better, worse in (
            (MPE_200, FFE_16),
            (MPE_200, MPE_100),
            (FFE_16, MPE_100),
            (FFE_16, FFE_8),
            (FFE_8, FFE_4),
            (FFE_4, BASELINE),
        )
    ),
)


def unit_of(claim: QualityClaim) -> tuple[str, str]:
    """Format and unit of a difference in the claim's metric."""
    return ("+.1f", "dB") if claim.metric == "psnr" else ("+.3f", "")


def as_in_the_paper(claim: QualityClaim, evidence: Evidence) -> Finding | None:
    """Check the claim under the paper's protocol; None if that was not run."""
    if claim.experiment not in evidence.records:
        return None
    read = metric(claim.metric)
    if claim.experiment in evidence.tunings:
        better, worse = claim.pair
        found = _tuned_difference(claim.experiment, (better,), (worse,), claim, evidence)
    else:
        found = difference(evidence.records[claim.experiment], *claim.pair, read)
    tolerance = PSNR_TOLERANCE if claim.metric == "psnr" else MS_SSIM_TOLERANCE
    answer, why = against_printed(found, claim.printed, tolerance)
    order, unclear = of_sign(found)
    if answer == "disagrees" and order == "agrees":
        why = "the order holds, the size does not"
    elif answer == "agrees" and order != "agrees":
        answer, why = "not comparable", unclear
    if answer == "disagrees" and claim.metric == "ms_ssim":
        why = reasons(why, "the printed MS-SSIM cannot be right, see below")
    return Finding(text(found, *unit_of(claim)), found.units, answer, why)


def tuned(claim: QualityClaim, evidence: Evidence) -> tuple[Interval | None, Interval | None]:
    """Return the same difference with Adam and decay, at all pixels and at those held out; None for
    what was not run."""
    fit, held_out = (
        _tuned_difference(name, *claim.families, claim, evidence)
        if name in evidence.tunings
        else None
        for name in TUNED
    )
    return fit, held_out


def survives(fit: Interval | None, held_out: Interval | None) -> str:
    """Say in words whether a claim also holds with Adam and decay."""
    answers = [None if one is None else of_sign(one)[0] for one in (fit, held_out)]
    match answers:
        case ["agrees", "agrees"]:
            return "yes"
        case ["agrees", "disagrees"]:
            return "only at the points trained on"
        case ["disagrees", "agrees"]:
            return "only at the points held out"
        case ["disagrees", "disagrees"]:
            return "no"
        case ["agrees", None] | ["disagrees", None] | [None, _]:
            return "not run"
    words = {"agrees": "yes", "disagrees": "no", "not comparable": "too few to tell"}
    return f"{words[str(answers[0])]}; held out: {words[str(answers[1])]}"


def _tuned_difference(
    name: str,
    better: tuple[str, ...],
    worse: tuple[str, ...],
    claim: QualityClaim,
    evidence: Evidence,
) -> Interval:
    of = "psnr_held_out" if (name, claim.metric) == (TUNED[1], "psnr") else claim.metric
    left, right = (
        tuned_values(name, _best(name, of_, evidence), of, evidence) for of_ in (better, worse)
    )
    return on_common_targets(left, right)


def _best(name: str, family: tuple[str, ...], evidence: Evidence) -> str:
    found = {one.label: one for one in evidence.tunings[name].encodings}

    def value(label: str) -> float:
        one = found[label]
        best = one.trials[one.best or 0].value
        return -math.inf if best is None else best

    return max(family, key=value)


def tuned_encoding(name: str, label: str, evidence: Evidence) -> TunedEncoding:
    return next(one for one in evidence.tunings[name].encodings if one.label == label)


def tuned_values(name: str, label: str, of: str, evidence: Evidence) -> dict[str, float]:
    """A metric of an encoding's tuned setting, by target."""
    summary = tuned_encoding(name, label, evidence).tuned
    keys = set(summary.keys) if summary is not None else set()
    records = [stored for stored in evidence.records[name] if stored.record.key in keys]
    return by_target(records, label, metric(of))
