"""Cautious updates: those that agree with the gradient."""

from gradtx.core import GradientTransformation, identity
from gradtx.merges import agreeing, opposed
from gradtx.values import checked
from gradtx.wrappers.parallel import parallel


@checked
def cautious(
    inner: GradientTransformation, *, flip_sign: bool = False
) -> GradientTransformation:
    """Keep of an update what agrees with the gradient in sign.

    u' = u ⊙ 1[u ⊙ g > 0] / max(k, 10⁻³), where k is the part of the leaf's entries that
    stays, so that a leaf moves as far as before.

    Args:
      inner: a gradient transformation whose updates point along the gradient, as
        `scale_by_adam()` does.
      flip_sign: True where they point against it, as those of `adam(1e-3)` do, which
        end with the learning rate.

    Returns:
      `parallel(inner, identity(), merge=merges.agreeing)`, or with `merges.opposed`.

    Equals:
      timm's and the authors' cautious optimizers.

    References:
      Liang et al., 2024, arXiv:2411.16085.
    """
    return parallel(inner, identity(), merge=opposed if flip_sign else agreeing)
