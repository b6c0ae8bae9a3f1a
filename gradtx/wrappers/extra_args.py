"""Extra arguments that any transformation may be passed."""

from gradtx.core import GradientTransformation, Pair, Part, inner_pair, transformation


@transformation
def with_extra_args_support(tx: GradientTransformation) -> Pair:
    """Let a transformation be passed any extra argument; it gets those that it takes.

    Args:
      tx: a gradient transformation, or a pair `(init, update)`.
    """
    pair = inner_pair(tx, "tx")
    parts = lambda state: [Part("", tx, state)]  # noqa: E731
    made = Pair(pair.init, pair.update, pair.scope, None, parts)
    return made.telling(pair.rate).remembered()
