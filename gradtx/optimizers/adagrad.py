"""AdaGrad."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.adagrad import scale_by_rss
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import LearningRate, NonNegative, NonNegativeConstant, checked


@checked
def adagrad(
    learning_rate: LearningRate,
    initial_accumulator_value: NonNegativeConstant = 0.1,
    eps: NonNegative = 1e-7,
) -> GradientTransformation:
    """AdaGrad: s ← s + g², W ← W − α g / √(s + ε).

    Args:
      learning_rate: α >= 0.
      initial_accumulator_value, eps: see `scale_by_rss`.

    Example:
      >>> gradtx.adagrad(0.5)
      chain(scale_by_rss(), scale_by_schedule(0.5, flip_sign=True))

    Equals:
      Optax. For PyTorch's see `scale_by_rss`.

    References:
      Duchi et al., 2011, "Adaptive subgradient methods for online learning and
      stochastic optimization".
    """
    return chain(
        scale_by_rss(initial_accumulator_value, eps),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
