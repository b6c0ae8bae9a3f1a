"""Adam-mini."""

from gradtx.core import GradientTransformation, chain
from gradtx.regularizers import add_decayed_weights
from gradtx.second_moment import SecondMoment, blocks, one_per_leaf
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask
from gradtx.trees.select import matrices
from gradtx.values import Decay, LearningRate, NonNegative, checked
from gradtx.wrappers.partition import partition


@checked
def adam_mini(
    learning_rate: LearningRate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
    *,
    second_moment: SecondMoment | None = None,
) -> GradientTransformation:
    """AdamW with one mean square for each block of parameters: Adam-mini.

    A block is what one row of the Hessian's blocks takes in: by default an output unit
    of a matrix, and a whole vector. For the queries and keys of a transformer it is a
    head, and for an embedding a token:

        partition(
            {
                "heads": adam_mini(1e-3, second_moment=blocks(12)),
                "tokens": adam_mini(1e-3, second_moment=rows()),
                "others": adam_mini(1e-3),
            },
            labels,
        )

    Args:
      learning_rate: α >= 0.
      b1, b2, eps: see `scale_by_adam`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).
      second_moment: the blocks of matrices; by default `blocks()`. A vector is one.

    Equals:
      The authors' code, given their blocks.

    References:
      Zhang et al., 2024, arXiv:2406.16793.
    """
    of_matrices = scale_by_adam(b1, b2, eps, second_moment=second_moment or blocks())
    of_vectors = scale_by_adam(b1, b2, eps, second_moment=one_per_leaf())
    return chain(
        partition({True: of_matrices, False: of_vectors}, matrices),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
