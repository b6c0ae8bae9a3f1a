"""Hyperparameters in the state, where a training loop can read and set them."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import (
    GradientTransformation,
    Pair,
    Params,
    Part,
    Updates,
    inner_pair,
    resolve,
    wrapper,
)
from gradtx.core.pair import passed_on
from gradtx.numerics import is_real, safe_increment
from gradtx.schedules import Schedule, StatefulSchedule
from gradtx.values import (
    Allowed,
    DType,
    Function,
    Misfit,
    Number,
    Value,
    calling,
    is_number,
    recorded,
    refuse,
)
from gradtx.values.arguments import is_schedule
from gradtx.values.calls import arguments, is_annotated, numbers, signature
from gradtx.values.text import show
from gradtx.wrappers.settable import (
    Hyperparams,
    InjectHyperparamsState,
    InjectStatefulHyperparamsState,
    Terms,
)


class Injector(Value, pytree=False):
    """A factory of transformations that keep their hyperparameters in the state."""

    __slots__ = ()
    __module__ = "gradtx"

    @property
    def __wrapped__(self) -> Any:  # gives the signature and the annotations
        return self.arguments["inner_factory"]

    @property
    def __name__(self) -> str:
        return repr(self)

    @property
    def build(self) -> Callable[..., Pair]:
        """From the arguments of the factory inside to the pair."""
        return self._made

    def __call__(self, *args: Any, **kwargs: Any) -> GradientTransformation:
        """Like the factory inside, and with the same checks."""
        return GradientTransformation._record(self, arguments(self, args, kwargs))


def _names(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise TypeError
    return tuple(sorted(names))


Names = Annotated[
    str | Iterable[str],
    Allowed(text="a name or names of arguments", check=_names, name="Names"),
]


@recorded(Injector)
def inject_hyperparams(
    inner_factory: Function,
    static_args: Names = (),
    hyperparam_dtype: DType | None = None,
) -> Callable[..., Pair]:
    """Make a factory's transformations keep their hyperparameters in the state.

        tx = inject_hyperparams(adamw)(0.1, weight_decay=cosine_decay_schedule(0.1, 9))
        state = tx.init(params)
        state.hyperparams["learning_rate"] = 0.05

    Numbers are read from the state and stay as they are set; schedules are computed
    from the count of updates, and after an update the state shows the value that it
    used, as `hyperparameters(tx, state, of="last")` does. In place, by `.update(...)`,
    by `state._replace(hyperparams={...})` or by `gradtx.tree.set(state,
    learning_rate=0.05)`, inside `jax.jit` and outside: what is set is checked, and the
    types of the state stay, so nothing is traced again.

    The hyperparameters are the arguments whose annotation says so (`Hyper`, `Decay`,
    ...). Of a factory without such annotations, as another library's, they are the
    arguments that are given, or by default, numbers, real scalar arrays and functions,
    which are taken for schedules. A callable pytree, such as an Equinox module, is
    no schedule.

    A hyperparameter may also be a stateful schedule (see `StatefulSchedule`): an object
    with `init()`, `update(state, **extra_args)` and `__call__(state, **extra_args)`,
    which the extra arguments of `update` reach. Its state is as it makes it.

    Args:
      inner_factory: a function that returns a gradient transformation.
      static_args: the names of arguments that are not hyperparameters.
      hyperparam_dtype: of the hyperparameters, >= float32; JAX's default by default,
        whatever the dtype of the parameters.

    Returns:
      A factory with the signature of `inner_factory`. The state of what it makes is
      an `InjectHyperparamsState`; with stateful schedules, an
      `InjectStatefulHyperparamsState`, which has their states by name.

    Raises:
      TypeError, ValueError: if `static_args` has a name that the factory does not take,
        or the dtype is narrower than float32; when the factory is called, as the one
        inside; from a setting that is out of range, or is scheduled.
      KeyError: from a setting that has another name.

    Example:
      >>> tx = gradtx.inject_hyperparams(gradtx.sgd)(learning_rate=0.5)
      >>> state = tx.init(jnp.zeros(1))
      >>> state.hyperparams["learning_rate"] = 0.25
      >>> updates, state = tx.update(jnp.ones(1), state)
      >>> print(updates)
      [-0.25]
    """
    names = signature(inner_factory).parameters
    if not set(static_args) <= names.keys():
        raise refuse("static_args", static_args, f"among {', '.join(names)}")
    dtype: Any = float if hyperparam_dtype is None else hyperparam_dtype
    if dtype is not float and not _is_wide(dtype):
        raise refuse("hyperparam_dtype", hyperparam_dtype, "real, and float32 or wider")

    def build(*args: Any, **kwargs: Any) -> Pair:
        given = signature(inner_factory).bind(*args, **kwargs).arguments
        return _injected(inner_factory, static_args, dtype, given)

    return build


inject_stateful_hyperparams = inject_hyperparams  # Optax's name before


def _injected(
    factory: Any, static_args: Iterable[str], dtype: Any, given: Mapping[str, Any]
) -> Pair:
    """The pair that makes its inner transformation from the values in its state."""
    who, numeric = calling(), numbers(factory)
    hypers = {
        name: value
        for name, value in given.items()
        if name not in static_args
        and (name in numeric if is_annotated(factory) else _is_numeric(value))
        and value is not None
    }
    schedules = {name: h for name, h in hypers.items() if callable(h)}
    stateful = {n: h for n, h in schedules.items() if isinstance(h, StatefulSchedule)}
    terms = Terms(
        names=tuple(hypers),
        ranges={n: replace(numeric.get(n, Number()), schedule=False) for n in hypers},
        schedules={n: show(h) for n, h in schedules.items()},
        who=repr(getattr(who, "factory", who)),
    )

    def inner(values: Mapping[str, Any]) -> Any:
        if not numeric:  # weak types do as numbers do: the dtypes of the state stay
            values = {name: jax.lax.full_like(0.0, x) for name, x in values.items()}
        arguments: Any = {**given, **values}
        bound = inspect.BoundArguments(signature(factory), arguments)
        return factory(*bound.args, **bound.kwargs)

    def pair(values: Mapping[str, Any]) -> Pair:
        return inner_pair(inner(values), "what the factory returns")

    def current(
        hyperparams: Mapping[str, Any], count: Any, known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The values of the next update; those of stateful schedules are known."""
        if hyperparams.keys() != hypers.keys():
            raise Misfit(
                f"state.hyperparams has {', '.join(hyperparams) or 'no names'}; "
                f"expected {', '.join(hypers) or 'none'}."
            )
        merged = {**hyperparams, **schedules, **known}
        merged = {name: merged[name] for name in hypers}
        # In the dtypes of the state, also where 64 bits are allowed since.
        return {
            name: jnp.asarray(x, getattr(hyperparams[name], "dtype", dtype))
            for name, x in resolve(merged, count).items()
        }

    def told(states: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """What the stateful schedules say."""
        return {name: h(states[name], **extra) for name, h in stateful.items()}

    def state_of(count: Any, values: Any, states: Any, inner_state: Any) -> Any:
        held = Hyperparams(values, terms)
        if stateful:
            return InjectStatefulHyperparamsState(count, held, states, inner_state)
        return InjectHyperparamsState(count, held, inner_state)

    def init(params: Any) -> Any:
        count = jnp.zeros((), jnp.int32)
        states = {name: h.init() for name, h in stateful.items()}
        first = resolve({**hypers, **told(states, {})}, count)
        # In buffers of their own: an argument's could not be donated.
        values = {n: jnp.array(x, dtype) for n, x in first.items()}
        return state_of(count, values, states, pair(values).init(params))

    def step(
        values: Any, updates: Any, inner_state: Any, params: Any, extra: Any
    ) -> Any:
        return pair(values).update(updates, inner_state, params, **extra)

    compiled = jax.jit(step)

    def update(
        updates: Updates, state: Any, params: Params = None, **extra: Any
    ) -> tuple[Updates, Any]:
        states = state.hyperparams_states if stateful else {}
        values = current(state.hyperparams, state.count, told(states, extra))
        words = dict(passed_on(around, extra))
        operands = values, updates, state.inner_state, params, words
        # Outside jax.jit, what is made at each step would be compiled at each step.
        run = compiled if all(map(_is_concrete, jax.tree.leaves(operands))) else step
        out, inner_state = run(*operands)
        states = {n: h.update(states[n], **extra) for n, h in stateful.items()}
        return out, state_of(safe_increment(state.count), values, states, inner_state)

    def parts(state: Any) -> list[Part]:
        own = jax.tree.leaves((state.count, state.hyperparams))
        abstract = any(isinstance(x, jax.ShapeDtypeStruct) for x in own)
        held = {name: state.hyperparams[name] for name in stateful}
        values = {} if abstract else current(state.hyperparams, state.count, held)
        return [Part("", inner(values), state.inner_state)]

    # Another library's factory need not take a schedule, and its pair, which is then
    # only known once there are values, may take any extra argument.
    known = numeric or not schedules
    around = pair({}) if known else Pair(init, _any_extra)
    pairs = [around, Pair(init, _any_extra)] if stateful else [around]
    state_type = InjectStatefulHyperparamsState if stateful else InjectHyperparamsState
    return wrapper(state_type, init, update, pairs, parts)


def _any_extra(*args: Any, **extra: Any) -> tuple[Any, Any]:
    """Stands for an `update` that may take anything; it is never called."""
    raise NotImplementedError


def _is_numeric(value: Any) -> bool:
    """Whether an argument of a factory that does not say so is a hyperparameter."""
    if is_number(value) or isinstance(value, Schedule):
        return True
    if callable(value):  # a callable pytree is a tree, and other values take one
        leaf = jax.tree_util.all_leaves([value]) and not isinstance(value, type)
        return leaf and is_schedule(value)
    return is_real(getattr(value, "dtype", bool)) and jnp.shape(value) == ()


def _is_wide(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits >= 32


def _is_concrete(x: Any) -> bool:
    array = isinstance(x, jax.Array | np.ndarray)
    return array and not isinstance(x, jax.core.Tracer)
