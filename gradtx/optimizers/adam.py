"""Adam and AdamW."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, DType, LearningRate, NonNegative, checked


@checked
def adam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam: W ← W − α m̂ / (√r̂ + ε).

    m̂ and r̂ are means of g and of g², debiased (see `scale_by_adam`). Adam with L2
    regularization, coupled, is `chain(add_regularizer(l2(λ)), adam(α))`.

    Args:
      learning_rate: α >= 0, as a number, an array, or a schedule: a function of the
        number of updates made so far.
      b1: β₁ in [0, 1), the decay of the mean gradient m.
      b2: β₂ in [0, 1), the decay of the mean squared gradient r.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root: √(r̂ + ε_root) + ε.
      mu_dtype: the dtype in which m is kept, such as "bfloat16"; the parameters' by
        default, >= float32.
      nesterov: whether m̂ looks ahead, as in NAdam: the newest gradient weighs more in
        it.

    Example:
      >>> tx = gradtx.adam(0.5)
      >>> g = jnp.array([100.0, -0.25])
      >>> updates, state = tx.update(g, tx.init(g))
      >>> print(updates.round(3))  # the first step is as long as the learning rate
      [-0.5  0.5]

    Equals:
      Optax's and `torch.optim.Adam`.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def adamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 1e-4,
    mask: Mask | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam with decoupled weight decay: W ← (1 − αλ)W − α m̂ / (√r̂ + ε).

    Args:
      learning_rate: α >= 0, as a number, an array, or a schedule: a function of the
        number of updates made so far.
      b1: β₁ in [0, 1), the decay of the mean gradient m.
      b2: β₂ in [0, 1), the decay of the mean squared gradient r.
      eps: ε >= 0, outside the root; where the quotient is 0 / 0 it is 0.
      eps_root: ε_root >= 0, inside the root: √(r̂ + ε_root) + ε.
      mu_dtype: the dtype in which m is kept, such as "bfloat16"; the parameters' by
        default, >= float32.
      weight_decay: λ >= 0. A step takes αλ of each weight.
      mask: the leaves to decay: a tree of booleans, of which a prefix is enough, or a
        function from the parameters to one, such as `matrices`; all by default. Biases
        and the scales of norms are usually left out.
      nesterov: whether m̂ looks ahead, as in NAdam: the newest gradient weighs more in
        it.

    Example:
      >>> gradtx.adamw(1e-3, weight_decay=0.1, mask=gradtx.matrices)
      chain(scale_by_adam(), add_decayed_weights(weight_decay=0.1, mask=matrices),
      scale_by_schedule(0.001, flip_sign=True))

    Equals:
      Optax's; `torch.optim.AdamW` has `weight_decay=1e-2` by default.

    References:
      Loshchilov and Hutter, 2017, arXiv:1711.05101.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
