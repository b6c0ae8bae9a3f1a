"""Rules for matrices, and the labels that say where the matrices of a leaf lie.

`Axes(rows, columns)` labels one leaf. `dense` is a function of `(path, leaf)` that
labels kernels (in, out); `flax`, `haiku` and `torch` label those of a library,
convolutions and attention too, and `scanned(flax)` those of layers that are stacked
along a first axis. A leaf without a label is no matrix: a rule on matrices
passes it through, and optimizers such as `muon` and `soap` give it to AdamW. By default
these are leaves of fewer than two axes, depthwise kernels, and embeddings and heads,
which are told by a part of their path that `AUXILIARY` matches.
"""

from gradtx.matrix.labels import (
    AUXILIARY,
    by_axes,
    dense,
    flax,
    haiku,
    is_auxiliary as is_auxiliary,
    scanned,
    torch,
)
from gradtx.matrix.lift import (
    matrixwise,
    on_matrices as on_matrices,
    per_matrix as per_matrix,
    vmapped as vmapped,
)
from gradtx.trees.matrix_axes import Axes

__all__ = [
    "AUXILIARY",
    "Axes",
    "by_axes",
    "dense",
    "flax",
    "haiku",
    "matrixwise",
    "scanned",
    "torch",
]
