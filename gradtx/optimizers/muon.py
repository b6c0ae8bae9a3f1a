"""Muon and its family: momentum, orthogonalized, and AdamW for what is no matrix."""

from collections.abc import Iterable
from typing import Annotated, Any, get_args

import numpy as np

from gradtx.core import GradientTransformation, chain
from gradtx.matrix import by_axes, dense
from gradtx.optimizers.adam import adamw
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.momentum import ema
from gradtx.transforms.polar import Coefficients, scale_by_fan, scale_by_polar
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import (
    Allowed,
    Decay,
    DType,
    LearningRate,
    NonNegative,
    PositiveConstant,
    Steps,
    checked,
)
from gradtx.values.arguments import one_of
from gradtx.wrappers import partition

SIMPLE = (3.4445, -4.7750, 2.0315)
NAMES = {"standard": "simple", "dion": "quintic"}  # Optax's, with ours
CONVENTIONS = ("optax", "jordan", "torch", "moonlight")


def _rows(value: Any) -> Any:
    """The `coefficients` of `scale_by_polar`."""
    if isinstance(value, str):
        return NAMES.get(value, value)
    if callable(value) or not _is_row(value):
        return value
    return "simple" if tuple(value) == SIMPLE else [tuple(value)]


def _is_row(value: Any) -> bool:
    """Whether it is one (a, b, c), for every step."""
    return isinstance(value, Iterable) and all(np.ndim(x) == 0 for x in value)


def _checked_rows(value: Any) -> Any:
    ALLOWED(_rows(value))
    return value


_, ALLOWED = get_args(Coefficients)
Rows = Annotated[
    Any,
    Allowed(
        text=f"(a, b, c), {', '.join(map(repr, NAMES))}, {ALLOWED}",
        check=_checked_rows,
        name="Rows",
    ),
]
Convention = Annotated[str, one_of(*CONVENTIONS, name="Convention")]
Preconditioning = Annotated[
    str, one_of("frobenius", "schatten", "spectral", name="Preconditioning")
]


@checked
def scale_by_muon(
    ns_coeffs: Rows = SIMPLE,
    ns_steps: Steps = 5,
    beta: Decay = 0.95,
    eps: NonNegative = 1e-8,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: Preconditioning = "frobenius",
    weight_dimension_numbers: AxesSelector | None = None,
    convention: Convention = "optax",
    dtype: DType | None = None,
) -> GradientTransformation:
    """Orthogonalize the momentum of each matrix: Muon's direction.

    m ← βm + (1 − β)g; u = U Vᵀ of βm + (1 − β)g = U Σ Vᵀ, by Newton-Schulz iterations.

    Args:
      ns_coeffs: (a, b, c) of every step, or a list of one for each; or one of the
        names of `scale_by_polar`, "standard" (its "simple") or "dion" (its "quintic").
      ns_steps: how many steps with one (a, b, c).
      beta: β in [0, 1).
      eps: see `scale_by_polar`.
      mu_dtype: the dtype of m; the parameters' by default, >= float32.
      nesterov: whether to look ahead.
      adaptive: whether u is multiplied by ⟨m, u⟩ (`dual_norm` of `scale_by_polar`).
      preconditioning: `norm` of `scale_by_polar`.
      weight_dimension_numbers: which axes are rows and columns (see `matrix`), also as
        Optax's `MuonDimensionNumbers`; by default `matrix.dense`.
      convention: "optax" debiases the look-ahead, which turns the first steps a little;
        "jordan", "torch" and "moonlight" do not, and in "torch" ε is the least norm.
      dtype: of the iterations; float32 by default (Jordan's and PyTorch's: bfloat16).

    References:
      Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    rows = _rows(ns_coeffs)
    repeated = rows == "simple" if isinstance(rows, str) else _is_row(ns_coeffs)
    return chain(
        ema(beta, convention == "optax", mu_dtype, nesterov=nesterov),
        scale_by_polar(
            rows,
            ns_steps if repeated else None,
            preconditioning,
            eps,
            dtype,
            weight_dimension_numbers or dense,
            eps_as_floor=convention == "torch",
            dual_norm=adaptive,
        ),
    )


@checked
def muon(
    learning_rate: LearningRate,
    ns_coeffs: Rows = SIMPLE,
    ns_steps: Steps = 5,
    beta: Decay = 0.95,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    weight_decay_mask: Mask | None = None,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: Preconditioning = "frobenius",
    adam_b1: Decay = 0.9,
    adam_b2: Decay = 0.999,
    adam_eps_root: NonNegative = 0.0,
    adam_weight_decay: NonNegative = 0.0,
    adam_learning_rate: LearningRate | None = None,
    muon_weight_dimension_numbers: AxesSelector | None = None,
    consistent_rms: PositiveConstant | None = None,
    convention: Convention = "optax",
    dtype: DType | None = None,
) -> GradientTransformation:
    """Muon for matrices, and AdamW for the rest.

    W ← (1 − αλ)W − α √max(1, m / n) u for a matrix of m rows and n columns, with u of
    `scale_by_muon`. Vectors, embeddings, heads and leaves of more axes, unless they are
    given axes, go to AdamW.

    Args:
      learning_rate: α >= 0.
      ns_coeffs, ns_steps, beta, eps, mu_dtype, nesterov, adaptive, preconditioning,
        convention, dtype: see `scale_by_muon`.
      weight_decay, weight_decay_mask: λ >= 0 and what it decays.
      adam_b1, adam_b2, adam_eps_root, adam_weight_decay: of AdamW.
      adam_learning_rate: its α; by default the same.
      muon_weight_dimension_numbers: which axes are rows and columns (see `matrix`);
        a leaf without them goes to AdamW.
      consistent_rms: r > 0, for the factor r √max(m, n) in the place of √max(1, m / n):
        0.2 by default in the convention "moonlight".

    Example:
      >>> params = {"kernel": jnp.ones((4, 8)), "bias": jnp.ones(8)}
      >>> plan = gradtx.describe(gradtx.muon(0.02), params)
      >>> {part.name: part.leaves for part in plan.parts if part.depth == 1}
      {'adam': ('bias',), 'muon': ('kernel',)}

    Equals:
      Optax's, but for embeddings and heads, which it takes for matrices; Jordan's with
      `convention="jordan"` and ε = 1e-7, `torch.optim.Muon` with "torch", Moonlight's
      with "moonlight", each without the cast to bfloat16.

    References:
      Jordan et al., 2024; Liu et al., 2025, arXiv:2502.16982.
    """
    axes = muon_weight_dimension_numbers or dense
    if consistent_rms is None and convention == "moonlight":
        consistent_rms = 0.2
    shaped = ("jordan", 1.0) if consistent_rms is None else ("rms", consistent_rms)
    matrix = chain(
        scale_by_muon(
            ns_coeffs,
            ns_steps,
            beta,
            eps,
            mu_dtype,
            nesterov=nesterov,
            adaptive=adaptive,
            preconditioning=preconditioning,
            weight_dimension_numbers=axes,
            convention=convention,
            dtype=dtype,
        ),
        scale_by_fan(*shaped, axes),
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
    rate = learning_rate if adam_learning_rate is None else adam_learning_rate
    other = adamw(
        rate,
        adam_b1,
        adam_b2,
        eps,
        adam_eps_root,
        mu_dtype,
        adam_weight_decay,
        nesterov=nesterov,
    )
    return beside_adamw(matrix, other, axes, "muon")


def beside_adamw(
    matrix: GradientTransformation,
    other: GradientTransformation,
    axes: Any,
    name: str,
) -> GradientTransformation:
    """One transformation for the leaves that have matrix axes, another for the rest."""
    return partition({name: matrix, "adam": other}, by_axes(axes, name, "adam"))


def adamw_at(
    learning_rate: Any, adam_learning_rate: Any = None
) -> GradientTransformation:
    """AdamW for what is no matrix; by default at the same learning rate."""
    rate = learning_rate if adam_learning_rate is None else adam_learning_rate
    return adamw(rate, weight_decay=0.0)
