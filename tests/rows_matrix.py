"""Rows of the catalogue: methods that take a weight for a matrix."""

from row import Row

import gradtx
from gradtx import Axes

ROWS = [
    Row(gradtx.scale_by_polar, {"eps": 1e-7}, passes=True, amplifies=20),
    Row(
        gradtx.scale_by_polar,
        {},
        {"coefficients": "polar_express", "axes": Axes(0, 1), "dual_norm": True},
        passes=True,
        amplifies=20,
    ),
    Row(gradtx.scale_by_fan, {"scale": 0.5}, {"factor": "moonlight"}, passes=True),
    Row(
        gradtx.transforms.normalize_rows,
        {"decay": 0.95, "eps": 1e-10},
        {"axes": Axes(1, 0)},
        passes=True,
    ),
    Row(gradtx.ema, {"decay": 0.9}, {"nesterov": True}),
    Row(gradtx.scale_by_muon, {"beta": 0.95, "eps": 1e-8}, amplifies=20),
    Row(
        gradtx.muon,
        {"learning_rate": 0.1, "weight_decay": 0.1},
        {"consistent_rms": 0.2, "adam_learning_rate": 0.05},
        needs_params=True,
        amplifies=20,
    ),
    Row(
        gradtx.conjugate,
        parts=(gradtx.layout.eigenbasis(every=2), gradtx.scale_by_adam()),
        cycle=2,
        amplifies=20,
    ),
    Row(
        gradtx.conjugate,
        {},
        {"axes": Axes(0, 1)},
        cycle=2,
        parts=(
            gradtx.layout.eigenbasis(
                every=2,
                sides="shorter",
                squares="by squares",
                seeds=False,
                learns_first=True,
            ),
            gradtx.scale_by_lion(),
        ),
        amplifies=20,
    ),
    Row(
        gradtx.conjugate,
        {},
        {"axes": Axes(0, 1)},
        parts=(
            gradtx.layout.subspace(1, 2, moments="turned"),
            gradtx.scale_by_adam(),
        ),
        cycle=2,
        amplifies=20,
    ),
    Row(
        gradtx.scale_by_galore,
        {},
        {"rank": 1, "update_proj_gap": 2},
        cycle=2,
        amplifies=20,
    ),
    Row(
        gradtx.galore,
        {"learning_rate": 0.1, "weight_decay": 0.1},
        {"rank": 1, "base_optimizer": gradtx.scale_by_lion()},
        needs_params=True,
        amplifies=20,
    ),
    Row(
        gradtx.transforms.decay_stepped_weights,
        {"learning_rate": 0.1, "weight_decay": 0.1},
        {"start": 1},
        needs_params=True,
    ),
    Row(
        gradtx.soap,
        {"weight_decay": 0.1},
        {"learning_rate": 0.1, "every": 2},
        needs_params=True,
        cycle=2,
        amplifies=20,
    ),
    *(
        Row(
            gradtx.transforms.lmo,
            {"eps": 1e-8},
            {"norm": norm},
            passes=norm not in ("rms", "sign"),
            amplifies=20,
        )
        for norm in ("spectral", "column", "row", "rms", "sign")
    ),
    Row(gradtx.renorm, {"size": 0.5}, {"bound": "exactly", "axes": Axes(1, 0)}),
    Row(gradtx.keep_norm, {}, {"axes": Axes(1, 0)}, needs_params=True),
    Row(
        gradtx.optimizers.normuon,
        {"learning_rate": 0.1, "beta": 0.95, "b2": 0.9},
        {"adam_learning_rate": 0.05},
        needs_params=True,
        amplifies=20,
    ),
    Row(
        gradtx.optimizers.adamuon,
        {"learning_rate": 0.1, "eps": 1e-8},
        {"adam_learning_rate": 0.05},
        needs_params=True,
        amplifies=20,
    ),
    Row(
        gradtx.optimizers.scion,
        {"learning_rate": 0.1, "decay": 0.9, "radius": 3.0},
        needs_params=True,
        amplifies=20,
    ),
    Row(
        gradtx.optimizers.soap_muon,
        {"beta": 0.9, "weight_decay": 0.1},
        {"learning_rate": 0.1, "adam_learning_rate": 0.05},
        needs_params=True,
        amplifies=20,
    ),
    Row(gradtx.scale_by_rms, {"decay": 0.9, "eps": 1e-8}, {"eps_as_floor": True}),
    Row(gradtx.transforms.brake_radial, {"brake": 0.5}, needs_params=True),
    Row(
        gradtx.transforms.pin_radius,
        {"learning_rate": 0.1, "weight_decay": 0.1},
        {"axes": Axes(1, 0)},
        needs_params=True,
    ),
    Row(
        gradtx.renorm,
        {"size": 0.5},
        {"bound": "at least", "per": "unit", "of_params": True, "axes": Axes(1, 0)},
        needs_params=True,
    ),
    Row(
        gradtx.wrappers.given_gradient,
        parts=(
            gradtx.chain(
                gradtx.ema(0.9),
                gradtx.parallel(
                    gradtx.identity(),
                    gradtx.wrappers.raw_gradient(),
                    merge=gradtx.merges.trusted(0.2, 0.9, Axes(1, 0)),
                ),
            ),
        ),
        amplifies=20,
    ),
]
