"""What is special about the entrywise optimizers that Optax has too."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rows_entrywise import bowl

import gradtx


def steps(tx, gs, w=None):
    w = jnp.zeros_like(jnp.asarray(gs[0])) if w is None else w
    state, us = tx.init(w), []
    for g in gs:
        u, state = tx.update(jnp.asarray(g), state, w)
        us.append(u)
    return us


NAMES = """
    sign_sgd signum lion adagrad adadelta rprop noisy_sgd adamax adamaxw amsgrad
    nadam nadamw radam yogi adabelief acprop adopt adan ademamix simplified_ademamix
    sophia optimistic_gradient_descent optimistic_adam optimistic_adam_v2
    scale_by_sign scale_by_lion scale_by_rss scale_by_adadelta scale_by_rprop
    scale_by_belief scale_by_adamax scale_by_adan scale_by_amsgrad scale_by_radam
    scale_by_yogi scale_by_optimistic_gradient scale_by_acprop scale_by_ademamix
    scale_by_simplified_ademamix scale_by_adopt hutchinson_estimator_diag_hessian
    split_real_and_imaginary
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_arguments_are_those_of_optax(name):
    """In order, with the defaults; what we add is keyword-only, after them."""
    theirs = getattr(optax, name, None) or getattr(optax.contrib, name)

    def arguments(f):
        parameters = inspect.signature(f).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    ours, theirs = arguments(getattr(gradtx, name)), arguments(theirs)
    for a, b in zip(ours, theirs, strict=False):
        assert a[:2] == b[:2]
        # What is no number is another object there.
        assert a[2] == b[2] or callable(b[2]) or isinstance(b[2], tuple)
    for _, kind, _ in ours[len(theirs) :]:
        assert kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("library", [gradtx, optax])
def test_the_first_optimistic_adam_warns(library):
    with pytest.warns(
        DeprecationWarning, match="use `optimistic_adam_v2` instead"
    ) as w:
        library.optimistic_adam(0.1)
    assert library is optax or w[0].filename == __file__


def test_rprop_steps_at_once_and_waits_after_a_change_of_sign():
    us = steps(gradtx.rprop(0.1), [1.0, 1.0, -1.0, -1.0, -1.0])
    np.testing.assert_allclose(us, [-0.1, -0.12, 0.0, 0.06, 0.072], rtol=1e-6)


def test_rprop_does_not_multiply_gradients():
    """Of two small gradients the product is 0 in float32, and has no sign."""
    us = steps(gradtx.rprop(0.1), [1e-30, 1e-30, -1e-30])
    np.testing.assert_allclose(us, [-0.1, -0.12, 0.0], rtol=1e-6)


def test_rprop_refuses_complex_numbers():
    with pytest.raises(TypeError, match="split_real_and_imaginary"):
        gradtx.rprop(0.1).init(jnp.ones(2, complex))


def test_adadelta_descends_without_a_learning_rate():
    (u,) = steps(gradtx.adadelta(), [2.0])
    np.testing.assert_allclose(u, -2 * 1e-3 / 0.4**0.5, rtol=1e-5)


@pytest.mark.parametrize("form", [float, gradtx.constant_schedule])
@pytest.mark.parametrize("b2", [0.9, 0.999, 0.99999, 0.999999])
def test_radam_does_not_cancel_in_float32(b2, form):
    """Under a gradient of 1 the update is r_t, and 1 up to the fifth step."""
    tx = gradtx.scale_by_radam(b2=form(b2), eps=0.0)
    w = jnp.ones(())
    state = tx.init(w)._replace(nu=w)  # nu is then 1 at every step
    b2 = b2 if form is float else float(np.float32(b2))
    end = 2 / (1 - b2) - 1
    for t in (1, 2, 5, 6, 7, 30, 1000, 100_000, 10_000_000):
        u, _ = tx.update(w, state._replace(count=jnp.int32(t - 1), mu=w))
        power = np.expm1(t * np.log(b2))
        rho = np.longdouble(end) - 2 * t * (1 + power) / -power
        if t < 6:
            assert rho < 5
            r = np.sqrt(-power) / -np.expm1(t * np.log(0.9)) / np.sqrt(-power)
        else:
            r = (rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho)
            r = np.sqrt(r * -power) / -np.expm1(t * np.log(0.9))
        np.testing.assert_allclose(u, float(r), rtol=1e-5)


def test_conventions_are_words():
    for make in (
        lambda: gradtx.nadam(0.1, convention="pytorch"),
        lambda: gradtx.amsgrad(0.1, convention="keras"),
        lambda: gradtx.scale_by_lion(mode="soft"),
        lambda: gradtx.radam(0.1, eps_place="inner"),
    ):
        with pytest.raises(ValueError, match=r"(convention|mode|eps_place) must be '"):
            make()


def test_nadam_is_adam_that_looks_ahead():
    assert gradtx.nadam(0.1) == gradtx.adam(0.1, nesterov=True)
    assert gradtx.nadamw(0.1) == gradtx.adamw(0.1, nesterov=True)
    assert gradtx.nadam(0.1, nesterov=False, convention="torch") == gradtx.adam(0.1)


def test_a_sign_does_not_hide_that_the_momentum_is_infinite():
    *_, u = steps(gradtx.signum(0.1), [jnp.inf, 1.0, 1.0])
    assert not np.isfinite(u)
    *_, u = steps(gradtx.lion(0.1), [jnp.inf, 1.0, 1.0])
    assert not np.isfinite(u)


def test_adopt_does_not_clip_away_what_is_not_finite():
    *_, u = steps(gradtx.adopt(0.1), [1.0, 1.0, jnp.inf])
    assert not np.isfinite(u)


def test_noisy_sgd_takes_either_name_of_its_key():
    assert gradtx.noisy_sgd(0.1, seed=3) == gradtx.noisy_sgd(0.1, key=3)
    assert gradtx.noisy_sgd(0.1) == gradtx.noisy_sgd(0.1, key=0)
    with pytest.raises(ValueError, match="key=1 and seed=2"):
        gradtx.noisy_sgd(0.1, key=1, seed=2)


def test_half_life_schedule_is_a_line_in_the_half_life(x64):
    f = gradtx.half_life_schedule(0.9, 0.9999, 10)
    lives = 1 / np.log(np.asarray(f(np.arange(15))))
    ends = 1 / np.log([0.9, 0.9999])
    expected = np.interp(np.arange(15), [0, 10], ends)
    np.testing.assert_allclose(lives, expected, rtol=1e-9)
    assert float(f(10)) == 0.9999


# Complex parameters.

COMPLEX = ["adagrad", "yogi", "adabelief", "adamax", "radam", "amsgrad", "sign_sgd"]


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_parameters_as_in_optax(name, lenient):
    gs = [jnp.asarray([1 + 2j, -0.5j]), jnp.asarray([0.5 - 2j, 0.25 + 0.1j])]
    ours = steps(getattr(gradtx, name)(0.1), gs)
    theirs = steps(getattr(optax, name)(0.1), gs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_split_real_and_imaginary_is_the_optimizer_of_the_parts():
    w = {"z": jnp.asarray([1 + 2j, -0.5j]), "x": jnp.ones(2)}
    g = {"z": jnp.asarray([0.1 - 1j, 0.5j]), "x": jnp.asarray([-1.0, 0.5])}
    apart = gradtx.adamw(0.1)
    parts = {"re": g["z"].real, "im": g["z"].imag, "x": g["x"]}
    at = {"re": w["z"].real, "im": w["z"].imag, "x": w["x"]}
    expected, _ = apart.update(parts, apart.init(at), at)
    tx = gradtx.split_real_and_imaginary(gradtx.adamw(0.1))
    state = tx.init(w)
    u, new = tx.update(g, state, w)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, state)
    np.testing.assert_array_equal(u["z"].real, expected["re"])
    np.testing.assert_array_equal(u["z"].imag, expected["im"])
    np.testing.assert_array_equal(u["x"], expected["x"])
    held, _ = tx.update({**g, "z": None}, state, w)
    assert held["z"] is None
    np.testing.assert_array_equal(held["x"], expected["x"])


# Curvature.

H = jnp.asarray([4.0, 0.5, -2.0])


def quadratic(w):
    return 0.5 * jnp.sum(H * w**2)


def test_the_estimate_of_a_diagonal_hessian_is_exact():
    tx, w = gradtx.hutchinson_estimator_diag_hessian(3), jnp.ones(3)
    u, state = tx.update(w, tx.init(w), w, obj_fn=quadratic)
    np.testing.assert_allclose(u, H, rtol=1e-6)
    assert state.count == 1


def test_the_estimate_is_right_in_the_mean():
    matrix = jnp.asarray([[2.0, 1.0], [1.0, 3.0]])
    tx, w = gradtx.hutchinson_estimator_diag_hessian(), jnp.zeros(2)

    def estimate(count):
        state = gradtx.HutchinsonState(count)
        return tx.update(w, state, w, obj_fn=lambda w: 0.5 * w @ matrix @ w)[0]

    found = jax.vmap(estimate)(jnp.arange(4000))
    np.testing.assert_allclose(jnp.mean(found, 0), [2.0, 3.0], atol=0.06)
    assert len(np.unique(found[:, 0])) == 2


def test_sophia_written_out():
    tx = gradtx.sophia(0.1, b1=0.9, b2=0.8, update_interval=3, weight_decay=0.0)
    w = np.array([1.0, -2.0, 0.5])
    state, m, h = tx.init(jnp.asarray(w, jnp.float32)), np.zeros(3), np.zeros(3)
    for t in range(1, 8):
        g = np.asarray(H) * w
        now = jnp.asarray(w, jnp.float32)
        given = jnp.asarray(g, jnp.float32)
        u, state = tx.update(given, state, now, obj_fn=quadratic)
        m = 0.9 * m + 0.1 * g
        step = m / (1 - 0.9**t) / np.maximum(0.01 * h, 1e-8)
        step = -0.1 * np.clip(step, -1, 1)
        if (t - 1) % 3 == 0:
            h = 0.8 * h + 0.2 * np.asarray(H)
        np.testing.assert_allclose(u, step, rtol=1e-5)
        np.testing.assert_allclose(state[0].nu, h, rtol=1e-5)
        w = w + step


def test_sophia_needs_the_loss_and_prints_its_win_rate(capfd):
    w = jnp.ones(3)
    tx = gradtx.scale_by_sophia(verbose=True)
    with pytest.raises(TypeError, match="obj_fn"):
        tx.update(w, tx.init(w), w)
    tx.update(w, tx.init(w), w, obj_fn=bowl)
    jax.effects_barrier()
    assert "0.0 of the entries are not clipped" in capfd.readouterr().out


def test_the_decay_of_adan_as_a_proximal_step_may_be_a_schedule():
    decay = gradtx.linear_schedule(0.1, 0.2, 10)
    tx = gradtx.adan(0.1, weight_decay=decay, prox=True)
    assert eval(repr(tx), vars(gradtx)) == tx
    w = jnp.asarray(2.0)
    us = steps(tx, [jnp.zeros(()), jnp.zeros(())], w)
    np.testing.assert_allclose(w + us[0], 2 / 1.01, rtol=1e-6)
    np.testing.assert_allclose(w + us[1], 2 / 1.011, rtol=1e-6)


@pytest.mark.parametrize("name", ["adadelta", "lion", "momo", "rprop", "sm3"])
def test_the_old_state_is_written_over_without_a_copy(name):
    """The step and the new state are told by what is new: nothing else is kept."""
    tx = getattr(gradtx, name)(learning_rate=0.1)
    p = jnp.ones(2**16)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state, g):
        u, state = tx.update(g, state, p, value=1.0)
        return gradtx.apply_updates(p, u), state

    compiled = step.lower(p, tx.init(p), p).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.01 * p.nbytes
