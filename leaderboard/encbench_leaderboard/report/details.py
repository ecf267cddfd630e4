"""Details of a row of the standings: settings, cells, commands, spectra and citation."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from encbench.cli.cite import bibtex_of, entry_from_source
from encbench.errors import EncbenchError, plural
from encbench.plugins.registry import default_registry
from encbench.results.records import Record
from encbench.results.value_text import value_text
from encbench.suite.protocol import batch
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Block, Table, Text
from encbench_leaderboard.report.columns import (
    Source,
    Standing,
    best_columns,
    codes,
    cost_columns,
    fill,
    numbers,
    texts,
)
from encbench_leaderboard.report.format import (
    code,
    code_block,
    one_line,
    plain,
)
from encbench_leaderboard.report.standings_table import reason
from encbench_leaderboard.report.tables import spectra_table

CELLS = 100
"""Maximum number of cells listed for an entry; for a category, only unfinished ones are listed."""
REASON = 400
"""Maximum length of the reason shown for a cell [characters]."""
ABOUT = 1000
"""Maximum length of an encoding's parameters as text [characters]."""


def entry_details(
    task: TaskBoard, folder: str, standing: Standing, *, machines: bool
) -> list[Block]:
    """An entry's parameters and settings, cells, spectra, and BibTeX."""
    facts = task.facts_of_entry(standing["entry"])
    first = facts[0].stored.record
    blocks: list[Block] = [Text(f"{plain(_parameters(first))}\n\n{plain(_settings(first))}")]
    listed = [one for one in facts if one.status != "ok"] if task.targets else facts
    if listed:
        blocks.append(_cells_table(task, folder, listed[:CELLS], len(facts), machines))
    if spectra := spectra_table([standing], named=False):
        blocks.append(spectra)
    reference = first.cell.encoding
    if bibtex := citation(reference.qualified):
        blocks.append(Text(f"Cite {code(reference.name)} as:\n\n{code_block(bibtex, 'bibtex')}"))
    return blocks


def _parameters(record: Record) -> str:
    ref = record.cell.encoding
    given = {key: value for key, value in ref.parameters.items() if value is not None}
    text = ", ".join(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in given.items())
    source = f"{ref.name} of {ref.distribution} {ref.version}"
    return one_line(f"{source}{f': {text}' if text else ''}", ABOUT)


def _settings(record: Record) -> str:
    training, network = record.cell.training, record.cell.network
    schedule = "" if training.schedule == "constant" else f" with schedule {training.schedule}"
    rate, lr = record.learning_rate, ""
    if rate:
        halved = f", halved {plural(rate.halvings, 'time')}: training diverged"
        lr = f"learning rate {rate.rule}{halved * bool(rate.halvings)}"
    length = re.sub(r"\.0$", "", f"{record.epochs:,.1f}")
    method = record.step_method
    parts = [
        "" if network.kind == "mlp" else f"network {network.kind}",
        " × ".join(f"{name} {n}" for name, n in record.network.items()),
        record.activation,
        f"{network.parameterization} parameterization, {training.optimizer}{schedule}, "
        f"batch {batch(training, record.batch_size)}",
        lr,
        f"{plural(record.steps, 'step')}, {length} epoch{'' if length == '1' else 's'}",
        "" if method in (None, "layerwise") else one_line(f"steps {method}", ABOUT),
    ]
    return "; ".join(filter(None, parts))


def _cells_table(
    task: TaskBoard, folder: str, listed: Sequence[Facts], total: int, machines: bool
) -> Table:
    decimals = partial(value_text, metric=task.primary)
    cells = [
        task.cell_rows[id(one)] | {"stored": one.stored, "machine": one.source.machine}
        for one in listed
    ]

    def ok(name: str) -> Callable[[Mapping[str, Any]], float | None]:
        """Value of a column; None for cells that did not finish."""
        return lambda cell: cell[name] if cell["status"] == "ok" else None

    def why(cell: Mapping[str, Any]) -> str:
        return "" if cell["status"] == "ok" else reason(cell["stored"].record, REASON)

    def again(cell: Mapping[str, Any]) -> str:
        return f"encbench rerun {folder} {cell['stored'].outline.key[:10]}"

    sources: list[Source[Mapping[str, Any]]] = [
        numbers("seed", "seed", itemgetter("seed"), "{:.0f}".format),
        texts("status", "status", lambda cell: cell["status"].replace("_", " ")),
        numbers("quality", task.primary.heading, ok(f"metric:{task.primary.name}"), decimals),
        *best_columns(listed, task.metrics, lambda cell: cell["status"] == "ok"),
        *cost_columns(),
        codes("key", "record", lambda cell: cell["stored"].outline.key[:10]),
        codes("again", "run it again", again),
    ]
    if any(one.status != "ok" for one in listed):
        sources.insert(2, texts("reason", "reason", why))
    if task.targets:
        sources.insert(0, codes("target", "task", itemgetter("target")))
    if machines:
        sources.append(texts("machine", "machine", itemgetter("machine")))
    kind = "Cells that did not finish" if task.targets else "Cells"
    of = f": {len(listed):,} of {plural(total, 'cell')}" if len(listed) < total else ""
    return fill("cells", sources, cells, title=f"{kind}{of}")


@lru_cache(maxsize=1024)
def citation(name: str) -> str:
    """BibTeX of an encoding; "" if it has none or is not installed.

    The same as in ``encbench cite``, but the class is imported only if its source code does not
    show the text.
    """
    try:
        offer = default_registry().find("encoding", name)
        module, _, attribute = str(offer.target).partition(":")
        said = _texts(module).get(attribute) if isinstance(offer.target, str) else None
        match said:
            case {"bibtex": str(bibtex)}:
                return bibtex
            case {"source": str(source)}:
                named = offer.kind, offer.name, offer.distribution, offer.plugin.version
                return entry_from_source(*named, source)
        return bibtex_of(offer)
    except EncbenchError:
        return ""


@lru_cache(maxsize=1024)
def _texts(module: str) -> dict[str, Any]:
    """Texts in a module's source code by name; for a class, its ``bibtex`` and ``source``."""
    known: dict[str, Any] = {}
    try:
        spec = find_spec(module)
        tree = ast.parse(Path(spec.origin).read_text("utf-8") if spec and spec.origin else "")
    # finding a module imports its package, which may raise anything
    except Exception:
        return known
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=str(parent)) if _top(parent) == _top(module):
                inside = _texts(parent)
                for found in node.names:
                    alias = found.asname or found.name
                    if found.name in inside:
                        known[alias] = inside[found.name]
                    elif _top(parent) == parent:  # a package; for others, find_spec would import it
                        known[alias] = SimpleNamespace(**_texts(f"{parent}.{found.name}"))
            case ast.Assign(targets=[ast.Name(id=name)]):
                known[name] = _evaluated(node.value, known)
            case ast.ClassDef():
                own = {
                    name: _evaluated(item.value, known)
                    for item in node.body
                    if isinstance(item, ast.Assign)
                    and (name := ast.unparse(item.targets[0])) in ("bibtex", "source")
                }
                # a class with its own source must not be cited as its parent
                parents = [found for base in node.bases if (found := _evaluated(base, known))]
                known[node.name] = own or next(iter(parents), {})
    return known


def _top(module: str) -> str:
    return module.partition(".")[0]


def _evaluated(node: ast.expr, known: dict[str, Any]) -> Any:
    """Value of an expression of constants and known names; None if it needs anything else."""
    try:
        return eval(compile(ast.Expression(node), "<plug-in>", "eval"), {"__builtins__": {}}, known)
    except Exception:
        return None
