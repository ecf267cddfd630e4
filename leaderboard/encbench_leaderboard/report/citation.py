"""The BibTeX of an encoding, got without importing it, for that takes the seconds of torch."""

from __future__ import annotations

import ast
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from encbench.cli.cite import bibtex_of, entry_from_source
from encbench.errors import EncbenchError
from encbench.plugins.registry import default_registry


@lru_cache(maxsize=1024)
def citation(name: str) -> str:
    """BibTeX of an encoding, "" where it has none or is not installed here.

    As ``encbench cite`` gives it, which asks the class; what its source does not tell is imported.
    """
    try:
        offer = default_registry().find("encoding", name)
        module, _, attribute = str(offer.target).partition(":")
        said = _texts(module).get(attribute) if isinstance(offer.target, str) else None
        match said:
            case {"bibtex": str(bibtex)}:
                return bibtex
            case {"source": str(source)}:
                version = offer.plugin.version
                return entry_from_source(
                    offer.kind, offer.name, offer.distribution, version, source
                )
        return bibtex_of(offer)
    except EncbenchError:
        return ""


@lru_cache(maxsize=1024)
def _texts(module: str) -> dict[str, Any]:
    """What a module's source says of texts, by name; of a class what is cited for it."""
    known: dict[str, Any] = {}
    try:
        spec = find_spec(module)
        tree = ast.parse(Path(spec.origin).read_text("utf-8") if spec and spec.origin else "")
    # Finding a module runs its package, which may raise anything.
    except Exception:
        return known
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=str(parent)) if _top(parent) == _top(module):
                inside = _texts(parent)
                for name, alias in (
                    (found.name, found.asname or found.name) for found in node.names
                ):
                    if name in inside:
                        known[alias] = inside[name]
                    elif _top(parent) == parent:  # a package; of others it would be imported
                        known[alias] = SimpleNamespace(**_texts(f"{parent}.{name}"))
            case ast.Assign(targets=[ast.Name(id=name)]):
                known[name] = _value(node.value, known)
            case ast.ClassDef():
                own = {
                    name: _value(item.value, known)
                    for item in node.body
                    if isinstance(item, ast.Assign)
                    and (name := ast.unparse(item.targets[0])) in ("bibtex", "source")
                }
                # A class that names another source must not be cited as its parent.
                parents = [found for base in node.bases if (found := _value(base, known))]
                known[node.name] = own or next(iter(parents), {})
    return known


def _top(module: str) -> str:
    return module.partition(".")[0]


def _value(node: ast.expr, known: dict[str, Any]) -> Any:
    """An expression of constants and known names; None where it is more."""
    try:
        return eval(compile(ast.Expression(node), "<plug-in>", "eval"), {"__builtins__": {}}, known)
    except Exception:
        return None
