"""Iterations on matrices, and the small numerics that Optax has at its top."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import gradtx
from gradtx import (
    matrix_inverse_pth_root,
    multi_normal,
    nnls,
    power_iteration,
    scale_gradient,
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def symmetric(eigenvalues, seed=0):
    n = len(eigenvalues)
    u, _ = np.linalg.qr(normal(n, n, seed=seed))
    return (u * np.asarray(eigenvalues, "d")) @ u.T, u


# Power iteration.


@pytest.mark.parametrize("top", [3.0, -3.0, 1e-30, 1e30])
def test_the_dominant_eigenvalue_and_its_vector(top):
    m, u = symmetric([top, top / 2, 0.1 * top, 0])
    value, v = power_iteration(jnp.asarray(m, "f"), num_iters=60)
    np.testing.assert_allclose(value, top, rtol=1e-5)
    np.testing.assert_allclose(np.abs(v @ u[:, 0]), 1, rtol=1e-5)


def test_a_function_of_trees_and_half_precision():
    v0 = {"a": jnp.ones(3, jnp.bfloat16), "b": (jnp.ones(2), None)}

    def product(v):
        assert v["a"].dtype == jnp.bfloat16
        return {"a": 2 * v["a"], "b": (v["b"][0], None)}

    value, v = jax.jit(lambda v: power_iteration(product, v0=v))(v0)
    np.testing.assert_allclose(value, 2.0, rtol=2e-2)
    assert value.dtype == jnp.float32
    assert jax.tree.map(jnp.result_type, v) == jax.tree.map(jnp.result_type, v0)
    half = jnp.asarray([[2.0, 0.0], [0.0, 1.0]], jnp.float16)
    value, _ = power_iteration(half)
    np.testing.assert_allclose(value, 2.0, rtol=1e-5)
    assert value.dtype == jnp.float32


def test_what_is_mapped_to_zero_has_the_eigenvalue_zero():
    for m in (jnp.zeros((3, 3)), jnp.zeros((1, 1)), jnp.diag(jnp.ones(2), 1)):
        value, v = power_iteration(m)
        assert value == 0
        np.testing.assert_allclose(gradtx.global_norm(v), 1, rtol=1e-6)
    assert power_iteration(jnp.eye(2), v0=jnp.zeros(2))[0] == 0
    assert np.isnan(power_iteration(jnp.full((2, 2), jnp.nan))[0])


def test_hermitian_matrices(x64):
    m = jnp.array([[2.0, 1j], [-1j, 2.0]])
    value, v = power_iteration(m)
    np.testing.assert_allclose(value, 3, atol=1e-6)
    np.testing.assert_allclose(m @ v, 3 * v, atol=1e-5)


def test_what_power_iteration_cannot_take():
    with pytest.raises(ValueError, match=r"power_iteration: .* needs v0"):
        power_iteration(lambda v: v)
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected a square"):
        power_iteration(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"v0 has shape \(3,\); expected \(2,\)"):
        power_iteration(jnp.eye(2), v0=jnp.ones(3))


# Roots.


@pytest.mark.parametrize("p", [1, 2, 3, 4, 7])
def test_the_inverse_root_is_that_of_the_eigenvalues(p):
    for eigenvalues in ([2.0, 1.0, 0.5, 0.3], [1e-8] * 4, [3e4, 2e4, 1e2, 1e2]):
        m, u = symmetric(eigenvalues)
        ridge = 1e-6 * max(eigenvalues)
        root, error = matrix_inverse_pth_root(jnp.asarray(m, "f"), p)
        exact = (u * (np.asarray(eigenvalues) + ridge) ** (-1 / p)) @ u.T
        np.testing.assert_allclose(root, exact, rtol=1e-3, atol=2e-3 * exact.max())
        assert error < 1e-4


def test_the_root_of_a_matrix_without_rank_is_finite(x64):
    for eigenvalues in ([1.0, 0.5, 0, 0], [0, 0, 0, 0], [2.0]):
        m, u = symmetric(eigenvalues)
        root, error = matrix_inverse_pth_root(m, 4, ridge_epsilon=1e-4)
        ridge = 1e-4 * max(*eigenvalues, 1e-16)
        exact = (u * (np.asarray(eigenvalues) + ridge) ** -0.25) @ u.T
        np.testing.assert_allclose(
            root, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max()
        )
        assert error < 1e-5
    root, _ = matrix_inverse_pth_root(jnp.zeros((2, 2), jnp.bfloat16), 2)
    assert root.dtype == jnp.bfloat16
    assert np.isfinite(root).all()
    assert matrix_inverse_pth_root(jnp.zeros((0, 0)), 2)[0].shape == (0, 0)


def test_a_traced_root_and_half_precision():
    m, _ = symmetric([2.0, 1.0, 0.5])
    m = jnp.asarray(m).astype(jnp.bfloat16)
    root, error = jax.jit(lambda m: matrix_inverse_pth_root(m, 2))(m)
    assert (root.dtype, error.dtype) == (jnp.bfloat16, jnp.float32)
    whole, _ = matrix_inverse_pth_root(m.astype(jnp.float32), 2)
    np.testing.assert_allclose(root.astype("f"), whole, rtol=1e-2)


def test_what_has_no_root():
    with pytest.raises(ValueError, match="matrix is not symmetric"):
        matrix_inverse_pth_root(jnp.array([[1.0, 2.0], [0.0, 1.0]]), 2)
    for p, kind in ((0, ValueError), (2.5, TypeError)):
        with pytest.raises(kind, match=r"p is .*expected a whole number >= 1"):
            matrix_inverse_pth_root(jnp.eye(2), p)
    with pytest.raises(TypeError, match="complex64; expected real"):
        matrix_inverse_pth_root(jnp.eye(2, dtype="complex64"), 2)


# Least squares.


def test_least_squares_without_negative_entries():
    for m, n in ((8, 4), (4, 8), (6, 6)):
        A, b = normal(m, n), normal(m, 3, seed=1)
        x = np.asarray(jax.jit(nnls, static_argnums=2)(A, b, 3000))
        assert (x >= 0).all()
        for k in range(3):
            _, least = scipy.optimize.nnls(A, b[:, k])
            found = np.linalg.norm(A @ x[:, k] - b[:, k])
            np.testing.assert_allclose(found, least, atol=1e-4)
        np.testing.assert_allclose(nnls(A, b[:, 0], 3000), x[:, 0], atol=1e-4)


def test_degenerate_least_squares():
    np.testing.assert_array_equal(nnls(jnp.zeros((3, 2)), jnp.ones(3), 5), 0)
    repeated = jnp.ones((3, 2), jnp.bfloat16)
    x = nnls(repeated, jnp.ones(3, jnp.bfloat16), 50)
    assert x.dtype == jnp.bfloat16
    np.testing.assert_allclose(x.sum().astype("f"), 1, rtol=1e-2)
    assert nnls(jnp.eye(2), jnp.ones(2), 0).shape == (2,)
    assert nnls(np.eye(2, dtype=int), np.array([2, -1]), 5).tolist() == [2.0, 0.0]
    with pytest.raises(ValueError, match=r"nnls: A has shape \(3,\)"):
        nnls(jnp.ones(3), jnp.ones(3), 5)
    with pytest.raises(ValueError, match=r"nnls: b has shape \(2,\); expected \(3,\)"):
        nnls(jnp.ones((3, 2)), jnp.ones(2), 5)


# Distributions, and gradients.


def test_a_normal_distribution():
    loc, log_scale = jnp.array([[1.0, -2.0]]), jnp.array([[0.5, -30.0], [2.0, 0.0]])
    d = jax.jit(multi_normal)(loc, log_scale)
    x = jnp.array([[0.5, -2.0], [3.0, 0.0]])
    exact = scipy.stats.norm.logpdf(
        np.float64(x), np.float64(loc), np.exp(np.float64(log_scale))
    )
    np.testing.assert_allclose(d.log_prob(x), exact.sum(), rtol=1e-6)
    assert d.log_prob(jnp.stack([x, x, x])).shape == (3,)
    samples = d.sample((20_000,), jax.random.key(0))
    assert samples.shape == (20_000, 2, 2)
    np.testing.assert_allclose(samples.mean(0)[:, 0], [1.0, 1.0], atol=0.2)
    np.testing.assert_allclose(samples.std(0), np.exp(log_scale), rtol=0.02, atol=1e-6)
    slope = jax.grad(lambda x: multi_normal(0.0, x).sample((), jax.random.key(0)))(0.0)
    assert slope == multi_normal(0.0, 0.0).sample((), jax.random.key(0))
    with pytest.raises(ValueError, match=r"multi_normal: .*Incompatible shapes"):
        multi_normal(jnp.ones(2), jnp.ones(3))
    with pytest.raises(ValueError, match=r"log_prob: x has shape \(\)"):
        d.log_prob(1.0)


def test_a_gradient_is_scaled_in_both_directions():
    def f(x, scale):
        y = scale_gradient(x, scale)
        return y["a"] ** 2 * y["n"] + jnp.sum(y["b"].astype(jnp.float32) ** 2)

    x = {"a": 3.0, "b": jnp.asarray([1.0, 2.0], jnp.bfloat16), "n": 2}
    for scale in (-0.5, 0.0, 1.0, 2.0, jnp.array(2.0)):
        assert f(x, scale) == 23.0

        def of_floats(a, b, scale=scale):
            return f({"a": a, "b": b, "n": 2}, scale)

        by_a, by_b = jax.grad(of_floats, argnums=(0, 1))(x["a"], x["b"])
        assert by_a == 12 * scale
        np.testing.assert_array_equal(by_b.astype("f"), np.array([2.0, 4.0]) * scale)
        assert by_b.dtype == jnp.bfloat16
        assert jax.jvp(of_floats, (3.0, x["b"]), (1.0, 0 * x["b"]))[1] == 12 * scale
    assert jax.grad(jax.jit(lambda s: f(x, s)))(3.0) == 0
    with pytest.raises(ValueError, match=r"scale_gradient: scale has shape \(2,\)"):
        scale_gradient(x, jnp.ones(2))
