"""Trees with an axis of examples in each leaf."""

import math
from collections.abc import Sequence

from gradtx.trees.checks import check_leaf
from gradtx.trees.flat import Flat, Leaf, PyTree, Shape, keystr
from gradtx.values import Misfit


def number_of_examples(flat: Flat, params: PyTree, axes: Sequence[int] = (0,)) -> int:
    """How many examples there are along these axes of each leaf.

    Args:
      flat: gradients of examples; None where there is none.
      params: the parameters, to which the gradients without these axes belong, or None.
      axes: one or more.

    Raises:
      Misfit: by path, if a leaf has other axes, or there are no examples.
    """
    ps: Sequence[Leaf] = [None] * len(flat.leaves)
    if params is not None:
        ps = flat.match(params, "updates", "params")
    number: int | None = None
    for path, g, p in zip(flat.paths, flat.leaves, ps, strict=True):
        if g is None:
            continue
        places = {axis % max(g.ndim, 1) for axis in axes}
        there = all(-g.ndim <= axis < g.ndim for axis in axes)
        one = tuple(n for i, n in enumerate(g.shape) if i not in places)
        like = one if p is None else check_leaf("params", path, p).shape
        n = math.prod(g.shape[i] for i in places) if there else None
        if not there or one != like or n != (number or n):
            raise Misfit(_misfit(keystr(path), g.shape, like, axes, number))
        if n == 0:
            raise Misfit("the updates are those of no examples.")
        number = n
    return number or 1


def _misfit(
    where: str, shape: Shape, like: Shape, axes: Sequence[int], number: int | None
) -> str:
    several = "examples" if number is None else f"{number} examples"
    along = f"axis {axes[0]}" if len(axes) == 1 else f"axes {tuple(axes)}"
    return (
        f"updates{where} has shape {shape}; expected the gradients of {several} along "
        f"{along}, of shape {like} each, as jax.vmap(jax.grad(loss), (None, 0)) gives."
    )
