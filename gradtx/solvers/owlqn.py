"""OWL-QN: limited-memory BFGS for a smooth function and an L1 penalty."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import Count, Pair, Scope, transformation
from gradtx.core.wrap import wrapper
from gradtx.numerics import as_array, safe_increment, wide_dtype, widen
from gradtx.solvers.constraints import like_params
from gradtx.solvers.quasi_newton import (
    LineSearchInfo,
    Memory,
    model_of,
    no_steps,
    to_minimum,
    vector_of,
)
from gradtx.trees import PyTree
from gradtx.values import Allowed, Number, Steps, wrong_type

DECREASE = 1e-4  # of what the slope at the start promises


def _each_is_one(penalty: Any) -> Any:
    jax.tree.map(Number(low=0, schedule=False), penalty)
    return penalty


Penalty = Annotated[
    Any,
    Allowed(
        text="a finite number >= 0, an array, or a tree of these",
        check=_each_is_one,
        name="Penalty",
    ),
]


class ScaleByOWLQNState(NamedTuple):
    count: Count
    value: jax.Array  # f where the step led, without the penalty
    grad: PyTree
    info: LineSearchInfo
    memory: Memory


@transformation
def owlqn(
    penalty: Penalty, *, memory_size: Steps = 10, max_linesearch_steps: Steps = 20
) -> Pair:
    """Step towards the minimum of f(W) + Σ λ|W|, with exact zeros.

    The pseudo-gradient v is the derivative of the whole in the direction in which it
    falls: ∇f + λ sign(W), and where W = 0 the soft threshold of ∇f by λ, so 0 if
    |∇f| ≤ λ. The step minimizes the quadratic model of L-BFGS, f + vᵀd + ½dᵀBd, in the
    entries that do not rest at 0; from 0 an entry goes against v or stays. The step is
    halved until the whole decreases enough; an entry that would change its sign on the
    way becomes 0.

    `update` needs the value of f and `value_fn`, f, as extra arguments, and as updates
    the gradient of f. `minimize(f, params, owlqn(λ))` adds the penalty to the value,
    and ends by the norm of v.

    Args:
      penalty: λ >= 0, a number, or a tree of numbers, arrays and None like the
        parameters: 0 or None for what is not penalized, such as biases.
      memory_size: >= 1, the number of pairs.
      max_linesearch_steps: >= 1, evaluations in a step.

    Raises:
      TypeError, ValueError: if a number is negative or not finite; from `init`, if the
        penalty does not match the parameters, or parameters are complex.

    References:
      Andrew and Gao, 2007, "Scalable training of L1-regularized log-linear models";
      Byrd, Chin, Nocedal and Oztoprak, 2016, doi:10.1007/s10107-015-0965-3, for the
      model in the entries that move.
    """

    def init(params: PyTree) -> ScaleByOWLQNState:
        if any(map(jnp.iscomplexobj, jax.tree.leaves(params))):
            raise wrong_type("complex parameters have no sign, and so no orthant.")
        _strengths(penalty, params)
        return no_steps(ScaleByOWLQNState, memory_size, params)

    def update(
        updates: PyTree,
        state: ScaleByOWLQNState,
        params: PyTree,
        *,
        value: Any,
        value_fn: Callable[[PyTree], jax.Array],
    ) -> tuple[PyTree, ScaleByOWLQNState]:
        x, tree_of = vector_of(params)
        g, _ = vector_of(updates)
        strength = _strengths(penalty, params)
        v = _pseudo_gradient(x, g, strength)
        d = _direction(x, v, strength, state.memory)
        orthant = jnp.where(x != 0, jnp.sign(x), -jnp.sign(v))
        value = as_array(value).astype(x.dtype)
        start = value + strength @ jnp.abs(x)
        rounding = 4 * jnp.finfo(x.dtype).eps * jnp.abs(start)

        def tried(step: jax.Array, evaluations: jax.Array) -> _Trial:
            at = x + step * d
            at = jnp.where((strength > 0) & (jnp.sign(at) != orthant), 0, at)
            value, grad = jax.value_and_grad(value_fn)(tree_of(at))
            value, (grad, _) = value.astype(x.dtype), vector_of(grad)
            reached = value + strength @ jnp.abs(at)
            # In the orthant the penalty is linear, as f is along a short way.
            slope = v @ (at - x)
            slope_there = (grad + strength * orthant) @ (at - x)
            enough = reached <= start + DECREASE * slope
            # A decrease that is lost in rounding shows in the slope.
            within = reached <= start + rounding
            within &= slope_there <= (2 * DECREASE - 1) * slope
            accepted = jnp.all(jnp.isfinite(grad)) & (enough | within)
            return _Trial(step, at, value, grad, evaluations + 1, accepted)

        def unfinished(trial: _Trial) -> jax.Array:
            return ~trial.accepted & (trial.evaluations < max_linesearch_steps)

        first = jnp.minimum(1, 1 / jnp.linalg.norm(d))
        first = jnp.where(jnp.any(state.memory.moves != 0), jnp.ones_like(first), first)
        trial = jax.lax.while_loop(
            unfinished,
            lambda trial: tried(trial.step / 2, trial.evaluations),
            tried(first, jnp.zeros((), jnp.int32)),
        )
        accepted = trial.accepted
        s = jnp.where(accepted, trial.at - x, 0)
        value, g_there = (
            jnp.where(accepted, new, old)
            for new, old in ((trial.value, value), (trial.grad, g))
        )
        return tree_of(s), ScaleByOWLQNState(
            count=safe_increment(state.count),
            value=value,
            grad=tree_of(g_there),
            info=LineSearchInfo(trial.evaluations, accepted),
            memory=state.memory.with_pair(s, g_there - g),
        )

    return wrapper(ScaleByOWLQNState, init, update, [], scope=Scope.TREEWISE)


class _Trial(NamedTuple):
    step: jax.Array
    at: jax.Array
    value: jax.Array
    grad: jax.Array
    evaluations: jax.Array
    accepted: jax.Array


def _pseudo_gradient(x: jax.Array, g: jax.Array, strength: jax.Array) -> jax.Array:
    at_zero = jnp.sign(g) * jnp.maximum(jnp.abs(g) - strength, 0)
    return jnp.where(x != 0, g + strength * jnp.sign(x), at_zero)


def _direction(
    x: jax.Array, v: jax.Array, strength: jax.Array, memory: Memory
) -> jax.Array:
    moves = (x != 0) | (v != 0)
    model = model_of(memory)
    d = to_minimum(v, jnp.where(moves[:, None], model.W, 0), model)
    # Where W is not 0, to go against v is no harm as long as the whole falls. Andrew
    # and Gao leave these entries out, too: ill-conditioned fits then take ten times as
    # many steps.
    d = jnp.where((strength > 0) & (x == 0) & (d * v >= 0), 0, d)
    return jnp.where(d @ v < 0, d, -v / memory.scale)


def residual_of(penalty: Any, params: PyTree, grad: PyTree) -> PyTree:
    """The pseudo-gradient; its derivative at an entry that rests at 0 is that of the
    entry, so that it stays there."""
    (x, tree_of), (g, _) = vector_of(params), vector_of(grad)
    strength = _strengths(penalty, params)
    rests = (x == 0) & (jnp.abs(g) < strength)
    return tree_of(jnp.where(rests, x, _pseudo_gradient(x, g, strength)))


def penalty_of(penalty: Any, params: PyTree) -> jax.Array:
    """Σ λ|W|."""
    return _strengths(penalty, params) @ jnp.abs(vector_of(params)[0])


def _strengths(penalty: Any, params: PyTree) -> jax.Array:
    """λ of each entry, in float32 or better."""
    wide = jax.tree.map(lambda p: widen(p, wide_dtype(p.dtype)), params)
    return vector_of(like_params("penalty", penalty, 0.0, wide))[0]
