"""The framework's own verbs, registered like those of plug-ins."""

from collections.abc import Mapping

from encbench.plugins.hookspecs import hookimpl


@hookimpl
def encbench_commands() -> Mapping[str, str]:
    return {
        "run": "encbench.cli.run:run_cells",
        "tune": "encbench.cli.tune:tune",
        "ntk": "encbench.cli.ntk:ntk",
        "dynamics": "encbench.cli.dynamics:dynamics",
        "list": "encbench.cli.list:list_offers",
        "plugins": "encbench.cli.plugins:plugins",
        "show": "encbench.cli.show:show",
        "render": "encbench.cli.render:render",
        "rerun": "encbench.cli.rerun:rerun",
        "export": "encbench.cli.export:export",
        "merge": "encbench.cli.merge:merge_folders",
        "doctor": "encbench.cli.doctor:doctor",
        "check": "encbench.cli.check:check",
        "bench": "encbench.cli.bench:bench",
        "cite": "encbench.cli.cite:cite",
        "new-encoding": "encbench.cli.new_plugin:new_encoding",
        "new-task": "encbench.cli.new_plugin:new_task",
        "new-plugin": "encbench.cli.new_plugin:new_plugin",
    }
