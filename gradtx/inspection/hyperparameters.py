"""With which numbers the next update is made, or the last one was."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import GetAttrKey

from gradtx.core import hyper_at, resolve
from gradtx.core.checks import is_left_out
from gradtx.core.roles import Role, roles_of
from gradtx.core.wrap import parts_of
from gradtx.inspection.parts import misfit, without_variables
from gradtx.values import Value, naming
from gradtx.values.calls import numbers


class _Found(NamedTuple):
    path: tuple[str, ...]  # of the names of parts
    name: str
    value: Any


def hyperparameters(
    tx: Any,
    state: Any,
    *,
    of: Literal["next", "last"] = "next",
    as_floats: bool = False,
) -> dict[str, Any]:
    """Every number that the next update is made with, by name, for a log.

    `hyperparameters(adam(schedule), state)["learning_rate"]` is the schedule's value at
    the state's count: ask before the update. After it, ask `of="last"`, which is what
    the `state.hyperparams` of `inject_hyperparams` shows, too. The two differ where a
    schedule does. It works inside `jax.jit` and outside, and on the state in a
    `flax.nnx.Optimizer`.

    Args:
      tx: a gradient transformation.
      state: what `init` returned, or a later state.
      of: "next", the update that is to be made from this state; or "last", the one that
        made it, and the first before there was one.
      as_floats: whether all are Python's floats, as a logger wants them; not inside
        `jax.jit`.

    Returns:
      From the names of arguments to their values: plain numbers as they were given,
      others as scalar arrays, unless floats are asked for. The step that a chain ends
      with is "learning_rate". A name that several parts have is preceded by the path of
      the part, as in "1/learning_rate" or "matrices/b1". Arguments that are None are
      left out, and so are those of another library's parts, unless their state has
      `hyperparams`.

    Raises:
      TypeError: if the state is not one of the transformation, or floats are asked for
        inside `jax.jit`.
      ValueError: if `of` is neither.

    Example:
      >>> rate = gradtx.linear_schedule(1.0, 0.0, transition_steps=4)
      >>> tx = gradtx.sgd(rate, momentum=0.5)
      >>> updates, state = tx.update(jnp.ones(1), tx.init(jnp.zeros(1)))
      >>> gradtx.hyperparameters(tx, state, as_floats=True)
      {'decay': 0.5, 'learning_rate': 0.75}
    """
    if of not in ("next", "last"):
        raise ValueError(f"hyperparameters: of is {of!r}; expected 'next' or 'last'.")
    state = without_variables(state)
    if of == "last":
        state = jax.tree_util.tree_map_with_path(_one_less, state)
    found = list(_walk(tx, state, ()))
    if as_floats:
        found = _in_floats(found)
    names = [one.name for one in found]
    return {
        one.name if names.count(one.name) == 1 else "/".join((*one.path, one.name)): (
            one.value
        )
        for one in found
    }


def _in_floats(found: list[_Found]) -> list[_Found]:
    for one in found:
        if isinstance(one.value, jax.core.Tracer):
            raise TypeError(
                f"hyperparameters: as_floats=True inside jax.jit, where {one.name} has "
                "no value; return the arrays, and make them floats outside."
            )
    fetched = jax.device_get([one.value for one in found])  # all at once
    return [one._replace(value=float(x)) for one, x in zip(found, fetched, strict=True)]


def _one_less(path: Any, x: Any) -> Any:
    """A count of updates before the last of them; any other leaf as it is."""
    return jnp.maximum(x, 1) - 1 if path[-1:] == (GetAttrKey("count"),) else x


def _walk(tx: Any, state: Any, path: tuple[str, ...]) -> Iterator[_Found]:
    try:
        parts = parts_of(tx, state)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise misfit(tx).named("hyperparameters") from error
    found = list(_own(tx, state, path, bool(parts)))
    if found and parts:  # a wrapper's numbers are told from those inside it
        path = (*path, tx.factory.__name__)
    for part in parts:
        name = (part.name,) if part.name else ()
        found += _walk(part.tx, part.state, path + name)
    injected = getattr(state, "hyperparams", None)
    if not found and isinstance(injected, Mapping):
        arguments = tx.arguments if isinstance(tx, Value) else {}
        given = {n: arguments.get(n) for n in injected}
        values = {n: h if callable(h) else injected[n] for n, h in given.items()}
        with naming("hyperparameters"):
            resolved = resolve(values, _count(state))
        found += [_Found(path, name, value) for name, value in resolved.items()]
    return iter(found)


def _own(tx: Any, state: Any, path: tuple[str, ...], holds: bool) -> Iterator[_Found]:
    """The numbers among the arguments of a transformation, and of its regularizers."""
    found = list(_numbers(tx, (), holds))
    count = _count(state)
    # A part with constants alone needs no state.
    if found and not holds and count is None and not is_left_out(state):
        raise misfit(tx).named("hyperparameters")
    for where, name, value in found:
        with naming(tx):
            scalar = hyper_at(name, value, count)
        yield _Found(path + where, name, scalar)


def _numbers(value: Any, path: tuple[str, ...], holds: bool) -> Iterator[_Found]:
    if not isinstance(value, Value) or value.of_the_step:
        return
    arguments = value.arguments
    numeric = numbers(getattr(value.factory, "build", value.factory))
    for name, argument in arguments.items():
        if name in numeric and argument is not None:
            rate = name == "step_size_fn" and arguments.get("flip_sign")
            yield _Found(path, "learning_rate" if rate else name, argument)
        elif not holds:  # parts speak for themselves
            yield from _numbers(argument, (*path, name), holds)


def _count(state: Any) -> Any:
    if not hasattr(type(state), "_fields"):
        count = getattr(state, "count", None)
        return None if callable(count) else count  # a tuple's method
    roles = roles_of(type(state)).items()
    counts = [n for n, role in roles if role is Role.COUNT or n == "count"]
    return getattr(state, counts[0]) if counts else None
