"""The same transformation on parameters that are laid out in another way."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    Pair,
    Part,
    Scope,
    inner_pair,
    rounded,
    transformation,
    wrapper,
)
from gradtx.core.precision import narrow, out_dtype
from gradtx.trees import Flat, Leaf, PyTree
from gradtx.trees.checks import check_leaf, check_leaves, gradients_beside
from gradtx.trees.vectors import Places, joined, places_of, split


@transformation
def flatten(inner: GradientTransformation) -> Pair:
    """Transform all leaves as one vector.

    Steps that act entry by entry, or on the whole tree, give the same updates as
    without; those that act leaf by leaf see one leaf. Leaves that are computed with in
    different dtypes are not mixed: the transformation inside then gets a dict of one
    vector for each such dtype, `{"complex64": ..., "float32": ...}`; half precision
    is computed with in float32.

    The vectors are copies. A step of few operations a leaf gains nothing by them; one
    of many, as `lbfgs` with its line search on many small leaves, is compiled sooner.
    Leaves that lie on axes of an explicit mesh are gathered: their vector is on every
    device.

    Args:
      inner: a gradient transformation. The state is its state, of the vectors. Of the
        extra arguments, `grad` is joined as the updates are, and `value_fn` and
        `obj_fn` become functions of the vectors; others reach it as they are.

    Returns:
      A transformation that keeps the structure and the dtypes of the leaves. A gradient
      of None is no update, but its share of the state moves as by a gradient of zero;
      the parameters then have to be given.
    """
    pair = inner_pair(inner)

    def init(params: PyTree) -> Any:
        ps = check_leaves("params", params).leaves
        return pair.init(joined(ps, places_of(ps)))

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        flat = check_leaves("updates", updates)
        gs, ps = flat.leaves, [None] * len(flat.leaves)
        if params is not None:
            given = flat.match(params, "updates", "params")
            ps = [_parameter(flat, i, p) for i, p in enumerate(given)]
            gs = _filled(flat.leaves, ps)
        places = places_of(gs if params is None else ps)
        vectors = joined(gs, places)
        at = None if params is None else joined(ps, places)
        if extra:
            extra = _laid_out(extra, flat, ps, places)
        out, state = pair.update(vectors, state, at, **extra)
        us = split(rounded(out, vectors, at), places, gs)
        outs = [
            None if g is None else narrow(u, out_dtype(g, p))
            for g, u, p in zip(flat.leaves, us, ps, strict=True)
        ]
        return flat.unflatten(outs), state

    def parts(state: Any) -> Sequence[Part]:
        return [Part("", inner, state)]

    def view(_: int, params: PyTree) -> Any:
        flat = check_leaves("params", params)

        def back(point: PyTree) -> PyTree:
            return flat.unflatten(_apart(point, flat.leaves))

        return joined(flat.leaves, places_of(flat.leaves)), back

    # What is leafwise sees one leaf, and so the whole tree.
    scope = pair.scope if pair.scope is Scope.ENTRYWISE else Scope.TREEWISE
    return wrapper(None, init, update, [pair], parts, scope, view=view)


def _apart(vectors: PyTree, like: Sequence[Any]) -> list[Leaf]:
    """The leaves in vectors, with the shapes and the dtypes of others."""
    pairs = zip(split(vectors, places_of(like), like), like, strict=True)
    return [None if p is None else narrow(x, p.dtype) for x, p in pairs]


def _filled(leaves: Sequence[Leaf], ps: Sequence[Leaf]) -> list[Leaf]:
    """Zeros where there is no gradient of a parameter."""
    pairs = zip(leaves, ps, strict=True)
    return [jnp.zeros_like(p) if g is None and p is not None else g for g, p in pairs]


def _parameter(flat: Flat, i: int, p: Any) -> Leaf:
    """The parameter beside the i-th gradient, checked."""
    g = flat.leaves[i]
    if g is None and p is None:
        return None
    p = check_leaf("params", flat.paths[i], p)
    if g is not None:
        flat.check_shape(i, g, p, "updates", "params")
    return p


def _laid_out(
    extra: Mapping[str, Any], flat: Flat, ps: Sequence[Leaf], places: Places
) -> dict[str, Any]:
    """Extra arguments for what is given vectors."""
    said = dict(extra)
    if said.get("grad") is not None:
        said["grad"] = joined(_filled(gradients_beside(flat, said["grad"]), ps), places)
    for word in said.keys() & {"value_fn", "obj_fn"}:
        if callable(said[word]):
            types = tuple(None if p is None else _outline(p) for p in ps)
            said[word] = OfVectors(said[word], flat.structure, types)
    return said


def _outline(x: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=jax.typeof(x).sharding)


@dataclass(frozen=True)
class OfVectors:
    """A function of a tree as one of its vectors; equal for equal functions.

    So what is compiled for one is found again in the next step.
    """

    function: Callable[..., Any]
    structure: Any
    types: tuple[Any, ...]  # of the leaves, with their shapes and dtypes

    def __call__(self, vectors: Any, *args: Any, **kwargs: Any) -> Any:
        tree = self.structure.unflatten(_apart(vectors, self.types))
        return self.function(tree, *args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)
