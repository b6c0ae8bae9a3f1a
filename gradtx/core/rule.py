"""A rule: a pair on one array, or on one tree, and the numbers that it is made with."""

import copy
import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from gradtx.core.checks import needed, needs_parameters
from gradtx.core.pair import VOCABULARY, Scope, refuse_unknown
from gradtx.core.roles import Slot, Slots, declared_slots
from gradtx.numerics import is_real
from gradtx.numerics.arithmetic import squarable
from gradtx.numerics.dtypes import is_inexact
from gradtx.trees import PyTree
from gradtx.values import (
    Misfit,
    Number,
    Value,
    brief,
    calling,
    calls,
    is_number,
    naming,
    wrong_type,
)
from gradtx.values.arguments import is_arraylike, is_zero
from gradtx.values.errors import explain
from gradtx.values.likeness import likeness

Hypers = Mapping[str, Any]  # by name: numbers, arrays, schedules


class View(Protocol):
    """How a rule on one array acts on a leaf of another layout. It is hashable."""

    def init(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """From the `init` of a rule to one for the leaf."""

    def update(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """From the `update` of a rule to one for the leaf."""


class Body:
    """What of a rule is compiled; equal where rules do the same to arrays."""

    def __init__(self, rule: "Rule", constants: Hypers):
        self.name, self.scope, self.update = rule.name, rule.scope, rule.update
        self.takes_params, self.constants = rule.takes_params, constants
        self.has_eps = rule.has_eps
        alike = likeness(self.update)
        self.is_plain = alike is not None  # so that it may be remembered
        numbers = tuple((n, type(c), c) for n, c in constants.items())
        self._key: Any = alike or self.update, self.scope, self.has_eps, numbers

    def seen(self, view: "View | None") -> "Body":
        """The same for leaves of another layout than the rule is written for."""
        if view is None:
            return self
        body = copy.copy(self)
        body.update, body._key = view.update(self.update), (*self._key, view)
        return body

    def squarable(self, g: jax.Array, infinite: bool) -> jax.Array:
        """A gradient whose squares may be kept, and added up where the rule does so."""
        room = 3 if self.scope is Scope.ENTRYWISE else 13
        return squarable(g, room, from_zero=not self.has_eps, infinite=infinite)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Body) and self._key == other._key


class Rule:
    """A rule with all that is said about it, bound to its hyperparameters.

    Its keyword-only arguments are bound to the hyperparameters that the lift is given,
    then to the numeric arguments of the running factory that have their names. What is
    left over must be an extra argument of `update`, or it is refused. A rule with
    `**others` gets all other numeric arguments of the factory.
    """

    def __init__(
        self,
        scope: Scope,
        init: Any,
        update: Callable[..., Any],
        hypers: Hypers,
        extra_args: Iterable[str] = (),
        needs_params: bool | None = None,
    ):
        self.scope, self.init, self.update = scope, init, update
        self.who = calling(default=update.__qualname__)
        self.name = update.__qualname__.partition(".")[0]
        parameters = inspect.signature(update).parameters.values()
        places = [
            p for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)
        ]
        self.takes_params = len(places) > 2
        self.needs_params = needs_params
        if needs_params is None:
            self.needs_params = (
                self.takes_params and places[2].default is inspect.Parameter.empty
            )
        named = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters)
        numeric = _numbers(self.who)
        given = self.who.arguments if isinstance(self.who, Value) else {}
        arguments = {n: given[n] for n in numeric}
        self.functions = {n: h for n, h in arguments.items() if callable(h)}
        with naming(self.who):
            bound, words = _bind(
                named, any_name, arguments, hypers, frozenset(extra_args)
            )
        self.words = words
        self.needed_words = {w for w in words if named[w] is inspect.Parameter.empty}
        constants = {n: h for n, h in bound.items() if _is_constant(h)}
        self.varying = {n: h for n, h in bound.items() if n not in constants}
        eps = [bound.get(name, 0.0) for name in ("eps", "eps_root")]
        self.has_eps = not all(map(is_zero, eps))
        self.rates = {n: h for n, h in constants.items() if _is_rate(h, numeric.get(n))}
        fixed = {n: h for n, h in constants.items() if n not in self.rates}
        self.body, self.body_for_rates = Body(self, constants), Body(self, fixed)
        self.known_type = _declared_state_type(init)  # of the state, once it is known

    def compiled(self, traced: bool) -> tuple[Body, Mapping[str, float]]:
        """What is compiled, and the numbers that are operands of it.

        In a program that is traced as a whole, XLA is to know all numbers. Else a rule
        that is made again with another rate needs no other program.
        """
        return (self.body, {}) if traced else (self.body_for_rates, self.rates)

    def state_type(self, *like: Any) -> Any:
        """The NamedTuple that `init` makes; of an undeclared one, for this leaf."""
        if self.known_type is None:
            leaf = like[0] if like else jax.ShapeDtypeStruct((), jnp.float32)
            try:
                self.known_type = type(jax.eval_shape(self.init, leaf))
            except BaseException as error:
                text = "its init for a scalar, as it does not say `-> its state`"
                explain(error, self.who, text)
                raise
        return self.known_type

    def slots(self, state_type: type) -> dict[str, Slot]:
        """For each field with an entry for each parameter, what is said of it."""
        return declared_slots(self.init, state_type)

    def listen(self, params: PyTree, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The extra arguments that the rule takes, of those that a call is given."""
        if self.needs_params and params is None:
            raise needs_parameters()
        if extra:
            refuse_unknown(extra, self.words)
        for word in self.needed_words - extra.keys():
            raise needed(word)
        return {word: extra[word] for word in self.words if word in extra}

    def scalars(self, count: Any) -> dict[str, jax.Array]:
        """The hyperparameters that are no plain numbers, at a step."""
        try:
            return {n: _scalar_at(n, h, count) for n, h in self.varying.items()}
        except (Misfit, TypeError, ValueError, AttributeError):
            # What is worked out from an argument does not say that this is at fault.
            for name, h in self.functions.items():
                _scalar_at(name, h, count)
            raise

    def check_count(self, state_type: Any) -> None:
        if "count" not in state_type._fields and (self.body.constants or self.varying):
            raise wrong_type(
                f"{state_type.__name__} needs a field count, as hyperparameters may be "
                "schedules."
            )


def _bind(
    named: Mapping[str, Any],
    any_name: bool,
    arguments: Hypers,
    hypers: Hypers,
    extra_args: frozenset[str],
) -> tuple[dict[str, Any], frozenset[str]]:
    """The hyperparameters by name, and the names of the extra arguments."""
    bound, words = dict(hypers), set()
    for name in named.keys() - hypers.keys():
        heard = name in extra_args and arguments.get(name) is None
        if name in arguments and not heard:
            bound[name] = arguments[name]
        elif name in extra_args | VOCABULARY:
            words.add(name)
        else:
            raise wrong_type(
                f"its rule takes {name}, which is no numeric argument of the call "
                f"and not given to the lift{_meant(name, arguments)}"
            )
    if any_name:
        bound |= {n: h for n, h in arguments.items() if n not in named.keys() | bound}
    else:
        for name in hypers.keys() - named.keys():
            raise wrong_type(
                f"its rule takes no hyperparameter {name}{_meant(name, named)}"
            )
    return bound, frozenset(words)


def _declared_state_type(init: Any) -> Any:
    """The state that an `init` says it makes; None if it does not say."""
    if isinstance(init, Slots):
        return init.state_type
    made = inspect.signature(init).return_annotation
    if isinstance(made, str):  # as all annotations are under `from __future__ ...`
        made = getattr(init, "__globals__", {}).get(made)
    return made if hasattr(made, "_fields") else None


def _numbers(who: Value | str) -> Mapping[str, Number]:
    """The arguments of the running factory that may be hyperparameters, and what each
    may be."""
    if not isinstance(who, Value):
        return {}
    return calls.numbers(getattr(who.factory, "build", who.factory))


def _is_rate(hyper: Any, allowed: Number | None) -> bool:
    """Whether it is a number that does as well as an operand, in float32. A decay does
    not: 1 - decay would lose the digits that a Python number keeps."""
    plain = isinstance(hyper, float) and hyper not in (0.0, 1.0)
    return plain and allowed is not None and math.isinf(allowed.high)


def _meant(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else "."


def _is_constant(hyper: Any) -> bool:
    return is_number(hyper) or hyper is None


def resolve(hypers: Hypers, count: Any) -> dict[str, Any]:
    """The hyperparameters at a step: plain numbers as they are, others as scalars."""
    return {name: hyper_at(name, h, count) for name, h in hypers.items()}


def hyper_at(name: str, hyper: Any, count: Any) -> Any:
    """One hyperparameter at a step."""
    return hyper if is_number(hyper) else _scalar_at(name, hyper, count)


def _scalar_at(name: str, hyper: Any, count: Any) -> jax.Array:
    value = hyper(count) if callable(hyper) else hyper
    known = isinstance(value, jax.Array)
    if not known and is_number(value):
        return jnp.asarray(float(value))
    if not (known or is_arraylike(value)):
        by = " by its function" if callable(hyper) else ""
        missing = " Is a return missing?" if value is None else ""
        raise wrong_type(
            f"{name} is given as {brief(value)}{by}; expected a real scalar.{missing}"
        )
    if value.shape != () or not is_real(value.dtype):
        raise Misfit(
            f"{name} has shape {value.shape} and dtype {value.dtype}; "
            "expected a real scalar. To try several values, use jax.vmap."
        )
    value = jnp.asarray(value)
    return value if is_inexact(value.dtype) else value.astype(float)
