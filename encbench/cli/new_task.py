"""``encbench new-task``: begin a plug-in with a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encbench.cli.new_plugin import begin


def new_task(
    name: Annotated[str, typer.Argument(help="Name of the task: lower case, as in -t NAME.")],
    directory: Annotated[
        Path, typer.Option("-d", "--directory", help="Where to put the folder encbench-NAME.")
    ] = Path(),
) -> None:
    """Begin a plug-in with a task.

    Writes an installable distribution, encbench-NAME, that passes its own tests: a task to
    replace by yours, its registration, tests and a README. Nothing is overwritten.

    \b
    Examples:
      encbench new-task waves
      encbench new-task waves --directory ~/plugins
    """
    begin("task", name, directory)
