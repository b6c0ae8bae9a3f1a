"""Solvers: a transformation run to convergence, in one compiled loop."""

from gradtx.solvers.minimize import minimize as minimize
from gradtx.solvers.lbfgsb import lbfgsb as lbfgsb
from gradtx.solvers.owlqn import owlqn as owlqn
from gradtx.solvers.proximal import (
    projected_gradient as projected_gradient,
    proximal_gradient as proximal_gradient,
)
from gradtx.solvers.fixed_points import fixed_point as fixed_point, root as root

# Where they end
from gradtx.solvers.result import (
    History as History,
    Progress as Progress,
    Reason as Reason,
    Solution as Solution,
    SolverState as SolverState,
    best as best,
)

# The derivative of where they end
from gradtx.solvers.implicit import implicit_diff as implicit_diff
from gradtx.solvers.linear_solver import LinearSolver as LinearSolver

__all__ = [
    "minimize",
    "lbfgsb",
    "owlqn",
    "proximal_gradient",
    "projected_gradient",
    "fixed_point",
    "root",
    # Where they end
    "History",
    "Progress",
    "Reason",
    "Solution",
    "SolverState",
    "best",
    # The derivative of where they end
    "LinearSolver",
    "implicit_diff",
]
