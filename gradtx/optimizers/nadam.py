"""NAdam."""

from typing import Annotated, Any

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.nadam import scale_by_nadam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.values import Decay, DType, LearningRate, NonNegative, checked, one_of

LookAhead = Annotated[str, one_of("optax", "torch", "timm", name="LookAhead")]


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
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      nesterov: False for Adam.
      convention: "optax", "torch" or "timm".
      momentum_decay: ψ >= 0, for "torch".

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
    mask: Mask | None = None,
    *,
    nesterov: bool = True,
    convention: LookAhead = "optax",
    momentum_decay: NonNegative = 4e-3,
) -> GradientTransformation:
    """NAdam with decoupled weight decay: W ← (1 − αλ)W − α u, u as in `nadam`.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps, eps_root, mu_dtype: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).
      nesterov, convention, momentum_decay: see `nadam`.

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
