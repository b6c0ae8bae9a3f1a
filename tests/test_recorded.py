"""Values: against trajectories recorded from PyTorch and from published packages.

Each recorded trajectory is in one of two tables below: with the expression that makes
the same points, or with the reason why nothing here does.
"""

import json
import pathlib
import re
import sys
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

REFERENCE = pathlib.Path(__file__).parent / "reference"
sys.path.insert(0, str(REFERENCE))
from problem import GRADIENT_STEPS, PROBLEMS, RECORDED_STEPS  # noqa: E402

RECORDED = {
    f"{file.stem.removesuffix('_trajectories')}: {name}": recorded
    for file in sorted(REFERENCE.glob("*_trajectories.json"))
    for name, recorded in json.loads(file.read_text())["trajectories"].items()
}

# Factories that the tables name before they exist.
PENDING = frozenset(["adadelta", "adafactor", "adagrad", "adamax", "radam", "rprop"])

L2 = "gradtx.add_decayed_weights(0.02)"
EQUAL = {
    "torch: sgd": "gradtx.sgd(0.05)",
    "torch: momentum": "gradtx.sgd(0.05, momentum=0.9)",
    "torch: nesterov": "gradtx.sgd(0.05, momentum=0.9, nesterov=True)",
    "torch: sgd_l2": f"gradtx.chain({L2}, gradtx.sgd(0.05, momentum=0.9))",
    "torch: rmsprop": "gradtx.rmsprop(0.01, decay=0.99, eps_in_sqrt=False)",
    "torch: rmsprop_momentum": (
        "gradtx.rmsprop(0.01, decay=0.99, eps_in_sqrt=False, momentum=0.9)"
    ),
    "torch: rmsprop_centered": (
        "gradtx.rmsprop(0.01, decay=0.99, eps_in_sqrt=False, centered=True)"
    ),
    "torch: rmsprop_centered_momentum": (
        "gradtx.rmsprop(0.01, decay=0.99, eps_in_sqrt=False, centered=True,"
        " momentum=0.9)"
    ),
    "torch: adam": "gradtx.adam(0.01)",
    "torch: adam_l2": (
        "gradtx.chain(gradtx.add_regularizer(gradtx.l2(0.01)), gradtx.adam(0.01))"
    ),
    "torch: adam_betas": "gradtx.adam(0.01, b1=0.7, b2=0.9, eps=1e-3)",
    "torch: adamw": "gradtx.adamw(0.01, weight_decay=0.02)",
    "torch: adagrad": (
        "gradtx.adagrad(0.05, initial_accumulator_value=0.0, eps=1e-20)",
        1e-6,  # ε is inside the root here
    ),
    "torch: adagrad_no_eps": (
        "gradtx.adagrad(0.05, initial_accumulator_value=0.0, eps=0.0)"
    ),
    "torch: adagrad_initial": (
        "gradtx.adagrad(0.05, initial_accumulator_value=0.1, eps=0.0)",
        1e-6,
    ),
    "torch: adagrad_lr_decay": (
        "gradtx.adagrad(lambda t: 0.05 / (1 + 0.01 * t),"
        " initial_accumulator_value=0.0, eps=1e-20)",
        1e-6,
    ),
    "torch: adadelta": "gradtx.adadelta(1.0)",
    "torch: adadelta_l2": "gradtx.adadelta(0.5, 0.95, 1e-4, weight_decay=0.02)",
    "torch: adamax": "gradtx.adamax(0.01)",
    "torch: adamax_l2": f"gradtx.chain({L2}, gradtx.adamax(0.01))",
    "torch: radam_no_eps": "gradtx.radam(0.01, eps=0.0)",
    "torch: rprop": "gradtx.rprop(0.01)",
    "torch: rprop_bounded": "gradtx.rprop(0.01, 0.7, 1.1, 1e-3, 0.1)",
    "torch: adafactor": "gradtx.adafactor(0.05, min_dim_size_to_factor=2)",
    "torch: adafactor_layer": "gradtx.adafactor(0.05, min_dim_size_to_factor=2)",
    "torch: adafactor_decay": (
        "gradtx.adafactor(0.05, min_dim_size_to_factor=2, weight_decay_rate=0.05*0.02)"
    ),
}

LATER = {
    "torch: muon": "Muon is not here yet",
    "torch: muon_plain": "Muon is not here yet",
    "torch: muon_beside_adamw": "Muon is not here yet",
    "torch: amsgrad": "amsgrad",
    "torch: amsgradw": "amsgrad",
    "torch: nadam": "nadam",
    "torch: nadam_l2": "nadam",
    "torch: nadamw": "nadam",
    "torch: radam": "radam",
    "torch: radamw": "radam",
    "torch: asgd": "asgd",
}
DIFFERENT = {
    "torch: dampened": "PyTorch's first momentum is g, not (1 − dampening) g",
}


def path(tx, problem):
    """The points after the recorded steps, in float64, one jitted step each."""
    start, gradient, value = PROBLEMS[problem]

    @jax.jit
    def step(p, state, g, value):
        u, state = tx.update(g, state, p, value=value)
        return gradtx.apply_updates(p, u), state

    p = jax.tree.map(jnp.asarray, start())
    state, points = tx.init(p), []
    for i in range(GRADIENT_STEPS):
        now = jax.tree.map(np.asarray, p)
        g = jax.tree.map(jnp.asarray, gradient(now, i))
        p, state = step(p, state, g, jnp.asarray(value(now, i)))
        points.append(p)
    return [points[i - 1] for i in RECORDED_STEPS]


def factories(expression):
    return set(re.findall(r"gradtx\.(\w+)", expression))


def expression_and_tolerance(name):
    found = EQUAL[name]
    return (found, 1e-12) if isinstance(found, str) else found


@pytest.mark.parametrize("name", EQUAL)
def test_equals_the_recorded_trajectory(name, x64):
    expression, rtol = expression_and_tolerance(name)
    if missing := [f for f in factories(expression) if not hasattr(gradtx, f)]:
        assert PENDING.issuperset(missing)
        pytest.skip(f"{', '.join(missing)}: pending")
    tx = eval(expression, {"gradtx": gradtx, "jnp": jnp})
    recorded = RECORDED[name]
    for t, at, expected in zip(
        RECORDED_STEPS, path(tx, recorded["problem"]), recorded["points"], strict=True
    ):
        leaves = jax.tree.leaves(at)
        expected = expected if isinstance(at, dict) else [expected]
        for leaf, value in zip(leaves, expected, strict=True):
            assert leaf.dtype == jnp.float64
            np.testing.assert_allclose(leaf, value, rtol=rtol, err_msg=f"step {t}")


def test_every_recorded_trajectory_is_compared_or_differs_for_a_reason():
    counted = Counter([*EQUAL, *DIFFERENT, *LATER])
    assert counted == Counter(RECORDED.keys())


def test_what_is_pending_is_missing():
    """Fails once everything has landed: then PENDING goes."""
    assert not PENDING or not all(hasattr(gradtx, name) for name in PENDING)
