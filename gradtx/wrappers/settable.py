"""The mapping in a state that holds hyperparameters, and checks what is put into it."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Never

import jax
import jax.numpy as jnp

from gradtx.core import Count, OptState
from gradtx.interop import register_with_flax
from gradtx.numerics import is_real
from gradtx.values import Number, brief


@dataclass(frozen=True)
class Terms:
    """What each hyperparameter may be set to; equal wherever the names are.

    So a state has one structure, whatever of it is scheduled.
    """

    names: tuple[str, ...]
    ranges: Mapping[str, Number] = field(compare=False)
    schedules: Mapping[str, str] = field(compare=False)  # as source text
    who: str = field(compare=False)

    def fit(self, name: str, old: Any, new: Any) -> Any:
        """The new value as the old one is, or an error that says what is allowed."""
        if new is old:
            return old
        if name in self.schedules:
            raise TypeError(
                f"{self.who}: {name} is scheduled by {self.schedules[name]}, which "
                "would overrule what is set. To set it, give a number in its place "
                "when the transformation is made."
            )
        allowed = self.ranges[name]
        try:
            new = allowed(new)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{self.who}: {name} must be {allowed}; got {brief(new)}."
            ) from None
        if not hasattr(old, "dtype"):  # something else stands for the array
            return new
        if jnp.shape(new) != old.shape or not is_real(jnp.result_type(new)):
            raise ValueError(
                f"{self.who}: {name} has shape {jnp.shape(new)} and dtype "
                f"{jnp.result_type(new)}; expected a real array of shape {old.shape}. "
                "To try several values, use jax.vmap."
            )
        new = jnp.array(new, old.dtype)  # a copy: the state may be donated
        if hasattr(old, "set_value"):  # a variable of Flax NNX holds the array
            old.set_value(new)
            return old
        return new


class Hyperparams(dict[str, Any]):
    """A dictionary of scalars, to be read and set in place.

    What is set is checked, and becomes an array of the dtype that was there: the type
    of the state stays, and no step is traced again. The names stay too.
    """

    __slots__ = ("terms",)

    def __init__(self, values: Mapping[str, Any], terms: Terms):
        super().__init__(values)
        self.terms = terms

    def __missing__(self, name: Any) -> Never:
        near = difflib.get_close_matches(str(name), self, n=1)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(self)}."
        raise KeyError(f"{self.terms.who}: no hyperparameter {name!r}; {fix}")

    def update(self, *args: Any, **kwargs: Any) -> None:
        given = dict(*args, **kwargs)
        fit = self.terms.fit
        super().update({n: fit(n, self[n], value) for n, value in given.items()})

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        return self[name]

    def _stay(self, *args: Any) -> Never:
        raise TypeError(f"{self.terms.who}: hyperparameters cannot be taken away.")

    __delitem__ = pop = popitem = clear = _stay

    def copy(self) -> "Hyperparams":
        return Hyperparams(self, self.terms)

    def __reduce__(self) -> Any:
        return Hyperparams, (dict(self), self.terms)


def _flatten(hyperparams: Hyperparams) -> tuple[list[Any], Terms]:
    terms = hyperparams.terms
    return [hyperparams[name] for name in terms.names], terms


def _flatten_with_keys(hyperparams: Hyperparams) -> tuple[list[Any], Terms]:
    leaves, terms = _flatten(hyperparams)
    return list(
        zip(map(jax.tree_util.DictKey, terms.names), leaves, strict=True)
    ), terms


def _unflatten(terms: Terms, leaves: Iterable[Any]) -> Hyperparams:
    return Hyperparams(dict(zip(terms.names, leaves, strict=True)), terms)


jax.tree_util.register_pytree_with_keys(
    Hyperparams, _flatten_with_keys, _unflatten, _flatten
)


class _Fields(NamedTuple):
    count: Count
    hyperparams: Any  # by name, as the last update used them
    inner_state: OptState


class _StatefulFields(NamedTuple):
    count: Count
    hyperparams: Any  # by name, as the last update used them
    hyperparams_states: Any  # of the stateful schedules, by name
    inner_state: OptState


class _Settable:
    __slots__ = ()

    @property
    def hyperparams(self) -> Any:
        """The hyperparameters by name: set them in place, also under `jax.jit`.

        Of a schedule it is, as in Optax, the value that the last update used, which is
        `hyperparameters(tx, state, of="last")`; without `of`, that tells the next.
        """
        register_with_flax(Hyperparams)  # which comes by here before it looks for it
        return self[1]  # type: ignore[index]

    def _replace(self, **fields: Any) -> Any:
        """As of any NamedTuple; of the hyperparameters those that are given are set."""
        given = fields.get("hyperparams")
        held = self.hyperparams
        if type(given) is dict and isinstance(held, Hyperparams):
            fields["hyperparams"] = held.copy()
            fields["hyperparams"].update(given)
        return super()._replace(**fields)  # type: ignore[misc]


class InjectHyperparamsState(_Settable, _Fields):
    """The count, the hyperparameters by name, and the state inside."""

    __slots__ = ()


class InjectStatefulHyperparamsState(_Settable, _StatefulFields):
    """The same, with the states of stateful schedules."""

    __slots__ = ()
