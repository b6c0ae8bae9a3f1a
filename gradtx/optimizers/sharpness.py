"""Sharpness-aware minimization around any optimizer, by a second gradient beside the
parameters: the forms that differ in where it is and in what is made of it.

Each needs the gradient as a function: `update(grads, state, params, grad_fn=lambda
params, i: grad(params, batch))`. See `perturbed_gradient`; for plain SAM, see `sam`.
"""

from typing import Annotated, Any

from gradtx.core import GradientTransformation, chain, identity
from gradtx.core.pair import as_pair
from gradtx.transforms.deviation import deviation
from gradtx.transforms.scaling import scale, scale_by_schedule
from gradtx.transforms.update_norm import (
    normalize_by_update_norm,
    normalize_in_proportion,
)
from gradtx.values import (
    Decay,
    Hyper,
    LearningRate,
    NonNegative,
    NonNegativeConstant,
    Steps,
    checked,
)
from gradtx.values.arguments import Constant, Number
from gradtx.wrappers.parallel import parallel
from gradtx.wrappers.perturbed_gradient import perturbed_gradient
from gradtx.wrappers.sharpness import reuse_sharpness, surrogate_gap

Gamma = Annotated[
    Constant, Number(name="Gamma", low=0, high=1, high_open=True, schedule=False)
]
EPS = 1e-12  # the authors', beside the norm of a gradient


def _with(gradient: GradientTransformation, optimizer: Any) -> GradientTransformation:
    """An optimizer that is given what is made of a gradient."""
    as_pair(optimizer, "optimizer")
    return chain(gradient, optimizer)


@checked
def asam(
    optimizer: GradientTransformation, rho: NonNegative = 0.5, eta: NonNegative = 0.0
) -> GradientTransformation:
    """SAM in a region that is as large as the parameters: ASAM.

    The optimizer is given ∇f(W + ρ T² g / (‖T g‖ + 10⁻¹²)), with T = |W| + η.

    Args:
      optimizer: a gradient transformation.
      rho: ρ >= 0, usually 0.5 to 2.
      eta: η >= 0; the authors have 0.01 for weights, and T = 1 for biases.

    Equals:
      pytorch_optimizer's SAM with `adaptive=True`, whose norm is in float32.

    References:
      Kwon et al., 2021, arXiv:2102.11600.
    """
    uphill = normalize_in_proportion(rho, eta, EPS)
    return _with(perturbed_gradient(uphill), optimizer)


@checked
def gsam(
    optimizer: GradientTransformation,
    rho: NonNegative = 0.05,
    alpha: NonNegative = 0.4,
) -> GradientTransformation:
    """SAM that also lowers the gap between the loss beside and that at the parameters.

    The optimizer is given s − α (g − ⟨g, s⟩ / ‖s‖² s), s = ∇f(W + ρ g / (‖g‖ + 10⁻¹²)).

    Args:
      optimizer: a gradient transformation.
      rho: ρ >= 0; the authors lower it with the learning rate, by a schedule of the
        same shape.
      alpha: α >= 0.

    Equals:
      pytorch_optimizer's GSAM.

    References:
      Zhuang et al., 2022, arXiv:2203.08065.
    """
    beside = perturbed_gradient(normalize_by_update_norm(rho, EPS))
    return _with(surrogate_gap(beside, alpha), optimizer)


@checked
def wsam(
    optimizer: GradientTransformation,
    rho: NonNegative = 0.05,
    gamma: Gamma = 0.9,
    learning_rate: LearningRate | None = None,
) -> GradientTransformation:
    """SAM with the sharpness as a regularizer of its own weight: WSAM.

    With s = ∇f(W + ρ g / (‖g‖ + 10⁻¹²)) and the weight w = γ / (1 − γ), the optimizer
    is given (1 − w) g + w s. Decoupled, it is given g, and beside its step there is one
    of −α w (s − g), which no moment and no preconditioner has a part in.

    Args:
      optimizer: a gradient transformation.
      rho: ρ >= 0.
      gamma: γ in [0, 1): 0 is `optimizer` alone, 1/2 is SAM.
      learning_rate: α >= 0 of the decoupled form, usually the optimizer's; None for the
        other.

    Equals:
      pytorch_optimizer's WSAM; decoupled, as its default, with `learning_rate`.

    References:
      Yue et al., 2023, arXiv:2305.15817.
    """
    weight = gamma / (1 - gamma)
    beside = perturbed_gradient(normalize_by_update_norm(rho, EPS))
    sharpness = chain(parallel(beside, scale(-1.0)), scale(weight))
    if learning_rate is None:
        return _with(parallel(identity(), sharpness), optimizer)
    as_pair(optimizer, "optimizer")
    step = scale_by_schedule(learning_rate, flip_sign=True)
    return parallel(optimizer, chain(sharpness, step))


@checked
def looksam(
    optimizer: GradientTransformation,
    rho: NonNegativeConstant = 0.1,
    every: Steps = 10,
    alpha: NonNegative = 0.7,
) -> GradientTransformation:
    """SAM that computes the second gradient in every k-th step only: LookSAM.

    At those steps the optimizer is given s = ∇f(W + ρ g / (‖g‖ + 10⁻¹²)), and
    v = s − ⟨g, s⟩ / ‖g‖² g is kept for each leaf; at the others it is given
    g + α ‖g‖ / (‖v‖ + 10⁻⁸) v.

    Args:
      optimizer: a gradient transformation.
      rho: ρ >= 0, which stays.
      every: k, a whole number of updates >= 1; with 1 it is SAM.
      alpha: α >= 0.

    Equals:
      pytorch_optimizer's LookSAM, whose gradient at the other steps is a second one, as
      it calls the closure there too.

    References:
      Liu et al., 2022, arXiv:2203.02714.
    """
    beside = perturbed_gradient(normalize_by_update_norm(rho, EPS))
    return _with(reuse_sharpness(beside, every, alpha), optimizer)


@checked
def friendly_sam(
    optimizer: GradientTransformation,
    rho: NonNegative = 0.05,
    sigma: Hyper = 1.0,
    decay: Decay = 0.9,
) -> GradientTransformation:
    """SAM that climbs along what is new in a gradient, less its mean: FriendlySAM.

    d = g − σ m, then m ← β m + (1 − β) g, with m = g and d = g at the first step. The
    optimizer is given ∇f(W + ρ d / (‖d‖ + 10⁻¹²)).

    Args:
      optimizer: a gradient transformation.
      rho: ρ >= 0.
      sigma: σ; with 0 it is SAM.
      decay: β in [0, 1).

    Equals:
      The authors' code, and pytorch_optimizer's FriendlySAM. In the paper m has taken
      in g before it is taken away, which for σ = 1 is the same direction.

    References:
      Li et al., 2024, arXiv:2403.12350.
    """
    uphill = chain(deviation(decay, sigma), normalize_by_update_norm(rho, EPS))
    return _with(perturbed_gradient(uphill), optimizer)
