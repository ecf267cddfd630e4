"""The training loop, its steps, optimizers and schedules."""

from collections.abc import Mapping

from encbench.plugins.hookspecs import hookimpl


@hookimpl
def encbench_optimizers() -> Mapping[str, str]:
    module = "encbench.training.optimizers"
    return {
        "sgd": f"{module}:Sgd",
        "adam": f"{module}:Adam",
        "adamw": f"{module}:AdamW",
        "muon": f"{module}:Muon",
        "torch": f"{module}:TorchOptimizer",
    }


@hookimpl
def encbench_schedules() -> Mapping[str, str]:
    module = "encbench.training.schedules"
    return {
        "constant": f"{module}:Constant",
        "cosine": f"{module}:Cosine",
        "exponential": f"{module}:Exponential",
        "step": f"{module}:Step",
    }
