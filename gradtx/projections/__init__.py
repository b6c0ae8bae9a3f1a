"""Euclidean projections: from a tree to the nearest one in a set, by Optax's names."""

# entry by entry
from gradtx.projections.boxes import (
    projection_non_negative,
    projection_box,
    projection_hypercube,
    projection_linf_ball,
)

# the whole tree as one vector
from gradtx.projections.planes import (
    projection_vector,
    projection_hyperplane,
    projection_halfspace,
)
from gradtx.projections.euclidean import projection_l2_sphere, projection_l2_ball
from gradtx.projections.simplex import (
    projection_simplex,
    projection_l1_sphere,
    projection_l1_ball,
)

# the last link of a chain
from gradtx.projections.step import ProjectState as ProjectState, project

__all__ = [
    # entry by entry
    "projection_non_negative",
    "projection_box",
    "projection_hypercube",
    "projection_linf_ball",
    # the whole tree as one vector
    "projection_vector",
    "projection_hyperplane",
    "projection_halfspace",
    "projection_l2_sphere",
    "projection_l2_ball",
    "projection_simplex",
    "projection_l1_sphere",
    "projection_l1_ball",
    # the last link of a chain
    "project",
]
