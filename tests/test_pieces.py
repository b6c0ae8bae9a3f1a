"""The pieces that methods are made of, and what holds of the methods."""

import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import grads, params

import gradtx


def updates(tx, steps=3, p=None):
    """The updates of some steps, at parameters that stay."""
    p = params() if p is None else p
    state, out = tx.init(p), []
    for i in range(steps):
        u, state = tx.update(grads(i), state, p)
        out.append(u)
    return out


def assert_same_updates(a, b):
    chex.assert_trees_all_close(updates(a), updates(b), rtol=1e-6, atol=1e-7)


RENORMS = {
    "the global norm": (
        gradtx.renorm("at most", 0.5, per="tree"),
        gradtx.clip_by_global_norm(0.5),
    ),
    "block rms": (
        gradtx.renorm("at most", 0.3, norm="rms"),
        gradtx.clip_by_block_rms(0.3),
    ),
    "AGC": (
        gradtx.renorm("at most", 0.1, per="unit", of_params=True, floor=1e-3),
        gradtx.adaptive_grad_clip(0.1, 1e-3),
    ),
    "the trust ratio": (
        gradtx.renorm("exactly", 0.1, of_params=True),
        gradtx.scale_by_trust_ratio(trust_coefficient=0.1),
    ),
    "normalized": (
        gradtx.renorm("exactly", 2.0, per="tree"),
        gradtx.normalize_by_update_norm(2.0, eps=0.0),
    ),
    "rms of a unit": (
        gradtx.renorm("exactly", 2.0, norm="rms", per="unit"),
        gradtx.chain(
            gradtx.renorm("exactly", 2.0, per="unit"),
            gradtx.stateless_with_tree_map(
                lambda u, p: u * (u.shape[0] if u.ndim else 1) ** 0.5
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", RENORMS)
def test_renorm_is_what_has_other_names(name):
    assert_same_updates(*RENORMS[name])


def test_renorm_at_least_is_a_floor():
    tx = gradtx.renorm("at least", 0.5, of_params=True)
    p, g = jnp.array([3.0, 4.0]), jnp.array([0.0, 0.1])
    u, _ = tx.update(g, tx.init(p), p)
    np.testing.assert_allclose(u, [0.0, 2.5], rtol=1e-6)
    for kept in (jnp.array([0.0, 3.0]), jnp.zeros(2)):
        u, _ = tx.update(kept, tx.init(p), p)
        np.testing.assert_array_equal(u, kept)


def test_parameters_of_norm_zero_can_be_left():
    tx = gradtx.renorm("exactly", 0.1, of_params=True)
    g = jnp.array([0.3, -0.4])
    u, _ = tx.update(g, tx.init(g), jnp.zeros(2))
    np.testing.assert_array_equal(u, g)


# Side by side, and twice.


def test_nesterov_is_the_filter_run_twice():
    assert_same_updates(
        gradtx.nesterov(gradtx.trace(0.9)), gradtx.trace(0.9, nesterov=True)
    )
    ahead = gradtx.nesterov(gradtx.ema(0.9, debias=False))
    mean = gradtx.ema(0.9, debias=False)
    for u, m, i in zip(updates(ahead), updates(mean), range(3), strict=True):
        expected = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads(i))
        chex.assert_trees_all_close(u, expected, rtol=1e-6)


def test_parallel_makes_a_method_of_its_views():
    """Adam is the mean gradient, times what RMSProp makes of g, over g."""

    def merge(mean, u, g):
        return mean * u / g

    rms = gradtx.scale_by_rms(0.999, 0.0, bias_correction=True)
    views = gradtx.parallel(gradtx.ema(0.9), rms, gradtx.identity(), merge=merge)
    adam = gradtx.scale_by_adam(eps=0.0)
    chex.assert_trees_all_close(updates(views), updates(adam), rtol=1e-5, atol=1e-6)


def test_ademamix_is_two_means_side_by_side():
    def merge(mean, u, g):
        return mean * u / g

    means = gradtx.parallel(
        gradtx.ema(0.9),
        gradtx.chain(gradtx.ema(0.99, debias=False), gradtx.scale(6.0)),
    )
    rms = gradtx.scale_by_rms(0.999, 0.0, bias_correction=True)
    views = gradtx.parallel(means, rms, gradtx.identity(), merge=merge)
    ademamix = gradtx.scale_by_ademamix(b3=0.99, eps=0.0)
    chex.assert_trees_all_close(updates(views), updates(ademamix), rtol=1e-5, atol=1e-6)


def test_parallel_of_one_is_that_one():
    assert_same_updates(gradtx.parallel(gradtx.adam(0.1)), gradtx.adam(0.1))


def test_parallel_refuses_what_it_cannot_merge():
    with pytest.raises(TypeError, match="one gradient transformation or more"):
        gradtx.parallel()
    for merge, message in (
        (lambda u: u, r"merge cannot be called as merge\(u1, u2\): too many"),
        (gradtx.merges.trusted, "merge is merges.trusted; .* was not called"),
    ):
        with pytest.raises(TypeError, match=f"^parallel.*{message}"):
            gradtx.parallel(gradtx.identity(), gradtx.identity(), merge=merge)
    with pytest.raises(TypeError, match="part 1 is 3"):
        gradtx.parallel(gradtx.identity(), 3)
    tx = gradtx.parallel(gradtx.identity(), merge=lambda u: u[:1])
    g = {"a": jnp.ones(3)}
    with pytest.raises(ValueError, match=r"\['a'\] has shape \(1,\)"):
        tx.update(g, tx.init(g))


def test_grafting_takes_the_norm_of_the_other():
    tx = gradtx.parallel(
        gradtx.identity(), gradtx.scale(3.0), merge=gradtx.merges.with_norm_of
    )
    chex.assert_trees_all_close(updates(tx), updates(gradtx.scale(3.0)), rtol=1e-6)


def test_blends_are_switched_by_a_schedule():
    merge = gradtx.merges.blended(lambda t: jnp.where(t < 2, 0.25, 1.0))
    tx = gradtx.parallel(gradtx.identity(), gradtx.scale(5.0), merge=merge)
    g, state, seen = jnp.ones(2, jnp.bfloat16), tx.init(jnp.ones(2)), []
    for _ in range(4):
        u, state = tx.update(g, state)
        seen.append(float(u[0]))
    assert seen == [2.0, 2.0, 5.0, 5.0]
    assert int(state.count) == 4


def test_a_mixture_of_averages_begins_at_the_running_mean():
    """Averages of two memories, mixed from step 3 on: bi-Maxwell momentum."""

    def memory(later):
        return gradtx.ema(lambda t: jnp.where(t < 3, 0.9, later), debias=False)

    mix = gradtx.parallel(
        memory(0.5), memory(0.98), merge=gradtx.merges.blended(0.5615)
    )
    slopes, state, m = np.sin(np.arange(6.0)), mix.init(jnp.zeros(())), [0.0, 0.0]
    for i, g in enumerate(slopes):
        u, state = mix.update(jnp.asarray(g), state)
        decays = (0.9, 0.9) if i < 3 else (0.5, 0.98)
        m = [d * x + (1 - d) * g for d, x in zip(decays, m, strict=True)]
        np.testing.assert_allclose(u, 0.4385 * m[0] + 0.5615 * m[1], rtol=1e-5)


def test_grafting_from_a_step_on():
    merge = gradtx.merges.since(2, gradtx.merges.with_norm_of)
    tx = gradtx.parallel(gradtx.scale_by_sign(), gradtx.identity(), merge=merge)
    g = jnp.array([3.0, 4.0])
    state, seen = tx.init(g), []
    for _ in range(3):
        u, state = tx.update(g, state)
        seen.append(u)
    np.testing.assert_allclose(seen[:2], [g, g])
    np.testing.assert_allclose(seen[2], 5 * jnp.sqrt(jnp.full(2, 0.5)), rtol=1e-6)


def test_a_merge_is_given_what_its_keywords_name():
    p, g = ({"w": jnp.full(2, x), "none": None} for x in (3.0, 1.0))

    def merge(u, v, *, param, count, grad=None):
        steps = 10 * count.astype(u.dtype)
        return param + steps + (0 if grad is None else 100 * grad)

    tx = gradtx.parallel(gradtx.identity(), gradtx.scale(2.0), merge=merge)
    state = tx.init(p)
    u, state = tx.update(g, state, p)
    np.testing.assert_array_equal(u["w"], [3.0, 3.0])
    u, state = gradtx.wrappers.given_gradient(tx).update(g, state, p)
    np.testing.assert_array_equal(u["w"], [113.0, 113.0])
    with pytest.raises(ValueError, match=r"parallel.* needs the parameters"):
        tx.update(g, state)
    with pytest.raises(ValueError, match=r"grad\['w'\] has shape \(3,\)"):
        tx.update(g, state, p, grad={"w": jnp.ones(3), "none": None})
    trusted = gradtx.parallel(
        gradtx.identity(), gradtx.identity(), merge=gradtx.merges.trusted()
    )
    with pytest.raises(TypeError, match="needs grad"):
        trusted.update(g, trusted.init(p), p)
    with pytest.raises(TypeError, match="merge takes a keyword step; expected"):
        gradtx.parallel(gradtx.identity(), merge=lambda u, *, step: u)
    with pytest.raises(ValueError, match=r"trusted.*floor must be .* in \[0, 1\]"):
        gradtx.merges.trusted(1.5)
    with pytest.raises(TypeError, match=r"since.*merge must be a function"):
        gradtx.merges.since(3, 2.0)


# The learning rate, known to the links after it

TOLD = {
    "proximal": (gradtx.proximal, (gradtx.l1(0.3),)),
    "pin_radius": (gradtx.transforms.pin_radius, ()),
    "decay_stepped_weights": (gradtx.transforms.decay_stepped_weights, ()),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_chain_tells_the_learning_rate_to_the_links_after_it(name):
    factory, args = TOLD[name]
    decay = {} if args else {"weight_decay": 0.3}
    rate = gradtx.linear_schedule(0.5, 0.1, 3)
    deaf, hears = (factory(*args, **decay, **w) for w in ({"learning_rate": rate}, {}))
    base = gradtx.chain(gradtx.sgd(rate), deaf)
    assert eval(repr(hears), {**vars(gradtx)}) == hears
    chained = [
        gradtx.chain(gradtx.sgd(rate), hears),
        gradtx.named_chain(("sgd", gradtx.sgd(rate)), ("last", hears)),
        gradtx.chain(gradtx.sgd(1.0), gradtx.scale_by_schedule(rate), hears),
        gradtx.chain(
            gradtx.sgd(0.5),
            gradtx.chain(
                gradtx.scale_by_schedule(lambda t: 2 * rate(t)),
                gradtx.masked(hears, True),
            ),
        ),
        gradtx.chain(
            gradtx.wrappers.given_gradient(gradtx.sgd(rate)), gradtx.chain(hears)
        ),
    ]
    for tx in chained:
        assert_same_updates(tx, base)
    for tx in (hears, gradtx.chain(hears, gradtx.sgd(0.1))):
        with pytest.raises(TypeError, match=f"{name}.* needs learning_rate: no link"):
            updates(tx, 1)


def test_rates_of_two_precisions_are_told_as_one():
    with jax.enable_x64(True):
        p = jnp.ones(2, jnp.float32)
        rates = (
            gradtx.sgd(jnp.float64(0.5)),
            gradtx.scale_by_schedule(lambda t: jnp.float32(0.5)),
        )
        tx = gradtx.chain(*rates, gradtx.proximal(gradtx.l2(1.0)))
        u, _ = tx.update(p, tx.init(p), p)
        one = gradtx.chain(gradtx.sgd(0.25), gradtx.proximal(gradtx.l2(1.0), 0.25))
        np.testing.assert_array_equal(u, one.update(p, one.init(p), p)[0])


def test_cautious_keeps_what_agrees():
    g = jnp.array([1.0, -1.0, 2.0, 0.0])
    tx = gradtx.cautious(gradtx.stateless_with_tree_map(lambda u, _: jnp.abs(u)))
    u, _ = tx.update(g, tx.init(g))
    np.testing.assert_allclose(u, [2.0, 0.0, 4.0, 0.0])


def test_cautious_of_a_whole_optimizer_says_so():
    whole = gradtx.cautious(gradtx.adam(0.1), flip_sign=True)
    part = gradtx.chain(
        gradtx.cautious(gradtx.scale_by_adam()), gradtx.scale_by_learning_rate(0.1)
    )
    assert_same_updates(whole, part)


# Second moments.

ESTIMATORS = {
    "full": gradtx.second_moment.full(),
    "one_per_leaf": gradtx.second_moment.one_per_leaf(),
    "rows": gradtx.second_moment.rows(),
    "columns": gradtx.second_moment.columns(),
    "blocks": gradtx.second_moment.blocks(),
    "two blocks": gradtx.second_moment.blocks(2, axis=0),
    "rank_one": gradtx.second_moment.rank_one(1),
    "cover": gradtx.second_moment.cover(),
}
each = pytest.mark.parametrize("name", ESTIMATORS)


def estimates(estimator, squares, decay=0.9):
    moment = estimator.init(squares[0])
    for x in squares:
        estimate, moment = estimator.update(moment, x, decay, 1 - decay)
    return np.broadcast_to(estimate, squares[0].shape), moment


SQUARES = [jnp.linspace(0.1, 2.0 + i, 24).reshape(4, 6) for i in range(3)]
SIZES = {
    "full": 24,
    "one_per_leaf": 1,
    "rows": 4,
    "columns": 6,
    "blocks": 6,
    "two blocks": 2,
    "rank_one": 4 + 6 + 1,
    "cover": 4 + 6,
}
MEANS = {
    "full": lambda x: x,
    "one_per_leaf": lambda x: x.mean(),
    "rows": lambda x: x.mean(1, keepdims=True),
    "columns": lambda x: x.mean(0, keepdims=True),
    "blocks": lambda x: x.mean(0, keepdims=True),
    "two blocks": lambda x: x.reshape(2, 12).mean(1).repeat(2)[:, None],
    "rank_one": lambda x: np.outer(x.mean(1), x.mean(0)) / x.mean(),
}


@each
def test_an_estimate_is_the_mean_that_it_names(name):
    estimate, moment = estimates(ESTIMATORS[name], SQUARES)
    exact = sum(0.1 * 0.9 ** (2 - i) * np.asarray(x) for i, x in enumerate(SQUARES))
    assert sum(x.size for x in jax.tree.leaves(moment)) == SIZES[name]
    if name == "cover":
        assert (estimate >= exact * (1 - 1e-6)).all()
    else:
        expected = np.broadcast_to(MEANS[name](exact), (4, 6))
        np.testing.assert_allclose(estimate, expected, rtol=1e-6)


@each
@pytest.mark.parametrize("shape", [(), (3,), (0,), (0, 3), (3, 0), (4, 3, 2)])
def test_estimators_take_every_shape(name, shape):
    if name == "two blocks" and shape in [(), (3,), (3, 0)]:
        shape = (*shape[:0], 2, *shape[1:])
    tx = gradtx.scale_by_adam(second_moment=ESTIMATORS[name])
    p = jnp.ones(shape)
    state = tx.init(p)
    u, new = tx.update(p, state, p)
    np.testing.assert_allclose(u, np.ones(shape), rtol=1e-5)
    assert jax.tree.map(jax.typeof, new) == jax.tree.map(jax.typeof, state)


@each
def test_an_estimator_is_a_value(name):
    estimator = ESTIMATORS[name]
    for again in (
        eval(repr(estimator), vars(gradtx)),
        pickle.loads(pickle.dumps(estimator)),
    ):
        assert again == estimator
        assert hash(again) == hash(estimator)


def test_adam_is_adam_of_the_full_second_moment():
    assert_same_updates(
        gradtx.scale_by_adam(second_moment=gradtx.second_moment.full()),
        gradtx.scale_by_adam(),
    )


def test_rank_one_is_exact_for_matrices_of_rank_one():
    x = jnp.outer(jnp.arange(1.0, 5.0), jnp.arange(2.0, 8.0))
    estimate, _ = estimates(gradtx.second_moment.rank_one(1), [x])
    np.testing.assert_allclose(estimate, 0.1 * x, rtol=1e-6)


def test_rank_one_factors_the_two_longest_axes():
    moment = gradtx.second_moment.rank_one(4).init(jnp.ones((4, 3, 5)))
    assert (moment.v_row.shape, moment.v_col.shape) == ((4, 3), (3, 5))
    assert gradtx.second_moment.rank_one(5).init(jnp.ones((4, 3, 5))).v.shape == (
        4,
        3,
        5,
    )


def test_blocks_that_do_not_fit_are_refused():
    tx = gradtx.scale_by_adam(second_moment=gradtx.second_moment.blocks(4))
    with pytest.raises(
        ValueError, match=r"blocks: axis -1 .*\(2, 6\).* 4 equal blocks"
    ):
        tx.init(jnp.ones((2, 6)))
    tx = gradtx.scale_by_adam(second_moment=gradtx.second_moment.blocks(axis=2))
    with pytest.raises(ValueError, match=r"shape \(2, 6\) has no axis 2"):
        tx.init(jnp.ones((2, 6)))
    with pytest.raises(TypeError, match="second_moment must be an estimator"):
        gradtx.scale_by_adam(second_moment="rows")


# Layers.


def test_hyperball_keeps_the_norm():
    p = params()
    tx = gradtx.hyperball(gradtx.scale_by_adam(), 0.5)
    state = tx.init(p)
    for i in range(5):
        u, state = tx.update(grads(i), state, p)
        p = gradtx.apply_updates(p, u)
    for before, after in zip(
        jax.tree.leaves(params()), jax.tree.leaves(p), strict=True
    ):
        norms = np.linalg.norm(before), np.linalg.norm(after)
        np.testing.assert_allclose(*norms, rtol=1e-6)


def test_hyperball_moves_by_the_learning_rate():
    tx, p = gradtx.hyperball(gradtx.identity(), 1e-3), jnp.array([3.0, 4.0])
    u, _ = tx.update(jnp.array([4.0, -3.0]), tx.init(p), p)
    np.testing.assert_allclose(np.linalg.norm(u), 5e-3, rtol=1e-3)


def test_lamb_does_not_see_the_scale_of_the_gradient():
    p, tx = params(), gradtx.lamb(0.1, eps=0.0)
    u, _ = tx.update(grads(1), tx.init(p), p)
    v, _ = tx.update(gradtx.tree.scale(1e4, grads(1)), tx.init(p), p)
    chex.assert_trees_all_close(u, v, rtol=1e-5)


def test_fromage_is_exact_at_small_learning_rates(x64):
    """The shrinkage α² / 2 is below the resolution of 1 − 1 / √(1 + α²) in float32."""
    tx, w = gradtx.fromage(1e-4), np.array([1.0, 2.0])
    with jax.enable_x64(False):
        p = jnp.asarray(w, jnp.float32)
        u, _ = tx.update(jnp.zeros(2), tx.init(p), p)
    np.testing.assert_allclose(u, -w * 0.5e-8, rtol=1e-5)


def test_lars_with_separate_norms_asks_for_one_mask():
    with pytest.raises(ValueError, match="the two masks must be the same"):
        gradtx.lars(0.1, weight_decay_mask=gradtx.matrices, separate_norms=True)


# Attention.


def clip_heads(sizes, head_axis=-1, shape=(2, 6)):
    tx = gradtx.qk_clip(100.0, head_axis=head_axis)
    p = {"q": jnp.ones(shape), "v": jnp.ones(3)}
    g = gradtx.tree.full_like(p, 1.0)
    logits = {"q": None if sizes is None else jnp.asarray(sizes), "v": None}
    u, _ = tx.update(g, tx.init(p), p, max_logits=logits)
    return gradtx.apply_updates(p, u)


def test_qk_clip_shrinks_the_heads_that_are_too_large():
    p = clip_heads([50.0, 400.0, 100.0])
    np.testing.assert_allclose(p["q"], np.tile([2.0, 2.0, 1.0, 1.0, 2.0, 2.0], (2, 1)))
    np.testing.assert_array_equal(p["v"], 2.0)
    p = clip_heads([400.0, 50.0], head_axis=1, shape=(5, 2, 3))
    np.testing.assert_allclose(p["q"][:, 0], 1.0)
    np.testing.assert_allclose(p["q"][:, 1], 2.0)


def test_qk_clip_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"max_logits\['q'\] has shape \(4,\)"):
        clip_heads([1.0, 2.0, 3.0, 4.0])
    tx, p = gradtx.qk_clip(), {"q": jnp.ones((2, 6))}
    with pytest.raises(ValueError, match="max_logits"):
        tx.update(p, tx.init(p), p, max_logits={"k": None})
    with pytest.raises(TypeError, match="needs max_logits"):
        tx.update(p, tx.init(p), p)


def test_dampening_is_a_factor_before_the_momentum():
    """As in PyTorch, whose first velocity is the gradient itself, not damped."""
    momentum, dampening, decay, rate = 0.9, 0.3, 0.1, 0.05
    factor = gradtx.piecewise_constant_schedule(1.0, {1: 1 - dampening})
    tx = gradtx.chain(
        gradtx.add_decayed_weights(decay),
        gradtx.scale_by_schedule(factor),
        gradtx.sgd(rate, momentum=momentum),
    )
    p = params()
    w, v = np.asarray(p["dense"]["kernel"], np.float64), None
    state = tx.init(p)
    for i in range(6):
        u, state = tx.update(grads(i), state, p)
        p = gradtx.apply_updates(p, u)
        g = np.asarray(grads(i)["dense"]["kernel"], np.float64) + decay * w
        v = g if v is None else momentum * v + (1 - dampening) * g
        w = w - rate * v
        np.testing.assert_allclose(p["dense"]["kernel"], w, rtol=1e-5)
