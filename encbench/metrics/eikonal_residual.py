"""How far a function is from a distance: the length of its gradient."""

from encbench.metrics.l1 import L1


class EikonalResidual(L1):
    """Mean of |‖∇f‖ − 1|; the gradient of a distance has length 1 almost everywhere.

    Compares lengths of gradients (N,), those predicted with the true ones, which are 1 (the
    residual of Gropp et al., "Implicit Geometric Regularization for Learning Shapes", ICML 2020).
    """

    kind = "slope"
    unit = ""
    title = "eikonal residual"
