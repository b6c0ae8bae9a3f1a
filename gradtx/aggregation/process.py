"""A transformation before, one that aggregates, and one after it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gradtx.aggregation.averages import PerElementUpdates
from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Part,
    Updates,
    inner_pair,
    rounded,
    transformation,
    wrapper,
    zero_updates,
)
from gradtx.core.pair import as_pair
from gradtx.core.precision import all_wide_enough, retyped
from gradtx.core.wrap import run_if
from gradtx.trees import PyTree
from gradtx.trees.search import get

AggregatedUpdates = PyTree


class AggregatorUpdateFn(Protocol):
    """The second function of an aggregator."""

    def __call__(
        self,
        per_elt_updates: PerElementUpdates,
        state: OptState,
        params: Params | None = None,
        **extra_args: Any,
    ) -> tuple[AggregatedUpdates, OptState]: ...


class _Aggregates(type):
    """Counts every transformation that aggregates among the aggregators."""

    def __instancecheck__(cls, x: Any) -> bool:
        if isinstance(x, GradientTransformation):
            return bool(x._made.aggregates)
        return super().__instancecheck__(x)


class Aggregator(GradientTransformation, metaclass=_Aggregates):
    """A pair written by hand that takes gradients of examples and gives an update.

    Every transformation that does so is an instance, also `dpsgd(...)` and a chain that
    begins with such a link.

    Args:
      init: from the parameters to the state.
      update: from the gradients of the examples, the state and the parameters to an
        update like the parameters, and the next state.
    """

    __slots__ = ()

    @staticmethod
    def build(init: Callable[..., Any], update: Callable[..., Any]) -> Pair:
        """The pair of the two functions."""
        pair = as_pair((init, update), "the pair")
        return Pair(
            init, update, pair.scope, pair.extra_args, pair.parts, aggregates=True
        )


@transformation
def process(
    preprocessor: GradientTransformation,
    aggregator: GradientTransformation,
    postprocessor: GradientTransformation,
    aggregator_has_aux: bool = False,
) -> Pair:
    """A transformation of gradients of examples, their aggregation, and one after it.

    Where a state of the aggregator has a field `ready` that is false, the updates are
    zero, and what comes after it is not run. Half precision travels in float32 and is
    rounded at the end.

    Args:
      preprocessor: of the gradients of the examples. It is not given the parameters,
        which have no axis of examples.
      aggregator: from these to an update.
      postprocessor: of the update, such as an optimizer.
      aggregator_has_aux: whether the aggregator returns a pair of an update and a dict,
        whose values become extra arguments of what comes after it.

    Returns:
      An `Aggregator`, if `aggregator` is one. Its state has those of the three.
    """
    given = (preprocessor, aggregator, postprocessor)
    words = ("preprocessor", "aggregator", "postprocessor")
    before, between, after = map(inner_pair, given, words)

    def init(params: Params) -> OptState:
        return before.init(params), between.init(params), after.init(params)

    def update(
        updates: Updates, state: OptState, params: Params = None, **extra: Any
    ) -> tuple[Updates, OptState]:
        first, second, third = state
        out, first = before.update(all_wide_enough(updates), first, None, **extra)
        out, second = between.update(out, second, params, **extra)
        if aggregator_has_aux:
            out, aux = out
            extra |= aux
        ready, zero = get(second, "ready"), zero_updates(out, params)
        if ready is None:
            out, third = after.update(out, third, params, **extra)
        else:
            out, third = run_if(ready, after, out, third, params, extra, zero)
        out = rounded(out, retyped(zero, updates), params)
        return out, (first, second, third)

    def parts(state: OptState) -> Sequence[Part]:
        return [Part(*part) for part in zip(words, given, state, strict=True)]

    return wrapper(None, init, update, [before, between, after], parts)
