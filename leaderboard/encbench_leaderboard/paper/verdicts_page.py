"""The page of a reproduction: each table and claim with the paper's number, ours and an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, get_args

from encbench.errors import plural
from encbench.results.records import StoredRecord
from encbench.results.value_text import fixed
from encbench_leaderboard.board.facts import MetricInfo, machine
from encbench_leaderboard.paper import printed
from encbench_leaderboard.paper.claims import CLAIMS, WIDTH, Claim, points_taken
from encbench_leaderboard.paper.evidence import (
    MS_SSIM_TOLERANCE,
    ORDERS_TOLERANCE,
    PSNR_TOLERANCE,
    READINGS,
    WITHIN,
    Answer,
    Evidence,
    Finding,
    When,
    against_printed,
    collapsed,
    interval,
    metric,
    orders,
    over_targets,
    plain_label,
    reasons,
    text,
)
from encbench_leaderboard.paper.survival import (
    QUALITY_CLAIMS,
    QualityClaim,
    as_in_the_paper,
    survives,
    tuned,
    tuned_encoding,
    tuned_values,
    unit_of,
)
from encbench_leaderboard.report.blocks import Block, Column, Heading, Page, Row, Table, Text, Value
from encbench_leaderboard.report.format import MISSING, code, eigenvalue, plain
from encbench_leaderboard.statistics.intervals import Interval

if TYPE_CHECKING:
    # at run time it would make the longest chain of imports longer
    from encbench_leaderboard.paper.experiments import Experiment

HOW = f"""\
- A printed number: *agrees* if our mean differs from it by at most a tolerance, \
{PSNR_TOLERANCE:g} dB, {MS_SSIM_TOLERANCE:g} of MS-SSIM or {ORDERS_TOLERANCE:g} orders of \
magnitude, and no point of the 95 % interval by more than {WITHIN} times that; the interval of a \
difference must also exclude 0. *Disagrees* if the whole interval differs by more than the \
tolerance; otherwise *not comparable*.
- An order (this is above that): *agrees* if the mean difference has the claimed sign and its \
interval excludes 0; *disagrees* if it has the other sign and its interval excludes 0; otherwise \
*not comparable*: too few to tell.
- Intervals are Student's t, over n targets (photographs or solids), seeds averaged first; of \
kernels and networks n is their number. One target has no interval, so its numbers are *not \
comparable*. One is enough only to *disagree* with a claim about every network: that all six \
train, Theorem 1, Eq. 13.
- λ_min is compared with the printed one only if the kernel is of all training points.
- *Survives*: the difference is positive and its interval excludes 0 also with Adam and a cosine \
to a tenth, the learning rate tuned with equally many trials for each encoding. A family of \
encodings is represented by the one that is best on the photograph tuned on, which is not \
reported.
- Eigenvalues below the floor count as the floor. MS-SSIM is always of the whole image; the \
printed ones cannot be: {printed.MS_SSIM_WHY}."""
EQUATION_13 = (
    "K is the kernel, K₀ that of the same network with the grids' features set to 0, K⁺ the part "
    "of the grids' parameters; features are switched on one after another. Eq. 13 says that the "
    "rest, K − K₀ − K⁺, is 0; Theorem 1 would follow if it has no negative eigenvalue."
)
SMOKE = (
    "**A smoke run: tiny images and networks, two epochs. It shows that the command works; its "
    "numbers say nothing about the paper, and nothing is judged.**"
)


Judge = Callable[..., Finding]
"""``_judged`` at one scale."""


@dataclass(frozen=True)
class Ran:
    """An experiment that was run, and how long its cells took."""

    experiment: Experiment
    seconds: float
    """Time of its cells on one core."""


def verdicts_page(ran: Sequence[Ran], evidence: Evidence, scale: str, notes: Sequence[str]) -> Page:
    """Return the page of experiments run at a scale; notes are on departures from the request."""
    judge = partial(_judged, scale)
    found = [
        (claim, judge(finding, claim.needs))
        for claim in CLAIMS
        if any(name.startswith(claim.needs) for name in evidence.records)
        and (finding := claim.look(evidence)) is not None
    ]
    quality = [
        (claim, judge(finding, claim.experiment, number=True))
        for claim in QUALITY_CLAIMS
        if (finding := as_in_the_paper(claim, evidence)) is not None
    ]
    answers = Counter(one.answer for _, one in (*found, *quality))
    each: tuple[Answer, ...] = ("agrees", "disagrees", "not comparable")
    counted = ", ".join(f"{answer} {answers[answer]}" for answer in each)
    claims = plural(answers.total(), "claim")
    summary = f"{claims}, none judged." if scale == "smoke" else f"Of {claims}: {counted}."
    blocks: list[Block] = [Text(SMOKE, "warning")] if scale == "smoke" else []
    blocks.append(
        Text(
            "Audia, Feizi, Zwicker, Manocha, *How Learnable Grids Recover Fine Detail in Low "
            f"Dimensions* (ICLR 2025), run again by `encbench reproduce paper --scale {scale}`. "
            f"{summary} n is the number of photographs "
            "or solids, or of the kernels or networks that a line is about; how answers are "
            "given is said below."
        )
    )
    if found:
        blocks += [Heading("Claims"), _claims(found)]
    if quality:
        heading = "Claims about quality: the paper's protocol, and tuned with Adam and decay"
        blocks += [Heading(heading), _quality(quality, evidence)]
    titles = {one.experiment.name: one.experiment.title for one in ran}
    for name in READINGS:
        if name in evidence.records:
            blocks += [Heading(titles[name]), _table3(evidence.records[name], judge)]
    if "table2" in evidence.tunings:
        blocks += [Heading(titles["table2"]), _table2(evidence, judge)]
    for name, records in evidence.records.items():
        if name.startswith("table4"):
            blocks += [Heading(titles[name]), *_table4(records)]
    if WIDTH in evidence.records:
        blocks += [Heading("Spectra"), *_spectra(evidence.records[WIDTH])]
    if evidence.kernels:
        blocks += [Heading("Eq. 13, feature by feature"), Text(EQUATION_13), _equation(evidence)]
    blocks += [Heading("How answers are given"), Text(HOW)]
    blocks += [Heading("How this was run"), *_how(ran, evidence, notes)]
    return Page(f"The paper, reproduced ({scale})", blocks, ())


def _judged(scale: str, finding: Finding, experiment: str, *, number: bool = False) -> Finding:
    """Return the finding; not comparable in a smoke run, nor for numbers of Table 2 at a scale with
    smaller images than the paper's."""
    if scale == "smoke":
        return replace(finding, answer="not comparable", why="a smoke run")
    if scale != "full" and number and experiment == "table2":
        why = reasons("smaller images than the paper's", finding.why)
        return replace(finding, answer="not comparable", why=why)
    return finding


def _table(name: str, columns: dict[str, bool], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table; ``columns`` says by title whether a column holds numbers."""
    made = [
        Column(title, title, "number" if number else "text") for title, number in columns.items()
    ]
    return Table(
        name,
        made,
        [
            Row([Value(one, _number(one) if c.kind == "number" else None) for c, one in cells])
            for cells in (zip(made, row, strict=True) for row in rows)
        ],
    )


def _number(text: str) -> float | None:
    """Sort key in a column of numbers: the first number of a text; None if it starts with none."""
    try:
        return float(text.partition(" ")[0])
    except ValueError:
        return None


def _claims(found: Sequence[tuple[Claim, Finding]]) -> Table:
    columns = {"claim": False, "where": False, "paper": False, "here [95 %]": False}
    columns |= {"n": True, "answer": False, "why": False}
    rows = [
        (c.statement, c.where, c.printed, f.ours, str(f.units), f.answer, f.why) for c, f in found
    ]
    return _table("claims", columns, rows)


def _quality(found: Sequence[tuple[QualityClaim, Finding]], evidence: Evidence) -> Table:
    columns = {"claim": False, "where": False, "paper": True, "here [95 %]": True, "n": True}
    columns |= {"answer": False, "tuned, all points": True, "tuned, held out": True}
    columns |= {"survives": False, "why": False}
    rows = []
    for claim, finding in found:
        form, unit = unit_of(claim)
        fit, held_out = tuned(claim, evidence)
        under = [MISSING if one is None else text(one, form, unit) for one in (fit, held_out)]
        left = "not judged" if finding.why == "a smoke run" else survives(fit, held_out)
        paper = f"{claim.printed:{form}} {unit}".rstrip()
        rows.append(
            (
                *(claim.statement, claim.where, paper, finding.ours, str(finding.units)),
                *(finding.answer, *under, left, finding.why),
            )
        )
    return _table("quality", columns, rows)


def _compared(found: Interval, paper: float, name: str, judge: Judge, part: str) -> list[str]:
    """Return the printed number of a metric, ours, and the answer."""
    is_psnr = name == "psnr"
    answer, why = against_printed(found, paper, PSNR_TOLERANCE if is_psnr else MS_SSIM_TOLERANCE)
    judged = judge(Finding("", found.units, answer, why), part, number=True)
    return [f"{paper:g}", text(found, ".2f" if is_psnr else ".3f"), judged.answer]


COMPARED = {
    **{"paper, PSNR [dB]": True, "here, PSNR [dB]": True, "answer, PSNR": False},
    **{"paper, MS-SSIM": True, "here, MS-SSIM": True, "answer, MS-SSIM": False},
}


def _table3(records: Sequence[StoredRecord], judge: Judge) -> Table:
    columns = {"encoding": False, **COMPARED, "lr / lr_crit": True, "n": True, "ended": False}
    rows = []
    for label, paper in printed.TABLE_3.items():
        of = [stored for stored in records if plain_label(stored) == label]
        if not of:
            continue
        row = [label]
        for name, value in zip(printed.METRICS, paper, strict=True):
            row += _compared(over_targets(of, label, metric(name)), value, name, judge, "table3")
        rates = [s.record.learning_rate for s in of]
        ratios = [rate.value / rate.critical for rate in rates if rate and rate.critical]
        units = over_targets(of, label, metric("psnr")).units
        rows.append([*row, fixed(interval(ratios).mean), str(units), _ended(of)])
    return _table("table3", columns, rows)


def _ended(records: Sequence[StoredRecord]) -> str:
    """Describe how cells ended: "3 ok", "2 diverged, at step 3 to 7"."""
    counts = Counter(stored.record.status for stored in records)
    ended = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.items())
    steps = [s.record.error.step for s in records if s.record.error and s.record.error.step]
    last = f" to {max(steps)}" if len(set(steps)) > 1 else ""
    return f"{ended}, at step {min(steps)}{last}" if steps else ended


def _table2(evidence: Evidence, judge: Judge) -> Table:
    columns = {
        "encoding": False,
        **COMPARED,
        "here, with the paper's setting [dB]": True,
        "n": True,
    }
    columns["tuned setting"] = False
    rows = []
    for label, paper in printed.TABLE_2.items():
        one = tuned_encoding("table2", label, evidence)
        row = [label]
        for name, value in zip(printed.METRICS, paper, strict=True):
            found = interval(list(tuned_values("table2", label, name, evidence).values()))
            row += _compared(found, value, name, judge, "table2")
        values = [] if one.default is None else one.default.values
        default = text(interval([v for v in values if v is not None]), ".2f")
        units = len(one.tuned.values) if one.tuned else 0
        rows.append([*row, default, str(units), one.trials[one.best or 0].setting])
    return _table("table2", columns, rows)


def _table4(records: Sequence[StoredRecord]) -> list[Block]:
    metrics = {
        name: MetricInfo(name, value.unit, value.direction, value.title)
        for stored in records
        for name, value in stored.record.metrics.items()
    }
    headings = {info.heading: True for info in metrics.values()}
    columns = {"encoding": False, **headings, "ended": False}
    rows = []
    for label in dict.fromkeys(map(plain_label, records)):
        of = [stored for stored in records if plain_label(stored) == label]
        values = [text(over_targets(of, label, metric(name)), ".4g") for name in metrics]
        lost = ", collapsed" if any(map(collapsed, of)) else ""
        rows.append([label, *values, _ended(of) + lost])
    note = "The paper prints settings of Table 4 and no numbers of quality."
    if all(map(collapsed, records)):
        steps = max(stored.record.steps for stored in records)
        note += (
            f" All networks collapsed: after at most {steps:,} steps they predict that nothing is "
            "inside, which says nothing about the encodings."
        )
    return [Text(note), _table("table4", columns, rows)]


def _spectra(records: Sequence[StoredRecord]) -> list[Block]:
    columns = {"encoding": False, "moment": False, "median": True, "10th percentile": True}
    columns |= {"λ_min": True, "above 10⁻³ λ_max": True}
    rows = []
    for label in printed.TABLE_3:
        for when in get_args(When):
            found = [
                over_targets(records, label, orders(statistic, when)).mean
                for statistic in ("median", "quantile_10", "minimum")
            ]
            count = over_targets(records, label, orders("count", when)).mean
            rows.append([label, when, *(eigenvalue(10**one) for one in found), fixed(count, 0)])
    taken = points_taken(records)
    note = f"Networks with 1/√width in the first layer; {taken}. Geometric means."
    return [Text(note), _table("spectra", columns, rows)]


def _equation(evidence: Evidence) -> Table:
    columns = {"encoding": False, "target": False, "moment": False, "level": True, "feature": True}
    columns |= {"‖K − K₀ − K⁺‖ / ‖K‖": True, "its smallest eigenvalue [λ_max]": True}
    rows = []
    for kernel in evidence.kernels:
        for one in kernel.remainders:
            place = ["all", "all"] if one.level is None else [str(one.level), str(one.feature)]
            numbers = [f"{one.apart:.2e}", f"{one.negative:.1e}"]
            rows.append([kernel.encoding, kernel.target, kernel.when, *place, *numbers])
    return _table("equation13", columns, rows)


def _how(ran: Sequence[Ran], evidence: Evidence, notes: Sequence[str]) -> list[Block]:
    columns = {"part": False, "folder": False, "departs from the paper": False, "minutes": True}
    rows = [
        [
            one.experiment.title,
            one.experiment.name,
            one.experiment.departs,
            f"{one.seconds / 60:.1f}",
        ]
        for one in ran
    ]
    records = (stored.record for of in evidence.records.values() for stored in of)
    on = sorted({machine(record.provenance) for record in records})
    lines = [f"- Minutes are those of one core; {plain('; '.join(on))}."]
    lines += [f"- {plain(note)}." for note in notes]
    lines.append(
        f"- Each folder is an ordinary results folder: {code('encbench leaderboard DIR/FOLDER')} "
        "draws its page."
    )
    return [_table("parts", columns, rows), Text("\n".join(lines))]
