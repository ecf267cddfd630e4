"""The page's data, as tests read it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.render.html import write_html
from encbench_leaderboard.render.html.payload import payload

from tests.leaderboard.results import Results


def page(results: Results, **options: Any) -> str:
    return write_html(results.directory, **options).read_text(encoding="utf-8")


def data_of(text: str) -> dict[str, Any]:
    """The data in a page, as the browser's script finds it."""
    start = text.index('id="data">') + len('id="data">')
    found: dict[str, Any] = json.loads(text[start : text.index("</script>", start)])
    return found


def data(results: Results, **options: Any) -> dict[str, Any]:
    """The data of a results folder, with a trip through JSON."""
    made = payload(boards(results.store.records()), **options)
    found: dict[str, Any] = json.loads(json.dumps(made, allow_nan=False))
    return found


def floats(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), dtype="<f8")


def texts(task: dict[str, Any], column: str) -> list[str]:
    """A column's texts, from the best entry down; by name or by title."""
    place = next(i for i, c in enumerate(task["columns"]) if column in (c["name"], c["title"]))
    return [row["text"][place] for row in task["rows"]]


def reasons(found: dict[str, Any]) -> list[str]:
    return [found["texts"][row["reason"]] for row in found["tasks"][0]["rows"]]
