"""Gradient descent, with momentum."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.momentum import momentum_if_any
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, DType, LearningRate, checked


@checked
def sgd(
    learning_rate: LearningRate,
    momentum: Decay | None = None,
    nesterov: bool = False,
    accumulator_dtype: DType | None = None,
) -> GradientTransformation:
    """Gradient descent, W ← W − α g; with momentum, v ← ρv + g, W ← W − α v.

    Args:
      learning_rate: α >= 0, as a number, an array, or a schedule: a function of the
        number of updates made so far.
      momentum: ρ in [0, 1), often 0.9: v is the sum of past gradients, each weighing ρ
        times the next. None for no momentum, and no memory for v.
      nesterov: whether the step looks ahead, to g + ρv in place of v; refused without a
        momentum.
      accumulator_dtype: the dtype in which v is kept, such as "bfloat16"; the
        parameters' by default, >= float32.

    Example:
      >>> gradtx.sgd(0.1, momentum=0.9)
      chain(trace(0.9), scale_by_schedule(0.1, flip_sign=True))
      >>> tx = gradtx.sgd(0.5)
      >>> updates, state = tx.update(jnp.array([4.0, -2.0]), tx.init(jnp.zeros(2)))
      >>> print(updates)
      [-2.  1.]

    Equals:
      Optax's, and `torch.optim.SGD` with `dampening=0`.
    """
    return chain(
        momentum_if_any(momentum, nesterov, accumulator_dtype),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
