"""Adam's relatives as optimizers."""

from typing import Annotated, Any

from gradtx.core.call import checked
from gradtx.core.check import Decay, DType, Hyper, LearningRate, NonNegative, OneOf
from gradtx.core.transformation import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms import (
    scale_by_acprop,
    scale_by_adam,
    scale_by_adamax,
    scale_by_adopt,
    scale_by_amsgrad,
    scale_by_belief,
    scale_by_nadam,
    scale_by_radam,
    scale_by_schedule,
    scale_by_yogi,
)
from gradtx.transforms.adam_family import MaxOf
from gradtx.transforms.adam_steps import fourth_root
from gradtx.transforms.adaptive import EpsPlace

__all__ = [
    "acprop",
    "adabelief",
    "adamax",
    "adamaxw",
    "adopt",
    "amsgrad",
    "nadam",
    "nadamw",
    "radam",
    "yogi",
]

LookAhead = Annotated[str, OneOf("optax", "torch", "timm")]


@checked
def adamax(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
) -> GradientTransformation:
    """AdaMax: W ← W − α m̂ / max(β₂ ν, |g| + ε), Adam in the maximum norm.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps: see `scale_by_adamax`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and PyTorch.

    References:
      Kingma and Ba, 2014, arXiv:1412.6980.
    """
    return chain(
        scale_by_adamax(b1, b2, eps), scale_by_schedule(learning_rate, flip_sign=True)
    )


@checked
def adamaxw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-4,
    mask: Any = None,
) -> GradientTransformation:
    """AdaMax with decoupled weight decay: W ← (1 − αλ)W − α u, u as in `adamax`.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps: see `scale_by_adamax`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax.

    References:
      Kingma and Ba, 2014, arXiv:1412.6980; Loshchilov and Hutter, 2017,
      arXiv:1711.05101.
    """
    return chain(
        scale_by_adamax(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


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
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu,
        convention: see `scale_by_amsgrad`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

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


@checked
def nadam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    convention: LookAhead = "optax",
    momentum_decay: NonNegative = 4e-3,
) -> GradientTransformation:
    """NAdam: Adam with Nesterov's look-ahead, in one of three conventions.

    With "optax" and "timm" the momentum is β₁ at all steps, and the two debias the
    look-ahead differently (see `scale_by_adam`); with "torch" it grows from β₁/2 to β₁
    (see `scale_by_nadam`).

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      nesterov: False for Adam.
      convention: "optax", "torch" or "timm".
      momentum_decay: ψ >= 0, for "torch".

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax, PyTorch and timm, as the option says. AlgoPerf's is timm's.

    References:
      Dozat, 2016, "Incorporating Nesterov momentum into Adam".
    """
    moments = (b1, b2, eps, eps_root, mu_dtype)
    return chain(
        _look_ahead(moments, nesterov, convention, momentum_decay),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def nadamw(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    mu_dtype: DType | None = None,
    weight_decay: NonNegative = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = True,
    convention: LookAhead = "optax",
    momentum_decay: NonNegative = 4e-3,
) -> GradientTransformation:
    """NAdam with decoupled weight decay: W ← (1 − αλ)W − α u, u as in `nadam`.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).
      nesterov, convention, momentum_decay: see `nadam`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax, PyTorch (`decoupled_weight_decay=True`) and timm, as the option says.

    References:
      Dozat, 2016, "Incorporating Nesterov momentum into Adam"; Loshchilov and Hutter,
      2017, arXiv:1711.05101.
    """
    moments = (b1, b2, eps, eps_root, mu_dtype)
    return chain(
        _look_ahead(moments, nesterov, convention, momentum_decay),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


def _look_ahead(
    moments: tuple[Any, ...], nesterov: bool, convention: str, momentum_decay: Any
) -> GradientTransformation:
    if nesterov and convention == "torch":
        return scale_by_nadam(*moments, momentum_decay=momentum_decay)
    look_ahead = "timm" if nesterov and convention == "timm" else "optax"
    return scale_by_adam(*moments, nesterov=nesterov, look_ahead=look_ahead)


@checked
def radam(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    eps_root: NonNegative = 0.0,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
    eps_place: EpsPlace = "outside",
) -> GradientTransformation:
    """RAdam: Adam that steps by the mean gradient alone while its squares are few.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, threshold, nesterov, eps_place: see `scale_by_radam`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax; with `eps_place="uncorrected"`, PyTorch.

    References:
      Liu et al., 2019, arXiv:1908.03265.
    """
    return chain(
        scale_by_radam(
            b1,
            b2,
            eps,
            eps_root,
            threshold,
            nesterov=nesterov,
            eps_place=eps_place,
        ),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def yogi(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-3,
) -> GradientTransformation:
    """Yogi: Adam whose mean square cannot grow faster than it falls.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps: see `scale_by_yogi`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax and pytorch_optimizer.

    References:
      Zaheer et al., 2018, "Adaptive methods for nonconvex optimization".
    """
    return chain(
        scale_by_yogi(b1, b2, eps), scale_by_schedule(learning_rate, flip_sign=True)
    )


@checked
def adabelief(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """AdaBelief: Adam that divides by the deviation of the gradient from its mean.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root, nesterov: see `scale_by_belief`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax, timm and pytorch_optimizer.

    References:
      Zhuang et al., 2020, arXiv:2010.07468.
    """
    return chain(
        scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def acprop(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    eps_root: NonNegative = 1e-16,
    weight_decay: NonNegative = 0.0,
    mask: Any = None,
) -> GradientTransformation:
    """ACProp: the gradient, divided by AdaBelief's deviation of a step before.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, eps_root: see `scale_by_acprop`.
      weight_decay, mask: λ >= 0, decoupled, and what it decays (see
        `add_decayed_weights`).

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax.

    References:
      Zhuang et al., 2021, arXiv:2110.05454.
    """
    return chain(
        scale_by_acprop(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )


@checked
def adopt(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.9999,
    eps: NonNegative = 1e-6,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: NonNegative = fourth_root,
) -> GradientTransformation:
    """ADOPT: the mean of gradients that were divided, by what was known before.

    Args:
      learning_rate: α >= 0, a number, an array or a schedule.
      b1, b2, eps, mu_dtype, nesterov, use_clipping, clip_value_fn: see
        `scale_by_adopt`.

    Raises:
      TypeError, ValueError: if an argument is out of its range.

    Equals:
      Optax; timm, whose bound is the third root; pytorch_optimizer's is one step ahead.

    References:
      Taniguchi et al., 2024, arXiv:2411.02853.
    """
    return chain(
        scale_by_adopt(
            b1,
            b2,
            eps,
            mu_dtype,
            nesterov=nesterov,
            use_clipping=use_clipping,
            clip_value_fn=clip_value_fn,
        ),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
