"""Timings of pytest-benchmark as a Markdown table."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encbench.errors import StoreError

__all__ = ["Timing", "difference", "read_timings", "render"]

TITLES = {"forward": "forward", "backward": "backward", "step": "training step", "ntk": "NTK"}
ACCURACIES = {
    "forward": "error",
    "backward": "gradient's error",
    "step": "PSNR [dB]",
    "ntk": "NTK's error",
}
"""Column titles; the file says in words what each means."""
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


@dataclass(frozen=True)
class Timing:
    """One benchmark of one encoding; times in seconds."""

    encoding: str
    operation: str
    median: float
    quartiles: tuple[float, float]
    parameters: dict[str, int]
    """Numbers of parameters, "mlp" and "encoding"."""
    accuracy: float
    accuracy_means: str
    conditions: dict[str, Any]
    settings: dict[str, Any]


def read_timings(file: Path) -> dict[tuple[str, str], Timing]:
    """(encoding, operation) to timing, from a file of pytest-benchmark.

    Raises:
        StoreError: it cannot be read, or holds no benchmark of encodings.
    """
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        timings = [_timing(b) for b in stored["benchmarks"] if "accuracy" in b["extra_info"]]
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file} is no file of `encbench bench --save`: {type(error).__name__}: {error}"
        ) from None
    if not timings:
        raise StoreError(f"{file} holds no benchmark of an encoding; `encbench bench --save` does")
    return {(timing.encoding, timing.operation): timing for timing in timings}


def difference(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs, in words."""
    return [
        f"{key} {before.get(key)!r}, now {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def render(
    found: dict[tuple[str, str], Timing],
    before: dict[tuple[str, str], Timing],
    name: str | None,
) -> str:
    """A Markdown table: encodings down, operations across, accuracy behind them.

    With timings from before, each time carries the ratio to its own, or "≈" where the quartiles
    overlap and the difference may be noise.
    """
    encodings = list(dict.fromkeys(encoding for encoding, _ in found))
    operations = [operation for operation in TITLES if any(op == operation for _, op in found)]
    any_one = next(iter(found.values()))
    meanings = {op: timing.accuracy_means for (_, op), timing in found.items()}
    head = ["encoding", "parameters"]
    head += [TITLES[operation] for operation in operations]
    head += [ACCURACIES[operation] for operation in operations]
    rows = []
    for encoding in encodings:
        timings = {operation: found.get((encoding, operation)) for operation in operations}
        counts = next(t.parameters for t in timings.values() if t)
        row = [encoding.replace("|", "\\|"), f"{counts['encoding']:,} + {counts['mlp']:,}"]
        row += [_time(timings[op], before.get((encoding, op))) for op in operations]
        row += [_accuracy(timings[op]) for op in operations]
        rows.append(row)
    lines = [" | ".join(row) for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
    where, settings = any_one.conditions, any_one.settings
    notes = [
        f"Median times. Parameters: encoding + MLP of {settings['depth']} × {settings['width']} "
        f"units; {settings['points']} points, NTK of {settings['ntk_points']} in float64.",
        f"{where['device']} of {where['machine']} ({where['processor']}), "
        f"{where['threads']} thread{'' if where['threads'] == 1 else 's'}.",
    ]
    notes.append("; ".join(f"{ACCURACIES[op]}: {meanings[op]}" for op in operations) + ".")
    if before:
        notes.append(f"×: ratio to {name}; ≈: the quartiles overlap, so it may be noise.")
    return "\n".join(f"| {line} |" for line in lines) + "\n\n" + "  \n".join(notes) + "\n"


def _timing(stored: dict[str, Any]) -> Timing:
    info, stats = stored["extra_info"], stored["stats"]
    return Timing(
        encoding=info["encoding"],
        operation=info["operation"],
        median=stats["median"],
        quartiles=(stats["q1"], stats["q3"]),
        parameters=info["parameters"],
        accuracy=info["accuracy"],
        accuracy_means=info["accuracy_means"],
        conditions=info["conditions"],
        settings=info["settings"],
    )


def _time(timing: Timing | None, before: Timing | None) -> str:
    if timing is None:
        return "failed"
    size, unit = next((u for u in UNITS if timing.median >= u[0]), UNITS[-1])
    text = f"{timing.median / size:.3g} {unit}"
    if before is None:
        return text
    overlap = (
        timing.quartiles[0] <= before.quartiles[1] and before.quartiles[0] <= timing.quartiles[1]
    )
    return f"{text} {'≈' if overlap else f'×{timing.median / before.median:.2f}'}"


def _accuracy(timing: Timing | None) -> str:
    if timing is None:
        return "–"
    if not math.isfinite(timing.accuracy):
        return str(timing.accuracy)
    return f"{timing.accuracy:.1f}" if timing.operation == "step" else f"{timing.accuracy:.1e}"
