"""What a wrapper keeps beside each parameter, and each update that is made with it."""

from collections.abc import Callable
from typing import Any

import jax

from gradtx.core import Params, Updates
from gradtx.core.precision import given, out_dtype
from gradtx.numerics import as_array
from gradtx.trees import Leaf, PyTree
from gradtx.trees.boxes import entries


def with_each(
    step: Callable[[Leaf, jax.Array, Leaf, Any], tuple[Leaf, Leaf]],
    updates: Updates,
    out: Updates,
    params: Params,
    kept: PyTree,
    name: str,
    some: bool = False,
) -> tuple[Updates, PyTree]:
    """The updates that leave, and what is kept then.

    Args:
      step: from an update, its parameter, what is kept beside it and a dtype to the
        update that leaves, in this dtype, and what is kept then.
      updates: what was transformed; where it is None, nothing is done.
      out: what was made of it.
      params: the parameters.
      kept: a tree like them.
      name: of that, in an error.
      some: whether there is something for some of the parameters only.

    Raises:
      Misfit: by path, if a structure or a shape is another one.
    """
    flat, ps = given(updates, params)
    us = flat.match(out, "updates", "the transformed updates")
    xs = entries(flat, kept, "updates", name)
    news: list[Leaf] = []
    for i, (g, p, u) in enumerate(zip(flat.leaves, ps, us, strict=True)):
        if g is None or u is None:
            news.append(u)
            continue
        flat.check_shape(i, u, p, "the transformed updates", "params")
        if not (some and xs[i] is None):
            flat.check_shape(i, xs[i], p, name, "params")
        new, xs[i] = step(u, as_array(p), xs[i], out_dtype(g, p))
        news.append(new)
    structure: Any = jax.tree.structure(kept)
    return flat.unflatten(news), structure.unflatten(x for x in xs if x is not None)
