"""Numbers at the ends of a float's range, in gradients and in hyperparameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

# Each gradient is followed by ordinary ones, which must go on to have an effect.
RUNS = {
    "large": [1e20] * 4,
    "a spike": [1.0, 1.0, 1e20, 1.0, 1.0],
    "the largest": [3e38, 1.0, -1.0],
    "of both signs": [1e30, -1e30, 1e30],
    "small": [1e-20] * 4,
    "a square of 0": [1e-30, -1e-30, 1e-30],
}


def last(tx, gs, jit):
    """The updates of a run on one parameter."""
    update = jax.jit(tx.update) if jit else tx.update
    w, us = jnp.ones(()), []
    state = tx.init(w)
    for g in gs:
        u, state = update(jnp.asarray(g, w.dtype), state, w)
        us.append(u)
    return np.stack(us)


def adam(gs, b1, b2, eps):
    mu = nu = 0.0
    for t, g in enumerate(gs, 1):
        mu, nu = b1 * mu + (1 - b1) * g, b2 * nu + (1 - b2) * g**2
        yield mu / (1 - b1**t) / (np.sqrt(nu / (1 - b2**t)) + eps)


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
@pytest.mark.parametrize("eps", [1e-8, 0.0])
@pytest.mark.parametrize("run", RUNS)
def test_adam_is_right_over_the_range_of_float32(run, eps, jit):
    ours = last(gradtx.scale_by_adam(eps=eps), RUNS[run], jit)
    expected = list(adam(RUNS[run], 0.9, 0.999, eps))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1e20, 1e38, 1e-20, 1e-30])
@pytest.mark.parametrize(
    "tx",
    [
        gradtx.scale_by_rms(0.9, 0.0),
        gradtx.scale_by_rss(0.0, 0.0),
        gradtx.scale_by_amsgrad(eps=0.0),
        gradtx.scale_by_novograd(eps=0.0),
        gradtx.scale_by_adadelta(eps=0.0),
        gradtx.scale_by_adamax(eps=0.0),
        gradtx.scale_by_factored_rms(epsilon=0.0),
    ],
    ids=str,
)
def test_without_eps_the_size_of_gradients_does_not_matter(tx, size):
    signs = np.array([1.0, -1.0, 1.0])
    ours, plain = last(tx, signs * size, True), last(tx, signs, True)
    np.testing.assert_allclose(ours, plain, rtol=1e-5)


def test_what_is_not_finite_stays_visible():
    tx = gradtx.scale_by_adam()
    for g in (np.inf, -np.inf, np.nan):
        assert not np.isfinite(last(tx, [1.0, g], True)[-1])


def test_a_complex_gradient_keeps_its_direction():
    tx, w = gradtx.scale_by_adam(eps=0.0), jnp.ones((), jnp.complex64)
    for size in (1e25, 1.0, 1e-25):
        with jax.numpy_dtype_promotion("standard"):
            u, _ = tx.update(jnp.asarray((3 + 4j) * size, w.dtype), tx.init(w), w)
        np.testing.assert_allclose(u, 0.6 + 0.8j, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_the_greatest_of_a_dtype(dtype):
    most = jnp.finfo(dtype).max
    tx, w = gradtx.adamw(1e-3), jnp.ones(3, dtype)
    state = tx.init(w)
    for g in (jnp.full(3, most), jnp.ones(3, dtype)):
        u, state = tx.update(g.astype(dtype), state, w)
        assert np.all(np.isfinite(u))
        assert np.all(u != 0)


@pytest.mark.parametrize("form", [float, jnp.float32, np.float32])
@pytest.mark.parametrize(
    "make",
    [
        gradtx.clip,
        gradtx.clip_by_global_norm,
        gradtx.clip_by_block_rms,
        gradtx.adaptive_grad_clip,
    ],
)
def test_an_infinite_bound_is_none(make, form):
    tx, w = make(form(np.inf)), jnp.arange(3.0)
    u, _ = tx.update(w * 1e30, tx.init(w), w)
    np.testing.assert_array_equal(u, w * 1e30)
    assert gradtx.parse(repr(tx)) == tx
    with pytest.raises(ValueError, match="must be a number >= 0"):
        make(float("nan"))


def test_a_trace_with_decay_1_is_a_sum():
    w = jnp.zeros(())
    tx = gradtx.trace(1.0)
    state = tx.init(w)
    for i in range(1, 4):
        u, state = tx.update(jnp.ones(()), state)
        assert u == i


def test_what_contradicts_itself_is_refused():
    for call, message in {
        lambda: gradtx.sgd(0.1, nesterov=True): "nesterov must be False without",
        lambda: gradtx.rmsprop(0.1, nesterov=True): "nesterov must be False without",
        lambda: gradtx.scale_by_rprop(0.1, min_step_size=1.0, max_step_size=0.5): (
            "max_step_size must be >= min_step_size, 1.0; got 0.5"
        ),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()


def test_a_state_of_another_optimizer_with_the_same_fields_is_refused():
    w = jnp.ones(2)
    state = gradtx.scale_by_belief().init(w)
    with pytest.raises(TypeError, match="ScaleByBeliefState; expected the ScaleByAdam"):
        gradtx.scale_by_adam().update(w, state)


P = {"a": {"w": jnp.ones((2, 3))}, "b": jnp.ones(3)}
TX = gradtx.adamw(1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: TX.update(None, s, P), "scale_by_adam.*: updates is None; expected"),
        (lambda s: TX.update(0.1, s, P), "updates is .*, but params is a dict"),
        (lambda s: TX.update(P, P, s), "this chain of 3, but a dict; expected what"),
        (lambda s: TX.update(P, s[:2], P), "this chain of 3, but 2 parts; expected"),
        (
            lambda s: TX.update({**P, "b": jnp.ones(3, complex)}, s, P),
            r"updates\['b'\] has dtype complex64, but params\['b'\] has dtype float32",
        ),
        (
            lambda s: gradtx.scale_by_adam().update(
                {**P, "b": jnp.ones(3, complex)}, s[0]
            ),
            r"state.mu\['b'\] has dtype float32; expected one like complex64",
        ),
        (
            lambda s: TX.update(
                P,
                (s[0]._replace(nu=jax.tree.map(lambda x: x.astype(int), P)), *s[1:]),
                P,
            ),
            r"state.nu\['a'\]\['w'\] has dtype int32; expected one like float32",
        ),
        (lambda s: gradtx.apply_updates(P, -0.1), "updates has shape .*is a dict"),
        (lambda s: gradtx.apply_updates(P, {"a": 0.1, "b": P["b"]}), r"params\['a'\]"),
        (
            lambda s: gradtx.apply_updates(P, {**P, "b": jnp.ones(3, complex)}),
            r"updates\['b'\] is complex, but params\['b'\] is real",
        ),
    ],
)
def test_what_is_no_gradient_is_refused_by_name(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(TX.init(P))


def test_a_weakly_typed_parameter_stays_so_and_is_traced_once():
    traces, tx = [], gradtx.adam(0.1)

    @jax.jit
    def step(p, state):
        traces.append(1)
        u, state = tx.update(p, state, p)
        return gradtx.apply_updates(p, u), state

    p = {"w": jnp.asarray(1.0)}
    state = tx.init(p)
    for _ in range(3):
        p, state = step(p, state)
    assert p["w"].weak_type
    assert len(traces) == 1
