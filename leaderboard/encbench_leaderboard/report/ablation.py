"""What the encoding adds to the kernel: the ablation, Theorem 1, and what bounds the rank."""

from __future__ import annotations

from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.render.markdown import ENTRY_COLUMNS, table
from encbench_leaderboard.report.format import MISSING, code, count, eigenvalue

__all__ = ["ABLATION", "ablation_table", "theorem_sentence"]

ABLATION = (
    "K = K_MLP + K_enc, the network's parameters and the encoding's; K_MLP alone is the kernel "
    "without the encoding's learnable parameters. At the end of training, first seed. An "
    "*activation region* is a set of points at which the same ReLU units are on; on plain "
    "coordinates a region of a ReLU network holds at most d + 1 independent rows of the "
    "Jacobian, which bounds the rank of the trace kernel."
)


def ablation_table(task: TaskBoard) -> str | None:
    """K beside K_MLP at the end of training, first seed; None where no spectrum was taken."""
    rows = []
    for row in task.rows:
        entry = row["entry"]
        summaries = [s for r in task.of_entry(entry)[:1] for s in r.record.spectra]
        last = next((s for s in summaries if s.when == "end"), None)
        if last is None or last.mlp is None:
            continue
        seen = last.activation
        rows.append(
            {
                "encoding": code(entry),
                "λ median of K": _value(last.median, last.floor),
                "of K_MLP": _value(last.mlp.median, last.mlp.floor),
                "λ_min of K": _value(last.minimum, last.floor),
                "λ_min of K_MLP": _value(last.mlp.minimum, last.mlp.floor),
                "activation regions": _count(seen.regions if seen else None),
                "bound of the rank": _count(seen.rank_bound if seen else None),
                "dead units": _count(seen.dead_units if seen else None),
            }
        )
    return table(rows, ENTRY_COLUMNS) if rows else None


def theorem_sentence(task: TaskBoard) -> str | None:
    """On how many kernels Theorem 1 was checked, and whether it held; None without kernels.

    Without learnable parameters of the encoding K is K_MLP, which proves nothing.
    """
    checks = [
        (summary.weyl, entry, summary.when)
        for entry in task.standings["entry"]
        for stored in task.of_entry(entry)
        for summary in stored.record.spectra
        if summary.weyl is not None and stored.record.parameters.get("encoding", 0) > 0
    ]
    if not checks:
        return None
    broken = [(entry, when) for weyl, entry, when in checks if not weyl.ok]
    rule = "λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K) for every i, within the floors"
    if not broken:
        return f"Theorem 1, {rule}, was checked on {count(len(checks))} kernels and holds on all."
    where = ", ".join(f"{code(entry)} ({when})" for entry, when in broken)
    return (
        f"**Theorem 1, {rule}, fails on {count(len(broken))} of {count(len(checks))} kernels: "
        f"{where}. A kernel here is wrong.**"
    )


def _value(value: float | None, floor: float) -> str:
    return f"≤ {eigenvalue(floor)}" if value is None else eigenvalue(value)


def _count(number: int | None) -> str:
    return MISSING if number is None else count(number)
