"""``encbench new-encoding``: begin a plug-in with an encoding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encbench.cli.new_plugin import begin


def new_encoding(
    name: Annotated[str, typer.Argument(help="Name of the encoding: lower case, as in -e NAME.")],
    directory: Annotated[
        Path, typer.Option("-d", "--directory", help="Where to put the folder encbench-NAME.")
    ] = Path(),
) -> None:
    """Begin a plug-in with an encoding.

    Writes an installable distribution, encbench-NAME, that passes its own tests: an encoding to
    replace by yours, its registration, tests and a README. Nothing is overwritten.

    \b
    Examples:
      encbench new-encoding ripple
      encbench new-encoding ripple --directory ~/plugins
    """
    begin("encoding", name, directory)
