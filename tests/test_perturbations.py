"""Functions made smooth by noise, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from gradtx.perturbations import Gumbel, Normal, make_perturbed_fun

KEY = jax.random.key(0)


def test_log_probabilities_are_those_of_the_samples():
    z = jnp.linspace(-2, 3, 7)
    np.testing.assert_allclose(
        Gumbel().log_prob(z), scipy.stats.gumbel_r.logpdf(z), rtol=1e-5
    )
    exact = scipy.stats.norm.logpdf(z) + np.log(2 * np.pi) / 2
    np.testing.assert_allclose(Normal().log_prob(z), exact, rtol=1e-5, atol=1e-6)
    for noise, like in ((Gumbel(), "gumbel_r"), (Normal(), "norm")):
        sample = noise.sample(KEY, (2000,), jnp.float32)
        assert scipy.stats.kstest(np.asarray(sample), like).pvalue > 0.01
    assert Gumbel() == Gumbel()
    assert repr(Normal()) == "Normal()"


def test_the_perturbed_argmax_is_a_softmax():
    def argmax(tree):
        return jax.tree.map(lambda x: jax.nn.one_hot(jnp.argmax(x), x.size), tree)

    def softmax(tree):
        return jax.tree.map(lambda x: jax.nn.softmax(x / 0.5), tree)

    x = {"a": jnp.array([0.3, -0.2, 0.1]), "b": (jnp.array([0.5, 0.0]), None)}
    f = make_perturbed_fun(argmax, 20_000, 0.5)
    value, slope = jax.jit(lambda x: (f(KEY, x), jax.jacrev(f, argnums=1)(KEY, x)))(x)
    expected = softmax(x), jax.jacrev(softmax)(x)
    for found, exact in zip(
        *map(jax.tree.leaves, ((value, slope), expected)), strict=True
    ):
        np.testing.assert_allclose(found, exact, atol=0.04)


def test_moments_of_a_normal_are_exact_in_the_mean():
    """E (x + σz)² = x² + σ²: by x its derivatives are 2x and 2, by σ it is 2σ."""
    x, sigma = jnp.array([0.7, -0.4]), 0.6

    def f(x, sigma):
        square = make_perturbed_fun(
            lambda x: jnp.sum(x**2), 50_000, sigma, noise=Normal()
        )
        return square(KEY, x)

    @jax.jit
    def all_at_once(x, sigma):
        by = jax.grad(f, argnums=(0, 1))(x, sigma)
        forward = jax.jvp(f, (x, sigma), (jnp.ones(2), 0.0))[1]
        return f(x, sigma), *by, forward, jax.hessian(f)(x, sigma)

    value, by_x, by_sigma, forward, hessian = all_at_once(x, sigma)
    np.testing.assert_allclose(value, jnp.sum(x**2) + 2 * sigma**2, rtol=0.02)
    np.testing.assert_allclose(by_x, 2 * x, atol=0.05)
    np.testing.assert_allclose(by_sigma, 4 * sigma, rtol=0.05)
    np.testing.assert_allclose(forward, jnp.sum(by_x), rtol=1e-3)
    np.testing.assert_allclose(hessian, 2 * np.eye(2), atol=0.15)


def test_the_same_samples_as_optax(lenient):
    x = {"a": jnp.array([[1.0, 2.0]]), "b": jnp.array(0.5)}

    def f(x):
        return jnp.sum(jnp.sin(x["a"])) * x["b"]

    for baseline in (True, False):
        ours, theirs = (
            jax.jit(jax.value_and_grad(make(f, 50, 0.3, use_baseline=baseline), 1))
            for make in (make_perturbed_fun, optax.perturbations.make_perturbed_fun)
        )
        for a, b in zip(
            *map(jax.tree.leaves, (ours(KEY, x), theirs(KEY, x))), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=2e-4)


def test_far_from_zero_the_noise_keeps_its_digits():
    """z is not worked out from x + σz, which has lost digits."""
    x = jnp.array([1e6])
    f = make_perturbed_fun(lambda x: x - 1e6, 4000, 1e-1, noise=Normal())
    slope = jax.jit(jax.jacrev(f, argnums=1))(KEY, x)
    np.testing.assert_allclose(slope, [[1.0]], atol=0.1)


def test_dtypes_and_integers():
    f = make_perturbed_fun(lambda x: (x, jnp.argmax(x)), 100)
    x = jnp.array([0.0, 1.0], jnp.bfloat16)
    same, index = jax.jit(f)(KEY, x)
    assert (same.dtype, index.dtype) == (jnp.bfloat16, jnp.float32)
    assert 0 <= index <= 1
    one = jax.eval_shape(f, KEY, 1.0)
    assert [y.shape for y in one] == [(), ()]


def test_what_is_wrong_is_told():
    for wrong in ({"num_samples": 0}, {"num_samples": 2.5}, {"sigma": 0.0}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"make_perturbed_fun: {name} is"):
            make_perturbed_fun(jnp.sum, **wrong)
    f = make_perturbed_fun(lambda x: x["a"], 3)
    with pytest.raises(TypeError, match=r"x\['a'\] has dtype int32"):
        f(KEY, {"a": jnp.arange(3)})
