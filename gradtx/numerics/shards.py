"""Reductions over leaves that lie on several devices, inside `jax.shard_map`.

There a leaf is a shard, and a sum over it is a part of the sum. Who knows over which
mesh axes the leaves are spread says so (see `gradtx.across`); the reductions of this
module then go on over these.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec, reshard

from gradtx.values import Misfit


class Spread(NamedTuple):
    """What is said of the mesh axes of a call, and of one leaf."""

    names: frozenset[str] = frozenset()  # what reductions go on over
    apart: frozenset[str] = frozenset()  # along these each device is by itself
    spec: tuple[Any, ...] | None = None  # for each axis of a leaf, its mesh axes
    specs: tuple[tuple[Any, Any], ...] = ()  # such, by the beginning of a leaf's path

    def of_leaf(self, path: Any) -> "Spread":
        """What is said of the leaf at this path."""
        if not self.specs:
            return self
        found = [s for at, s in self.specs if path[: len(at)] == at]
        return Spread(self.names, self.apart, found[-1] if found else None)

    def unsaid(self, *arrays: Any) -> frozenset[str]:
        """The mesh axes that arrays vary over and that nobody has named."""
        over = frozenset[str]().union(*map(varies_over, arrays))
        return over - self.names - self.apart


NOWHERE = Spread()
_spread: ContextVar[Spread] = ContextVar("spread", default=NOWHERE)


spread = _spread.get  # asked in every call, so without one of Python's


@contextlib.contextmanager
def spread_as(said: Spread) -> Iterator[None]:
    token = _spread.set(said)
    try:
        yield
    finally:
        _spread.reset(token)


def varies_over(x: Any) -> frozenset[str]:
    """The mesh axes over which an array differs from device to device."""
    aval: Any = getattr(x, "aval", None)
    if hasattr(aval, "vma"):  # as JAX called it up to 0.9
        return frozenset(aval.vma)
    return frozenset(getattr(getattr(aval, "manual_axis_type", None), "varying", ()))


def varying(x: jax.Array, names: Iterable[str]) -> jax.Array:
    """An array in the type that it has where it differs along these mesh axes too."""
    more = tuple({*names} - varies_over(x))
    if not hasattr(jax.lax, "pcast"):  # as JAX called it up to 0.7
        return getattr(jax.lax, "pvary")(x, more)  # noqa: B009 - not in newer stubs
    return jax.lax.pcast(x, more, to="varying")


def names_within(x: jax.Array, axes: Sequence[int] | None = None) -> tuple[str, ...]:
    """The mesh axes that a reduction of x over these axes, or all, goes on over."""
    said = spread()
    names = varies_over(x) & said.names
    if not names or axes is None or len(axes) == x.ndim:
        return tuple(sorted(names))
    if said.spec is None or len(said.spec) > x.ndim:
        raise Misfit(
            f"is reduced over some of its axes, and varies over {_listed(names)}: say "
            "which axes of it lie there, as in across(tx, names, specs=in_specs)."
        )
    on = [_on(said.spec, axis % x.ndim) for axis in axes]
    return tuple(name for each in on for name in each if name in names)


def _on(spec: tuple[Any, ...], axis: int) -> tuple[str, ...]:
    """The mesh axes that an axis of a leaf is spread over."""
    entry = spec[axis] if axis < len(spec) else None
    return () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)


def _listed(names: Any) -> str:
    return ", ".join(map(repr, sorted(names)))


def total(x: jax.Array, axes: Any = None, keepdims: bool = False) -> jax.Array:
    """Σx over these axes, or all."""
    names = names_within(x, axes)
    part = jnp.sum(x, axes, keepdims=keepdims)
    return jax.lax.psum(part, names) if names else part


def greatest(x: jax.Array, axes: Any = None, keepdims: bool = False) -> jax.Array:
    """The maximum of x >= 0 over these axes, or all; 0 of no entries."""
    names = names_within(x, axes)
    part = jnp.max(x, axes, keepdims=keepdims, initial=0)
    return jax.lax.pmax(part, names) if names else part


def entries(x: jax.Array, axes: Any = None) -> int:
    """The number of entries that a reduction over these axes, or all, is made of."""
    within = range(x.ndim) if axes is None else axes
    names = names_within(x, axes)
    here = math.prod(x.shape[axis] for axis in within)
    return here * math.prod(map(jax.lax.axis_size, names))


def root_of_number(n: Any, dtype: Any) -> jax.Array:
    """√n of a number of entries, or 1 of none; it may be one that a host fills in."""
    if isinstance(n, int):
        return jnp.asarray(max(n, 1) ** 0.5, dtype)
    return jnp.sqrt(jnp.asarray(n, dtype))


def average(x: jax.Array, axes: Any = None, keepdims: bool = False) -> jax.Array:
    """The mean over these axes, or all; 0 of no entries."""
    return total(x, axes, keepdims) / max(entries(x, axes), 1)


def everywhere(condition: jax.Array) -> jax.Array:
    """Whether all of it holds."""
    names = names_within(condition)
    every = jnp.all(condition)
    return jax.lax.pmin(every.astype(jnp.int32), names) == 1 if names else every


def whole_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the leaf of which there is a shard of this shape here."""
    said = spread()
    if said.spec is None:
        return shape
    return tuple(
        n * math.prod(_size(name) for name in _on(said.spec, i) if name in said.names)
        for i, n in enumerate(shape)
    )


def _size(name: str) -> int:
    try:
        return int(jax.lax.axis_size(name))
    except NameError:  # outside of `jax.shard_map` leaves are whole
        return 1


def gathered(x: Any) -> Any:
    """x on every device, if it lies on axes of an explicit mesh."""
    return reshard(x, PartitionSpec()) if is_placed(x) else x


def placed_as(like: Any, x: Any) -> Any:
    """x on the axes of an explicit mesh that another array lies on."""
    return reshard(x, jax.typeof(like).sharding) if is_placed(like) else x


def is_placed(x: Any) -> bool:
    """Whether it lies on axes of an explicit mesh."""
    return any(axis is not None for axis in jax.typeof(x).sharding.spec)
