"""Steps by the sign: signSGD and Signum."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.momentum import ema
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.transforms.sign import scale_by_sign
from gradtx.values import Decay, DType, LearningRate, checked


@checked
def sign_sgd(learning_rate: LearningRate) -> GradientTransformation:
    """signSGD: W ← W − α sign(g).

    Args:
      learning_rate: α >= 0.

    Equals:
      Optax, but for infinite gradients (see `scale_by_sign`).

    References:
      Bernstein et al., 2018, arXiv:1802.04434.
    """
    return chain(scale_by_sign(), scale_by_schedule(learning_rate, flip_sign=True))


@checked
def signum(
    learning_rate: LearningRate,
    beta: Decay = 0.9,
    accumulator_dtype: DType | None = None,
) -> GradientTransformation:
    """Signum, signSGD with momentum: m ← βm + (1 − β)g, W ← W − α sign(m).

    Args:
      learning_rate: α >= 0.
      beta: β in [0, 1).
      accumulator_dtype: the dtype of m (see `ema`).

    Equals:
      Optax and pytorch_optimizer, but for infinite gradients (see `scale_by_sign`).

    References:
      Bernstein et al., 2018, arXiv:1802.04434.
    """
    return chain(
        ema(beta, debias=False, accumulator_dtype=accumulator_dtype),
        scale_by_sign(),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
