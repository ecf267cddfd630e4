"""Under which settings cells are trained, in words: what all share, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from encbench.suite.config import CellConfig, TrainingConfig

SHOWN = 3
"""Of values that differ, at most."""


def several(values: Iterable[str]) -> str:
    """The value that all share, or the first few of several."""
    distinct = list(dict.fromkeys(values))
    shown = distinct[:SHOWN]
    if len(distinct) > SHOWN:
        return f"{', '.join(shown)}, …"
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown) or "no"


def batch(training: TrainingConfig) -> str:
    """Points of a step: "1,024", or "all"."""
    size = training.batch_size
    return size if isinstance(size, str) else f"{size:,}"


def rate_in_words(used: Iterable[tuple[TrainingConfig, str]]) -> str:
    """How learning rates are chosen; beside a cell's training its rate, as it is to be shown, or
    "" where the usual one is not known yet."""
    ways: dict[str, list[str]] = {}
    for training, rate in used:
        automatic = training.lr == "auto"
        if automatic and training.optimizer.partition(":")[0] == "sgd":
            ways.setdefault("× lr_crit", []).append(f"{training.lr_factor:g}")
        elif automatic and not rate:
            ways["the usual one"] = []  # lr_factor is of lr_crit alone
        else:
            ways.setdefault("by default" if automatic else "as given", []).append(rate)
    return " or ".join(f"{several(rates)} {way}" if rates else way for way, rates in ways.items())


def networks_in_words(cells: Sequence[CellConfig]) -> str:
    """Hidden layers and parameterization, or what networks of other kinds say of themselves."""
    networks = [cell.network for cell in cells]
    if any(network.kind != "mlp" for network in networks):
        return " or ".join(dict.fromkeys(network.described for network in networks))
    return (
        f"hidden layers {several(f'{n.depth} × {n.width}' for n in networks)}, "
        f"{several(n.parameterization for n in networks)} parameterization"
    )


def protocol_parts(cells: Sequence[CellConfig], rate: str, length: str) -> list[str]:
    """Optimizer and schedule with the learning rate, steps and batches, and the networks.

    Args:
        rate: as ``rate_in_words``, or "tuned for each encoding".
        length: of the training, "2,500 steps" or "50 epochs".
    """
    training = [cell.training for cell in cells]
    return [
        f"{several(t.optimizer for t in training)}, {several(t.schedule for t in training)} "
        f"learning rate, {rate}",
        f"{length} of {several(map(batch, training))} points",
        networks_in_words(cells),
    ]
