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

L2 = "gradtx.add_decayed_weights(0.02)"
RATE = "gradtx.scale_by_learning_rate(0.01)"
HOT = "gradtx.rmsprop(0.01, decay=0.99, eps_in_sqrt=False"
RSS = "gradtx.scale_by_rss({}, eps_place='outside')"
RATE_5 = "gradtx.scale_by_learning_rate(0.05)"
PART = "jnp.asarray(t + 1, float) / 50"  # of AdEMAMix's warm-up
A_T = f"lambda t: jnp.minimum(5.0 * {PART}, 5.0)"
B3_T = (
    "lambda t: jnp.minimum(jnp.exp(jnp.log(0.9) * jnp.log(0.99) / ("
    f"(1 - {PART}) * jnp.log(0.99) + {PART} * jnp.log(0.9))), 0.99)"
)
ROWS = "axes=gradtx.Axes(0, 1)"
MUON = "gradtx.muon(0.02, eps=1e-7, muon_weight_dimension_numbers=gradtx.Axes(0, 1)"
GALORE = (
    "gradtx.chain(gradtx.conjugate(gradtx.layout.subspace(2, 200, 0.25, side='{}'),"
    f" gradtx.scale_by_adam(eps=1e-6, eps_place='uncorrected'), {ROWS}),"
    " gradtx.scale_by_learning_rate(0.02),"
    " gradtx.transforms.decay_stepped_weights(weight_decay=0.1))"
)
SCION = f"gradtx.optimizers.scion(0.005, radius=3.0, {ROWS}"

# The expression that makes the same points.
EQUAL = {
    "matrix: soap_1": f"gradtx.soap(0.01, every=1, {ROWS})",
    "matrix: soap_3": f"gradtx.soap(0.01, every=3, {ROWS})",
    "matrix: soap_10": f"gradtx.soap(0.01, every=10, {ROWS})",
    "matrix: muon_jordan": f"{MUON}, convention='jordan', weight_decay=0.1)",
    "matrix: normuon": f"gradtx.optimizers.normuon(0.02, weight_decay=0.1, {ROWS})",
    "matrix: adamuon": (
        f"gradtx.optimizers.adamuon(0.02, eps=1e-16, weight_decay=0.1, {ROWS})"
    ),
    "matrix: scion_spectral": f"{SCION})",
    "matrix: scion_colnorm": f"{SCION}, norm='column', constrained=False)",
    "matrix: scion_rownorm": f"{SCION}, norm='row')",
    "matrix: scion_sign": f"{SCION}, norm='sign')",
    "matrix: galore_std": GALORE.format("shorter"),
    "matrix: galore_reverse_std": GALORE.format("longer"),
    "matrix: record": "the_record()",
    "torch: muon": f"{MUON}, convention='torch', weight_decay=0.1)",
    "torch: muon_plain": f"{MUON}, convention='torch', nesterov=False)",
    "torch: muon_beside_adamw": (
        f"gradtx.partition({{True: {MUON}, convention='torch', weight_decay=0.1),"
        " False: gradtx.adamw(0.02, weight_decay=0.1)}, gradtx.matrices)"
    ),
    "torch: sgd": "gradtx.sgd(0.05)",
    "torch: momentum": "gradtx.sgd(0.05, momentum=0.9)",
    "torch: nesterov": "gradtx.sgd(0.05, momentum=0.9, nesterov=True)",
    "torch: sgd_l2": f"gradtx.chain({L2}, gradtx.sgd(0.05, momentum=0.9))",
    "torch: rmsprop": f"{HOT})",
    "torch: rmsprop_momentum": f"{HOT}, momentum=0.9)",
    "torch: rmsprop_centered": f"{HOT}, centered=True)",
    "torch: rmsprop_centered_momentum": f"{HOT}, centered=True, momentum=0.9)",
    "torch: adam": "gradtx.adam(0.01)",
    "torch: adam_l2": (
        "gradtx.chain(gradtx.add_regularizer(gradtx.l2(0.01)), gradtx.adam(0.01))"
    ),
    "torch: adam_betas": "gradtx.adam(0.01, b1=0.7, b2=0.9, eps=1e-3)",
    "torch: adamw": "gradtx.adamw(0.01, weight_decay=0.02)",
    "torch: amsgrad": "gradtx.amsgrad(0.01, b2=0.9, convention='torch')",
    "torch: amsgradw": (
        "gradtx.chain(gradtx.scale_by_amsgrad(b2=0.9, convention='torch'),"
        f" {L2}, {RATE})"
    ),
    "torch: adagrad": f"gradtx.chain({RSS.format('0.0, 1e-10')}, {RATE_5})",
    "torch: adagrad_initial": f"gradtx.chain({RSS.format('0.1, 1e-7')}, {RATE_5})",
    "torch: adagrad_no_eps": "gradtx.adagrad(0.05, 0.0, eps=0.0)",
    "torch: adagrad_lr_decay": (
        f"gradtx.chain({RSS.format('0.0, 1e-10')}, gradtx.scale_by_learning_rate("
        "lambda t: 0.05 / (1 + 0.01 * jnp.asarray(t, float))))"
    ),
    "torch: adadelta": "gradtx.adadelta(1.0)",
    "torch: adadelta_l2": "gradtx.adadelta(0.5, 0.95, 1e-4, weight_decay=0.02)",
    "torch: adamax": "gradtx.adamax(0.01)",
    "torch: adamax_l2": f"gradtx.chain({L2}, gradtx.adamax(0.01))",
    "torch: nadam": "gradtx.nadam(0.01, convention='torch')",
    "torch: nadam_l2": f"gradtx.chain({L2}, gradtx.nadam(0.01, convention='torch'))",
    "torch: nadamw": "gradtx.nadamw(0.01, weight_decay=0.02, convention='torch')",
    "torch: radam": "gradtx.radam(0.01, eps_place='uncorrected')",
    "torch: radam_no_eps": "gradtx.radam(0.01, eps=0.0)",
    "torch: radamw": (
        f"gradtx.chain(gradtx.scale_by_radam(eps_place='uncorrected'), {L2}, {RATE})"
    ),
    "torch: rprop": "gradtx.rprop(0.01)",
    "torch: rprop_bounded": "gradtx.rprop(0.01, 0.7, 1.1, 1e-3, 0.1)",
    "torch: asgd": "gradtx.asgd(0.05, lambd=0.01, t0=30)",
    "torch: adafactor": "gradtx.adafactor(0.05, min_dim_size_to_factor=2)",
    "torch: adafactor_layer": "gradtx.adafactor(0.05, min_dim_size_to_factor=2)",
    "torch: adafactor_decay": (
        "gradtx.adafactor(0.05, min_dim_size_to_factor=2, weight_decay_rate=0.05*0.02)"
    ),
    "published: lion": "gradtx.lion(0.01, weight_decay=0.0)",
    "published: lion_decay": "gradtx.lion(0.01, 0.8, 0.95, weight_decay=0.2)",
    "published: prodigy": "gradtx.prodigy(estim_lr0=1e-3, bias_correction=False)",
    "published: prodigy_corrected": "gradtx.prodigy(estim_lr0=1e-3)",
    "published: prodigy_decay": (
        "gradtx.prodigy(estim_lr0=1e-3, estim_lr_coef=0.5, weight_decay=0.02,"
        " bias_correction=False)"
    ),
    "published: prodigy_corrected_decay": (
        "gradtx.prodigy(estim_lr0=1e-3, weight_decay=0.02)"
    ),
    "published: prodigy_safeguard": (
        "gradtx.prodigy(beta3=0.9, estim_lr0=1e-3, safeguard_warmup=True,"
        " bias_correction=False)"
    ),
    "published: dadapt_adam": (
        "gradtx.dadapt_adamw(estim_lr0=1e-3, bias_correction=False)"
    ),
    "published: dadapt_adam_corrected": "gradtx.dadapt_adamw(estim_lr0=1e-3)",
    "published: dadapt_adamw_corrected": (
        "gradtx.dadapt_adamw(estim_lr0=1e-3, weight_decay=0.02)"
    ),
    "published: dadapt_sgd": "gradtx.dadapt_sgd(estim_lr0=1e-3)",
    "published: dadapt_sgd_momentum": "gradtx.dadapt_sgd(momentum=0.9, estim_lr0=1e-3)",
    "published: dadapt_lion": "gradtx.dadapt_lion(estim_lr0=1e-3)",
    "published: dog": "gradtx.dog()",
    "published: dog_layer": "gradtx.dog(1.0, ('heuristic', 1e-3), weight_decay=0.02)",
    "published: dog_init_eta": "gradtx.dog(1.0, ('learning_rate', 0.01))",
    "published: lookahead": (
        "gradtx.outer(gradtx.sgd(0.05, momentum=0.9), 5, gradtx.sgd(0.5))"
    ),
    "published: ldog": (
        "gradtx.chain(gradtx.scale_by_distance_over_gradients(1e-3),"
        " gradtx.scale(-1.0))"
    ),
    "published: momo": "gradtx.momo()",
    "published: momo_decay": "gradtx.momo(0.5, weight_decay=0.02)",
    "published: momo_star": "gradtx.momo(adapt_lower_bound=True)",
    "published: momo_adam": "gradtx.momo_adam(0.1)",
    "published: momo_adam_decay": "gradtx.momo_adam(0.1, weight_decay=0.02)",
    "published: momo_adam_star": "gradtx.momo_adam(0.1, adapt_lower_bound=True)",
    "published: came": "gradtx.came(0.01)",
    "published: came_decay": "gradtx.came(0.01, weight_decay=0.1)",
    "published: adam_atan2": "gradtx.adam_atan2(0.01, b2=0.99)",
    "published: adam_atan2_decay": (
        "gradtx.adam_atan2(0.01, b2=0.99, a=1.0, b=2.0, weight_decay=0.1)"
    ),
    "published: adam_mini": (
        "gradtx.adam_mini(0.01, weight_decay=0.1, "
        "second_moment=gradtx.second_moment.rows())"
    ),
    "published: madgrad": "gradtx.madgrad(0.01)",
    "published: madgrad_plain": "gradtx.madgrad(0.01, momentum=0.0, eps=1e-4)",
    "published: madgrad_l2": "gradtx.madgrad(0.01, weight_decay=0.02)",
    "published: stable_adamw": "gradtx.stable_adamw(0.01, eps=1e-8, weight_decay=0.1)",
    "published: stable_adamw_optimi": "gradtx.stable_adamw(0.01, weight_decay=0.1)",
    "published: qhadam": "gradtx.qhadam(0.01, 0.9, 0.999, 0.7, 1.0)",
    "published: qhadam_both": "gradtx.qhadam(0.01, 0.95, 0.98, 0.7, 0.8)",
    "published: qhm": "gradtx.qhm(0.05, 0.9, 0.7)",
    "published: adabound": "gradtx.adabound(0.01, final_scale=10.0)",
    "published: adabound_fast": "gradtx.adabound(0.01, gamma=0.1, final_scale=5.0)",
    "published: amsbound": (
        "gradtx.amsbound(0.01, b2=0.99, gamma=0.1, final_scale=10.0)"
    ),
    "published: ademamix": "gradtx.ademamix(0.01, alpha=5.0)",
    "published: ademamix_warmup": (
        f"gradtx.ademamix(0.01, b3={B3_T}, alpha={A_T}, weight_decay=0.02)"
    ),
    "published: yogi": "gradtx.yogi(0.01)",
    "published: adabelief": "gradtx.adabelief(0.01)",
    "published: fromage": "gradtx.fromage(0.01)",
    "published: sign_sgd": "gradtx.sign_sgd(0.01)",
    "published: signum": (
        f"gradtx.chain(gradtx.ema(0.9, debias=False), gradtx.scale_by_sign(), {RATE})"
    ),
    "published: signum_decay": (
        "gradtx.chain(gradtx.ema(0.9, debias=False), gradtx.scale_by_sign(),"
        f" gradtx.add_decayed_weights(0.1), {RATE})"
    ),
    "published: tiger": (
        "gradtx.chain(gradtx.ema(0.965, debias=False), gradtx.scale_by_sign(),"
        f" gradtx.add_decayed_weights(0.1), {RATE})"
    ),
    "published: adamp": "gradtx.adamp(0.01, unit_axis=0)",
    "published: adamp_decay": (
        "gradtx.adamp(0.01, weight_decay=0.1, nesterov=True, unit_axis=0)"
    ),
    "published: sgdp": "gradtx.sgdp(0.05, 0.9, unit_axis=0)",
    "published: sgdp_decay": "gradtx.sgdp(0.05, 0.9, True, 0.1, unit_axis=0)",
    "published: novograd": "gradtx.novograd(0.01, 0.95, 0.98, eps=1e-8)",
    "published: novograd_timm": (
        "gradtx.novograd(0.01, 0.95, 0.98, eps=1e-8, weight_decay=0.1)"
    ),
    "published: grokfast_adamw": (
        "gradtx.chain(gradtx.grokfast(), gradtx.adam(0.01, b2=0.99, eps=0.0))"
    ),
    "published: ftrl": "gradtx.ftrl(0.05, beta=0.0)",
    "published: ftrl_sparse": "gradtx.ftrl(0.05, 0.05, 0.1)",
    "published: sm3": (f"gradtx.chain(gradtx.scale_by_sm3(0.0, eps=1e-30), {RATE_5})"),
    "published: sm3_layer": (
        f"gradtx.chain(gradtx.scale_by_sm3(0.9, eps=1e-30), {RATE_5})"
    ),
    "published: grams": "gradtx.grams(0.01, eps=1e-6, weight_decay=0.1)",
    "published: aggmo": (
        "gradtx.chain(gradtx.parallel(gradtx.trace(0.0), gradtx.trace(0.9),"
        " gradtx.trace(0.99)), gradtx.scale_by_learning_rate(0.05 / 3))"
    ),
    "published: orthograd": (
        "gradtx.chain(gradtx.orthogonalize_to_params(), gradtx.sgd(0.05, 0.9))"
    ),
    "published: orthograd_adam": (
        "gradtx.chain(gradtx.orthogonalize_to_params(), gradtx.adam(0.01))"
    ),
    "published: lamb": "gradtx.lamb(0.01, weight_decay=0.1)",
    "published: lamb_no_decay": "gradtx.lamb(0.01)",
    "published: lamb_clipped": (
        "gradtx.chain(gradtx.clip_by_global_norm(0.2),"
        " gradtx.lamb(0.01, weight_decay=0.01))"
    ),
    "published: adan": ("gradtx.adan(0.01, eps_root=0.0, weight_decay=0.1, prox=True)"),
    "published: adan_no_prox": "gradtx.adan(0.01, eps_root=0.0, weight_decay=0.1)",
    "published: adopt": "gradtx.adopt(0.01)",
    "published: adopt_timm": (
        "gradtx.adopt(0.01, clip_value_fn=lambda t: jnp.asarray(t, float) ** 0.333)"
    ),
    "published: laprop": "gradtx.laprop(0.01)",
    "published: mars_1d": "gradtx.mars(0.01, b1=0.9)",
    "published: mars": "gradtx.mars(0.01, b1=0.9, weight_decay=0.1)",
    "published: mars_lion": (
        "gradtx.chain(gradtx.parallel(gradtx.identity(),"
        " gradtx.chain(gradtx.gradient_change(0.9), gradtx.scale(0.025))),"
        " gradtx.renorm('at most'), gradtx.ema(0.9, debias=False),"
        f" gradtx.scale_by_sign(), {RATE})"
    ),
    "published: cautious_lion": (
        "gradtx.chain(gradtx.cautious(gradtx.scale_by_lion()),"
        f" gradtx.add_decayed_weights(0.1), {RATE})"
    ),
    "published: cautious_adamw": "gradtx.cautious_adamw(0.01, weight_decay=0.1)",
    "published: nadamw_timm": (
        "gradtx.nadamw(0.01, weight_decay=0.1, convention='timm')"
    ),
    "published: lars": "gradtx.lars(0.5, trust_coefficient=0.01)",
    "published: lars_decay": (
        "gradtx.lars(0.5, 0.1, trust_coefficient=0.01, separate_norms=True)"
    ),
    "published: adafactor_bv": (
        "gradtx.adafactor(0.01, min_dim_size_to_factor=2,"
        " multiply_by_parameter_scale=False, clipping_threshold=None)"
    ),
    "published: adafactor_bv_momentum": (
        "gradtx.adafactor(0.01, min_dim_size_to_factor=2,"
        " multiply_by_parameter_scale=False, momentum=0.9, dtype_momentum=jnp.float64,"
        " weight_decay_rate=0.01 * 0.1)"
    ),
}


def the_record():
    """The recipe of docs/matrix.md, with the numbers of steps divided by 25."""
    page = (REFERENCE.parent.parent / "docs" / "matrix.md").read_text()
    code = re.search(r"```python\n(from gradtx import by_path.*?)```", page, re.DOTALL)[
        1
    ]
    steps = {514: 20, 1487: 59, 1375: 55, 300: 12, 250: 10, 1625: 65, 1950: 78}
    steps |= {2400: 96, 2700: 108, 2900: 116}
    for n, fewer in steps.items():
        code, found = re.subn(rf"\b{n}\b", str(fewer), code)
        assert found
    names = {name: getattr(gradtx, name) for name in ("matrix", "merges", "transforms")}
    names |= {"gradtx": gradtx, "jnp": jnp, "Axes": gradtx.Axes}
    exec(code, names)
    return names["record"]


# What nothing here makes, and why.
DIFFERENT = {
    "torch: dampened": "PyTorch's first momentum is g, not (1 − dampening) g",
    "published: simplified_ademamix": "its mean takes in (1 − β) g, the paper's g",
    "published: adopt_po": "its clip is t^¼ where the authors' is (t − 1)^¼",
    "published: mars_po": "its first gradient is a change from 0, timm's is none",
    "published: momo_corrected": "MoMo here begins with the first gradient, undebiased",
    "published: sm3_beta": "its sums never fall, also those that decay",
    "published: laprop_decay": "timm decays the weights after the step",
    "published: lamb_po": "it does not debias r, and clips the norm of W at 10",
    "published: sophia": "it was given curvatures; here they are estimated",
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


@pytest.mark.parametrize("name", EQUAL)
def test_equals_the_recorded_trajectory(name, x64):
    names = {"gradtx": gradtx, "jnp": jnp, "the_record": the_record}
    tx = eval(EQUAL[name], names)
    recorded = RECORDED[name]
    for t, at, expected in zip(
        RECORDED_STEPS, path(tx, recorded["problem"]), recorded["points"], strict=True
    ):
        leaves = jax.tree.leaves(at)
        expected = expected if isinstance(at, dict) else [expected]
        for leaf, value in zip(leaves, expected, strict=True):
            assert leaf.dtype == jnp.float64
            # Entries are of order 1; near a crossing of zero, rounding differs by CPU.
            np.testing.assert_allclose(
                leaf, value, rtol=1e-11, atol=1e-13, err_msg=f"step {t}"
            )


def test_every_recorded_trajectory_is_compared_or_differs_for_a_reason():
    counted = Counter([*EQUAL, *DIFFERENT])
    assert counted == Counter(RECORDED.keys())
