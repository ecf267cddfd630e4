"""The metric of functions that are known exactly."""

import math

import numpy as np

from encbench import Metric


def relative_error(prediction, truth):  # two arrays of one shape -> float
    """‖prediction − truth‖₂ / ‖truth‖₂."""
    return float(np.linalg.norm(prediction - truth) / np.linalg.norm(truth))


class RelativeError(Metric):
    """Error of a function at many points, in L2 and relative to the function."""

    kind = "function"
    range = (0.0, math.inf)
    direction = "lower"
    title = "relative error"

    def compute(self, prediction, truth):
        return relative_error(prediction, truth), {"points": len(truth)}
