"""Products with a Hessian, and diagonals, against the whole matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gradtx.second_order import fisher_diag, hessian_diag, hvp

P = {"w": jnp.array([[0.5, -1.0], [2.0, 0.1], [0.3, 0.7]]), "b": jnp.array([0.2, -0.4])}
X = jnp.linspace(-1.0, 1.0, 12).reshape(4, 3)
Y = jnp.array([0, 1, 1, 0])


def loss(params, inputs, targets):
    logits = inputs @ params["w"] + jnp.broadcast_to(params["b"], (4, 2))
    log_p = jax.nn.log_softmax(jnp.tanh(logits))
    return -jnp.sum(log_p * jax.nn.one_hot(targets, 2))


def flat():
    vector, unravel = ravel_pytree(P)
    return vector, lambda p: loss(unravel(p), X, Y), unravel


def test_the_product_with_a_vector_or_a_tree():
    vector, f, unravel = flat()
    v = jnp.cos(jnp.arange(vector.size, dtype=jnp.float32))
    expected = unravel(jax.jit(jax.hessian(f))(vector) @ v)

    @jax.jit
    def both(v):
        return [hvp(loss, given, P, X, Y) for given in (v, unravel(v))]

    for found in both(v):
        assert jax.tree.structure(found) == jax.tree.structure(P)
        for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_diagonals():
    vector, f, _ = flat()
    hessian = jax.jit(hessian_diag, static_argnums=0)(loss, P, X, Y)
    np.testing.assert_allclose(
        hessian, jnp.diag(jax.jit(jax.hessian(f))(vector)), rtol=1e-4, atol=1e-5
    )
    fisher = jax.jit(fisher_diag, static_argnums=0)(loss, P, X, Y)
    np.testing.assert_allclose(fisher, jax.grad(f)(vector) ** 2, rtol=1e-5)


def test_more_parameters_than_are_held_at_once():
    def quartic(params, inputs, targets):
        return jnp.sum(inputs * params["a"] ** 4) + params["b"] ** 2

    p = {"a": jnp.linspace(0.0, 1.0, 300), "b": jnp.array(2.0, jnp.bfloat16)}
    c = jnp.arange(300.0)
    found = jax.jit(hessian_diag, static_argnums=0)(quartic_of(quartic), p, c, None)
    np.testing.assert_allclose(found, [*(12 * c * p["a"] ** 2), 2.0], rtol=1e-5)


def quartic_of(f):
    """In float32, whatever the parameters are."""
    return lambda p, x, y: f(jax.tree.map(lambda w: w.astype(jnp.float32), p), x, y)


def test_scalars_and_no_parameters():
    def square(params, inputs, targets):
        return 3.0 * sum(jnp.sum(w**2) for w in jax.tree.leaves(params)) + 0.0

    assert hvp(square, 2.0, 1.0, None, None) == 12.0
    assert hessian_diag(square, jnp.array(1.0), None, None) == 6.0
    assert fisher_diag(square, jnp.array(1.0), None, None) == 36.0
    assert hessian_diag(square, {}, None, None).shape == (0,)


def test_a_vector_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"hvp: v has shape \(3,\); expected a tree"):
        hvp(loss, jnp.ones(3), P, X, Y)
    with pytest.raises(ValueError, match=r"hvp: .*\['b'\]"):
        hvp(loss, {**P, "b": jnp.ones(3)}, P, X, Y)
