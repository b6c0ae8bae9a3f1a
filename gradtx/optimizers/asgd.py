"""SGD whose iterates are averaged."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.schedules import asgd_schedule
from gradtx.transforms.average_params import average_params
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import LearningRate, NonNegativeConstant, StepsOrZero, checked


@checked
def asgd(
    learning_rate: LearningRate,
    lambd: NonNegativeConstant = 1e-4,
    alpha: NonNegativeConstant = 0.75,
    t0: StepsOrZero = 10**6,
) -> GradientTransformation:
    """Averaged SGD: W ← (1 − λη_t)W − η_t g, with η_t = η / (1 + λ η t)^α.

    The last link's state has the mean of the weights: `tree.get(state, "average")`.

    Args:
      learning_rate: η >= 0.
      lambd: λ >= 0, the weight decay.
      alpha: α >= 0 (see `asgd_schedule`).
      t0: the updates that the mean leaves out (see `average_params`).

    Equals:
      `torch.optim.ASGD`, whose `weight_decay` adds to λ but not to the schedule's: here
      `chain(add_decayed_weights(wd), asgd(...))`.

    References:
      Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by
      averaging"; Bottou, 2010, "Large-scale machine learning with stochastic gradient
      descent".
    """
    return chain(
        add_decayed_weights(lambd),
        scale_by_schedule(asgd_schedule(learning_rate, lambd, alpha), flip_sign=True),
        average_params(t0),
    )
