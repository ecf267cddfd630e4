"""Shares of a suite's cells, and the order in which cells run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import chain, groupby
from random import Random

from encbench.errors import UsageError, plural
from encbench.suite.config import CellConfig, cell_key

logger = logging.getLogger("encbench")


def share_of(
    cells: Mapping[str, CellConfig], shard: tuple[int, int] | None
) -> Mapping[str, CellConfig]:
    """The given share of the cells, in their order; all cells if ``shard`` is None.

    The sizes of shares differ by at most one; an empty share is a warning. Cells are distributed by
    a hash of what the suite says of them, so that shares are disjoint on machines that hold
    different data, too.

    Raises:
        UsageError: the share does not exist.
    """
    if shard is None:
        return cells
    number, count = shard
    if not 1 <= number <= count:
        raise UsageError(f"shard {number}/{count}: expected I/N, where I is one of 1 to N")
    # by a hash: every n-th cell of the plan could have the same encoding
    hashes = {
        key: cell_key(cell.model_copy(update={"data_hash": None})) for key, cell in cells.items()
    }
    mine = set(sorted(cells, key=hashes.__getitem__)[number - 1 :: count])
    if not mine:
        all_cells = plural(len(cells), "cell")
        logger.warning("share %d/%d holds none of the %s", number, count, all_cells)
    return {key: cell for key, cell in cells.items() if key in mine}


def longest_first(cells: Mapping[str, CellConfig]) -> dict[str, CellConfig]:
    """Sort cells by size of the network, then length of training, largest first: a long cell that
    starts last would leave the other processes idle."""

    def work(cell: CellConfig) -> tuple[int, int]:
        network, training = cell.network, cell.training
        size = (network.width or 0) ** 2 * (network.depth or 0)
        return size, training.steps or training.epochs or 0

    return dict(sorted(cells.items(), key=lambda keyed: work(keyed[1]), reverse=True))


def shuffled(cells: Iterable[tuple[str, CellConfig]]) -> list[tuple[str, CellConfig]]:
    """Shuffle the tasks, and the cells of each: two processes that run the same share at once then
    meet at few cells, and each still loads a task's data once."""
    by_task = [list(same) for _, same in groupby(cells, key=lambda keyed: keyed[1].task)]
    Random().shuffle(by_task)
    for group in by_task:
        Random().shuffle(group)
    return list(chain.from_iterable(by_task))
