"""AMSGrad."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.amsgrad import MaxOf, scale_by_amsgrad
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.values import Decay, DType, LearningRate, NonNegative, checked


@checked
def amsgrad(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    convention: MaxOf = "optax",
) -> GradientTransformation:
    """AMSGrad: Adam that divides by the largest mean square so far.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu,
        convention: see `scale_by_amsgrad`.

    Equals:
      Optax; with `convention="torch"`, `torch.optim.Adam(amsgrad=True)`.

    References:
      Reddi et al., 2018, arXiv:1904.09237.
    """
    return chain(
        scale_by_amsgrad(
            b1,
            b2,
            eps,
            eps_root,
            mu_dtype,
            bias_correction_mu,
            bias_correction_nu,
            convention=convention,
        ),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
