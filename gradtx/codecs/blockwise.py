"""Codecs that keep a scale for each block of entries, and few bits for each entry."""

import math
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradtx.codecs.codec import MOMENTS, Coding, Rounding, codec
from gradtx.codecs.maps import Map, dynamic
from gradtx.core.roles import UNKNOWN, Axes, Role, all_axes
from gradtx.numerics.dtypes import in_dtype, wide_counterpart
from gradtx.numerics.rounding import Draw, between, fraction, nearest_integer
from gradtx.numerics.shards import is_placed
from gradtx.numerics.xla import greatest_magnitude
from gradtx.trees import Shape
from gradtx.values import Steps, one_of

# An axis that is shorter is joined with the one before it, as a kernel's of 3 x 3.
SHORT = 64
# A number that was decoded differs from its entry by rounding, at most 2⁻¹⁵ of the way
# to the next one. Chance in so many digits does not see that: codes of codes stay.
DIGITS = 13
AMap = Annotated[
    Literal["symmetric", "published"],
    one_of("symmetric", "published", name="AMap"),
]


class Blocks(NamedTuple):
    """The code of an array in blocks along its last axis."""

    codes: jax.Array  # in the shape of the array
    scales: jax.Array  # the greatest magnitude in each block


@codec
def int8(
    block: Steps = 256, map: AMap = "symmetric", rounding: Rounding = "stochastic"
) -> Coding:
    """A byte an entry and a scale a block, by a dynamic map. 1.016 bytes an entry.

    An entry over the greatest magnitude of its block is one of 255 numbers, of which
    128 lie in [0.1, 1], 64 in [0.01, 0.1], ..., and which have a sign for a mean.

    The published map has 1 and no −1, so that a block whose extreme is negative shrinks
    each time. The symmetric one has −1 in the place of the least entries, ±5.5·10⁻⁷,
    and to encode what was decoded gives the same code. A second moment that is positive
    stays so, where the published one has 0 for it.

    Args:
      block: entries that share a scale, along the last axis; an axis of less than 64 is
        joined with those before it. The blocks of an axis are equally long.
      map: "symmetric", or "published" as torchao and bitsandbytes have it.
      rounding: "stochastic", up or down so that the mean is right; or "nearest", under
        which averages with a decay of 0.98 or more stop moving.

    References:
      Dettmers et al., 2021, arXiv:2110.02861.
    """
    if map == "published":
        mean = _table(dynamic(7, signed=True), jnp.uint8, zero=127, below=127)
        square = _table(dynamic(7, signed=False), jnp.uint8)
    else:
        zero, _, *others = dynamic(7, signed=True)
        mean = _table([zero, *others], jnp.int8, below=127)
        square = _table(dynamic(7, signed=False), jnp.uint8, stays_positive=True)
    return _by_tables(mean, square, block, rounding)


@codec
def int4(
    block: Steps = 128, map: AMap = "symmetric", rounding: Rounding = "stochastic"
) -> Coding:
    """Half a byte an entry, and a scale a block. 0.53 bytes an entry.

    A mean is 0 or one of 7 magnitudes of a dynamic map (8 above 0, in the published
    one); a second moment one of 1/16, 2/16, ..., 1 of the greatest in its block, and
    never 0, of which the root would make a large step.

    Args:
      block: as for `int8`.
      map: as for `int8`.
      rounding: as for `int8`.

    References:
      Li et al., 2023, arXiv:2309.01507.
    """
    if map == "published":
        mean = _table(dynamic(3, signed=True), jnp.uint4, zero=7, below=7)
    else:
        zero, _, *others = dynamic(3, signed=True)
        mean = _table([zero, *others], jnp.int4, below=7)
    square = _table([i / 16 for i in range(1, 17)], jnp.uint4)
    return _by_tables(mean, square, block, rounding)


@codec
def float8(block: Steps = 256, rounding: Rounding = "stochastic") -> Coding:
    """An 8-bit float (e4m3) an entry, and a scale a block. 1.016 bytes an entry.

    The greatest magnitude of a block becomes 448, the greatest number of that kind.

    Args:
      block: as for `int8`.
      rounding: as for `int8`.
    """
    dtype, most = np.dtype(jnp.float8_e4m3fn), 448.0
    # A table, as XLA turns a division into a product, and 448 / 448 would not be 1.
    values = np.arange(256, dtype=np.uint8).view(dtype).astype(float) / most

    def encode(role, x, draw):
        cut = _cut_of(x, block)
        scales, shares = _shares(cut.apart(x))
        shares = shares.astype(jnp.float32)
        rounded = between(shares * most, _level(shares, draw, rounding), dtype)
        return Blocks(cut.together(rounded.astype(dtype)), scales)

    def decode(role, code, like):
        cut = _cut_of(code.codes, block)
        places = lax.bitcast_convert_type(cut.apart(code.codes), jnp.uint8)
        shares = _looked_up(values, places.astype(jnp.int32), code.scales.dtype)
        return in_dtype(cut.together(shares * code.scales[..., None]), like.dtype)

    return Coding(encode, decode, _axes, MOMENTS)


def _looked_up(values: np.ndarray, places: jax.Array, dtype: Any) -> jax.Array:
    where = jax.typeof(places).sharding if is_placed(places) else None
    known = jnp.asarray(values, dtype)
    return known.at[places].get(mode="promise_in_bounds", out_sharding=where)


class _Table(NamedTuple):
    """Which code stands for which number in [-1, 1]."""

    map: Map  # of the magnitudes
    dtype: Any
    zero: int  # the code of 0
    below: int  # the number of codes below that
    stays_positive: bool  # whether what is positive is no 0

    def encode(self, shares: jax.Array, level: jax.Array) -> jax.Array:
        """The codes of numbers in [-1, 1]."""
        last = len(self.map.entries) - 1
        size = jnp.abs(shares) if self.below else shares
        place = self.map.index(size).astype(jnp.float32) + (level - 0.5)
        place = jnp.where(place < last, place, jnp.float32(last))
        if self.stays_positive:
            least = jnp.where(shares > 0, jnp.float32(1), jnp.float32(0))
            place = jnp.where(place < least, least, place)
        if self.below:
            least = jnp.where(place < self.below, -place, jnp.float32(-self.below))
            place = jnp.where(shares < 0, least, place)
        return nearest_integer(place + self.zero).astype(self.dtype)

    def decode(self, codes: jax.Array, dtype: Any) -> jax.Array:
        place = codes.astype(jnp.int32) - self.zero
        entry = self.map.entry(jnp.abs(place).astype(dtype))
        return jnp.where(place < 0, -entry, entry) if self.below else entry


def _table(
    entries: list[float],
    dtype: Any,
    zero: int = 0,
    below: int = 0,
    stays_positive: bool = False,
) -> _Table:
    """The code `zero + i` is the i-th entry, and `zero - i` the same below 0."""
    return _Table(Map(entries), dtype, zero, below, stays_positive)


def _by_tables(mean: _Table, square: _Table, block: int, rounding: str) -> Coding:
    def table(role: Role) -> _Table:
        return square if role is Role.SQUARE else mean

    def encode(role, x, draw):
        cut = _cut_of(x, block)
        scales, shares = _shares(cut.apart(x))
        codes = table(role).encode(shares, _level(shares, draw, rounding))
        return Blocks(cut.together(codes), scales)

    def decode(role, code, like):
        cut = _cut_of(code.codes, block)
        shares = table(role).decode(cut.apart(code.codes), code.scales.dtype)
        return in_dtype(cut.together(shares * code.scales[..., None]), like.dtype)

    return Coding(encode, decode, _axes, MOMENTS)


def _level(shares: jax.Array, draw: Draw | None, rounding: str) -> jax.Array:
    """From which share of the way on a number is rounded up, or 1 less that."""
    if draw is None or rounding == "nearest":
        return jnp.float32(0.5)
    return fraction(draw(shares), DIGITS)


def _shares(blocks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The greatest magnitude in each block, and the entries over it."""
    blocks = in_dtype(blocks, wide_counterpart(blocks.dtype))
    scales = greatest_magnitude(blocks)
    known = scales >= float(jnp.finfo(scales.dtype).tiny)
    inverse = 1 / jnp.where(known, scales, jnp.ones_like(scales))
    return scales, blocks * inverse[..., None]


class _Cut(NamedTuple):
    """How an array is cut into blocks."""

    shape: Shape  # of the array
    lead: Shape  # axes that are not cut
    length: Any  # of the axis that is cut
    blocks: int
    size: Any  # of a block; the last one is filled up with zeros
    placed: tuple[Any, Any] | None  # where the whole and the blocks lie, on a mesh

    def apart(self, x: jax.Array) -> jax.Array:
        _, parts = self.placed or (None, None)
        if isinstance(self.size, int) and (more := self.more):
            x = x.reshape(*self.lead, self.length)
            x = jnp.pad(x, [(0, 0)] * len(self.lead) + [(0, more)])
        shape = (*self.lead, self.blocks, self.size)
        return jnp.reshape(x, shape, out_sharding=parts)

    def together(self, x: jax.Array) -> jax.Array:
        whole, _ = self.placed or (None, None)
        if isinstance(self.size, int) and self.more:
            x = x.reshape(*self.lead, -1)[..., : self.length]
        return jnp.reshape(x, self.shape, out_sharding=whole)

    @property
    def more(self) -> int:
        return self.blocks * self.size - self.length


def _cut_of(x: jax.Array, block: int) -> _Cut:
    """Blocks of at most so many entries, and on an explicit mesh of one shard each."""
    if not is_placed(x):
        return _cut(x.shape, block)
    where = jax.typeof(x).sharding
    spec = (*where.spec, *[None] * (x.ndim - len(where.spec)))
    joined = x.ndim - len(_cut(x.shape, block).lead)
    if joined > 1 and any(name is not None for name in spec[-joined:]):
        joined = 1  # an axis that lies on several devices is not joined with others
    lead = x.shape[: x.ndim - joined]
    length = math.prod(x.shape[len(lead) :])
    shards = math.prod(where.mesh.shape[name] for name in _names(spec[-1]))
    here = length // shards
    parts = next(n for n in range(-(-here // block), here + 1) if here % n == 0)
    place = where.update(
        spec=jax.sharding.PartitionSpec(*spec[: len(lead)], spec[-1], None)
    )
    return _Cut(x.shape, lead, length, parts * shards, here // parts, (where, place))


def _names(entry: Any) -> tuple[str, ...]:
    """The mesh axes in an entry of a `PartitionSpec`."""
    return () if entry is None else (entry,) if isinstance(entry, str) else entry


def _cut(shape: Shape, block: int) -> _Cut:
    lead, length = shape[:-1], shape[-1] if shape else 1
    if not isinstance(length, int):  # only a host will know it
        return _Cut(shape, lead, length, 1, length, None)
    while lead and length < SHORT and isinstance(lead[-1], int):
        lead, length = lead[:-1], length * lead[-1]
    blocks = max(-(-length // block), 1)
    return _Cut(shape, lead, length, blocks, -(-length // blocks), None)


def _axes(shape: Shape) -> Any:
    kept = range(len(_cut(shape, 1).lead))
    scales: Any = Axes([*kept, None]) if kept else UNKNOWN
    codes: Any = all_axes(shape)
    return Blocks(codes, scales)
