"""The gradient, for links of a chain that come after the first."""

from typing import Any, NamedTuple

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Part,
    Scope,
    Updates,
    inner_pair,
    rounded,
    transformation,
    wrapper,
)


class RawGradientState(NamedTuple):
    """The state of `raw_gradient`, which has none."""


@transformation
def given_gradient(inner: GradientTransformation) -> Pair:
    """Let every link inside see the gradient that the first one is given, as `grad`.

    To a link that takes an extra argument `grad` it is passed as that: `raw_gradient()`
    puts it beside what the links before have made of it,

        given_gradient(
            chain(ema(0.9), parallel(lmo("sign"), raw_gradient(), merge=agreeing))
        )

    and a view such as `eigenbasis(of="gradient")` learns from it. Inside `partition`
    and `masked`, so that it has the leaves that the links have.

    Args:
      inner: a gradient transformation. A `grad` that `update` is passed by the caller
        does not reach it.
    """
    pair = inner_pair(inner)

    def update(
        updates: Updates, state: OptState, params: Params = None, **extra: Any
    ) -> tuple[Updates, OptState]:
        return pair.update(updates, state, params, **{**extra, "grad": updates})

    def parts(state: OptState) -> list[Part]:
        return [Part("", inner, state)]

    return wrapper(None, pair.init, update, [pair], parts).telling(pair.rate)


@transformation
def raw_gradient() -> Pair:
    """Put the gradient in the place of the updates: u = the extra argument `grad`.

    A view for the merges of `parallel`, inside `given_gradient`.

    Raises:
      TypeError: from `update`, if it is not given `grad`.
      ValueError: from `update`, by path, if that differs in structure or shape.
    """

    def update(
        updates: Updates, state: OptState, params: Params = None, *, grad: Updates
    ) -> tuple[Updates, OptState]:
        return rounded(grad, updates, params), state

    def init(params: Params) -> RawGradientState:
        return RawGradientState()

    return wrapper(RawGradientState, init, update, [], scope=Scope.ENTRYWISE)
