"""Rows of the projections as last links of a chain."""

from row import Row

import gradtx
from gradtx import projections  # noqa: F401 - a value prints with it

ROWS = [
    Row(
        gradtx.project,
        {},
        {"scale": 0.5},
        parts=(gradtx.projections.projection_l1_ball,),
        needs_params=True,
    ),
    Row(
        gradtx.project,
        {},
        {"per": "leaf", "scale": 0.5},
        parts=(gradtx.projections.projection_l2_ball,),
        needs_params=True,
    ),
]
