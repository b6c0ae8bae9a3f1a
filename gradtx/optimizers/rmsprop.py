"""RMSProp."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.momentum import momentum_if_any
from gradtx.transforms.rmsprop import scale_by_rms, scale_by_stddev
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, LearningRate, NonNegative, NonNegativeConstant, checked


@checked
def rmsprop(
    learning_rate: LearningRate,
    decay: Decay = 0.9,
    eps: NonNegative = 1e-8,
    initial_scale: NonNegativeConstant = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Decay | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> GradientTransformation:
    """RMSProp: r ← ρr + (1 − ρ)g², W ← W − α g / √(r + ε).

    The lecture's form, with ε outside the root, is `eps_in_sqrt=False`; with
    `decay=0.99` it is `torch.optim.RMSprop`'s default too. Our defaults are Optax's.

    Args:
      learning_rate: α >= 0, as a number, an array, or a schedule: a function of the
        number of updates made so far.
      decay: ρ in [0, 1), the decay of the mean squared gradient r.
      eps: ε >= 0, against division by 0; where the quotient is 0 / 0 it is 0.
      initial_scale: r before the first update, >= 0.
      eps_in_sqrt: whether ε stands inside the root, √(r + ε), or outside, √r + ε.
      centered: whether to divide by the standard deviation instead, √(r − m² + ε) with
        the mean gradient m.
      momentum: of the scaled steps, in [0, 1); None for no momentum.
      nesterov: whether the momentum looks ahead; refused without one.
      bias_correction: whether r is divided by 1 − ρᵗ, for having begun at 0.

    Example:
      >>> gradtx.rmsprop(1e-3, decay=0.99, eps_in_sqrt=False)
      chain(scale_by_rms(decay=0.99, eps_in_sqrt=False), scale_by_schedule(0.001,
      flip_sign=True), identity())

    Equals:
      Optax's and Keras's; PyTorch's with `decay=0.99, eps_in_sqrt=False`.
    """
    scale_by_root = scale_by_stddev if centered else scale_by_rms
    return chain(
        scale_by_root(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        scale_by_schedule(learning_rate, flip_sign=True),
        momentum_if_any(momentum, nesterov),
    )
