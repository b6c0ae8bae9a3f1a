"""Hyperball."""

from gradtx.core import GradientTransformation, chain
from gradtx.core.pair import as_pair
from gradtx.transforms.hyperball import keep_norm
from gradtx.transforms.renorm import renorm
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import LearningRate, checked


@checked
def hyperball(
    inner: GradientTransformation,
    learning_rate: LearningRate,
    axes: AxesSelector | None = None,
) -> GradientTransformation:
    """Steps of a fixed relative size, on the sphere of each leaf's own norm.

    d = inner(g), W' = W − α d ‖W‖ / ‖d‖, W ← W' ‖W‖ / ‖W'‖ for each leaf. Weight decay
    has nothing to do there. Leaves of norm 0 take plain steps.

    Args:
      inner: what makes the direction, without a learning rate: `scale_by_adam()` for
        AdamH.
      learning_rate: α >= 0: the angle of a step.
      axes: which axes of a leaf are rows and columns (see `matrix`), for the norm of
        each matrix: `hyperball(scale_by_muon(), α, axes)` is MuonH.

    Equals:
      The paper's, with the norm that the leaf has at each step.

    References:
      Wen et al., 2026, arXiv:2606.16899.
    """
    as_pair(inner, "inner")
    return chain(
        inner,
        renorm("exactly", of_params=True, axes=axes),
        scale_by_schedule(learning_rate, flip_sign=True),
        keep_norm(axes),
    )
