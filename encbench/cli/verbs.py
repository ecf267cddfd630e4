"""The verbs of the framework itself, registered as a plug-in's are."""

from collections.abc import Mapping

from encbench.hookspecs import hookimpl


@hookimpl
def encbench_commands() -> Mapping[str, str]:
    return {
        "run": "encbench.cli.run:run",
        "list": "encbench.cli.list:list_offers",
        "plugins": "encbench.cli.plugins:plugins",
        "show": "encbench.cli.show:show",
        "check": "encbench.cli.check:check",
    }
