"""Networks on top of an encoding: the coordinate MLP and others, and activations."""

from collections.abc import Mapping

from encbench.plugins.hookspecs import hookimpl


@hookimpl
def encbench_networks() -> Mapping[str, str]:
    return {
        "bacon": "encbench.network.bacon:Bacon",
        "fouriernet": "encbench.network.multiplicative:FourierNet",
        "gabornet": "encbench.network.multiplicative:GaborNet",
        "mlp": "encbench.network.mlp:CoordinateMLP",
        "none": "encbench.network.none:Readout",
        "resmlp": "encbench.network.resmlp:ResidualMLP",
    }
