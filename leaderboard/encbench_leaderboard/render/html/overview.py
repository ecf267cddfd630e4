"""The overview's table as plain data."""

from __future__ import annotations

from typing import Any

from encbench_leaderboard.board.overview import Overview
from encbench_leaderboard.board.table import Board
from encbench_leaderboard.render.html.columns import sortable
from encbench_leaderboard.render.markdown import digits
from encbench_leaderboard.report.format import fixed

__all__ = ["UNFINISHED", "overview_data"]

UNFINISHED = "did not finish"


def overview_data(board: Board, found: Overview) -> dict[str, Any]:
    """Columns as ``groups``, numbers in the payload's tasks, and rows as ``overview``.

    ``cells`` of a row maps a column's place to the text and the number that is sorted by.
    """
    shown = {id(task): n for n, task in enumerate([*board.categories, *board.tasks])}
    cells: dict[str, dict[int, list[Any]]] = {entry: {} for entry in found.entries}
    for place, group in enumerate(found.groups):
        name, places = f"metric:{group.primary.name}", digits(group.primary)
        table = group.standings
        for entry, value, finished in zip(table["entry"], table[name], table["n"], strict=True):
            cells[entry][place] = (
                [fixed(value, places), sortable(value)] if finished else [UNFINISHED, None]
            )
    numbers = {entry: number for number, entry in enumerate(board.entries)}
    return {
        "groups": [shown[id(group)] for group in found.groups],
        "overview": [
            {
                "entry": numbers[entry],
                "mean": fixed(found.mean_rank(place)),
                "tasks": found.tasks(place),
                "cells": cells[entry],
            }
            for place, entry in enumerate(found.entries)
        ],
    }
