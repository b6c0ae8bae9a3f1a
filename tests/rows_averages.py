"""Averages of the parameters, and what looks ahead of them."""

from row import Row

import gradtx
from gradtx.transforms import ema_nesterov

ROWS = [
    Row(ema_nesterov, {"decay": 0.9}, {"strength": 0.2}),  # asked one step early
    Row(gradtx.average_params, {}, {"start": 1}, needs_params=True),
    Row(
        gradtx.average_params,
        {"decay": 0.9},
        {"warmup": 10, "every": 2, "blend": 0.6},
        needs_params=True,
    ),
    Row(gradtx.average_params, {"decay": 0.9}, {"debias": True}, needs_params=True),
]
