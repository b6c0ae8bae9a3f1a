"""Looking at updates on their way through a chain, without touching them.

A measure is a function of the updates, or of the updates and the parameters, that
returns an array or a tree of arrays. It sees half precision as float32.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    init_empty_state,
    inner_pair,
    resolve,
    transformation,
    wrapper,
)
from gradtx.core.checks import check_fields
from gradtx.core.pair import passed_on
from gradtx.core.precision import wide_enough
from gradtx.core.transformation import EmptyState
from gradtx.numerics import (
    DTypeLike,
    as_array,
    debias as total_weight,
    lerp,
    promote,
    safe_increment,
    wide_dtype,
    widen,
)
from gradtx.trees.flat import map_matched
from gradtx.trees.select import required_arguments
from gradtx.values import (
    Decay,
    DType,
    Function,
    brief,
    calling,
    is_number,
    naming,
    wrong_type,
)


class SnapshotState(NamedTuple):
    measurement: dict[str, Any]  # of the last updates, under its name


class MonitorState(NamedTuple):
    measurements: dict[str, Any]  # of the last updates, by name
    measure_states: tuple[OptState, ...]


class MeasureWithEmaState(NamedTuple):
    count: jax.Array  # updates so far
    ema: Any  # shaped like the measurement


class Measure(NamedTuple):
    """A measure with a memory: `update` returns a measurement in place of updates."""

    init: Callable[..., OptState]
    update: Callable[..., tuple[Any, OptState]]


@transformation
def snapshot(measure_name: str, measure: Function) -> Pair:
    """Keep a measurement of the updates in the state; the updates pass as they are.

    `tree.get(state, measure_name)` finds it. Before the first update it is zero. Where
    a measure returns a tree that has the holes of the updates, the measurement of a
    leaf without a gradient stays as it was.

    Args:
      measure_name: the name of the measurement.
      measure: `measure(updates)`, such as `global_norm`; or, if it has two required
        arguments, `measure(updates, params)`. What it returns has the same structure
        and shapes at every step.

    Raises:
      TypeError: if the name is no string or the measure no function.
      ValueError: from `update`, if the measurement has another structure or shape than
        that of updates like the parameters.
    """
    if not isinstance(measure_name, str):
        raise wrong_type(f"measure_name is {brief(measure_name)}, no string.")
    measures, who = {measure_name: _without_memory(measure)}, calling()

    def init(params: Params) -> SnapshotState:
        return SnapshotState(_first(who, measures, params)[0])

    def update(
        updates: Updates, state: SnapshotState, params: Params = None
    ) -> tuple[Updates, SnapshotState]:
        states = (EmptyState(),)
        measured, _ = _measured(who, measures, updates, states, params, {})
        names = ("state.measurement", "the measurement")
        return updates, SnapshotState(_stored(names, state.measurement, measured))

    return wrapper(SnapshotState, init, update, [])


@transformation
def monitor(measures: Mapping[str, Any]) -> Pair:
    """Keep measurements of the updates in the state; the updates pass as they are.

    `tree.get(state, name)` finds each. Before the first update they are zero; see
    `snapshot` for holes.

    Args:
      measures: by name, functions as for `snapshot`, or measures with a memory, such as
        `measure_with_ema(global_norm, 0.9)`: pairs of an `init(params) -> state` and an
        `update(updates, state, params, **extra) -> (measurement, state)`, which gets
        the extra arguments that it takes.

    Raises:
      TypeError: if `measures` is not such a mapping.
      ValueError: from `update`, if a measurement has another structure or shape than
        that of updates like the parameters.
    """
    if not isinstance(measures, Mapping) or not all(
        isinstance(name, str) for name in measures
    ):
        raise wrong_type(
            f"measures is {brief(measures)}; expected a mapping from names to measures."
        )
    who = calling()
    pairs = {
        name: _without_memory(measure)
        if callable(measure)
        else inner_pair(measure, f"measures[{name!r}]")
        for name, measure in measures.items()
    }

    def init(params: Params) -> MonitorState:
        return MonitorState(*_first(who, pairs, params))

    def update(
        updates: Updates, state: MonitorState, params: Params = None, **extra: Any
    ) -> tuple[Updates, MonitorState]:
        states = state.measure_states
        measured, states = _measured(who, pairs, updates, states, params, extra)
        names = ("state.measurements", "the measurements")
        stored = _stored(names, state.measurements, measured)
        return updates, MonitorState(stored, states)

    around, scope = list(pairs.values()), Scope.ENTRYWISE  # the updates stay
    return wrapper(MonitorState, init, update, around, scope=scope)


@transformation
def measure_with_ema(
    measure: Function,
    decay: Decay,
    debias: bool = True,
    accumulator_dtype: DType | None = None,
) -> Measure:
    """The exponential moving average of a measure, for `monitor`.

    m_t = ρ m_{t−1} + (1 − ρ) x_t, and the measurement is m_t / (1 − ρᵗ). Of a measure
    that is True or False, this is the share of recent steps where it was True.

    Args:
      measure: x, a function as for `snapshot`.
      decay: ρ in [0, 1).
      debias: whether to correct for having begun at 0: divide by 1 − ρᵗ.
      accumulator_dtype: the dtype of m; that of x by default, >= float32.

    Returns:
      A measure with a memory: not for a chain, as it returns no updates.
    """
    who: Any = calling()
    measured = _seeing_float32(measure)
    hypers = {"decay": decay, "weight": total_weight(decay) if debias else 1.0}

    def floats(updates: Updates, params: Params) -> Any:
        return jax.tree.map(_floating, measured(updates, params))

    def init(params: Params) -> MeasureWithEmaState:
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, accumulator_dtype or x.dtype),
            jax.eval_shape(floats, params, params),
        )
        return MeasureWithEmaState(jnp.zeros((), jnp.int32), zeros)

    def update(
        updates: Updates, state: MeasureWithEmaState, params: Params = None
    ) -> tuple[Any, MeasureWithEmaState]:
        with naming(who):
            check_fields(state, MeasureWithEmaState)
            return ema(state, floats(updates, params))

    def ema(state: MeasureWithEmaState, x: Any) -> tuple[Any, MeasureWithEmaState]:
        hyper, names = resolve(hypers, state.count), ("state.ema", "the measurement")

        def in_dtype(h: Any, dtype: DTypeLike) -> Any:
            return h if is_number(h) else widen(h, wide_dtype(dtype))

        def mean(m: jax.Array, x: jax.Array) -> jax.Array:
            dtype = promote(m.dtype, x.dtype)
            rho = in_dtype(hyper["decay"], dtype)
            return lerp(m.astype(dtype), x.astype(dtype), rho)

        means = map_matched(mean, names, state.ema, x)
        new = MeasureWithEmaState(
            safe_increment(state.count), _stored(names, state.ema, means)
        )
        return jax.tree.map(
            lambda m: m / in_dtype(hyper["weight"], m.dtype), means
        ), new

    return Measure(init, update)


def _seeing_float32(measure: Callable[..., Any]) -> Callable[[Updates, Params], Any]:
    """The measure as a function of updates and parameters, half precision widened."""
    takes_params = required_arguments(measure) == 2

    def measured(updates: Updates, params: Params) -> Any:
        updates, params = jax.tree.map(wide_enough, (updates, params))
        if not takes_params:
            return measure(updates)
        if params is None:
            raise ValueError(
                "a measure needs the parameters: call update(updates, state, params)."
            )
        return measure(updates, params)

    return measured


def _without_memory(measure: Callable[..., Any]) -> Pair:
    """A function as a measure that remembers nothing."""
    measured = _seeing_float32(measure)

    def update(updates: Updates, state: EmptyState, params: Params = None) -> Any:
        return measured(updates, params), state

    return Pair(init_empty_state, update)


def _measured(
    who: Any,
    measures: Mapping[str, Any],
    updates: Updates,
    states: Sequence[OptState],
    params: Params,
    extra: Mapping[str, Any],
) -> tuple[dict[str, Any], tuple[OptState, ...]]:
    """The measurements of these updates by name, and the next states."""
    found, new = {}, []
    for (name, one), state in zip(measures.items(), states, strict=True):
        with _naming(who, name):
            words = passed_on(Pair(one.init, one.update), extra)
            found[name], next_state = one.update(updates, state, params, **words)
        new.append(next_state)
    return found, tuple(new)


def _first(
    who: Any, measures: Mapping[str, Any], params: Params
) -> tuple[dict[str, Any], tuple[OptState, ...]]:
    """Zeros shaped like the measurements of updates like the parameters; the states."""
    states = []
    for name, one in measures.items():
        with _naming(who, name):
            states.append(one.init(params))

    def measure(updates: Updates, states: Any) -> Any:
        extra = {"value": jnp.zeros(()), "grad": updates}
        found, _ = _measured(who, measures, updates, states, updates, extra)
        return jax.tree.map(lambda x: wide_enough(as_array(x)), found)

    found = jax.eval_shape(measure, params, tuple(states))
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), found), tuple(states)


def _stored(names: Sequence[str], old: Any, new: Any) -> Any:
    """The new values in the dtypes of the old, which stay where the new have holes."""

    def stored(o: jax.Array, n: Any) -> jax.Array:
        return as_array(n).astype(o.dtype)

    matched = map_matched(stored, names, old, new)
    return jax.tree.map(lambda o, n: o if n is None else n, old, matched)


def _floating(x: Any) -> jax.Array:
    x = as_array(x)
    whole = not jnp.issubdtype(x.dtype, jnp.inexact)
    return wide_enough(x.astype(float) if whole else x)


@contextmanager
def _naming(who: Any, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"This was raised by the measure {name!r} of {who}.")
        raise
