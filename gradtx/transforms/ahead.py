"""Parameters that are ahead of a point, by a length along what a state keeps."""

from collections.abc import Callable
from typing import Any

import jax

from gradtx.core import Pair, Params, Scope, Updates, entrywise, wrapper
from gradtx.core.roles import scalar_like
from gradtx.numerics import as_array


def ahead_by(
    length: Callable[[Updates, Any, jax.Array], jax.Array],
    move: Callable[..., Any],
    init: Callable[..., Any],
    state_type: Callable[..., Any],
    kept_type: Callable[..., Any],
    scope: Scope = Scope.ENTRYWISE,
) -> Pair:
    """The pair for the factory that is running; the point to evaluate is not ahead.

    Args:
      length: from the updates, the count and the length so far to the next one, in the
        dtype of that.
      move: the rule on one array, with `before` and `after`, the two lengths.
      init: from one array to a `kept_type`.
      state_type: of a count, what is kept, and the length.
      kept_type: of a count and what is kept.
      scope: of the length.
    """

    def go_back(p, s, *, before):
        return p - before.astype(p.real.dtype) * s[1], s

    words = ["before", "after"]
    moving = entrywise(init, move, extra_args=words)
    back = entrywise(init, go_back, extra_args=words)

    def first(params: Params) -> Any:
        count, kept = moving.init(params)
        return state_type(count, kept, scalar_like(kept))

    def update(
        updates: Updates, state: Any, params: Params = None
    ) -> tuple[Updates, Any]:
        count, kept, before = state
        before = as_array(before)
        after = length(updates, count, before)
        kept = kept_type(count, kept)
        out, kept = moving.update(updates, kept, params, before=before, after=after)
        return out, state_type(*kept, after)

    def evaluation(state: Any, params: Params) -> Params:
        count, kept, before = state
        kept = kept_type(count, kept)
        return back.update(params, kept, before=as_array(before))[0]

    return wrapper(
        state_type,
        first,
        update,
        [],
        scope=scope | moving.scope,
        evaluation=evaluation,
    )
