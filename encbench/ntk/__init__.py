"""The empirical neural tangent kernel of a coordinate network.

ntk = empirical_ntk(model, x)          # exact, (N, N) or (N·O, N·O), with its two parts
found = spectrum(ntk.total)            # eigenvalues, and the floor below which they are noise
weyl_check(ntk), diagnose(model, x)    # a check of the arithmetic; why the rank is what it is
activation_regions(model, x)           # which points have the same active ReLU units
predict_training(kernel, residual, at) # residuals and loss of the linearized model
alignment(kernel, y), eigenvector_energy(kernel, y), drift(kernel, earlier)
kernel_by_level(model, x)              # the encoding's part, by level or by feature
along_eigenvectors(kernel, parts)      # what each part contributes to each eigenvalue
operator(model, x)                     # K v without K, for hundreds of thousands of points
critical_learning_rate(model, x)       # below it, training of the linearized model is stable
"""

from encbench.ntk.alignment import alignment, drift, eigenvector_energy
from encbench.ntk.diagnosis import Diagnosis, Regions, activation_regions, diagnose
from encbench.ntk.flow import Flow, Modes
from encbench.ntk.kernel import Ntk, cross_ntk, empirical_ntk, kernel_by_level
from encbench.ntk.levels import LevelKernel, along_eigenvectors
from encbench.ntk.linearized import (
    LossPrediction,
    TrainingPrediction,
    critical_learning_rate,
    predict_loss,
    predict_training,
)
from encbench.ntk.operator import Density, Leading, NtkOperator, operator
from encbench.ntk.spectrum import Spectrum, WeylCheck, minimum_upper_bound, spectrum, weyl_check

__all__ = [
    "Density",
    "Diagnosis",
    "Flow",
    "Leading",
    "LevelKernel",
    "LossPrediction",
    "Modes",
    "Ntk",
    "NtkOperator",
    "Regions",
    "Spectrum",
    "TrainingPrediction",
    "WeylCheck",
    "activation_regions",
    "alignment",
    "along_eigenvectors",
    "critical_learning_rate",
    "cross_ntk",
    "diagnose",
    "drift",
    "eigenvector_energy",
    "empirical_ntk",
    "kernel_by_level",
    "minimum_upper_bound",
    "operator",
    "predict_loss",
    "predict_training",
    "spectrum",
    "weyl_check",
]
