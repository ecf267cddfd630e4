"""Describe the settings under which cells are trained: those that all share, and differences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from encbench.suite.config import CellConfig, TrainingConfig

SHOWN = 3
"""Maximum number of different values that are listed."""


def several(values: Iterable[str]) -> str:
    """The value that all share, or the first few of several, and how many more there are."""
    distinct = list(dict.fromkeys(values))
    shown = distinct[:SHOWN]
    if len(distinct) > SHOWN:
        shown.append(f"{len(distinct) - SHOWN:,} more")
        return f"{', '.join(shown[:-1])} and {shown[-1]}"
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown) or "no"


def batch(training: TrainingConfig, used: int | None = None, *, number: bool = False) -> str:
    """Number of points per step: "1,024", or "all".

    Args:
        used: the number in a record, which is smaller if an epoch has fewer points.
        number: give that number, if known, also for "all".
    """
    size = training.batch_size
    if isinstance(size, str) and not (number and used):
        return size
    return f"{used or size:,}"


def rate_in_words(used: Iterable[tuple[TrainingConfig, str]]) -> str:
    """Describe how learning rates are chosen, from each cell's training and its rate as shown, or
    "" if the usual rate is not known yet."""
    ways: dict[str, list[str]] = {}
    for training, rate in used:
        automatic = training.lr == "auto"
        if automatic and training.optimizer.partition(":")[0] == "sgd":
            ways.setdefault("× lr_crit", []).append(f"{training.lr_factor:g}")
        elif automatic and not rate:
            ways["the usual one"] = []  # lr_factor only applies to lr_crit
        else:
            ways.setdefault("by default" if automatic else "as given", []).append(rate)
    return " or ".join(f"{several(rates)} {way}" if rates else way for way, rates in ways.items())


def networks_in_words(cells: Sequence[CellConfig]) -> str:
    """Hidden layers and parameterization, or descriptions of networks of other kinds."""
    networks = [cell.network for cell in cells]
    if any(network.kind != "mlp" for network in networks):
        return " or ".join(dict.fromkeys(network.described for network in networks))
    sizes = list(dict.fromkeys((n.depth or 0, n.width or 0) for n in networks))
    layers = f"hidden layers {several(f'{depth} × {width}' for depth, width in sizes)}"
    if len(sizes) > SHOWN:
        depths, widths = (" to ".join(map(str, _ends(of))) for of in zip(*sizes, strict=True))
        layers = f"{depths} hidden layers of {widths} units"
    return f"{layers}, {several(n.parameterization for n in networks)} parameterization"


def _ends(numbers: Iterable[int]) -> list[int]:
    """The smallest and the largest number; one if all are the same."""
    ordered = sorted(set(numbers))
    return [ordered[0], *ordered[1:][-1:]]


def protocol_parts(
    cells: Sequence[CellConfig], rate: str, length: str, batches: Iterable[str]
) -> list[str]:
    """Optimizer and schedule with the learning rate, steps and batches, and the networks.

    Args:
        rate: from ``rate_in_words``, or "tuned for each encoding".
        length: length of the training, such as "2,500 steps" or "50 epochs".
        batches: ``batch`` of each cell.
    """
    training = [cell.training for cell in cells]
    return [
        f"{several(t.optimizer for t in training)}, {several(t.schedule for t in training)} "
        f"learning rate, {rate}",
        f"{length} of {several(batches)} points",
        networks_in_words(cells),
    ]
