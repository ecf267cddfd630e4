"""Packaged suites, one TOML file each; the file's name is the suite's."""

from collections.abc import Mapping
from pathlib import Path

from encbench import hookimpl


@hookimpl
def encbench_suites() -> Mapping[str, Path]:
    folder = Path(__file__).parent
    found = {file.relative_to(folder).with_suffix(""): file for file in folder.rglob("*.toml")}
    # suites in folders, which belong together, come after the others
    names = sorted(found, key=lambda name: (len(name.parts), name))
    return {str(name): found[name] for name in names}
