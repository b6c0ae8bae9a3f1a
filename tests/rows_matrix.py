"""Rows of the catalogue: methods that take a weight for a matrix."""

import gradtx
from gradtx import Axes
from row import Row

ROWS = [
    Row(gradtx.scale_by_polar, {"eps": 1e-7}),
    Row(gradtx.scale_by_polar, {}, {"coefficients": "exact"}),
    Row(
        gradtx.scale_by_polar,
        {},
        {"coefficients": "polar_express", "axes": Axes(0, 1), "dual_norm": True},
    ),
    Row(gradtx.scale_by_fan, {"scale": 0.5}, {"factor": "moonlight"}),
    Row(
        gradtx.transforms.normalize_rows,
        {"decay": 0.95, "eps": 1e-10},
        {"axes": Axes(1, 0)},
    ),
    Row(gradtx.ema, {"decay": 0.9}, {"nesterov": True}),
    Row(gradtx.scale_by_muon, {"beta": 0.95, "eps": 1e-8}),
    Row(
        gradtx.muon,
        {"learning_rate": 0.1, "weight_decay": 0.1},
        {"consistent_rms": 0.2},
        needs_params=True,
    ),
]
