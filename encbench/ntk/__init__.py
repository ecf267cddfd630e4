"""The empirical neural tangent kernel of a coordinate network.

ntk = empirical_ntk(model, x)          # exact, (N, N) or (N·O, N·O), by parts
found = spectrum(ntk.total)            # eigenvalues, and the floor below which they are noise
weyl_check(ntk), diagnose(model, x)    # does Theorem 1 hold; why is the rank what it is
predict_training(kernel, residual, at) # residuals and loss of the linearized model
operator(model, x)                     # K v without K, for points by the hundred thousand
critical_learning_rate(model, x)       # the largest stable learning rate
"""

from encbench.ntk.bounds import WeylCheck, minimum_upper_bound, weyl_check
from encbench.ntk.critical import critical_learning_rate
from encbench.ntk.diagnosis import Diagnosis, diagnose
from encbench.ntk.dynamics import (
    LossPrediction,
    TrainingPrediction,
    predict_loss,
    predict_training,
)
from encbench.ntk.eigenvalues import Spectrum, spectrum
from encbench.ntk.kernel import Ntk, cross_ntk, empirical_ntk
from encbench.ntk.matrix_free import Density, Leading, NtkOperator, operator

__all__ = [
    "Density",
    "Diagnosis",
    "Leading",
    "LossPrediction",
    "Ntk",
    "NtkOperator",
    "Spectrum",
    "TrainingPrediction",
    "WeylCheck",
    "critical_learning_rate",
    "cross_ntk",
    "diagnose",
    "empirical_ntk",
    "minimum_upper_bound",
    "operator",
    "predict_loss",
    "predict_training",
    "spectrum",
    "weyl_check",
]
