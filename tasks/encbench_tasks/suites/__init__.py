"""Packaged suites, one TOML file each; the file's name is the suite's."""

from collections.abc import Mapping
from pathlib import Path

from encbench import hookimpl


@hookimpl
def encbench_suites() -> Mapping[str, Path]:
    folder = Path(__file__).parent
    return {
        str(file.relative_to(folder).with_suffix("")): file
        for file in sorted(folder.rglob("*.toml"))
    }
