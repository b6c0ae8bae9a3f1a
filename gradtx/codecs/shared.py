"""Codecs of second moments that keep fewer numbers: rows, columns, blocks."""

import jax.numpy as jnp

from gradtx.codecs.codec import Coding, codec
from gradtx.core.roles import Role, square_like
from gradtx.second_moment import SecondMoment


@codec
def shared(second_moment: SecondMoment) -> Coding:
    """A second moment as an estimator keeps it, such as Adafactor's rows and columns.

    Between the steps there is only what the estimator keeps; the step itself has a
    number for each entry. Of other roles nothing is encoded.

    Args:
      second_moment: an estimator, as `second_moment.rank_one()`.
    """

    def encode(role, x, draw):
        nothing = second_moment.init(square_like(x))
        return second_moment.update(nothing, x, 0.0, 1.0)[1]

    def decode(role, code, like):
        nothing = jnp.zeros(like.shape, jnp.promote_types(like.dtype, jnp.float32))
        estimate, _ = second_moment.update(code, nothing, 1.0, 0.0)
        return jnp.broadcast_to(estimate, like.shape).astype(like.dtype)

    return Coding(encode, decode, second_moment.axes, frozenset({Role.SQUARE}))
