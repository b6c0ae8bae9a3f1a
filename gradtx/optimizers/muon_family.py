"""NorMuon, AdaMuon and Scion: Muon with other pieces before and after."""

from collections.abc import Sequence
from typing import Any

from gradtx.core import GradientTransformation, chain, identity
from gradtx.matrix import dense
from gradtx.optimizers.muon import adamw_at, beside_adamw, scale_by_muon
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.lmo import Ball, lmo
from gradtx.transforms.momentum import ema
from gradtx.transforms.polar import normalize_rows, scale_by_fan, scale_by_polar
from gradtx.transforms.renorm import renorm
from gradtx.transforms.rmsprop import scale_by_rms
from gradtx.transforms.scaling import scale, scale_by_schedule
from gradtx.transforms.sign import scale_by_sign
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import Decay, LearningRate, NonNegative, checked


@checked
def normuon(
    learning_rate: LearningRate,
    beta: Decay = 0.95,
    b2: Decay = 0.95,
    eps: NonNegative = 1e-10,
    weight_decay: NonNegative = 0.0,
    *,
    adam_learning_rate: LearningRate | None = None,
    axes: AxesSelector = dense,
) -> GradientTransformation:
    """Muon whose neurons move about equally far: NorMuon.

    Args:
      learning_rate: α >= 0.
      beta: of the momentum (see `scale_by_muon`).
      b2, eps: `decay` and `eps` of `normalize_rows`.
      weight_decay: λ >= 0 (see `add_decayed_weights`).
      adam_learning_rate: of AdamW, for leaves without axes; by default the same.
      axes: which axes are rows and columns (see `matrix`).

    Equals:
      The authors' code without its cast to bfloat16.

    References:
      Li et al., 2025, arXiv:2510.05491.
    """
    matrix = (
        scale_by_muon(
            beta=beta, eps=1e-7, weight_dimension_numbers=axes, convention="jordan"
        ),
        normalize_rows(b2, eps, axes),
        scale_by_fan("jordan", axes=axes),
    )
    rates = learning_rate, adam_learning_rate
    return _stepped("normuon", matrix, weight_decay, rates, axes)


@checked
def adamuon(
    learning_rate: LearningRate,
    beta: Decay = 0.95,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.01,
    *,
    adam_learning_rate: LearningRate | None = None,
    axes: AxesSelector = dense,
) -> GradientTransformation:
    """Muon of signs, each entry divided by its root mean square: AdaMuon.

    Args:
      learning_rate: α >= 0.
      beta: β, of the momentum and of the mean square.
      eps: ε >= 0, beside the root.
      weight_decay: λ >= 0 (see `add_decayed_weights`).
      adam_learning_rate: of AdamW, for leaves without axes; by default the same.
      axes: which axes are rows and columns (see `matrix`).

    Equals:
      The authors' code without its cast to bfloat16 and the ε beside the last norm.

    References:
      Si et al., 2025, arXiv:2507.11005.
    """
    matrix = (
        ema(beta, debias=False, nesterov=True),
        scale_by_sign(),
        scale_by_polar(axes=axes),
        scale_by_rms(beta, eps, eps_in_sqrt=False),
        renorm("exactly", 0.2, norm="rms", axes=axes),
    )
    rates = learning_rate, adam_learning_rate
    return _stepped("adamuon", matrix, weight_decay, rates, axes)


def _stepped(
    name: str,
    matrix: Sequence[GradientTransformation],
    weight_decay: Any,
    rates: tuple[Any, Any],
    axes: Any,
) -> GradientTransformation:
    """Links for matrices, decay and steps behind them, and AdamW for the rest."""
    steps = chain(
        *matrix,
        add_decayed_weights(weight_decay),
        scale_by_schedule(rates[0], flip_sign=True),
    )
    return beside_adamw(steps, adamw_at(*rates), axes, name)


@checked
def scion(
    learning_rate: LearningRate,
    decay: Decay = 0.9,
    norm: Ball = "spectral",
    radius: NonNegative = 50.0,
    *,
    constrained: bool = True,
    axes: AxesSelector = dense,
) -> GradientTransformation:
    """Steps of fixed size in a norm, within a ball of it: Scion.

    d ← βd + (1 − β)g; W ← (1 − α)W − α r u with u = `lmo(norm)` of d, so that W stays
    in the ball of radius r; without the constraint, W ← W − α r u. Groups of leaves
    with norms and radii of their own go into `partition`.

    Args:
      learning_rate: α >= 0.
      decay: β in [0, 1); the authors' momentum is 1 − β.
      norm: see `lmo`.
      radius: r >= 0.
      constrained: whether W is kept within the ball.
      axes: which axes are rows and columns (see `matrix`).

    Equals:
      The authors' code without its cast to bfloat16.

    References:
      Pethick et al., 2025, arXiv:2502.07529.
    """
    return chain(
        ema(decay, debias=False),
        lmo(norm, axes=axes),
        scale(radius),
        add_decayed_weights(1.0) if constrained else identity(),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
