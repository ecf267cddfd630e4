"""Records become tables, plots and pages; a plug-in like any other."""

from collections.abc import Mapping

from encbench import hookimpl


@hookimpl
def encbench_commands() -> Mapping[str, str]:
    return {"leaderboard": "encbench_leaderboard.verb:leaderboard"}
