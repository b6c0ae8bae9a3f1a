"""LARS."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.momentum import trace
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.transforms.trust_ratio import scale_by_trust_ratio
from gradtx.trees import Mask
from gradtx.values import Decay, LearningRate, NonNegative, checked
from gradtx.wrappers.masked import masked


@checked
def lars(
    learning_rate: LearningRate,
    weight_decay: NonNegative = 0.0,
    weight_decay_mask: Mask = True,
    trust_coefficient: NonNegative = 0.001,
    eps: NonNegative = 0.0,
    trust_ratio_mask: Mask = True,
    momentum: Decay = 0.9,
    nesterov: bool = False,
    *,
    separate_norms: bool = False,
) -> GradientTransformation:
    """SGD with momentum whose steps are scaled by layer: LARS.

    d = (g + λW) · c ‖W‖ / (‖g + λW‖ + ε) for each leaf, v ← ρv + α d, W ← W − v.

    Args:
      learning_rate: α >= 0.
      weight_decay, weight_decay_mask: λ >= 0 and what it decays.
      trust_coefficient, eps: c and ε (see `scale_by_trust_ratio`).
      trust_ratio_mask: a selector of the leaves that are scaled; usually the matrices.
      momentum, nesterov: ρ in [0, 1), and whether to look ahead (see `trace`).
      separate_norms: divide by ‖g‖ + λ‖W‖ + ε instead, as the paper does. The two masks
        must then be equal.

    Raises:
      ValueError: with `separate_norms`, if the masks differ.

    Equals:
      Optax's; with `separate_norms`, the paper and timm's `Lars`.

    References:
      You et al., 2017, arXiv:1708.03888.
    """
    if separate_norms:
        if weight_decay_mask is not trust_ratio_mask:
            raise ValueError(
                "lars: with separate_norms, the two masks must be the same; "
                f"got {weight_decay_mask!r} and {trust_ratio_mask!r}."
            )
        scaled = [
            masked(
                scale_by_trust_ratio(
                    0.0, trust_coefficient, eps, weight_decay=weight_decay
                ),
                trust_ratio_mask,
            )
        ]
    else:
        scaled = [
            add_decayed_weights(weight_decay, weight_decay_mask),
            masked(scale_by_trust_ratio(0.0, trust_coefficient, eps), trust_ratio_mask),
        ]
    return chain(
        *scaled,
        scale_by_schedule(learning_rate, flip_sign=True),
        trace(momentum, nesterov),
    )
