"""Values: against NumPy transcriptions of each formula, and closed forms."""

import importlib
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.numerics import norms

REFERENCE = pathlib.Path(__file__).parent / "reference"
sys.path.insert(0, str(REFERENCE))
from problem import GRADIENT_STEPS, gradient, start  # noqa: E402


def path(tx):
    """The points after each step, in float64, one jitted step each."""

    @jax.jit
    def step(w, state, g):
        u, state = tx.update(g, state, w)
        return gradtx.apply_updates(w, u), state

    w = jnp.asarray(start())
    assert w.dtype == jnp.float64
    state, points = tx.init(w), []
    for i in range(GRADIENT_STEPS):
        w, state = step(w, state, jnp.asarray(gradient(np.asarray(w), i)))
        points.append(np.asarray(w))
    return np.stack(points)


# The formulas of the lecture and of the papers, written out once more in NumPy: each
# numpy_*.py beside the problem has a family.

TRANSCRIBED, OPTAX = {}, {}
for module in sorted(REFERENCE.glob("numpy_*.py")):
    family = importlib.import_module(module.stem)
    assert not family.TRANSCRIBED.keys() & TRANSCRIBED.keys()
    TRANSCRIBED |= family.TRANSCRIBED
    OPTAX |= getattr(family, "OPTAX", {})


@pytest.mark.parametrize("name", TRANSCRIBED)
def test_equals_the_transcription(name, x64):
    tx, transcription = TRANSCRIBED[name]
    expected = np.stack(list(transcription(start())))
    # Entries are of order 1; next to a crossing of zero, rounding differs by CPU.
    np.testing.assert_allclose(path(tx), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", OPTAX)
def test_equals_optax(name, x64, lenient):
    ours, theirs, *rtol = OPTAX[name]
    expected = path(theirs(pytest.importorskip("optax")))
    rtol = rtol[0] if rtol else 1e-9
    np.testing.assert_allclose(path(ours), expected, rtol=rtol, atol=1e-12)


# Closed forms on a quadratic ½ h (w − w*)², whose gradient is h (w − w*).


def on_a_quadratic(tx, h, w, steps, target=0.0):
    def step(carry, _):
        w, state = carry
        u, state = tx.update(h * (w - target), state, w)
        return (w + u, state), w + u

    return jax.lax.scan(step, (w, tx.init(w)), length=steps)[1]


def test_sgd_contracts_by_a_constant_factor(x64):
    h, w = jnp.array([0.5, 2.0]), jnp.array([3.0, -1.0])
    path = on_a_quadratic(gradtx.sgd(0.1), h, w, 30)
    t = np.arange(1, 31)[:, None]
    np.testing.assert_allclose(
        path, (1 - 0.1 * np.array(h)) ** t * np.array(w), rtol=1e-13
    )


def test_momentum_follows_its_two_roots(x64):
    """w_{t+1} = (1 + ρ − αh) w_t − ρ w_{t−1}: a combination of powers of the roots."""
    a, rho, h, w = 0.1, 0.5, 0.2, 1.0
    path = on_a_quadratic(gradtx.sgd(a, momentum=rho), h, jnp.asarray(w), 40)
    roots = np.roots([1, -(1 + rho - a * h), rho])
    weights = np.linalg.solve([roots**0, roots**1], [w, (1 - a * h) * w])
    t = np.arange(1, 41)[:, None]
    np.testing.assert_allclose(path, (weights * roots**t).sum(1).real, rtol=1e-11)


def test_adam_takes_steps_of_the_learning_rate_under_a_constant_gradient(x64):
    """m̂ = g and r̂ = g² at every step, whatever the scale of g."""
    tx = gradtx.adam(0.1, eps=0.0)
    g = jnp.array([1e-6, -3.0, 1e5])
    state = tx.init(g)
    for _ in range(10):
        u, state = tx.update(g, state)
        np.testing.assert_allclose(u, [-0.1, 0.1, -0.1], rtol=1e-13)


def test_weight_decay_alone_is_geometric(x64):
    tx, w = gradtx.adamw(0.1, weight_decay=0.5), jnp.array([2.0, -4.0])
    state = tx.init(w)
    for t in range(1, 6):
        u, state = tx.update(jnp.zeros(2), state, w)
        w = w + u
        np.testing.assert_allclose(w, np.array([2.0, -4.0]) * 0.95**t, rtol=1e-14)


# AdamW is its chain.


def test_adamw_is_a_chain_in_its_repr():
    shown = repr(gradtx.adamw(1e-3))
    assert shown == (
        "chain(scale_by_adam(), add_decayed_weights(weight_decay=0.0001), "
        "scale_by_schedule(0.001, flip_sign=True))"
    )
    assert gradtx.adamw(1e-3) == gradtx.chain(
        gradtx.scale_by_adam(),
        gradtx.add_decayed_weights(1e-4),
        gradtx.scale_by_learning_rate(1e-3),
    )


# The bias correction and the means.


@pytest.mark.parametrize("b", [0.0, 0.5, 0.9, 0.999, 0.999999])
@pytest.mark.parametrize("t", [1, 2, 10, 10_000])
@pytest.mark.parametrize("form", [float, jnp.float32, gradtx.constant_schedule])
def test_debias_does_not_cancel_in_float32(b, t, form):
    c = gradtx.debias(form(b))(jnp.int32(t - 1))
    rounded = b if form is float else float(np.float32(b))
    exact = -np.expm1(t * np.log(rounded)) if b else 1.0
    np.testing.assert_allclose(c, exact, rtol=5e-7)


# Half precision.


def float64_updates(tx, gs, w):
    with jax.enable_x64(True):
        w = jnp.asarray(np.asarray(w, np.float64))
        state, us = tx.init(w), []
        for g in gs:
            u, state = tx.update(jnp.asarray(np.asarray(g, np.float64)), state, w)
            us.append(np.asarray(u))
    return us


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize(
    "tx",
    [
        gradtx.adam(1e-3),
        gradtx.adamw(1e-3, weight_decay=1e-2),
        gradtx.rmsprop(1e-3),
        gradtx.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False),
    ],
    ids=repr,
)
def test_half_precision_agrees_with_float64(tx, dtype):
    """Gradients whose squares leave float16's range, and zeros: within half an ulp."""
    g = jnp.asarray([1e-4, 300.0, 6e4, 0.0, -6e4, -1e-4], dtype)
    gs = [g, -g, jnp.zeros_like(g), g, 0.5 * g]
    w = jnp.asarray([1.0, -2.0, 0.5, 0.25, 3.0, 0.0], dtype)
    state = tx.init(w)
    for g, exact in zip(gs, float64_updates(tx, gs, w), strict=True):
        u, state = tx.update(g, state, w)
        assert u.dtype == dtype
        eps = float(jnp.finfo(dtype).eps)
        smallest = float(jnp.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(
            np.asarray(u, np.float64), exact, rtol=0.51 * eps, atol=0.51 * smallest
        )


def test_a_long_run_in_bfloat16_does_not_stagnate():
    """The mean square of a constant gradient reaches it; kept in bfloat16 it sticks."""
    tx, g = gradtx.scale_by_adam(), jnp.ones((), jnp.bfloat16)

    def step(state, _):
        return tx.update(g, state)[1], None

    state, _ = jax.lax.scan(step, tx.init(g), length=5000)
    np.testing.assert_allclose(state.nu, 1 - 0.999**5000, rtol=1e-3)


def test_global_norm_of_half_precision():
    clipped = gradtx.clip_by_global_norm(1.0)
    g = {str(i): jnp.full(100, 300.0, jnp.float16) for i in range(10)}
    u, _ = clipped.update(g, clipped.init(g))
    np.testing.assert_allclose(gradtx.global_norm(g), 300 * 1000**0.5, rtol=1e-6)
    np.testing.assert_allclose(gradtx.global_norm(u), 1.0, rtol=1e-3)
    many = [jnp.ones((), jnp.bfloat16)] * 400  # a sum of bfloat16 ends at 256
    np.testing.assert_allclose(gradtx.global_norm(many), 400**0.5, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-36, 1e-30, 1e-3, 1.0, 1e30, 1e38])
def test_clipping_by_norm_at_the_ends_of_the_range(scale):
    tx = gradtx.clip_by_global_norm(scale)
    g = {"a": jnp.asarray([1.2, -1.6]) * scale, "b": jnp.zeros(3)}
    u, _ = tx.update(g, tx.init(g))
    exact = np.array([0.6, -0.8]) * scale
    np.testing.assert_allclose(np.asarray(u["a"], np.float64), exact, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1.0, 1e30])
def test_the_norm_of_constants_inside_a_program(value):
    """XLA would square what they are scaled by, to an infinity or to 0."""

    def norms():
        return jax.vmap(gradtx.global_norm)(jnp.full((2, 3), value))

    np.testing.assert_allclose(jax.jit(norms)(), 3**0.5 * value, rtol=1e-6)


@pytest.mark.parametrize(("value", "rtol"), [(1.0, 2e-7), (1e25, 1000 * 2**-25)])
def test_the_error_of_a_norm(value, rtol):
    x = np.random.default_rng(0).uniform(size=(1000, 1000)).astype(np.float32)
    g = {"a": np.float32(value) * x, "b": np.full((1000, 1000), value, np.float32)}
    exact = np.sqrt(sum(np.sum(np.square(x, dtype=np.float64)) for x in g.values()))
    np.testing.assert_allclose(jax.jit(gradtx.global_norm)(g), exact, rtol=rtol)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("value", [0.0, 1e-36, 1e-25, 1.0, 1e25, 1e38, np.inf, np.nan])
@pytest.mark.parametrize("way", ["_norm_in_one_pass", "_norm_in_two_passes"])
def test_either_way_to_a_norm(way, value, dtype, x64):
    """A CPU takes two passes, other devices one."""
    rng = np.random.default_rng(0)
    shapes = [(), *[(3,)] * 20, (150, 40), (2, 5, 1700)]
    arrays = [rng.uniform(-1, 1, shape) for shape in shapes]
    exact = np.sqrt(sum(np.sum(x**2) for x in arrays)) * value
    norm = jax.jit(lambda xs: getattr(norms, way)(xs, *norms._scales(dtype)))
    found = norm([jnp.asarray(x * value, dtype) for x in arrays])
    assert found.dtype == dtype
    expected = exact if exact < jnp.finfo(dtype).max else np.inf * exact
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # some are subnormal


@pytest.mark.parametrize("value", [1e-30, 1.0, 1e30, np.inf, np.nan])
def test_the_norm_of_complex_numbers(value):
    a, b = (jax.lax.complex(*jnp.full((2, n), value)) for n in (1, 2))
    found = gradtx.global_norm({"a": a, "b": b})
    np.testing.assert_allclose(found, 6**0.5 * value, rtol=1e-6)
    slopes = jax.grad(gradtx.global_norm)({"a": jnp.array([3 + 4j]), "b": 12.0})
    np.testing.assert_allclose(slopes["a"], (3 - 4j) / 13, rtol=1e-6)


def test_the_norm_of_mixed_precision(x64):
    g = [jnp.full(2, 3e-25, jnp.float32), jnp.full(2, 4e-25, jnp.float64)]
    np.testing.assert_allclose(gradtx.global_norm(g), 50**0.5 * 1e-25, rtol=1e-7)


def test_clipping_to_nothing():
    tx = gradtx.clip_by_global_norm(0.0)
    for g in (jnp.zeros(3), jnp.ones(3)):
        u, _ = tx.update(g, tx.init(g))
        np.testing.assert_array_equal(u, 0)


def test_mixed_dtypes_return_the_finer():
    tx = gradtx.adam(1e-3)
    p, g = jnp.ones(3, jnp.float32), jnp.ones(3, jnp.bfloat16)
    assert tx.update(g, tx.init(p), p)[0].dtype == jnp.float32
    assert tx.update(g, tx.init(p))[0].dtype == jnp.bfloat16


def test_mu_dtype_is_kept():
    tx = gradtx.adam(1e-3, mu_dtype=jnp.bfloat16)
    w = jnp.ones(3)
    state = tx.init(w)
    _, new = tx.update(w, state)
    assert state[0].mu.dtype == new[0].mu.dtype == jnp.bfloat16
    assert state[0].nu.dtype == new[0].nu.dtype == jnp.float32
    assert "mu_dtype='bfloat16'" in repr(tx)


def test_complex_parameters(lenient):
    w = jnp.asarray([1 + 2j, -0.5j])
    for tx in (gradtx.adamw(0.1), gradtx.rmsprop(0.1), gradtx.sgd(0.1, momentum=0.9)):
        state = tx.init(w)
        u, state = tx.update(w, state, w)
        assert u.dtype == w.dtype
    adam = gradtx.scale_by_adam(eps=0.0)
    u, state = adam.update(w, adam.init(w))
    assert state.nu.dtype == jnp.float32
    np.testing.assert_allclose(jnp.abs(u), 1.0, rtol=1e-6)
    optax = pytest.importorskip("optax").adam(0.1)
    ours = gradtx.adam(0.1)
    a, _ = ours.update(w, ours.init(w))
    b, _ = optax.update(w, optax.init(w))
    np.testing.assert_allclose(a, b, rtol=1e-5)  # Optax's debiasing rounds
