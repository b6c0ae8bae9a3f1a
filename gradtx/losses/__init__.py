"""Losses: functions of predictions and targets that are not reduced over the batch.

Half precision is computed with in float32, and the result is in the dtype of what was
given. Shapes that mean different things are refused: each loss says what may broadcast.
"""

from gradtx.losses.regression import (
    cosine_distance,
    cosine_similarity,
    huber_loss,
    l2_loss,
    log_cosh,
    squared_error,
)
from gradtx.losses.binary import (
    hinge_loss,
    perceptron_loss,
    sigmoid_binary_cross_entropy,
    sigmoid_focal_loss,
    sparsemax_loss,
)
from gradtx.losses.multiclass import (
    multiclass_hinge_loss,
    multiclass_perceptron_loss,
    multiclass_sparsemax_loss,
    poly_loss_cross_entropy,
    safe_softmax_cross_entropy,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
)
from gradtx.losses.smoothing import smooth_labels
from gradtx.losses.divergences import (
    convex_kl_divergence,
    generalized_kl_divergence,
    kl_divergence,
    kl_divergence_with_log_targets,
)
from gradtx.losses.fenchel_young import make_fenchel_young_loss
from gradtx.losses.ranking import ranking_softmax_loss
from gradtx.losses.self_supervised import ntxent, triplet_margin_loss
from gradtx.losses.segmentation import (
    binary_dice_loss,
    dice_loss,
    multiclass_generalized_dice_loss,
)
from gradtx.losses.ctc import ctc_loss, ctc_loss_with_forward_probs

__all__ = [
    # of real numbers and vectors
    "squared_error",
    "l2_loss",
    "huber_loss",
    "log_cosh",
    "cosine_similarity",
    "cosine_distance",
    # of two classes
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "hinge_loss",
    "perceptron_loss",
    "sparsemax_loss",
    # of several
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "safe_softmax_cross_entropy",
    "poly_loss_cross_entropy",
    "multiclass_hinge_loss",
    "multiclass_perceptron_loss",
    "multiclass_sparsemax_loss",
    "smooth_labels",
    # of distributions
    "kl_divergence",
    "kl_divergence_with_log_targets",
    "generalized_kl_divergence",
    "convex_kl_divergence",
    "make_fenchel_young_loss",
    # of lists, embeddings, regions and sequences
    "ranking_softmax_loss",
    "ntxent",
    "triplet_margin_loss",
    "dice_loss",
    "binary_dice_loss",
    "multiclass_generalized_dice_loss",
    "ctc_loss",
    "ctc_loss_with_forward_probs",
]
