"""Lookahead in Optax's form, on a pair of fast and slow parameters."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Updates,
    around_one,
    inner_pair,
    rounded,
    transformation,
)
from gradtx.core.precision import all_wide_enough
from gradtx.core.roles import is_slot, scalar
from gradtx.core.wrap import typed_as
from gradtx.trees.flat import map_matched
from gradtx.values import Misfit, Steps, wrong_type
from gradtx.values.arguments import FractionConstant


class LookaheadState(NamedTuple):
    fast_state: OptState
    steps_since_sync: jax.Array  # of the fast parameters, since both were the same


class LookaheadParams(NamedTuple):
    """Fast and slow parameters: gradients are taken at the fast, tests at the slow."""

    fast: Params
    slow: Params

    @classmethod
    def init_synced(cls, params: Params) -> "LookaheadParams":
        """A pair of the same parameters, in buffers of their own to be donated."""
        slow = jax.tree.map(_copied, params)
        return cls(fast=params, slow=slow)


@transformation
def lookahead(
    fast_optimizer: GradientTransformation,
    sync_period: Steps,
    slow_step_size: FractionConstant,
    reset_state: bool = False,
) -> Pair:
    """Let slow parameters follow the fast ones every k steps: Lookahead.

    It takes a pair of parameters, `LookaheadParams.init_synced(params)`, with gradients
    of `params.fast`, and gives updates of both. After k steps x ← x + α (W + u − x),
    and W is x. On plain parameters, with the slow ones in the state, it is
    `outer(fast_optimizer, k, sgd(α))`.

    Args:
      fast_optimizer: the optimizer of the fast parameters.
      sync_period: k, a whole number >= 1, or an array.
      slow_step_size: α in [0, 1].
      reset_state: whether the state of the fast optimizer then begins anew.

    Raises:
      TypeError: from `init` and `update`, if the parameters are no such pair.

    Example:
      >>> tx = gradtx.lookahead(gradtx.sgd(1.0), sync_period=2, slow_step_size=0.5)
      >>> params = gradtx.LookaheadParams.init_synced(jnp.array([4.0]))
      >>> state = tx.init(params)
      >>> for _ in range(2):
      ...     updates, state = tx.update(jnp.ones(1), state, params)
      ...     params = gradtx.apply_updates(params, updates)
      ...     print(params.fast, params.slow)
      [3.] [4.]
      [3.] [3.]

    Equals:
      Optax's, whose `init` also takes plain parameters.

    References:
      Zhang et al., 2019, arXiv:1907.08610.
    """
    pair = inner_pair(fast_optimizer, "fast_optimizer")

    def init(params: Params) -> LookaheadState:
        fast = params if is_slot(params) else _both(params)[0]
        return LookaheadState(pair.init(fast), jnp.zeros((), jnp.int32))

    def update(
        updates: Updates, state: LookaheadState, params: Params, **extra: Any
    ) -> tuple[LookaheadParams, LookaheadState]:
        fast, slow = _both(params)
        given = all_wide_enough(updates)
        us, fast_state = pair.update(given, state.fast_state, fast, **extra)
        steps = state.steps_since_sync + 1
        due = steps >= scalar("sync_period", sync_period, steps.dtype)

        def to_fast(u: Any, w: Any, x: Any) -> Any:
            return jnp.where(due, u - (1 - _size(u)) * (w + u - x), u)

        def to_slow(u: Any, w: Any, x: Any) -> Any:
            return jnp.where(due, _size(u) * (w + u - x), jnp.zeros_like(u))

        def _size(u: Any) -> jax.Array:
            return scalar("slow_step_size", slow_step_size, u.real.dtype)

        names = "the transformed updates", "params.fast", "params.slow"
        trees = [all_wide_enough(tree) for tree in (us, fast, slow)]
        out = LookaheadParams(
            rounded(map_matched(to_fast, names, *trees), updates, fast),
            rounded(map_matched(to_slow, names, *trees), updates, slow),
        )
        if reset_state:
            fast_state = jax.tree.map(
                lambda new, first: jnp.where(due, typed_as(first, new), new),
                fast_state,
                pair.init(fast),
            )
        return out, LookaheadState(fast_state, jnp.where(due, 0, steps))

    def evaluation(state: LookaheadState, params: Params) -> Params:
        return _both(params)[1]

    def refused(_: int, params: Params) -> Any:
        raise Misfit(
            "the slow parameters of lookahead(...) are to be evaluated, and inside is "
            "an average of the fast ones; expected one of the two."
        )

    return around_one(
        LookaheadState,
        init,
        update,
        fast_optimizer,
        pair,
        "fast_state",
        evaluation=evaluation,
        view=refused,
    )


def _both(params: Params) -> tuple[Params, Params]:
    """The fast and the slow parameters."""
    if hasattr(params, "fast") and hasattr(params, "slow"):
        return params.fast, params.slow
    raise wrong_type(
        f"params is a {type(params).__name__}; expected a LookaheadParams, such as "
        "LookaheadParams.init_synced(params). Plain parameters are for outer(...)."
    )


def _copied(x: Any) -> Any:
    return jnp.copy(x) if isinstance(x, jax.Array) else x
