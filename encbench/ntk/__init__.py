"""The empirical neural tangent kernel of a coordinate network."""

from encbench.ntk.critical import critical_learning_rate
from encbench.ntk.kernel import Ntk, cross_ntk, empirical_ntk
from encbench.ntk.operator import Density, Leading, NtkOperator, operator
from encbench.ntk.spectrum import Spectrum, spectrum

__all__ = [
    "Density",
    "Leading",
    "Ntk",
    "NtkOperator",
    "Spectrum",
    "critical_learning_rate",
    "cross_ntk",
    "empirical_ntk",
    "operator",
    "spectrum",
]
