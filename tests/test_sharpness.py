"""Sharpness-aware minimization: against NumPy, Optax and a published package."""

import functools
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.optimizers import asam, friendly_sam, gsam, looksam, wsam

REFERENCE = pathlib.Path(__file__).parent / "reference"
sys.path.insert(0, str(REFERENCE))
from problem import layer_gradient, layer_start  # noqa: E402

RECORDED = json.loads((REFERENCE / "sharpness.json").read_text())
STEPS = RECORDED["steps"]


def sgd():
    return gradtx.sgd(0.1, momentum=0.9)


def plain(rho, **options):
    climb = gradtx.chain(gradtx.normalize(), gradtx.sgd(rho))
    return gradtx.sam(sgd(), climb, opaque_mode=True, **options)


MAKERS = {
    "sam": lambda rho=0.3: plain(rho),
    "asam": lambda rho=0.5: asam(sgd(), rho),
    "gsam": lambda rho=0.3: gsam(sgd(), rho, alpha=0.4),
    "wsam": lambda rho=0.3: wsam(sgd(), rho, gamma=0.8),
    "wsam_decoupled": lambda rho=0.3: wsam(sgd(), rho, 0.8, learning_rate=0.1),
    "looksam": lambda rho=0.3: looksam(sgd(), rho, every=3),
    "friendly_sam": lambda rho=0.3: friendly_sam(sgd(), rho, sigma=0.8),
}
every = pytest.mark.parametrize("name", MAKERS)


# The rules, on one long vector; leaves are told apart by where they are in it.


def slope(w):
    g = layer_gradient({"b": w[:3], "w": w[3:].reshape(4, 3)}, 0)
    return np.concatenate([g["b"], g["w"].ravel()])


def uphill(w, d, radius, of=None):
    return w + radius * d / (np.linalg.norm(d if of is None else of) + 1e-12)


def in_numpy(name):
    w = np.concatenate([layer_start()["b"], layer_start()["w"].ravel()])
    velocity, mean, seen = np.zeros_like(w), None, np.zeros_like(w)
    for t in range(STEPS):
        g, apart = slope(w), np.zeros_like(w)
        s = slope(uphill(w, g, 0.3))
        if name == "sam":
            use = s
        elif name == "asam":
            scaled = np.abs(w) * g
            use = slope(uphill(w, np.abs(w) * scaled, 0.5, scaled))
        elif name == "gsam":
            use = s - 0.4 * (g - (g @ s) / (s @ s) * s)
        elif name == "wsam":
            use = -3.0 * g + 4.0 * s
        elif name == "wsam_decoupled":
            use, apart = g, -0.1 * 4.0 * (s - g)
        elif name == "looksam":
            use = np.empty_like(g)
            for leaf in (slice(0, 3), slice(3, None)):
                a, b = g[leaf], s[leaf]
                if t % 3 == 0:
                    unit = a / np.linalg.norm(a)
                    use[leaf], seen[leaf] = b, b - (unit @ b) * unit
                else:
                    v = seen[leaf]
                    size = np.linalg.norm(a) / (np.linalg.norm(v) + 1e-8)
                    use[leaf] = a + 0.7 * size * v
        elif name == "friendly_sam":
            new = g if mean is None else g - 0.8 * mean
            mean = g if mean is None else 0.9 * mean + 0.1 * g
            use = slope(uphill(w, new, 0.3))
        velocity = 0.9 * velocity + use
        w = w - 0.1 * velocity + apart
    return w


def gradient(p, i=0):
    numbers = jax.tree.map(np.asarray, p)
    return jax.tree.map(jnp.asarray, layer_gradient(numbers, 0))


def run(tx, cycles=STEPS, calls=1, **extra):
    p = jax.tree.map(jnp.asarray, layer_start())
    state, points = tx.init(p), []
    for _ in range(cycles):
        for _ in range(calls):
            u, state = tx.update(gradient(p), state, p, **extra)
            p = gradtx.apply_updates(p, u)
        points.append(p)
    return points


def flat(p):
    return np.concatenate([np.ravel(p["b"]), np.ravel(p["w"])])


@every
def test_equals_the_rule_in_numpy_and_the_package(name, x64):
    point = flat(run(MAKERS[name](), grad_fn=gradient)[-1])
    np.testing.assert_allclose(point, in_numpy(name), rtol=1e-11, atol=1e-13)
    recorded = RECORDED["points"][name]
    theirs = np.concatenate([np.ravel(leaf) for leaf in recorded])
    # Its norms are in float32.
    np.testing.assert_allclose(point, theirs, rtol=1e-6, atol=1e-7)


@every
def test_a_radius_of_zero_is_the_optimizer(name, x64):
    points = run(MAKERS[name](0.0), grad_fn=gradient)
    for point, expected in zip(points, run(sgd()), strict=True):
        np.testing.assert_allclose(flat(point), flat(expected), rtol=1e-12)


@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_equals_optax(opaque, reset, x64):
    made = []
    for lib, normalize, sam in (
        (gradtx, gradtx.contrib.normalize, gradtx.contrib.sam),
        (optax, optax.contrib.normalize, optax.contrib.sam),
    ):
        climb = lib.chain(normalize(), lib.adam(0.05))
        tx = sam(lib.adam(0.1), climb, 3, reset_state=reset, opaque_mode=opaque)
        extra = {"grad_fn": gradient} if opaque else {}
        with jax.numpy_dtype_promotion("standard"):
            made.append(run(tx, 4, 1 if opaque else 3, **extra))
    for ours, theirs in zip(*made, strict=True):
        np.testing.assert_allclose(flat(ours), flat(theirs), rtol=1e-10)


def test_arguments_out_of_their_range_are_refused():
    with pytest.raises(
        ValueError, match=r"wsam.*gamma must be a finite number in \[0, 1\)"
    ):
        wsam(sgd(), gamma=1.0)
    with pytest.raises((TypeError, ValueError), match=r"sam.*sync_period"):
        gradtx.sam(sgd(), sgd(), sync_period=0)
    with pytest.raises(TypeError, match=r"sam.*adv_optimizer"):
        gradtx.sam(sgd(), gradtx.sgd)
    with pytest.raises(TypeError, match=r"sam.*batch_axis_name must be the name of"):
        gradtx.sam(sgd(), sgd(), batch_axis_name=3)
    with pytest.raises(ValueError, match=r"looksam.*rho"):
        looksam(sgd(), rho=-1.0)
    for recipe in (asam, looksam, functools.partial(wsam, learning_rate=0.1)):
        with pytest.raises(TypeError, match=r"sam: optimizer is sgd; .* not called\?"):
            recipe(gradtx.sgd)


def test_the_two_forms_of_sam_are_the_same(x64):
    climb = gradtx.chain(gradtx.normalize(), gradtx.sgd(0.3))
    transparent = run(gradtx.sam(sgd(), climb), calls=2)
    for one, other in zip(transparent, run(plain(0.3), grad_fn=gradient), strict=True):
        np.testing.assert_allclose(flat(one), flat(other), rtol=1e-11)


@pytest.mark.parametrize("opaque", [False, True])
def test_a_cycle_of_one_call_is_the_optimizer(opaque, x64):
    climb = gradtx.chain(gradtx.normalize(), gradtx.sgd(0.3))
    tx = gradtx.sam(sgd(), climb, sync_period=1, opaque_mode=opaque)
    point = run(tx, **({"grad_fn": gradient} if opaque else {}))[-1]
    np.testing.assert_allclose(flat(point), flat(run(sgd())[-1]), rtol=1e-13)


@every
def test_zero_gradients_give_finite_steps_that_can_be_differentiated(name):
    p, tx = {"w": jnp.ones(3)}, MAKERS[name]()

    def step(g):
        out = tx.update({"w": g}, tx.init(p), p, grad_fn=lambda p, i: {"w": g})[0]
        return out["w"].sum()

    value, slope = jax.jit(jax.value_and_grad(step))(jnp.zeros(3))
    assert value == 0
    assert jnp.isfinite(slope).all()


def test_the_optimizer_sees_where_the_cycle_began():
    climb = gradtx.sgd(1.0)
    tx = gradtx.sam(gradtx.add_decayed_weights(1.0), climb)
    p = {"w": jnp.asarray([2.0])}
    zero, state = {"w": jnp.zeros(1)}, tx.init(p)
    u, state = tx.update({"w": jnp.ones(1)}, state, p)
    assert u["w"] == 1
    u, state = tx.update(zero, state, gradtx.apply_updates(p, u))
    assert u["w"] == 2 - 3 + 2  # back, and the decay of 2


def test_what_grad_fn_is_not_is_said():
    p = {"w": jnp.ones(3)}
    for tx in (plain(0.1), asam(sgd())):
        state = tx.init(p)
        with pytest.raises(TypeError, match="needs grad_fn: call update"):
            tx.update(p, state, p)
        with pytest.raises(TypeError, match=r"grad_fn is 3; expected a function"):
            tx.update(p, state, p, grad_fn=3)
        with pytest.raises(TypeError, match=r"grad_fn\(params, i\), with i = 0"):
            tx.update(p, state, p, grad_fn=lambda p: p)
        with pytest.raises(ValueError, match=r"'w'.*grad_fn\(params, 0\)"):
            tx.update(p, state, p, grad_fn=lambda p, i: {"v": p["w"]})
        with pytest.raises(ValueError, match=r"grad_fn\(params, 0\)\['w'\].*\(1,\)"):
            tx.update(p, state, p, grad_fn=lambda p, i: {"w": p["w"][:1]})


def test_inside_of_a_part_the_error_says_what_grad_fn_got():
    p = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    parts = {True: asam(sgd()), False: sgd()}
    tx = gradtx.partition(parts, gradtx.matrices)
    loss = jax.grad(lambda p, i: (p["w"] @ p["b"]).sum())
    with pytest.raises(TypeError) as raised:
        tx.update(p, tx.init(p), p, grad_fn=loss)
    assert "belongs outside of them" in "".join(raised.value.__notes__)


def test_a_radius_may_be_injected():
    p = {"w": jnp.ones(3)}
    tx = gradtx.inject_hyperparams(asam)(sgd(), rho=0.5)
    state = tx.init(p)
    assert state.hyperparams["rho"] == 0.5
    state.hyperparams["rho"] = jnp.float32(0.0)
    u, _ = tx.update({"w": jnp.full(3, 2.0)}, state, p, grad_fn=lambda p, i: p)
    np.testing.assert_allclose(u["w"], -0.1)


def test_a_second_gradient_is_computed_every_kth_step_only():
    calls, p = [], {"w": jnp.ones(3)}

    def counted(params, i):
        calls.append(i)
        return params

    tx = looksam(sgd(), every=3)
    state = tx.init(p)
    for _ in range(7):
        _, state = tx.update(p, state, p, grad_fn=counted)
    assert calls == [0, 0, 0]


def test_rounding_is_not_taken_for_what_is_left_across_the_gradient():
    """Of one entry nothing lies across: between its steps LookSAM is the base."""
    tx = looksam(gradtx.sgd(1.0), rho=0.05, every=2)

    def beside(params, i):
        return gradtx.tree.scale(0.7, params)

    for value in np.linspace(0.1, 2.0, 20):
        p = {"scale": jnp.float32(value)}
        g, state = gradtx.tree.scale(0.3, p), tx.init(p)
        for _ in range(2):
            u, state = tx.update(g, state, p, grad_fn=beside)
        assert u["scale"] == -g["scale"]


def test_the_state_of_optax_goes_on(x64):
    p = jax.tree.map(jnp.asarray, layer_start())
    made = [
        lib.contrib.sam(
            lib.adam(0.1), lib.chain(lib.contrib.normalize(), lib.adam(0.05))
        )
        for lib in (optax, gradtx)
    ]
    theirs, ours = made
    state = theirs.init(p)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(3):
            _, state = theirs.update(gradient(p), state, p)
        expected, _ = theirs.update(gradient(p), state, p)
    came = gradtx.from_optax_state(ours, p, state)
    u, _ = ours.update(gradient(p), came, p)
    np.testing.assert_allclose(flat(u), flat(expected), rtol=1e-10)
