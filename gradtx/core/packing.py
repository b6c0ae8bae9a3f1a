"""Joining the leaves of a tree into vectors, one for each dtype and selection."""

from collections.abc import Sequence
from typing import Any, TypeVar

from gradtx.core.check import show
from gradtx.core.packed import Layout, Packed
from gradtx.core.rule import check_leaves
from gradtx.core.select import labels
from gradtx.core.tree import PyTree

L = TypeVar("L", bound=Layout)


def pack(params: PyTree, *selectors: Any) -> Packed:
    """Join the leaves into one vector for each dtype, before the training.

    For models of very many small leaves, whose steps take longer to start than to
    compute. Parameters, gradients and state are then few vectors, and so is all that is
    done to them:

        params = pack(params)
        state = tx.init(params)

        @jax.jit
        def step(params, state, batch):
            grads = jax.grad(lambda p: loss(unpack(p), batch))(params)
            updates, state = tx.update(grads, state, params)
            return apply_updates(params, updates), state

    The update itself is then a handful of kernels, at run time and to compile. What the
    forward pass makes of each leaf remains, and takes longer to compile: a slice has a
    kernel of its own for each leaf, where XLA compiles one for all leaves of a shape.

    Transformations that act entry by entry, or on the whole tree as under its norm, do
    the same as without. Those that act on each leaf, or on its axes, are refused at
    `init` or `update`, with the reason. That is found by following the rules of
    `leafwise` and `treewise`; a pair that is written without these, or by another
    library, is not looked into, and is given the vectors as they are.

    Args:
      params: a tree of arrays; None stays None. Under a mesh, of replicated ones.
      *selectors: the masks and labels that the transformation selects leaves by (see
        `masked`). Leaves that one of them tells apart go into different vectors.

    Returns:
      A tree of the vectors, which are copies. Its `like(tree)` packs another tree in
      the same way.

    Raises:
      TypeError: by path, if a leaf is no array of floating-point or complex numbers.
      ValueError: by path, if a selector does not match the parameters.
    """
    layout = layout_of(Layout, params, selectors, "pack", lambda x: x.dtype.name)
    return layout.join(check_leaves("pack", "params", params).leaves)


def layout_of(
    kind: type[L], params: PyTree, selectors: Sequence[Any], who: Any, name: Any
) -> L:
    """Where each leaf goes: to those of which `name` and the selectors say the same."""
    flat = check_leaves(who, "params", params)
    told = [labels(selector, params, who) for selector in selectors]
    names = [
        None if x is None else ", ".join([name(x), *(show(t[i]) for t in told)])
        for i, x in enumerate(flat.leaves)
    ]
    distinct = list(dict.fromkeys(name for name in names if name is not None))
    return kind(
        structure=flat.structure,
        shapes=tuple(None if x is None else x.shape for x in flat.leaves),
        vectors=tuple(None if n is None else distinct.index(n) for n in names),
        names=tuple(distinct),
    )
