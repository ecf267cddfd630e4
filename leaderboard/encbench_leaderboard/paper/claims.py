"""The paper's claims that are not about quality, and how each is checked against records."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from encbench.results.records import StoredRecord
from encbench_leaderboard.paper.evidence import (
    EQUATION,
    NOTHING,
    ONE_TARGET,
    ORDERS_TOLERANCE,
    READINGS,
    Answer,
    Evidence,
    Finding,
    When,
    against_printed,
    by_target,
    collapsed,
    difference,
    eigenvalues,
    interval,
    of_sign,
    on_common_targets,
    orders,
    plain_label,
    reasons,
    spectrum_of,
    targets_of,
    text,
)
from encbench_leaderboard.paper.printed import (
    BASELINE,
    FFE_4,
    FFE_8,
    FFE_16,
    MPE_100,
    MPE_200,
    ORDERS,
    TABLE_3,
)

WIDTH = READINGS[1]
"""The reading whose PSNRs are closest to the paper's; spectra are those of its networks."""
ORDER_UNIT = "orders"
BARELY = 0.25
"""Maximum share of the gap to the baseline, in orders of magnitude, that is "barely above" it."""
STEADY = 0.1
"""Maximum relative change of a kernel in the second half of training that is "stable"."""


@dataclass(frozen=True)
class Claim:
    """A claim, where the paper makes it, and the function that checks it."""

    statement: str
    where: str
    printed: str
    look: Callable[[Evidence], Finding | None]
    needs: str = WIDTH
    """Name of the experiment that it needs; "table4" for any solid of Table 4."""


def _statistic(statistic: str, evidence: Evidence) -> Finding:
    records, read = evidence.records[WIDTH], orders(statistic, "end")
    above = difference(records, MPE_200, FFE_16, read)
    below = difference(records, FFE_16, BASELINE, read)
    answer, why = of_sign(above, below)
    form, unit = ("+.0f", "") if statistic == "count" else ("+.1f", ORDER_UNIT)
    ours = f"MPE 200² over FFE 16: {text(above, form, unit)}; FFE 16 over baseline: "
    return Finding(ours + text(below, form, unit), above.units, answer, why)


def _smallest(other: str, printed: float, evidence: Evidence) -> Finding:
    records = evidence.records[WIDTH]
    found = difference(records, MPE_200, other, orders("minimum", "end"))
    answer, why = against_printed(found, printed, ORDERS_TOLERANCE)
    below = sum(
        summary.minimum is None
        for stored in records
        if plain_label(stored) == other and (summary := spectrum_of(stored, "end"))
    )
    if below:
        why = f"at least: λ_min of {other} is below the floor in {below} networks; {why}"
    some = any(
        summary.points < (stored.record.training_points or 0)
        for stored in records
        if (summary := spectrum_of(stored, "end"))
    )
    why = reasons(why, f"depends on N: {points_taken(records)}")
    # λ_min depends on the number of points, differently for each encoding
    answer = "not comparable" if some else answer
    return Finding(text(found, unit=ORDER_UNIT), found.units, answer, why)


def points_taken(records: Sequence[StoredRecord]) -> str:
    """Describe N of the kernels: "N = 1,024, 6 % of the training points"."""
    for stored in records:
        summary = spectrum_of(stored, "end")
        if summary is not None and stored.record.training_points:
            share = 100 * summary.points / stored.record.training_points
            return f"N = {summary.points:,}, {share:.3g} % of the training points"
    return "N unknown"


def _without_grid(evidence: Evidence) -> Finding:
    shares, medians = [], []
    for stored, plain in _pairs(evidence, MPE_200, BASELINE):
        mlp, own = eigenvalues(stored, "end", "mlp_"), eigenvalues(stored, "end")
        base, floor = eigenvalues(plain, "end"), spectrum_of(plain, "end")
        if mlp is None or own is None or base is None or floor is None:
            continue
        middle = [math.log10(max(float(np.median(v)), floor.floor)) for v in (mlp, own, base)]
        medians.append(middle[0] - middle[2])
        shares.append((middle[0] - middle[2]) / (middle[1] - middle[2]))
    found, share = interval(medians), interval(shares)
    if math.isnan(share.mean):
        return NOTHING
    answer, why = of_sign(interval([BARELY - one for one in shares]))
    below = ", below it" if share.mean < 0 else ""
    rule = f"barely: at most {BARELY:.0%} of the whole kernel's gap; here {share.mean:.0%}{below}"
    ours = f"median of the MLP's part over the baseline's: {text(found, unit=ORDER_UNIT)}"
    return Finding(ours, found.units, answer, reasons(rule, why))


def _pairs(evidence: Evidence, a: str, b: str) -> list[tuple[StoredRecord, StoredRecord]]:
    """Pairs of finished cells of two encodings on the same target and seed."""
    found: dict[str, dict[tuple[str, int], StoredRecord]] = {a: {}, b: {}}
    for stored in evidence.records[WIDTH]:
        if stored.record.status == "ok" and plain_label(stored) in found:
            at = stored.record.task_label, stored.record.cell.seed
            found[plain_label(stored)][at] = stored
    return [(one, found[b][at]) for at, one in found[a].items() if at in found[b]]


def _saturates(evidence: Evidence) -> Finding:
    records, read = evidence.records[WIDTH], orders("median", "end")
    first = difference(records, FFE_8, FFE_4, read)
    second = difference(records, FFE_16, FFE_8, read)
    four, eight, sixteen = (by_target(records, label, read) for label in (FFE_4, FFE_8, FFE_16))
    gaps = [
        (eight[t] - four[t]) / 2 - (sixteen[t] - eight[t])
        for t in four
        if t in eight and t in sixteen
    ]
    answer, why = of_sign(interval(gaps))
    ours = (
        f"median, L 4 → 8: {text(first, unit=ORDER_UNIT)}; 8 → 16: {text(second, unit=ORDER_UNIT)}"
    )
    rule = "saturates: the second step is less than half of the first"
    return Finding(ours, first.units, answer, reasons(rule, why))


def _crossing(evidence: Evidence) -> Finding:
    """Check whether the order of the spectra at the last index is opposite to that at most indices
    between a tenth and a half; find the share of the indices after which it stays opposite."""
    places: list[float] = []
    looked = 0
    for coarse, ffe in _pairs(evidence, MPE_100, FFE_16):
        a, b = eigenvalues(coarse, "end"), eigenvalues(ffe, "end")
        if a is None or b is None or len(a) != len(b):
            continue
        looked += 1
        above = a > b
        first = bool(above[len(a) // 10 : len(a) // 2].mean() > 0.5)
        if above[-1] != first:
            places.append(float(np.flatnonzero(above == first)[-1] + 1) / len(a))
    if not looked:
        return NOTHING
    ours = f"crosses in {len(places)} of {looked} networks"
    if places:
        ours += f", at {100 * float(np.median(places)):.0f} % of the indices (median)"
    if len(targets_of(evidence.records[WIDTH])) == 1:
        return Finding(ours, looked, "not comparable", ONE_TARGET)
    if 0 < len(places) < looked:
        return Finding(ours, looked, "not comparable", "differs from target to target")
    return Finding(ours, looked, "agrees" if places else "disagrees")


def _alike_at_start(evidence: Evidence) -> Finding:
    records = evidence.records[WIDTH]

    def spread(when: When) -> tuple[list[float], list[float]]:
        read = orders("median", when)
        values = [by_target(records, label, read) for label in TABLE_3]
        targets = [t for t in values[0] if all(t in one for one in values)]
        each = [[one[t] for one in values] for t in targets]
        return [max(v) - min(v) for v in each], [max(v) for v in each]

    (start, high), (end, higher) = spread("start"), spread("end")
    if not start:
        return Finding("–", 0, "not comparable", "no target on which all six finished")
    answer, why = of_sign(
        interval([b / 2 - a for a, b in zip(start, end, strict=True)]),
        interval([b - a for a, b in zip(high, higher, strict=True)]),
    )
    ours = f"medians of the six are {interval(start).mean:.1f} orders apart at the start, "
    ours += f"{interval(end).mean:.1f} at the end"
    rule = "alike: at most half as far apart as at the end; low: none above the end's highest"
    return Finding(ours, len(start), answer, reasons(rule, why))


def _steady(evidence: Evidence) -> Finding:
    """Use ``drift_from_middle`` of the records, ‖K_end − K_middle‖ / ‖K_middle‖; if none has it, a
    lower bound: the distance of the eigenvalues is at most that of the kernels (Hoffman and
    Wielandt, 1953)."""
    drifts, bounds = [], []
    for stored in evidence.records[WIDTH]:
        end = spectrum_of(stored, "end")
        before, after = (eigenvalues(stored, when) for when in ("middle", "end"))
        if end is None or before is None or after is None or len(before) != len(after):
            continue
        drift = getattr(end, "drift_from_middle", None)
        if drift is None:
            bounds.append(float(np.linalg.norm(after - before) / np.linalg.norm(before)))
        else:
            drifts.append(float(drift))
    found = drifts or bounds
    if not found:
        return NOTHING
    moved = float(np.median(found))
    least = "" if drifts else "at least "
    ours = (
        f"‖K_end − K_middle‖ / ‖K_middle‖ is {least}{moved:.2g} (median of {len(found)} networks)"
    )
    rule = f"stable: at most {STEADY:g}"
    if len(targets_of(evidence.records[WIDTH])) == 1:
        return Finding(ours, len(found), "not comparable", f"{rule}; {ONE_TARGET}")
    if moved > STEADY:
        return Finding(ours, len(found), "disagrees", rule)
    if not drifts:
        why = f"{rule}; only the eigenvalues are known of these kernels"
        return Finding(ours, len(found), "not comparable", why)
    return Finding(ours, len(found), "agrees", rule)


def _finer(evidence: Evidence) -> Finding:
    records = evidence.records[WIDTH]
    found = difference(records, MPE_200, MPE_100, orders("median", "end"))
    shares = []
    for fine, coarse in _pairs(evidence, MPE_200, MPE_100):
        a, b = eigenvalues(fine, "end"), eigenvalues(coarse, "end")
        if a is not None and b is not None and len(a) == len(b):
            shares.append(float((a > b).mean()))
    answer, why = of_sign(found)
    ours = (
        f"median {text(found, unit=ORDER_UNIT)}; larger at {interval(shares).mean:.0%} of indices"
    )
    return Finding(ours, found.units, answer, why)


def _theorem(evidence: Evidence) -> Finding | None:
    if not evidence.kernels:
        return None
    failing = [one for one in evidence.kernels if one.above]
    most = max(one.above for one in evidence.kernels)
    ours = f"λ_i(K₀) > λ_i(K) on {len(failing)} of {len(evidence.kernels)} kernels"
    ours += f", at up to {most} of {evidence.kernels[0].points} indices" if failing else ""
    why = "K₀: the network without the grids' features, the same weights"
    why += "; one kernel is enough" if failing else f"; {ONE_TARGET}"
    return Finding(ours, len(evidence.kernels), "disagrees" if failing else "not comparable", why)


def _equation(evidence: Evidence) -> Finding | None:
    if not evidence.kernels:
        return None
    apart = [one.remainders[-1].apart for one in evidence.kernels]
    negative = min(one.remainders[-1].negative for one in evidence.kernels)
    ours = f"‖K − K₀ − K⁺‖ / ‖K‖ from {min(apart):.2g} to {max(apart):.2g}; "
    ours += f"smallest eigenvalue of the rest {negative:.1e} · λ_max"
    exact = max(apart) < 1e-9
    why = "" if exact else "features change the part of all other weights, too"
    return Finding(ours, len(apart), "agrees" if exact else "disagrees", why)


def _weyl(evidence: Evidence) -> Finding | None:
    checks = [
        summary.weyl.ok
        for records in evidence.records.values()
        for stored in records
        for summary in stored.record.spectra
        if summary.weyl is not None
    ]
    if not checks:
        return None
    answer: Answer = "agrees" if all(checks) else "disagrees"
    why = "cannot fail but by rounding: a check of our arithmetic, not of the paper"
    return Finding(f"holds on {sum(checks)} of {len(checks)} kernels", len(checks), answer, why)


def _solids(evidence: Evidence) -> Finding | None:
    """Each solid has grids of its own, so encodings are matched by the first word of their labels.

    Networks that predict that nothing is inside are left out: they learned nothing.
    """
    read = orders("median", "end")
    found: dict[str, dict[str, float]] = defaultdict(dict)
    networks, lost = 0, 0
    for name, records in evidence.records.items():
        if not name.startswith("table4"):
            continue
        kept = [stored for stored in records if not collapsed(stored)]
        networks, lost = networks + len(records), lost + len(records) - len(kept)
        for label in set(map(plain_label, kept)):
            found[label.partition(" ")[0]] |= by_target(kept, label, read)

    first = on_common_targets(found["MPE"], found["FFE"])
    second = on_common_targets(found["FFE"], found[BASELINE])
    answer, why = of_sign(first, second)
    if lost:
        left_out = f"{lost} of {networks} networks learned nothing and are left out"
        why = reasons(left_out, why if lost < networks else "")
    ours = f"median, MPE over FFE: {text(first, unit=ORDER_UNIT)}; FFE over baseline: "
    return Finding(ours + text(second, unit=ORDER_UNIT), first.units, answer, why)


def _rate(evidence: Evidence) -> Finding | None:
    records = evidence.records[READINGS[0]]
    labels = list(dict.fromkeys(map(plain_label, records)))
    ended = [
        label
        for label in labels
        if all(s.record.status != "diverged" for s in records if plain_label(s) == label)
    ]
    targets = len({stored.record.task_label for stored in records})
    if len(ended) == len(labels):
        ours = f"all {len(labels)} train"
        if targets == 1:
            return Finding(ours, targets, "not comparable", ONE_TARGET)
        return Finding(ours, targets, "agrees")
    # one encoding that diverges refutes the claim
    ours = f"{len(ended)} of {len(labels)} encodings train, the others diverge"
    ours = ours if ended else f"all {len(labels)} diverge"
    wide = {plain_label(s) for s in evidence.records.get(WIDTH, ()) if s.record.status == "ok"}
    why = "with 1/√width in the first layer all do" if wide >= set(labels) else ""
    return Finding(ours, targets, "disagrees", why)


_ORDER = "MPE over FFE over baseline"
CLAIMS = (
    Claim(
        "All six encodings train with a learning rate of 100",
        "Tables 1, 3",
        "train",
        _rate,
        READINGS[0],
    ),
    Claim(
        "The median eigenvalue at the end", "Figures 2, 4", _ORDER, partial(_statistic, "median")
    ),
    Claim("The 10th percentile", "Figure 4", _ORDER, partial(_statistic, "quantile_10")),
    Claim("The smallest eigenvalue", "Figure 4", _ORDER, partial(_statistic, "minimum")),
    Claim("Eigenvalues above 10⁻³ λ_max", "Figure 4", _ORDER, partial(_statistic, "count")),
    Claim(
        "λ_min of MPE over the baseline",
        "abstract",
        f"{ORDERS[BASELINE]:g} orders",
        partial(_smallest, BASELINE, ORDERS[BASELINE]),
    ),
    Claim(
        "λ_min of MPE over FFE",
        "abstract",
        f"{ORDERS['FFE']:g} orders",
        partial(_smallest, FFE_16, ORDERS["FFE"]),
    ),
    Claim(
        "Without the grid's term the spectrum is barely above the baseline's",
        "Figure 2",
        "barely",
        _without_grid,
    ),
    Claim("FFE saturates between L = 8 and 16", "Figure 4", "saturates", _saturates),
    Claim("The coarse MPE crosses FFE L = 16", "Figure 4", "crosses", _crossing),
    Claim("A finer grid has the higher spectrum", "Figure 4", "higher", _finer),
    Claim("Spectra are low and alike at the start", "Figure 11", "low, alike", _alike_at_start),
    Claim("The kernel is stable in the second half of training", "Figures 4, 5", "stable", _steady),
    Claim("The same order on solids", "Figure 5", _ORDER, _solids, "table4"),
    Claim(
        "No eigenvalue is below that without an encoding",
        "Theorem 1",
        "λ_i(K₀) ≤ λ_i(K)",
        _theorem,
        EQUATION,
    ),
    Claim("K = K₀ + K⁺", "Eq. 13", "an identity", _equation, EQUATION),
    Claim("λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K)", "Weyl's inequality", "holds", _weyl),
)
