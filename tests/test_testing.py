"""gradtx.testing finds out what is declared and not true."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx import entrywise, init_empty_state, leafwise, slots, treewise
from gradtx.roles import Count, Mean, Point, Scale, Square
from gradtx.testing import check, check_roles, check_scope


def shape_in_a_number(g, s):
    return g / g.size**0.5, s


def by_rank(g, s):
    return (g if g.ndim < 2 else -g), s


def by_place(g, s):
    return g * jnp.arange(g.size, dtype=g.dtype).reshape(g.shape), s


def of_neighbours(g, s):
    return jnp.roll(g, 1), s


def normed(g, s):
    return g / jnp.linalg.norm(g), s


def normed_where_it_is_huge(g, s):
    return jnp.where(jnp.max(jnp.abs(g)) > 1e9, g / jnp.max(g), g), s


RULES = [
    shape_in_a_number,
    by_rank,
    by_place,
    of_neighbours,
    normed,
    normed_where_it_is_huge,
]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_looks_at_its_leaf_is_not_entrywise(rule):
    with pytest.raises(AssertionError, match="is declared entrywise, but"):
        check_scope(entrywise(init_empty_state, rule))
    check_scope(leafwise(init_empty_state, rule))


def test_a_rule_that_looks_at_other_leaves_is_not_leafwise():
    def update(gs, s):
        return gradtx.tree.scale(1 / gradtx.tree.norm(gs), gs), s

    honest = treewise(init_empty_state, update, arrangement_free=True)
    check_scope(honest)
    lying = gradtx.Pair(honest.init, honest.update, gradtx.Scope.LEAFWISE)
    with pytest.raises(AssertionError, match=r"leafwise, .*\['leaf0'\] depends on how"):
        check_scope(lying)


def test_a_rule_that_tells_leaves_apart_is_not_free_of_the_arrangement():
    def update(gs, s):
        return jax.tree.map(lambda g: g / len(jax.tree.leaves(gs)), gs), s

    check_scope(treewise(init_empty_state, update))
    with pytest.raises(AssertionError, match="is declared global, but the update"):
        check_scope(treewise(init_empty_state, update, arrangement_free=True))


def test_the_parts_of_a_composite_are_checked():
    tx = gradtx.chain(gradtx.scale(2.0), entrywise(init_empty_state, normed))
    with pytest.raises(AssertionError, match="is declared entrywise"):
        check_scope(tx)


def test_what_is_measured_and_not_used_is_not_mixed():
    check_scope(gradtx.monitor({"norm": gradtx.global_norm}))


class Kept(NamedTuple):
    count: Count
    mean: Mean
    square: Square
    scale: Scale
    point: Point


def keeping(**wrong):
    def update(g, s, p):
        new = {
            "mean": s.mean + g,
            "square": s.square + g * g,
            "scale": jnp.abs(g),
            "point": p,
        }
        return g, s._replace(**new | {n: f(g, s, p) for n, f in wrong.items()})

    return entrywise(slots(Kept), update)


@pytest.mark.parametrize(
    ("name", "f", "what"),
    [
        (
            "mean",
            lambda g, s, p: s.mean + g * g,
            "declared Mean, but is not",
        ),
        (
            "mean",
            lambda g, s, p: s.mean + jnp.sign(g),
            "declared Mean, but is not",
        ),
        ("square", lambda g, s, p: s.square + g, "declared Square, but is not"),
        (
            "square",
            lambda g, s, p: s.square - g * g,
            "declared Square, but is neg",
        ),
        ("scale", lambda g, s, p: -jnp.abs(g), "declared Scale, but is negative"),
        (
            "point",
            lambda g, s, p: g,
            "declared Point, but does not move",
        ),
    ],
)
def test_a_role_that_is_not_true(name, f, what):
    check_roles(keeping())
    with pytest.raises(AssertionError, match=rf"state\.{name} is {what}"):
        check_roles(keeping(**{name: f}))


def test_parameters_and_extra_arguments_may_be_given():
    def update(g, s, *, value):
        assert g.ndim == 2
        return value * g, s

    tx = leafwise(init_empty_state, update)
    check(tx, {"w": jnp.ones((2, 3))}, {"value": 0.5})
    with pytest.raises(TypeError, match="needs value"):
        check(tx, {"w": jnp.ones((2, 3))})


def test_what_is_no_transformation_is_refused():
    with pytest.raises(TypeError, match="check_scope: tx is 3; expected a gradient"):
        check(3)
