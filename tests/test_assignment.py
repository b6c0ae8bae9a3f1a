"""The assignment of least cost, compared with SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from gradtx.assignment import base_hungarian_algorithm, hungarian_algorithm


def check(costs, found):
    """It is an assignment, by rows, and none costs less."""
    costs = np.asarray(costs, "d")
    i, j = map(np.asarray, found)
    n, m = costs.shape
    assert i.shape == j.shape == (min(n, m),)
    assert i.dtype == j.dtype == jnp.arange(0).dtype
    assert (np.diff(i) > 0).all()
    assert len({*j.tolist()}) == j.size
    assert all(((k >= 0) & (k < size)).all() for k, size in ((i, n), (j, m)))
    best = scipy.optimize.linear_sum_assignment(costs)
    np.testing.assert_allclose(costs[i, j].sum(), costs[best].sum(), rtol=1e-6)


def cases(shape):
    rng = np.random.default_rng(0)
    for k in range(6):
        normal = rng.normal(size=shape)
        yield normal
        yield rng.integers(0, 3, shape)  # many ties
        yield rng.integers(-99, 99, shape) + 1e6 * k  # far from zero
        yield np.clip(normal, -3, 3) * 1e38
        holes = rng.random(shape) < 0.5
        np.fill_diagonal(holes, False)
        yield np.where(holes, np.inf, normal)
    yield np.zeros(shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 5), (5, 3), (7, 7)])
def test_costs_as_little_as_that_of_scipy(shape):
    costs = np.stack([*cases(shape)]).astype("f")
    found = jax.jit(jax.vmap(hungarian_algorithm))(costs)
    for each in zip(costs, *found, strict=True):
        check(each[0], each[1:])


def test_larger_ones_alone():
    costs = np.random.default_rng(1).normal(size=(40, 50)).astype("f")
    check(costs, hungarian_algorithm(costs))
    assert base_hungarian_algorithm is hungarian_algorithm


def test_integers_are_exact(x64):
    """Also where their sums overflow, and as differences are small or 64 bits known."""
    rng = np.random.default_rng(2)
    for dtype in (np.int8, np.uint8, np.int32):
        info = np.iinfo(dtype)
        costs = rng.integers(info.min, info.max, (6, 6), dtype, endpoint=True)
        check(costs, hungarian_algorithm(costs))
    with jax.enable_x64(False):
        costs = (2**31 - 1 - rng.integers(0, 1000, (6, 6))).astype(np.int32)
        check(costs, hungarian_algorithm(costs))


def test_infinite_costs_are_taken_only_where_nothing_else_is_left():
    inf = np.inf
    costs = jnp.array(
        [[inf, 1.0, inf], [inf, 2.0, inf], [4.0, inf, 3.0], [inf, inf, inf]]
    )
    i, j = hungarian_algorithm(costs)
    assert np.isinf(costs[i, j]).sum() == 1
    assert {*np.asarray(j).tolist()} == {0, 1, 2}
    costs = jnp.array([[inf, 1.0], [inf, inf]])
    i, j = hungarian_algorithm(costs)
    assert costs[i, j].sum() == inf
    costs = jnp.array([[-inf, 1.0, 5.0], [2.0, -inf, 3.0], [9.0, 1.0, np.nan]])
    _, j = hungarian_algorithm(costs)
    np.testing.assert_array_equal(j, [0, 2, 1])
    _, j = hungarian_algorithm(jnp.full((2, 2), inf))
    assert {*np.asarray(j).tolist()} == {0, 1}


def test_half_precision_and_lists():
    costs = [[8, 4, 7], [5, 2, 3], [9, 6, 7], [9, 4, 8]]
    for given in (costs, jnp.array(costs, jnp.bfloat16), np.array(costs, "d")):
        i, j = hungarian_algorithm(given)
        assert np.asarray(costs)[i, j].sum() == 15


def test_empty_matrices_and_wrong_ones():
    for shape in ((0, 0), (0, 3), (3, 0)):
        i, j = hungarian_algorithm(jnp.zeros(shape))
        assert i.shape == j.shape == (0,)
        assert jnp.issubdtype(i.dtype, jnp.integer)
    with pytest.raises(ValueError, match=r"cost_matrix has shape \(2,\)"):
        hungarian_algorithm(jnp.ones(2))
    with pytest.raises(TypeError, match=r"cost_matrix is complex64"):
        hungarian_algorithm(jnp.ones((2, 2), "complex64"))


def test_the_program_is_small():
    program = jax.make_jaxpr(hungarian_algorithm)(jnp.ones((20, 30)))
    assert len(str(program).splitlines()) < 400
