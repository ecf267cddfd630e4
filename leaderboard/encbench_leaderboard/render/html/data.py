"""Data for the page's script: entries with their colours, tables as options of DataTables."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from encbench.results.palette import COLOURS, colours
from encbench_leaderboard.report.blocks import Column, Row, Table, Value, shown_first
from encbench_leaderboard.report.format import MISSING

NEUTRAL = ("#565d6b", "#a4adbb")
"""Colours (light, dark) of a series that belongs to no entry; ``--soft`` in the style sheet."""


def embedded(data: object) -> Markup:
    """Return JSON in which an HTML parser sees neither an end tag nor a comment."""
    return htmlsafe_json_dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def wrapping_code(text: str) -> Markup:
    """Return a label that can wrap after its commas."""
    return Markup("<code>{}</code>").format(Markup(str(escape(text)).replace(",", ",<wbr>")))


class Entries:
    """Number, colours and marker of each entry; the page refers to entries by number."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._numbers = {entry: number for number, entry in enumerate(entries)}
        self._markers = [marker for _, marker in colours(entries).values()]

    def number(self, entry: str) -> int:
        """Number of an entry; a name that is no entry, such as a mean, gets a new number."""
        return self._numbers.setdefault(entry, len(self._numbers))

    def colours(self, entry: str) -> tuple[str, str]:
        """Colours on a light and on a dark background."""
        number = self.number(entry)
        return COLOURS[number % len(COLOURS)][1:] if number < len(self._markers) else NEUTRAL

    def marker(self, entry: str) -> str:
        number = self.number(entry)
        return self._markers[number] if number < len(self._markers) else "o"

    def style(self) -> str:
        """CSS rules that give elements of class ``e{number}`` the entry's colours."""
        rules = []
        for number in range(len(self._markers)):
            light, dark = COLOURS[number % len(COLOURS)][1:]
            rules.append(f".e{number}{{--light:{light};--dark:{dark}}}\n")
        return "".join(rules)


PAGE = 50
"""Rows of a table shown per page."""
HUGE = 1.7e308
"""Stands for infinity, which JSON cannot hold."""
INTERVAL = re.compile(r";? (?=[±\[(])(.*)", re.DOTALL)
"""Matches what follows a number in its text, such as ± or an interval."""
EXPORTED = {"orthogonal": "export", "columns": ":visible:not(.opener)"}
CSV = {"fieldSeparator": ",", "fieldBoundary": '"', "newline": "\n", "title": ""}
OPTIONS: dict[str, Any] = {
    "deferRender": True,
    "autoWidth": False,
    "order": [],
    "orderFixed": {"post": [[0, "asc"]]},
    "pageLength": PAGE,
    "lengthMenu": [PAGE, 200, 1000],
    "language": {
        "zeroRecords": "No entry passes the filters.",
        "info": "_START_ to _END_ of _TOTAL_",
        "infoEmpty": "",
        "infoFiltered": "",
        "lengthMenu": "_MENU_ per page",
    },
}


def table_options(table: Table, entries: Entries, *, openable: bool) -> dict[str, Any]:
    """Return a table as options of DataTables. Each value has HTML to show, a number or text to
    sort by ("" if it is missing), and a text to search and copy.

    The first column marks rows that can be opened; even if hidden, it keeps equal rows, and the
    rows of an unsorted table, in the page's order.
    """
    opener = {
        "name": "",
        "data": {"_": "nothing", "sort": "place"},
        "defaultContent": "",
        "type": "value",
        "orderable": False,
        "visible": openable,
        "className": "opener",
    }
    shown = enumerate(zip(table.columns, shown_first(table), strict=True))
    columns = [_column(column, place, shown=first) for place, (column, first) in shown]
    many = len(table.rows) > PAGE
    exported = {"exportOptions": EXPORTED, **CSV}
    buttons: list[dict[str, Any]] = [
        {"extend": "colvis", "text": "Columns", "columns": ":not(.opener)", "exportOptions": {}},
        {"extend": "copyHtml5", "text": "Copy CSV", **exported},
        {"extend": "csvHtml5", "text": "Save CSV", "filename": table.name, **exported},
    ]
    return {
        **OPTIONS,
        "columns": [opener, *columns],
        "data": [
            {"place": place, **_row(row, table.columns, entries, openable)}
            for place, row in enumerate(table.rows)
        ],
        "paging": many,
        "layout": {
            "topStart": None,
            "topEnd": {"buttons": buttons},
            "bottomStart": "info" if many else None,
            "bottomEnd": ["pageLength", "paging"] if many else None,
        },
    }


def _column(column: Column, place: int, *, shown: bool) -> dict[str, Any]:
    key = f"values.{place}"
    rising = "↑" in column.title
    return {
        "name": column.name,
        "data": {"_": f"{key}.0", "sort": f"{key}.1", "filter": f"{key}.2", "export": f"{key}.2"},
        "type": "value",
        "visible": shown,
        "className": f"{column.kind} c-{re.sub(r'[^A-Za-z0-9_]', '-', column.name)}",
        # Best first; the third click restores the page's own order.
        "orderSequence": ["desc", "asc", ""] if rising else ["asc", "desc", ""],
    }


def _row(row: Row, columns: Sequence[Column], entries: Entries, openable: bool) -> dict[str, Any]:
    attributes: dict[str, Any] = {"tabindex": -1}
    if openable and row.entry is not None:
        attributes["aria-expanded"] = "false"
    if row.entry is not None:
        attributes["data-entry"] = entries.number(row.entry)
    cells = zip(columns, row.values, strict=True)
    made: dict[str, Any] = {
        "values": [
            [cell_html(c, v, row, entries), _sorted_by(c, v), _copied(c, v)] for c, v in cells
        ],
        "DT_RowAttr": attributes,
    }
    if row.statuses:
        made["statuses"] = list(row.statuses)
        if "ok" not in row.statuses:
            made["DT_RowClass"] = "not-ok"
    return made


def cell_html(column: Column, value: Value, row: Row, entries: Entries) -> Markup:
    """Return a value as HTML: a label with its colour, an interval below its mean."""
    if value.emphasis:
        plain = value.text.removeprefix(value.emphasis)
        return Markup("<em>{}</em>{}").format(value.emphasis, plain)
    if column.kind == "code":
        mark = Markup("")
        if row.entry is not None:
            mark = Markup('<span class="swatch e{}"></span>').format(entries.number(row.entry))
        return mark + wrapping_code(value.text)
    if column.kind == "number":
        return Markup(INTERVAL.sub(r"<small>\1</small>", str(escape(value.text)), count=1))
    return escape(value.text)


def _sorted_by(column: Column, value: Value) -> float | str:
    """Sort key of a value; "" if it is missing."""
    if isinstance(value.sort, float | int):
        return "" if math.isnan(value.sort) else max(-HUGE, min(value.sort, HUGE))
    if value.sort is None:
        return "" if column.kind == "number" else value.text
    return value.sort


def _copied(column: Column, value: Value) -> str:
    """Text of a value to search and copy: all digits of a number; "" if it is missing. Escaped,
    since DataTables reads it as HTML."""
    if column.kind == "number":
        return "" if value.exported is None else str(value.exported)
    return "" if value.text == MISSING else str(escape(value.text))
