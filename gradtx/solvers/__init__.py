"""Solvers: a transformation run to convergence, in one compiled loop."""

from gradtx.solvers.implicit import implicit_diff as implicit_diff
from gradtx.solvers.lbfgsb import lbfgsb as lbfgsb
from gradtx.solvers.linear_solver import LinearSolver as LinearSolver
from gradtx.solvers.minimize import minimize as minimize
from gradtx.solvers.result import History as History
from gradtx.solvers.result import Progress as Progress
from gradtx.solvers.result import Reason as Reason
from gradtx.solvers.result import Solution as Solution
from gradtx.solvers.result import SolverState as SolverState
from gradtx.solvers.result import best as best

__all__ = [
    "History",
    "LinearSolver",
    "Progress",
    "Reason",
    "Solution",
    "SolverState",
    "best",
    "implicit_diff",
    "lbfgsb",
    "minimize",
]
