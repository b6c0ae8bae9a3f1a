"""GaLore: what is kept of gradients is kept in a subspace of theirs."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from gradtx.core import (
    ZERO,
    Count,
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Updates,
    around_one,
    chain,
    inner_pair,
    transformation,
)
from gradtx.core.roles import Basis, is_slot
from gradtx.layout.subspace import subspace
from gradtx.regularizers import add_decayed_weights
from gradtx.transforms.adam import scale_by_adam
from gradtx.transforms.scaling import scale_by_schedule
from gradtx.trees import Mask, flatten, keystr
from gradtx.trees.boxes import entries
from gradtx.trees.checks import check_leaves
from gradtx.trees.matrix_axes import Axes, AxesSelector, array_shape
from gradtx.trees.select import required_arguments
from gradtx.values import (
    LearningRate,
    Misfit,
    NonNegative,
    PositiveConstant,
    Steps,
    checked,
)
from gradtx.wrappers.conjugate import ConjugateState, conjugate


class GaLoreDimensionNumbers(NamedTuple):
    """Optax's form of `Axes(rows=reduction_axis, columns=output_axis)`, for GaLore."""

    reduction_axis: Sequence[int] | int = 0
    output_axis: Sequence[int] | int = 1


class GaLoreState(NamedTuple):
    count: Count = ZERO
    base_optimizer_state: OptState = None  # in the subspace
    projector: Basis = None  # of each leaf that has one


@transformation
def scale_by_galore(
    rank: Steps = 128,
    update_proj_gap: Steps = 200,
    scale: PositiveConstant = 1.0,
    base_optimizer: GradientTransformation | None = None,
    weight_dimension_numbers: AxesSelector | None = None,
) -> Pair:
    """Run a transformation in the subspace of a gradient's leading singular vectors.

    u = s P base(Pᵀ G), where P has the r first singular vectors of the longer axis of
    the gradient at steps 0, k, 2k, ... (see `layout.subspace`, which has other sides,
    and moments that are turned with P).

    Args:
      rank: r, a whole number >= 1.
      update_proj_gap: k, a whole number >= 1.
      scale: s > 0.
      base_optimizer: a gradient transformation that does not need the parameters; by
        default `scale_by_adam()`.
      weight_dimension_numbers: which axes make the matrix, as
        `GaLoreDimensionNumbers`, a tree of them, or a function from the parameters to
        such a tree; or as `Axes` (see `matrix`). A leaf without them is not projected.
        By default each leaf of two axes is one matrix.

    Raises:
      ValueError: from `init`, if `base_optimizer` needs the parameters, as `adamw`.

    Equals:
      Optax's.

    References:
      Zhao et al., 2024, arXiv:2403.03507.
    """
    base = scale_by_adam() if base_optimizer is None else base_optimizer
    view = subspace(rank, update_proj_gap, scale, side="longer")
    axes = _matrices if weight_dimension_numbers is None else weight_dimension_numbers
    inner_pair(base, "base_optimizer")  # refuses what is none
    pair = conjugate.build(view, base, _rows_first(axes))  # type: ignore[attr-defined]

    @functools.lru_cache(maxsize=64)
    def blank(structure: Any, types: tuple[Any, ...]) -> Any:
        """What the state has no arrays of, and how the bases of each leaf are held."""
        kinds = [jax.ShapeDtypeStruct(*kind) for kind in types]
        like = structure.unflatten(kinds)
        made, flat = pair.init(like), flatten(like)
        bases = entries(flat, made.bases, "params", "state.bases")
        return made.factors, list(map(jax.tree.structure, bases))

    def held(params: Params, state: ConjugateState) -> GaLoreState:
        flat = flatten(params)
        bases = entries(flat, state.bases, "params", "state.bases")
        projector = flat.unflatten([_alone(jax.tree.leaves(x)) for x in bases])
        return GaLoreState(state.count, state.inner_state, projector)

    def init(params: Params) -> GaLoreState:
        made = pair.init(params)
        if is_slot(params):
            return GaLoreState(made.count, made.inner_state, made.bases)
        return held(params, made)

    def update(
        updates: Updates, state: GaLoreState, params: Params = None, **extra: Any
    ) -> tuple[Updates, GaLoreState]:
        flat = check_leaves("updates", updates)
        types = tuple((x.shape, x.dtype) for x in flat.leaves if x is not None)
        factors, structures = blank(jax.tree.structure(updates), types)
        bases = entries(flat, state.projector, "updates", "state.projector")
        for i, (g, structure) in enumerate(zip(flat.leaves, structures, strict=True)):
            found = jax.tree.leaves(bases[i])
            if g is not None and len(found) != structure.num_leaves:
                raise Misfit(
                    f"updates{keystr(flat.paths[i])} has shape {g.shape}, which is not "
                    "that of the leaf whose projector is in the state."
                )
            bases[i] = bases[i] if g is None else structure.unflatten(found)
        inner = state.base_optimizer_state
        given = ConjugateState(state.count, factors, flat.unflatten(bases), inner)
        out, new = pair.update(updates, given, params, **extra)
        return out, held(updates, new)

    return around_one(
        GaLoreState, init, update, base, pair, field="base_optimizer_state"
    )


def _alone(arrays: Sequence[Any]) -> Any:
    """The projectors of a leaf: one, or one for each block; None if it has none."""
    return (arrays[0] if len(arrays) == 1 else tuple(arrays)) if arrays else None


def _matrices(path: Any, leaf: Any) -> Any:
    return GaLoreDimensionNumbers() if len(array_shape(leaf)) == 2 else None


def _rows_first(numbers: Any) -> Any:
    """The selector with the axes of reduction for the rows, as Optax has them here."""

    def said(x: Any) -> Any:
        of_optax = isinstance(x, tuple) and hasattr(x, "reduction_axis")
        return Axes(x.reduction_axis, x.output_axis) if of_optax else x

    def is_said(x: Any) -> bool:
        return said(x) is not x

    if not callable(numbers):
        return jax.tree.map(said, numbers, is_leaf=is_said)
    if required_arguments(numbers) == 2:
        return lambda path, leaf: said(numbers(path, leaf))
    return lambda params: jax.tree.map(said, numbers(params), is_leaf=is_said)


@checked
def galore(
    learning_rate: LearningRate,
    rank: Steps = 128,
    update_proj_gap: Steps = 200,
    scale: PositiveConstant = 1.0,
    base_optimizer: GradientTransformation | None = None,
    weight_decay: NonNegative = 0.0,
    mask: Mask | None = None,
    weight_dimension_numbers: AxesSelector | None = None,
) -> GradientTransformation:
    """Adam, or another, whose means are kept in a subspace of the gradients: GaLore.

    Args:
      learning_rate: α >= 0.
      rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers: see
        `scale_by_galore`.
      weight_decay, mask: λ >= 0 and what it decays (see `add_decayed_weights`).

    Equals:
      Optax's. The authors' code cuts the shorter axis, and decays after the step.

    References:
      Zhao et al., 2024, arXiv:2403.03507.
    """
    return chain(
        scale_by_galore(
            rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_schedule(learning_rate, flip_sign=True),
    )
