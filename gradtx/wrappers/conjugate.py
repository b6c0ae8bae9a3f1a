"""A transformation in other coordinates: Q u(Qᵀ g)."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Updates,
    around_one,
    inner_pair,
    rounded,
    transformation,
)
from gradtx.core.checks import needed
from gradtx.core.pair import Scope
from gradtx.core.roles import UNKNOWN, Basis, Count, Factor, Role, Slot, is_slot
from gradtx.core.wrap import run_if
from gradtx.inspection.map_params import slots_in
from gradtx.layout import turned
from gradtx.layout.views import AView
from gradtx.matrix import dense
from gradtx.numerics import safe_increment
from gradtx.numerics.xla import after, number_of
from gradtx.trees import Flat, PyTree, keystr
from gradtx.trees.boxes import entries, in_form
from gradtx.trees.checks import check_leaves, gradients_beside, parameters_beside
from gradtx.trees.flat import refuse_arranged
from gradtx.trees.matrix_axes import AxesSelector, matrix_axes
from gradtx.values import Misfit, brief


class ConjugateState(NamedTuple):
    count: Count  # updates so far
    factors: Factor  # what each leaf's basis is made of
    bases: Basis
    inner_state: OptState  # in the coordinates of the bases


@transformation
def conjugate(
    view: AView, inner: GradientTransformation, axes: AxesSelector = dense
) -> Pair:
    """Run a transformation in other coordinates, and come back: u = Q inner(Qᵀ g).

    Each matrix of a leaf has its own basis, which the view learns from its gradients.
    When it changes, the state inside is carried along by the roles of its fields: a
    mean turns with the basis, and a second moment as the view says. Parameters that
    are given are turned too; in a subspace there are none, and what needs them is
    refused. Leaves without axes keep their coordinates.

        soap = conjugate(eigenbasis(), scale_by_adam())

    Args:
      view: the coordinates, such as `eigenbasis()`.
      inner: a gradient transformation. Its state is kept in the layout of the
        parameters, and in a subspace in the shapes that they have there.
      axes: which axes of each leaf are rows and columns (see `matrix`).

    Raises:
      TypeError, ValueError: if an argument is not as said; from `init`, if a field of
        the state inside has a role that the view cannot carry, by its name, if the
        inner one needs the parameters in a subspace, or by path, if `axes` does not fit
        a leaf.
    """
    pair, turn = inner_pair(inner), view.coordinates
    hears_gradient = pair.extra_args is None or "grad" in pair.extra_args

    @functools.cache
    def outline() -> tuple[list[Any], Any]:
        slots, structure = slots_in(pair.init, "conjugate")
        named = jax.tree_util.tree_leaves_with_path(
            structure.unflatten(slots), is_leaf=is_slot
        )
        for path, slot in named:
            if _has_basis(slot) and slot.role not in turn.roles:
                raise Misfit(
                    f"state{keystr(path)} inside has the role {slot.role.value!r}, "
                    f"which {view!r} cannot carry into another basis."
                )
        return slots, structure

    def leaves_of(flat: Flat) -> list[Any]:
        refuse_arranged(flat.paths, Scope.TREEWISE)
        found = matrix_axes(axes, flat.unflatten(flat.leaves))
        pairs = zip(flat.leaves, found, strict=True)
        return [None if x is None or a is None else a.of(x.shape) for x, a in pairs]

    def init(params: Params) -> ConjugateState:
        if is_slot(params):  # which arrays a basis has depends on the leaf
            factors, bases = (
                Slot(role, lambda shape: UNKNOWN) for role in (Role.FACTOR, Role.BASIS)
            )
            inner_state = pair.init(params)
            if turn.shape is not None:
                inner_state = jax.tree.map(_elsewhere, inner_state, is_leaf=is_slot)
            return ConjugateState(0, factors, bases, inner_state)
        flat, (slots, structure) = check_leaves("params", params), outline()
        leaves, there = leaves_of(flat), params
        if turn.shape is not None:
            pairs = zip(leaves, flat.leaves, strict=True)
            there = flat.unflatten(
                [p if x is None else turned.like_there(turn, x, p) for x, p in pairs]
            )
        inner_state = pair.init(there)
        if turn.shape is not None and _needs_parameters(pair, there, inner_state):
            raise Misfit(
                f"{brief(inner)} needs the parameters, which are not in the "
                f"coordinates of {view!r}. Put it behind, in a chain."
            )
        likes = entries(flat, there, "params", "params")
        for path, slot, kept in _kept(slots, structure, inner_state, flat):
            for leaf, entry, x in zip(leaves, kept, likes, strict=True):
                if leaf is not None and turned.shapes_of(entry) != turned.shapes_of(x):
                    raise Misfit(
                        f"state{path} inside keeps something else than a number for "
                        f"each entry, as {slot.role.value!r}, which {view!r} cannot "
                        "carry into another basis."
                    )
        made = [
            (None, None) if leaf is None else turned.started(turn, leaf, p)
            for leaf, p in zip(leaves, flat.leaves, strict=True)
        ]
        factors, bases = (flat.unflatten([x[k] for x in made]) for k in (0, 1))
        return ConjugateState(jnp.zeros((), jnp.int32), factors, bases, inner_state)

    def update(
        updates: Updates,
        state: ConjugateState,
        params: Params = None,
        *,
        grad: Updates = None,
        **extra: Any,
    ) -> tuple[Updates, ConjugateState]:
        flat = check_leaves("updates", updates)
        if grad is None and turn.of_gradient and flat.has_leaves:
            raise needed("grad")
        is_heard = turn.of_gradient or hears_gradient
        raw = gradients_beside(flat, grad) if is_heard and grad is not None else []
        leaves, at = leaves_of(flat), None
        ps, _ = parameters_beside(flat, params, params)
        given = [
            entries(flat, state.factors, "updates", "state.factors"),
            entries(flat, state.bases, "updates", "state.bases"),
        ]
        forms = [turned.forms(turn, leaf) for leaf in leaves]
        factors, bases = (
            [in_form(x, form[k]) for x, form in zip(xs, forms, strict=True)]
            for k, xs in enumerate(given)
        )
        acted = [i for i, leaf in enumerate(leaves) if leaf is not None]
        for i, g in enumerate(flat.leaves):
            known = turned.shapes_of(forms[i][1])
            if g is not None and known != turned.shapes_of(bases[i]):
                raise Misfit(
                    f"updates{keystr(flat.paths[i])} has shape {g.shape}, which is not "
                    "that of the leaf whose basis is in the state."
                )
        inner_state = state.inner_state
        source = raw if turn.of_gradient else flat.leaves

        def learn() -> None:
            done = None
            for i in acted if turn.learn is not None else ():
                g = after(source[i], done)
                factors[i] = turned.learned(turn.learn, leaves[i], factors[i], g)
                done = number_of(factors[i])

        def refresh(used_for: Sequence[Any] = ()) -> Any:
            slots, structure = outline()
            is_time = state.count % turn.every == 0
            found = list(_kept(slots, structure, inner_state, flat))
            for i in acted:
                due = after(is_time, number_of(used_for[i])) if used_for else is_time
                roles = tuple(slot.role for _, slot, _ in found)
                old = [kept[i] for _, _, kept in found]
                leaf, factor = leaves[i], factors[i]
                if turn.learn is None:
                    factor = tuple(turned.apart(leaf, source[i]))
                bases[i], new = turned.refreshed(
                    turn, leaf, roles, due, state.count, factor, bases[i], old
                )
                for (_, _, kept), x in zip(found, new, strict=True):
                    kept[i] = x
            return _put_back(slots, structure, inner_state, flat, found)

        def moved(f: Any, xs: Sequence[Any]) -> list[Any]:
            return [
                x if leaf is None or x is None else f(turn, leaf, basis, x, like)
                for leaf, basis, x, like in zip(
                    leaves, bases, xs, flat.leaves, strict=True
                )
            ]

        if turn.learns_first:
            learn()
            inner_state = refresh()
        inside = flat.unflatten(moved(turned.into, flat.leaves))
        if params is not None and turn.shape is None:
            at = flat.unflatten(moved(turned.into, ps))
        if grad is not None and hears_gradient:
            extra["grad"] = flat.unflatten(moved(turned.into, raw))
        if turn.seeds:  # the first gradient only makes the bases; x - x shows a NaN
            first = jnp.positive if turn.passes_first else lambda x: x - x
            out, inner_state = run_if(
                state.count > 0,
                pair,
                inside,
                inner_state,
                at,
                extra,
                otherwise=jax.tree.map(first, inside),
            )
        else:
            out, inner_state = pair.update(inside, inner_state, at, **extra)
        outs = flat.match(out, "updates", "the transformed updates")
        outs = moved(turned.back, outs)
        if not turn.learns_first:
            learn()
            # What a basis was used for comes before a new one is written over it.
            inner_state = refresh(used_for=outs)
        out = rounded(flat.unflatten(outs), updates, params)
        return out, ConjugateState(
            safe_increment(state.count),
            flat.unflatten([*map(in_form, factors, given[0])]),
            flat.unflatten([*map(in_form, bases, given[1])]),
            inner_state,
        )

    def refused(_: int, params: Params) -> Any:
        raise Misfit(
            "what is inside keeps its point to evaluate in another basis; expected it "
            "after conjugate(...), as a last link."
        )

    return around_one(
        ConjugateState, init, update, inner, pair, scope=Scope.LEAFWISE, view=refused
    )


def _elsewhere(x: Any) -> Any:
    """A slot whose arrays have other axes than the parameters."""
    return Slot(x.role, lambda shape: UNKNOWN) if is_slot(x) else x


def _needs_parameters(pair: Pair, there: PyTree, state: OptState) -> bool:
    """Whether a pair makes an update of parameters that it makes none of without."""

    def runs(params: PyTree) -> bool:
        try:
            jax.eval_shape(pair.update, there, state, params)
        except Exception:
            return False
        return True

    return not runs(None) and runs(there)


WITHOUT_BASIS = (Role.COUNT, Role.SCALAR)


def _has_basis(slot: Any) -> bool:
    return is_slot(slot) and slot.role not in WITHOUT_BASIS


def _kept(
    slots: Sequence[Any], structure: Any, state: PyTree, flat: Flat
) -> Iterator[tuple[str, Slot, list[Any]]]:
    """Of each field that turns with the basis: its path, its slot, and its entries."""
    paths = jax.tree_util.tree_leaves_with_path(structure.unflatten(range(len(slots))))
    found = structure.flatten_up_to(state)
    for (path, _), slot, x in zip(paths, slots, found, strict=True):
        if _has_basis(slot):
            name = f"state{keystr(path)}"
            yield keystr(path), slot, entries(flat, x, "updates", name)


def _put_back(
    slots: Sequence[Any], structure: Any, state: PyTree, flat: Flat, found: Any
) -> PyTree:
    news = iter(flat.unflatten(kept) for _, _, kept in found)
    return structure.unflatten(
        next(news) if _has_basis(slot) else x
        for slot, x in zip(slots, structure.flatten_up_to(state), strict=True)
    )
