"""The linear assignment problem: which row goes with which column at least cost."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.numerics import as_array, is_real, wide_dtype
from gradtx.numerics.norms import power_of_two
from gradtx.values import Misfit, naming, wrong_type

__all__ = ["base_hungarian_algorithm", "hungarian_algorithm"]


def hungarian_algorithm(cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    """Match rows and columns, as many as there can be, at the least total cost.

    Exact to the rounding of float32, or of float64 where costs are so and 64 bits are
    allowed: of integers, whose differences within a row are below 2²⁴, exact. In a
    batch, by `jax.vmap`, the longest search is waited for.

    Args:
      cost_matrix: real numbers, of shape (n, m). A pair of cost ∞, or NaN, is taken
        only if no other assignment is left: then there is none of finite cost, and
        `cost_matrix[i, j].sum()` says so. As many as can be of cost −∞ are taken.

    Returns:
      The rows i, which ascend, and the columns j, of shape (min(n, m),). The cost is
      `cost_matrix[i, j].sum()`.

    Raises:
      ValueError: if it is not a matrix.
      TypeError: if it is not of real numbers.

    References:
      Kuhn, 1955, "The Hungarian method for the assignment problem"; Crouse, 2016, "On
      implementing 2D rectangular assignment algorithms", for shortest augmenting paths.
    """
    with naming("hungarian_algorithm"):
        costs = as_array(cost_matrix)
        if costs.ndim != 2:
            raise Misfit(f"cost_matrix has shape {costs.shape}; expected a matrix.")
        if not is_real(costs.dtype):
            raise wrong_type(f"cost_matrix is {costs.dtype}; expected real numbers.")
    n, m = costs.shape
    if costs.size == 0:
        return jnp.zeros(0, int), jnp.zeros(0, int)
    if n <= m:
        return jnp.arange(n), _columns_of_rows(_comparable(costs))
    rows = _columns_of_rows(_comparable(costs.T))
    j = jnp.argsort(rows)
    return rows[j], j


base_hungarian_algorithm = hungarian_algorithm  # Optax has two of these


def _comparable(costs: jax.Array) -> jax.Array:
    """Costs without −∞ and NaN, of at most 2 where not infinite; the same are best."""
    if jnp.issubdtype(costs.dtype, jnp.integer):
        # Within a row only differences matter, and modulo 2ⁿ there is room for them.
        unsigned = costs.astype(jnp.dtype(f"uint{costs.dtype.itemsize * 8}"))
        least = jnp.argmin(costs, axis=1, keepdims=True)
        costs = (unsigned - jnp.take_along_axis(unsigned, least, axis=1)).astype(float)
    costs = costs.astype(wide_dtype(costs.dtype))
    finite, zero = jnp.isfinite(costs), jnp.zeros((), costs.dtype)
    most = jnp.max(jnp.where(finite, jnp.abs(costs), zero))
    costs = costs / power_of_two(most)
    # One of these is to be worth more than all that the others may cost.
    costs = jnp.where(costs == -jnp.inf, -4.0 * (costs.shape[0] + 1), costs)
    return jnp.where(jnp.isnan(costs), jnp.inf, costs)


def _at(x: jax.Array, i: jax.Array) -> jax.Array:
    """x[i], of which an index outside is the nearest inside."""
    return jax.lax.dynamic_index_in_dim(
        x, i, keepdims=False, allow_negative_indices=False
    )


@jax.jit
def _columns_of_rows(costs: jax.Array) -> jax.Array:
    """The column for each row, of at least as many columns as rows.

    One row after the other gets the shortest path to a free column, along which the
    earlier ones make room. Lengths are `costs` minus the prices of the rows and of the
    columns, so none is negative; the price of a row is what makes its pair cost 0.
    """
    n, m = costs.shape
    columns_there = jnp.arange(m)
    none, far = jnp.full(m, -1), jnp.full(m, jnp.inf, costs.dtype)

    def insert(row: Any, state: Any) -> Any:
        prices, rows, columns = state

        def is_underway(search: Any) -> jax.Array:
            i, _, reached = search[:3]
            return (i >= 0) & (reached < jnp.inf)

        def go_on(search: Any) -> Any:
            i, _, reached, pair, way, before, seen = search
            # Differences of costs first: they round less than their sums with prices.
            cost, price = pair
            length = reached + ((_at(costs, i) - cost) - (prices - price))
            shorter = ~seen & (length < way)
            way = jnp.where(shorter, length, way)
            before = jnp.where(shorter, i, before)
            left = jnp.where(seen, jnp.inf, way)
            j = jnp.argmin(left)
            i, seen = _at(rows, j), seen | (columns_there == j)
            pair = _at(_at(costs, i), j), _at(prices, j)
            return i, j, _at(left, j), pair, way, before, seen

        zero = jnp.zeros((), costs.dtype)
        start = (row, jnp.zeros_like(row), zero, (zero, zero))
        search = (*start, far, none, jnp.zeros(m, bool))
        _, j, reached, _, way, before, seen = jax.lax.while_loop(
            is_underway, go_on, search
        )
        found = reached < jnp.inf
        prices = jnp.where(found & seen, prices + (way - reached), prices)

        def make_room(state: Any) -> Any:
            j, rows, columns = state
            i = _at(before, j)
            return _at(columns, i), rows.at[j].set(i), columns.at[i].set(j)

        end = jnp.where(found, j, -1), rows, columns
        _, rows, columns = jax.lax.while_loop(lambda s: s[0] >= 0, make_room, end)
        return prices, rows, columns

    state = jnp.zeros(m, costs.dtype), none, none[:n]
    _, rows, columns = jax.lax.fori_loop(0, n, insert, state)
    # Rows without a way to a free column get those that are left.
    missing = columns < 0
    (left,) = jnp.nonzero(rows < 0, size=m, fill_value=0)
    return jnp.where(missing, left[jnp.cumsum(missing) - 1], columns)
