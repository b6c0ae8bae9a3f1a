"""The point to evaluate: an average, or where the parameters are without look-ahead."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gradtx.core import GradientTransformation, Params
from gradtx.core.pair import as_pair
from gradtx.core.roles import Role, roles_of
from gradtx.core.wrap import parts_of
from gradtx.inspection.parts import misfit, without_variables
from gradtx.trees import flatten, keystr
from gradtx.trees.flat import map_matched
from gradtx.values import Misfit, brief, naming


class _Said(NamedTuple):
    """A part that says which point to evaluate."""

    tx: Any
    point: Callable[[Params], Params]
    averages: bool  # in the place of the parameters, not only a step back from them


def evaluation_params(tx: GradientTransformation, state: Any, params: Params) -> Params:
    """The point to evaluate, to test and to deploy: what an average inside says it is.

        tx = chain(adamw(1e-3), average_params(decay=0.999))
        ...
        loss(evaluation_params(tx, state, params), test_data)

    With Schedule-Free it is x, with `average_params` the average, with `ema_nesterov`
    the parameters before they look ahead, with `outer` and `lookahead` the slow ones.
    It is found inside `chain`, `partition`, `masked`, `accumulate` and any other
    wrapper. Where nothing speaks for a leaf, it is the parameter itself. First what
    looks ahead goes back, then what averages is asked. Another library's parts say
    nothing. It works inside `jax.jit` and outside.

    Args:
      tx: a gradient transformation.
      state: what `init` returned, or a later state.
      params: the parameters that the state belongs to, as they are trained.

    Returns:
      A tree like the parameters, in their dtypes; of `LookaheadParams` the slow ones,
      and of a Flax NNX state one of arrays, as `nnx.update` takes it.

    Raises:
      TypeError: if the state is not one of the transformation.
      ValueError: by path, if two averages speak for a leaf, so that it is not known
        which is meant, or parameters and state do not match.

    Example:
      >>> tx = gradtx.chain(gradtx.sgd(1.0), gradtx.average_params())
      >>> params = jnp.array([3.0])
      >>> state = tx.init(params)
      >>> for _ in range(3):
      ...     updates, state = tx.update(jnp.ones(1), state, params)
      ...     params = gradtx.apply_updates(params, updates)
      >>> print(params, gradtx.evaluation_params(tx, state, params))
      [0.] [0.5]
    """
    with naming("evaluation_params"):
        as_pair(tx, "tx")
        found = list(_said(tx, without_variables(state), []))
        if not found:
            return params
        averaged: dict[int, _Said] = {}
        params = without_variables(params)
        for said in sorted(found, key=lambda said: said.averages):
            params = _moved(said, params, averaged)
        return params


def _moved(said: _Said, params: Params, averaged: dict[int, _Said]) -> Params:
    """The parameters with what a part says of some leaves; who says so, by leaf."""
    flat, there = flatten(params), flatten(said.point(params))
    if there.structure != flat.structure:  # such as one of a pair of trees
        return there.tree
    leaves = list(flat.leaves)
    for i, (p, x) in enumerate(zip(flat.leaves, there.leaves, strict=True)):
        if x is None or x is p:
            continue
        if said.averages:
            other = averaged.setdefault(i, said)
            if other is not said:
                raise Misfit(
                    f"of params{keystr(flat.paths[i])} there are two averages, by "
                    f"{brief(other.tx)} and by {brief(said.tx)}; expected one."
                )
        leaves[i] = x
    return flat.unflatten(leaves)


def _said(tx: Any, state: Any, views: list[Any]) -> Iterator[_Said]:
    try:
        parts = parts_of(tx, state)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise misfit(tx) from error
    pair = as_pair(tx, "tx")
    evaluation = pair.evaluation
    if evaluation is not None:
        fields = roles_of(type(state)) if hasattr(state, "_fields") else {}

        def point(params: Params) -> Params:
            ways = []
            for view in views:
                params, back = view(params)
                ways.append(back)
            for name, role in fields.items():
                if role in (Role.POINT, Role.MEAN):
                    names = "params", f"state.{name}"
                    map_matched(lambda p, x: x, names, params, getattr(state, name))
            params = evaluation(state, params)
            for back in reversed(ways):
                params = back(params)
            return params

        yield _Said(tx, point, Role.POINT in fields.values())
    for i, part in enumerate(parts):
        view = [] if pair.view is None else [functools.partial(pair.view, i)]
        yield from _said(part.tx, part.state, [*views, *view])
