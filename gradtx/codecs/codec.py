"""What a codec is: functions of one array, as a value."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import jax

from gradtx.core.roles import AxesOf, Role
from gradtx.numerics.rounding import Draw
from gradtx.values import Value, one_of, recorded
from gradtx.values.arguments import instance_of

MOMENTS = frozenset({Role.MEAN, Role.SQUARE})
PLACES = frozenset({*MOMENTS, Role.POINT, Role.SCALE})  # which bear no rounding to 1 %
Rounding = Annotated[
    Literal["nearest", "stochastic"],
    one_of("nearest", "stochastic", name="Rounding"),
]


class Coding(NamedTuple):
    """What a codec's factory returns: functions of one real array.

    `encode(role, x, draw)` gives the code of an array that has this role: an array, or
    a NamedTuple of arrays. `draw(y)` gives 32 random bits for each entry of an array
    that holds the entries of x; where it is None, as in the first state, there is no
    chance. `decode(role, code, like)` gives an array of the shape and dtype of `like`,
    with the shape of the code where that has one. `axes(shape)` gives, for each array
    of the code, which axes of a parameter of this shape it keeps, or `UNKNOWN`. `roles`
    are those of the arrays that the codec is for.
    """

    encode: Callable[[Role, jax.Array, Draw | None], Any]
    decode: Callable[[Role, Any, jax.ShapeDtypeStruct], jax.Array]
    axes: AxesOf
    roles: frozenset[Role]


class Codec(Value):
    """In what form an array of a state is kept, as a value.

    It prints as the call that made it, compares, hashes and pickles.
    """

    __slots__ = ()

    @property
    def coding(self) -> Coding:
        """The functions of one array."""
        return self._made


codec = recorded(Codec)
ACodec = Annotated[Codec, instance_of(Codec, "a codec, such as int8()", "ACodec")]
