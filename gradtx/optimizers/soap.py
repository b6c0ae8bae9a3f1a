"""SOAP."""

from gradtx.core import GradientTransformation, chain
from gradtx.layout.eigenbasis import eigenbasis
from gradtx.matrix import dense
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.decay_stepped import decay_stepped_weights
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import Decay, LearningRate, NonNegative, Steps, checked
from gradtx.values.arguments import FractionConstant
from gradtx.wrappers.conjugate import conjugate


@checked
def soap(
    learning_rate: LearningRate,
    b1: Decay = 0.95,
    b2: Decay = 0.95,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.01,
    *,
    shampoo_decay: FractionConstant = 0.95,
    every: Steps = 10,
    max_size: Steps = 10_000,
    axes: AxesSelector = dense,
) -> GradientTransformation:
    """Adam in the eigenbasis of Shampoo: SOAP.

    G' = Q_Lᵀ G Q_R for each matrix, u = Q_L Adam(G') Q_Rᵀ; the bases follow the means
    of G Gᵀ and Gᵀ G (see `eigenbasis`). The first gradient only makes them. Leaves
    without axes go to Adam as they are; all are decayed after the step.

    Args:
      learning_rate: α >= 0.
      b1, b2, eps: see `scale_by_adam`; ε is added to the uncorrected root.
      weight_decay: λ >= 0 (see `decay_stepped_weights`).
      shampoo_decay, every, max_size: `decay`, `every` and `max_size` of `eigenbasis`.
      axes: which axes are rows and columns (see `matrix`).

    Equals:
      The authors' code, for matrices and vectors.

    References:
      Vyas et al., 2024, arXiv:2409.11321.
    """
    adam = scale_by_adam(b1, b2, eps, eps_place="uncorrected")
    basis = eigenbasis(shampoo_decay, every, max_size=max_size)
    return chain(
        conjugate(basis, adam, axes),
        scale_by_schedule(learning_rate, flip_sign=True),
        decay_stepped_weights(weight_decay=weight_decay, start=1),
    )
