"""Mean absolute error of a distance near the surface."""

from encbench.metrics.l1 import L1


class NearSurfaceL1(L1):
    """Mean absolute error of signed distances at points near the surface, in longest sides."""

    kind = "near_surface_distance"
    title = "near-surface L1"
