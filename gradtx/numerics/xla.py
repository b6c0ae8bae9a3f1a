"""Workarounds for XLA: what it does, what that costs, and what is done instead.

Two things are behind all of them. XLA writes the next array of a state over the old one
only if nothing else reads the old one, and else copies it first. And it computes again
in each kernel what is cheap and read there, with all that this reads.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from gradtx.numerics.arithmetic import lerp, over_root, sqrt
from gradtx.numerics.shards import greatest, is_placed, varies_over
from gradtx.values import is_number

T = TypeVar("T")

# Entries. To start a kernel takes 1 to 2 µs, AdamW on so many 27 µs (28 bytes each, at
# the 4.3 TB/s of an H200), so that there is little to gain from one for several leaves.
LARGE = 2**22


def in_one_array(numbers: Sequence[jax.Array]) -> jax.Array:
    """The same numbers, as entries of one array.

    Of the loops that read one array, if it is no scalar, XLA makes one kernel for each
    shape: on a GPU a step of many leaves then starts a fraction of the kernels.
    """
    twice = [*numbers, *numbers] if len(numbers) == 1 else list(numbers)
    return jax.lax.optimization_barrier(jnp.stack(twice))[: len(numbers)]


def number_of(tree: Any) -> jax.Array | None:
    """An entry of an array in a tree, for what is to come `after` it.

    None where nothing is ordered: outside of `jax.jit`; of arrays on several devices,
    which would have to send it around; and where there is no entry.
    """
    for x in jax.tree.leaves(tree):
        has_entries = isinstance(x.size, int) and x.size > 0
        is_here = not (is_placed(x) or varies_over(x))
        if isinstance(x, jax.core.Tracer) and has_entries and is_here:
            return x[(0,) * x.ndim]
    return None


def after(x: jax.Array, done: jax.Array | None) -> jax.Array:
    """x, which is not computed before a number is.

    XLA's CPU backend orders a program so that much can run side by side, and has the
    temporary arrays of all leaves at a time: with this, a step of Muon on 60 leaves has
    a twentieth of them. It drops an `optimization_barrier` before it orders, so x
    depends on what is false of every number, and it does not see that.
    """
    if done is None:
        return x
    return jnp.where(_never(done), jnp.zeros_like(x), x)


def _never(x: jax.Array) -> jax.Array:
    """False, which XLA does not know."""
    return (x != x) & (x == 1)


def rows(x: jax.Array) -> list[jax.Array]:
    """x[0], x[1], and so on.

    Of slices at places that it knows, XLA compiles a kernel each, which takes it 10 ms
    or more, and one for all of one shape else. So the places are counted on the way, by
    a division, which it does not repeat in the kernels: 100 rows took 0.3 s of CPU to
    compile, and 4 s as slices.
    """
    at = _never(x[(0,) * x.ndim]).astype(jnp.uint32)
    one, out = jax.lax.div(at + 3, at + 2), list[jax.Array]()
    for _ in range(len(x)):
        row, at = _row(x, at, one)
        out.append(row)
    return out


@jax.jit
def _row(x: jax.Array, at: jax.Array, one: jax.Array) -> tuple[jax.Array, jax.Array]:
    row = jax.lax.dynamic_index_in_dim(x, at, keepdims=False)
    return row, jax.lax.div(at + 1, one)


def has_more(x: jax.Array, entries: int) -> bool:
    """Whether it has more entries, or so many as only a host will know."""
    return not isinstance(x.size, int) or x.size > entries


def in_common(scalars: Mapping[str, jax.Array]) -> Mapping[str, jax.Array]:
    """The same scalars, if they are traced as entries of one array of each dtype."""
    traced: dict[Any, dict[str, jax.Array]] = {}
    for name, x in scalars.items():
        if isinstance(x, jax.core.Tracer) and not x.weak_type:
            traced.setdefault(x.dtype, {})[name] = x
    out = dict(scalars)
    for alike in traced.values():
        out |= zip(alike, in_one_array(list(alike.values())), strict=True)
    return out


def mean_and_mix(
    mean: jax.Array, x: jax.Array, decay: Any, weight: Any
) -> tuple[jax.Array, jax.Array]:
    """The next mean, decay · mean + (1 − decay) · x, and the mix of weight · mean +
    (1 − weight) · x.

    Of the old mean, the mix would cost Lion a copy of all parameters. So it is computed
    from the next mean: r · next + (1 − r) · x, with r = weight / decay.
    """
    next_mean = lerp(mean, x, decay)
    if is_number(weight) and is_number(decay) and decay > 0:
        return next_mean, lerp(next_mean, x, weight / decay)
    return next_mean, lerp(mean, x, weight)


def times_root_of_ratio(
    x: jax.Array,
    next_u: jax.Array,
    g_sq: jax.Array,
    next_g: jax.Array,
    rho: Any,
    eps: Any,
) -> jax.Array:
    """x √((u + ε) / (v + ε)) for Adadelta's mean u before a step, and its v after it.

    Of the old mean, that would cost a copy of it. From the next one, u' = ρu + (1 − ρ)
    (u + ε) g² / (v + ε), it follows that (u + ε) / (v + ε) is (u' + ρε) over
    ρv + (1 − ρ) g² + ρε.
    """
    below = lerp(next_g, g_sq, rho)
    return over_root(sqrt(next_u + rho * eps) * x, below, rho * eps, place="inside")


def clipped_choice(
    sign: jax.Array, x: jax.Array, down: Any, up: Any, least: Any, most: Any
) -> jax.Array:
    """x · up where the sign is positive, x · down where it is negative, else x; and
    within the bounds.

    A choice that is clipped afterwards would be computed again where it is read, from
    copies of two arrays of the old state. So each choice is clipped.
    """
    lower, higher, still = (jnp.clip(c * x, least, most) for c in (down, up, 1))
    return jnp.where(sign > 0, higher, jnp.where(sign < 0, lower, still))


def greatest_along(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """The maximum of x >= 0 over some axes; over none, x itself.

    A maximum over no axis, max(x, 0), would be computed again where it is read, from a
    copy of the old bound.
    """
    return greatest(x, axes) if axes else x


def greatest_magnitude(x: jax.Array) -> jax.Array:
    """The maximum of |x| along the last axis.

    XLA's CPU backend writes x out for a maximum of floating-point numbers, which a
    library then reads, and for one over more than 32 entries, which it cuts. So it is
    one of integers, in the same order, over two axes: that took AdamW in int8 from 18
    to 10 bytes of temporary memory an entry.
    """
    size = x.shape[-1]
    parts = range(32, 1, -1) if isinstance(size, int) and size > 32 else ()
    part = next((n for n in parts if size % n == 0 and size <= 32 * n), None)
    if part is not None:
        x = x.reshape(*x.shape[:-1], part, size // part)
    integer = jnp.dtype(f"int{8 * x.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(jnp.abs(x), integer)
    greatest = jnp.max(bits, axis=-1 if part is None else (-2, -1))
    return jax.lax.bitcast_convert_type(greatest, x.dtype)


def either(condition: Any, yes: Callable[[], T], no: Callable[[], T]) -> T:
    """What one of two functions returns; the other is not computed.

    Outside of `jax.jit` the condition is known, and `jax.lax.cond` would compile two
    programs in each call, as the functions are new ones each time, and keep them.
    """
    if isinstance(condition, jax.core.Tracer):
        return jax.lax.cond(condition, yes, no)
    return yes() if condition else no()


def in_rows(x: jax.Array) -> jax.Array:
    """A matrix, with the entries of a row side by side in the memory.

    LAPACK gives matrices column by column. Where a branch returns one, XLA has the
    other branch do so too, and so turned all bases of SOAP in each step, and back. A
    vector has one order of entries, and XLA has the matrix then follow it. (There is
    `with_layout_constraint`, but what has one cannot be exported.)
    """
    return jax.lax.optimization_barrier(x.reshape(-1)).reshape(x.shape)
