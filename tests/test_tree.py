"""gradtx.tree: against optax.tree where that is right, and against NumPy where not."""

import dataclasses
import inspect
from typing import Any, NamedTuple

import equinox as eqx
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, strategies as st

from gradtx import tree as gt

OT: Any = optax.tree
NAMES = [
    n for n in dir(OT) if not n.startswith("_") and inspect.isfunction(getattr(OT, n))
]


class State(NamedTuple):
    count: Any
    mu: Any


def _random(seed=0, dtype=jnp.float32):
    draw = np.random.default_rng(seed).standard_normal
    a, b, c = (jnp.asarray(draw(shape), dtype) for shape in [(3, 4), (), (2, 1, 2)])
    return {"a": a, "b": [b, None], "c": State(c, {})}


def _complex(seed=0):
    return jax.tree.map(jax.lax.complex, _random(seed), _random(seed + 1))


def _ints(seed=0):
    return jax.tree.map(lambda x: (10 * x).astype(jnp.int32), _random(seed))


def _same(ours, theirs, rtol=2e-6):
    ours, theirs = map(gt.unwrap_random_key_data, (ours, theirs))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert jnp.shape(a) == jnp.shape(b)
        assert jnp.result_type(a) == jnp.result_type(b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


# Against Optax.

REAL, COMPLEX, INTS = (
    [_random(0), _random(1)],
    [_complex(0), _complex(2)],
    [_ints(), _ints(1)],
)
CALLS = {
    "add": lambda t, x, y: (t.add(x, y), t.add(x, y, x)),
    "add_scale": lambda t, x, y: t.add_scale(x, 0.3, y),
    "allclose": lambda t, x, y: (t.allclose(x, y), t.allclose(x, x)),
    "batch_shape": lambda t, x, y: t.batch_shape(x, (2, 3)),
    "bias_correction": lambda t, x, y: t.bias_correction(x, 0.9, jnp.asarray(3)),
    "cast": lambda t, x, y: t.cast(x, jnp.complex64),
    "cast_like": lambda t, x, y: t.cast_like(x, t.cast(y, jnp.complex64)),
    "clip": lambda t, x, y: (t.clip(x, -1, 0.5), t.clip(x, max_value=0), t.clip(x, 0)),
    "conj": lambda t, x, y: t.conj(x),
    "div": lambda t, x, y: t.div(x, jax.tree.map(lambda v: v + 20, y)),
    "dtype": lambda t, x, y: t.zeros_like(jnp.ones(2, t.dtype(x))),
    "full_like": lambda t, x, y: (t.full_like(x, 2), t.full_like(x, 2, jnp.bfloat16)),
    "max": lambda t, x, y: t.max(x),
    "min": lambda t, x, y: t.min(x),
    "mul": lambda t, x, y: t.mul(x, y),
    "norm": lambda t, x, y: [
        t.norm(x, ord, squared)
        for ord in (None, 1, 2, "inf", "infinity", jnp.inf)
        for squared in (False, True)
    ],
    "ones_like": lambda t, x, y: (t.ones_like(x), t.ones_like(x, jnp.float16)),
    "random_like": lambda t, x, y: t.random_like(
        jax.random.key(0), t.real(x), jax.random.uniform
    ),
    "real": lambda t, x, y: t.real(x),
    "scale": lambda t, x, y: (t.scale(3, x), t.scale(0.3, x), t.scale(2j, x)),
    "size": lambda t, x, y: t.size(x),
    "split_key_like": lambda t, x, y: t.unwrap_random_key_data(
        t.split_key_like(jax.random.key(0), x)
    ),
    "sub": lambda t, x, y: t.sub(x, y),
    "sum": lambda t, x, y: (t.sum(x), t.sum(x, associative_reduction=True)),
    "unwrap_random_key_data": lambda t, x, y: t.unwrap_random_key_data(
        {"x": x, "new": jax.random.key(1), "old": jax.random.PRNGKey(1)}
    ),
    "update_infinity_moment": lambda t, x, y: t.update_infinity_moment(
        x, t.real(y), 0.9, 1e-3
    ),
    "update_moment": lambda t, x, y: [t.update_moment(x, y, 0.9, n) for n in (1, 2, 3)],
    "update_moment_per_elem_norm": lambda t, x, y: [
        t.update_moment_per_elem_norm(x, t.real(y), 0.9, order) for order in (2, 4)
    ],
    "vdot": lambda t, x, y: t.vdot(x, y),
    "where": lambda t, x, y: (t.where(True, x, y), t.where(jnp.asarray(False), x, y)),
    "zeros_like": lambda t, x, y: (t.zeros_like(x), t.zeros_like(x, jnp.int8)),
}
NOT_COMPLEX = {"clip", "max", "min", "random_like", "split_key_like"}
FLOAT_ONLY = {
    "bias_correction",
    "max",  # Optax makes floats of integers, and loses the large ones
    "min",
    "norm",
    "random_like",
    "split_key_like",
    "update_infinity_moment",
    "update_moment",
    "update_moment_per_elem_norm",
}
SEARCHES = {"get", "get_all_with_path", "map_params", "set"}


def test_every_name_of_optax_has_its_signature():
    assert set(NAMES) | {"bias_correction"} == set(CALLS) | SEARCHES
    assert set(gt.__all__) == set(CALLS) | SEARCHES | {
        "NamedTupleKey",
        "labels",
        "selection",
        "map_matching",
        "path_string",
        "state_sharding",
    }
    for name in {*CALLS, *SEARCHES}:
        ours = list(inspect.signature(getattr(gt, name)).parameters.values())
        if name == "map_params":
            assert ours.pop().name == "params"
        theirs = inspect.signature(getattr(OT, name)).parameters.values()
        assert [(p.name, p.kind, p.default) for p in ours] == [
            (p.name, p.kind, p.default) for p in theirs
        ]


KINDS = {
    "real": (REAL, set(CALLS)),
    "complex": (COMPLEX, set(CALLS) - NOT_COMPLEX),
    "integer": (INTS, set(CALLS) - FLOAT_ONLY),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k, (_, names) in KINDS.items() for n in sorted(names)]
)
def test_as_optax(kind, name):
    trees, _ = KINDS[kind]
    call = CALLS[name]
    with jax.numpy_dtype_promotion("standard"):
        theirs = jax.jit(lambda x, y: call(OT, x, y))(*trees)
    wrap = (lambda f: f) if kind == "integer" else jax.jit
    _same(wrap(lambda x, y: call(gt, x, y))(*trees), theirs)


# Two trees match, or the error has the path.

PAIRS = {
    "add": lambda x, y: gt.add(x, y),
    "sub": gt.sub,
    "mul": gt.mul,
    "div": gt.div,
    "add_scale": lambda x, y: gt.add_scale(x, 2.0, y),
    "vdot": gt.vdot,
    "where": lambda x, y: gt.where(True, x, y),
    "allclose": gt.allclose,
    "cast_like": gt.cast_like,
    "update_moment": lambda x, y: gt.update_moment(x, y, 0.9, 1),
    "update_moment_per_elem_norm": lambda x, y: gt.update_moment_per_elem_norm(
        x, y, 0.9, 2
    ),
    "update_infinity_moment": lambda x, y: gt.update_infinity_moment(x, y, 0.9, 1e-8),
}


@pytest.mark.parametrize("name", PAIRS)
def test_mismatches_are_refused_by_path(name):
    f = PAIRS[name]
    x = {"w": jnp.ones((3, 1)), "b": [jnp.ones(2)]}
    with pytest.raises(ValueError, match=rf"^{name}: .*\['w'\] has shape \(3, 1\), .*"):
        f(x, {"w": jnp.ones((3, 4)), "b": [jnp.ones(2)]})
    with pytest.raises(ValueError, match=rf"^{name}: .*\['b'\]\[0\] has shape"):
        f(x, {"w": jnp.ones((3, 1)), "b": [jnp.ones(())]})
    with pytest.raises(
        ValueError, match=rf"^{name}: .*\['b'\]\[1\] has no counterpart"
    ):
        f(x, {"w": jnp.ones((3, 1)), "b": [jnp.ones(2), jnp.ones(2)]})
    with pytest.raises(ValueError, match=rf"^{name}: .*\['w'\] has no counterpart"):
        f(x, {"b": [jnp.ones(2)]})
    with pytest.raises(
        ValueError, match=rf"^{name}: .*\['w'\] is a leaf, but .* a dict"
    ):
        f(x, {"w": {"deeper": jnp.ones((3, 1))}, "b": [jnp.ones(2)]})
    with pytest.raises(ValueError, match=rf"^{name}: .*different containers"):
        f(x, {"w": jnp.ones((3, 1)), "b": (jnp.ones(2),)})


def test_third_trees_are_named():
    with pytest.raises(ValueError, match=r"^add: tree_x has shape .* other_trees\[0\]"):
        gt.add(jnp.ones(2), jnp.ones(2), jnp.ones(3))


@pytest.mark.parametrize("name", sorted(set(PAIRS) - {"vdot", "allclose"}))
def test_a_hole_in_either_is_a_hole(name):
    x, hole = {"a": jnp.ones(2), "b": jnp.ones(3)}, {"a": jnp.ones(2), "b": None}
    for pair in ((x, hole), (hole, x), (hole, hole)):
        out = PAIRS[name](*pair)
        assert out["b"] is None
        assert out["a"].shape == (2,)


def test_holes_in_reductions():
    x, hole = {"a": jnp.ones(2), "b": jnp.ones(3)}, {"a": jnp.ones(2), "b": None}
    assert gt.vdot(x, hole) == gt.vdot(hole, x) == 2
    assert gt.sum(hole) == gt.size(hole) == 2
    assert gt.allclose(hole, hole)
    assert not gt.allclose(hole, x)
    assert not gt.allclose(x, hole)


def test_scalars_are_scalars():
    x = {"w": jnp.ones((2, 3))}
    row = jnp.ones(3)
    for who, call in {
        "scale: scalar": lambda: gt.scale(row, x),
        "add_scale: scalar": lambda: gt.add_scale(x, row, x),
        "clip: max_value": lambda: gt.clip(x, max_value=row),
        "full_like: fill_value": lambda: gt.full_like(x, row),
        "bias_correction: decay": lambda: gt.bias_correction(x, row, 1),
        "update_moment: decay": lambda: gt.update_moment(x, x, row, 1),
    }.items():
        with pytest.raises(ValueError, match=rf"^{who} has shape \(3,\); expected a s"):
            call()


def test_where_takes_a_scalar_or_the_shape_of_the_leaf():
    x, y = {"w": jnp.ones((2, 3))}, {"w": jnp.zeros((2, 3))}
    condition = jnp.arange(6).reshape(2, 3) < 2
    chosen = gt.where(condition, x, y)["w"]
    np.testing.assert_array_equal(chosen, [[1, 1, 0], [0, 0, 0]])
    with pytest.raises(
        ValueError, match=r"condition has shape \(3,\), but tree_x\['w'"
    ):
        gt.where(jnp.ones(3, bool), x, y)


# Precision.


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_summed_in_float32(dtype):
    ones = jnp.ones(4000, dtype)
    for tree in (ones, [jnp.ones((), dtype)] * 300):
        n = gt.size(tree)
        for total in (gt.sum(tree), gt.sum(tree, True), gt.vdot(tree, tree)):
            assert total == n
            assert total.dtype == jnp.float32
        assert gt.norm(tree, 1) == gt.norm(tree, squared=True) == n
        np.testing.assert_allclose(gt.norm(tree), n**0.5, rtol=1e-6)
        assert gt.norm(tree, "inf").dtype == jnp.float32


def test_float16_norm_of_a_matrix():
    x = jnp.full((1000, 300), 3.0, jnp.float16)
    np.testing.assert_allclose(gt.norm({"x": x}), 3 * 300_000**0.5, rtol=1e-6)
    np.testing.assert_allclose(gt.norm(x, squared=True), 9 * 300_000, rtol=1e-6)


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_norm_neither_overflows_nor_underflows(size):
    tree = {"a": jnp.full(3, size), "b": jnp.asarray(-size)}
    np.testing.assert_allclose(gt.norm(tree), 2 * size, rtol=1e-6)


def test_norm_refuses_other_orders():
    for ord in (3, 0, "fro", -jnp.inf):
        with pytest.raises(ValueError, match="expected None, 1, 2 or inf"):
            gt.norm(jnp.ones(2), ord)


def test_derivatives_of_norms_at_zero():
    zero = {"a": jnp.zeros(2)}
    for squared in (False, True):
        slope = jax.jit(jax.grad(lambda t, s=squared: gt.norm(t, squared=s)))(zero)
        np.testing.assert_array_equal(slope["a"], 0)
    hessian = jax.jit(jax.hessian(lambda x: gt.norm(x, squared=True)))(zero["a"])
    np.testing.assert_array_equal(hessian, 2 * np.eye(2))


@pytest.mark.parametrize("empty", [{}, None, (), [None], {"a": jnp.zeros((0, 3))}])
def test_nothing(empty):
    assert gt.sum(empty) == gt.vdot(empty, empty) == gt.size(empty) == 0
    for ord in (None, 1, 2, jnp.inf):
        for squared in (False, True):
            assert gt.norm(empty, ord, squared) == 0
    assert gt.max(empty) == -jnp.inf
    assert gt.min(empty) == jnp.inf
    assert gt.allclose(empty, empty)
    assert gt.dtype(empty) == gt.dtype(empty, "highest") == jnp.float32
    for out in (gt.scale(2.0, empty), gt.add(empty, empty), gt.cast(empty, float)):
        assert jax.tree.structure(out) == jax.tree.structure(empty)
    jax.tree.map(
        np.testing.assert_array_equal, gt.random_like(jax.random.key(0), empty), empty
    )


def test_zero_size_leaves_beside_others():
    tree = [jnp.zeros((0, 2)), jnp.asarray([3.0, -4.0])]
    assert gt.max(tree) == 3
    assert gt.min(tree) == -4
    assert gt.norm(tree) == 5
    assert gt.norm([jnp.zeros((0,), int), jnp.asarray(2)]) == 2


def test_nan_is_not_hidden():
    tree = [jnp.asarray([1.0, jnp.nan]), jnp.ones(2)]
    for value in (gt.max(tree), gt.min(tree), gt.sum(tree), gt.clip(tree, 0, 1)[0][1]):
        assert jnp.isnan(value)
    for ord in (None, 1, jnp.inf):
        assert jnp.isnan(gt.norm(tree, ord))


def test_integers_stay_exact():
    big = [jnp.asarray([2**24 + 1, -5]), jnp.asarray(7, jnp.int8)]
    assert gt.sum(big) == 2**24 + 3
    assert gt.max(big) == 2**24 + 1
    assert gt.min(big) == -5
    assert gt.vdot(big[0], jnp.asarray([1, 0])) == 2**24 + 1
    for value in (gt.sum(big), gt.max(big), gt.min(big), gt.vdot(big, big)):
        assert value.dtype == jnp.int32
    np.testing.assert_allclose(gt.norm([jnp.asarray([3, -4])]), 5.0)


def test_complex():
    x = [jnp.asarray([1 + 2j, 3j]), jnp.asarray(2.0)]
    y = [jnp.asarray([2 - 1j, 1.0]), jnp.asarray(5.0)]
    assert gt.vdot(x, y) == np.vdot([1 + 2j, 3j, 2], [2 - 1j, 1, 5])
    assert gt.norm(x, squared=True) == 1 + 4 + 9 + 4
    assert gt.norm(x).dtype == gt.norm(x, 1).dtype == jnp.float32
    assert gt.norm(x, "inf") == 3
    moment = gt.update_moment_per_elem_norm(x[0], jnp.zeros(2), 0.5, 2)
    np.testing.assert_allclose(moment, [2.5, 4.5], rtol=1e-6)
    assert moment.dtype == jnp.float32


def test_the_norm_of_an_entry_has_no_sign():
    g, m = jnp.asarray([-2.0, 2.0]), jnp.zeros(2)
    for g_ in (g, g.astype(jnp.complex64)):
        for order in (1, 3):
            out = gt.update_moment_per_elem_norm(g_, m, 0.5, order)
            np.testing.assert_allclose(out, 0.5 * 2.0**order, rtol=1e-6)


def test_float64_stays_float64():
    with jax.enable_x64(True):
        x = {"a": jnp.asarray([1.0, 1e-12]), "b": jnp.ones(2, jnp.float32)}
        for value in (gt.sum(x), gt.norm(x), gt.norm(x, 1), gt.vdot(x, x), gt.max(x)):
            assert value.dtype == jnp.float64
        assert gt.sum(x) == 3 + 1e-12
        assert gt.norm({"a": jnp.full(4, 1e200)}) == 2e200
        for out in (
            gt.scale(jnp.float32(0.5), x),
            gt.scale(jnp.float64(0.5), x),
            gt.scale(0.5, x),
            gt.bias_correction(x, 0.9, 1),
            gt.update_moment(x, x, jnp.float64(0.9), 2),
        ):
            assert [v.dtype for v in jax.tree.leaves(out)] == [jnp.float64, jnp.float32]


SCALARS = [
    2,
    0.1,
    np.float32(0.1),
    np.float64(0.1),
    jnp.float32(0.1),
    jnp.bfloat16(0.1),
]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: f"{type(s).__name__}")
def test_scalars_keep_the_dtype(scalar, dtype):
    x = {"x": jnp.asarray([0.3, -2.0], dtype)}
    for out in (
        gt.scale(scalar, x),
        gt.add_scale(x, scalar, x),
        gt.clip(x, scalar, None),
        gt.bias_correction(x, scalar, jnp.asarray(2)),
        gt.update_moment(gt.cast(x, jnp.float32), x, scalar, 2),
        gt.update_infinity_moment(gt.cast(x, jnp.float32), x, scalar, scalar),
    ):
        assert {v.dtype for v in jax.tree.leaves(out)} == {jnp.dtype(dtype)}
    exact = gt.cast(gt.scale(float(scalar), gt.cast(x, jnp.float32)), dtype)
    _same(gt.scale(scalar, x), exact, rtol=0 if isinstance(scalar, int) else 1e-6)


def test_half_precision_is_rounded_once():
    one, tiny = jnp.ones(1, jnp.bfloat16), jnp.full(1, 2.0**-9, jnp.bfloat16)
    assert gt.add(one, *[tiny] * 4)[0] == 1 + 2.0**-7
    assert gt.add_scale(one, 4, tiny)[0] == 1 + 2.0**-7
    moment = gt.update_moment(tiny, jnp.zeros(1), 0.0, 1)
    assert moment.dtype == jnp.float32
    assert moment[0] == 2.0**-9


@pytest.mark.parametrize("decay", [0.999999, 0.9, 0.0])
@pytest.mark.parametrize("count", [1, 7, 100_000])
def test_bias_correction_does_not_cancel(decay, count):
    ones = jnp.ones(2)
    want = 1 / -np.expm1(count * np.log(decay)) if decay else 1.0
    np.testing.assert_allclose(gt.bias_correction(ones, decay, count), want, rtol=1e-6)
    array = jnp.float32(decay)  # off from decay, but exact as what it is
    want = 1 / -np.expm1(count * np.log(np.float64(array))) if decay else 1.0
    got = jax.jit(gt.bias_correction)(ones, array, jnp.asarray(count))
    np.testing.assert_allclose(got, want, rtol=2e-6)


def test_strict_promotion():
    mixed = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2), "c": jnp.asarray(3)}
    other = {"a": jnp.ones(2), "b": jnp.ones(2, jnp.float16), "c": jnp.asarray(1j)}
    floats = gt.real(other)
    with jax.numpy_dtype_promotion("strict"):
        assert gt.sum(mixed) == 7
        assert gt.sum(mixed, True) == 7
        assert gt.max(mixed) == 3
        assert gt.min(mixed) == 1
        assert gt.norm(mixed, squared=True) == 13
        np.testing.assert_allclose(gt.norm(mixed), 13**0.5, rtol=1e-6)
        np.testing.assert_allclose(gt.norm(other), 5**0.5, rtol=1e-6)
        assert gt.norm(mixed, 1) == 7
        assert gt.norm(mixed, jnp.inf) == 3
        assert gt.vdot(mixed, other) == 4 + 3j
        assert gt.add(mixed, other)["c"] == 3 + 1j
        for f in (gt.sub, gt.mul, gt.div, gt.allclose):
            f(mixed, other)
        gt.where(True, mixed, other)
        gt.add_scale(mixed, jnp.float16(2), other)
        gt.scale(jnp.float32(2), mixed)
        gt.clip(mixed, jnp.float32(0), 2)
        assert gt.dtype(mixed, "promote") == jnp.float32
        assert gt.dtype(mixed, "lowest") == jnp.int32
        gt.bias_correction(floats, jnp.bfloat16(0.9), jnp.asarray(2))
        gt.update_moment(other, gt.zeros_like(other), jnp.float32(0.9), 2)
        gt.update_moment_per_elem_norm(other, floats, 0.9, 2)
        gt.update_infinity_moment(other, floats, jnp.float16(0.9), jnp.float32(1e-3))


def test_dtype():
    half, single = jnp.ones(1, jnp.float16), jnp.ones(1)
    with pytest.raises(
        ValueError, match=r"tree\['b'\] is float32, but tree\['a'\] is f"
    ):
        gt.dtype({"a": half, "b": single})
    assert gt.dtype([half, single], "highest") == jnp.float32
    assert gt.dtype([half, single], "lowest") == jnp.float16
    apart = [half, single.astype(jnp.bfloat16)]
    assert gt.dtype(apart, "promote") == jnp.float32
    with pytest.raises(ValueError, match="neither of float16 and bfloat16"):
        gt.dtype(apart, "highest")
    with pytest.raises(ValueError, match="expected None, 'promote'"):
        gt.dtype(single, "widest")


def test_casts():
    x = _random()
    assert gt.cast(x, None) is x
    assert gt.dtype(gt.cast(x, jnp.bfloat16)) == jnp.bfloat16
    like = gt.cast_like([1.0, jnp.ones(2)], [2.0, jnp.ones(2, jnp.bfloat16)])
    assert like[0] == 1.0
    assert like[1].dtype == jnp.bfloat16


def test_size_is_a_python_int():
    assert type(gt.size(_random())) is int
    assert gt.size(jax.eval_shape(_random)) == 12 + 1 + 4


def test_random_like_draws_apart():
    target = [jnp.zeros(3)] * 3
    draws = gt.random_like(jax.random.key(0), target, jax.random.uniform)
    assert len({float(x[0]) for x in draws}) == 3
    whole = gt.random_like(jax.random.key(0), target, jax.random.rademacher, int)
    assert gt.dtype(whole) == jnp.result_type(int)
    plain = gt.random_like(jax.random.key(0), target, lambda k, s, d: jnp.ones(s, d))
    assert gt.sum(plain) == 9


_MAGNITUDES = st.integers(-30, 30).map(lambda n: 10.0**n)


@given(st.lists(st.floats(0.125, 1, width=32), min_size=3, max_size=3), _MAGNITUDES)
def test_norm_is_absolutely_homogeneous(entries, c):
    x = {"a": jnp.asarray(entries[:2]), "b": jnp.asarray(-entries[2])}
    for ord in (None, 1, jnp.inf):
        scaled = gt.norm(gt.scale(-c, x), ord)
        np.testing.assert_allclose(scaled, c * gt.norm(x, ord), rtol=3e-6)


@given(st.lists(st.floats(-10, 10, width=16), min_size=6, max_size=6))
def test_norm_obeys_cauchy_and_schwarz(entries):
    x, y = (jnp.asarray(half) for half in (entries[:3], entries[3:]))
    assert abs(gt.vdot(x, y)) <= gt.norm(x) * gt.norm(y) * (1 + 1e-5)
    np.testing.assert_allclose(gt.vdot(x, x), gt.norm(x, squared=True), rtol=1e-6)


# Masks.


class Layer(eqx.Module):
    w: Any
    b: Any

    def __call__(self, x):
        raise AssertionError("a mask that is a tree is not called")


def test_selection():
    params = {"a": [jnp.ones(2), None], "b": jnp.ones(3)}
    assert gt.selection(None, params) == [True] * 3
    assert gt.selection({"a": True, "b": False}, params) == [True, True, False]
    assert gt.selection({"a": [np.True_, None], "b": jnp.asarray(False)}, params) == [
        True,
        False,
        False,
    ]
    assert gt.selection(False, params) == [False] * 3
    ndim = jax.tree_util.Partial(lambda p: {"a": False, "b": p["b"].ndim == 1})
    assert gt.selection(ndim, params) == [False, False, True]
    assert gt.selection(lambda _: True, params) == [True] * 3


def test_selection_of_callable_trees():
    layer = Layer(jnp.ones((2, 2)), jnp.ones(2))
    assert gt.selection(Layer(True, False), layer) == [True, False]
    assert gt.selection(lambda m: Layer(False, m.b.ndim == 1), layer) == [False, True]
    with pytest.raises(
        TypeError, match=r"freeze: mask\.b is 2; expected True or False"
    ):
        gt.selection(Layer(True, 2), layer, "freeze")


def test_selection_refuses_other_marks_by_path():
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    assert gt.selection({"a": 1, "b": 0}, params) == [True, False]
    for mark in (2, 0.0, "yes", jnp.ones(3, bool)):
        with pytest.raises(
            TypeError, match=r"mask\['b'\] is .* expected True or False"
        ):
            gt.selection({"a": True, "b": mark}, params)
    with pytest.raises(TypeError, match=r"mask\['b'\] is None; expected True or False"):
        gt.selection({"a": True, "b": None}, params)
    with pytest.raises(ValueError, match=r"mask\['c'\] has no counterpart in params"):
        gt.selection({"a": True, "b": True, "c": True}, params)
    with pytest.raises(TypeError, match=r"mask\['a'\] is .*; expected True or False"):
        jax.jit(lambda m: gt.selection(m, params))(True)


# Searching a state.


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Node:
    count: Any
    child: Any


@flax.struct.dataclass
class Struct:
    count: Any
    name: str = flax.struct.field(pytree_node=False, default="static")


PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.zeros(2)}
OPTIMIZERS = {
    "adam": optax.adam(1e-3),
    "chain": optax.chain(optax.add_noise(0.1, 0.9, key=0), optax.scale_by_adam()),
    "inject": optax.inject_hyperparams(optax.sgd)(lambda count: 1.0 / (count + 1)),
    "partition": optax.partition(
        {"x": optax.adam(1e-3), "y": optax.adam(optax.constant_schedule(0.1))},
        {"w": "x", "b": "y"},
    ),
}
KEYS = ["count", "mu", "w", "learning_rate", "ScaleByAdamState", "EmptyState", "absent"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.usefixtures("lenient")
def test_found_as_by_optax(optimizer, key):
    state = OPTIMIZERS[optimizer].init(PARAMS)
    ours, theirs = gt.get_all_with_path(state, key), OT.get_all_with_path(state, key)
    assert [jax.tree_util.keystr(p) for p, _ in ours] == [
        jax.tree_util.keystr(p) for p, _ in theirs
    ]
    assert all(a is b for (_, a), (_, b) in zip(ours, theirs, strict=True))
    if not ours:
        assert gt.get(state, key) is None
        assert gt.get(state, key, default=3) == 3
        with pytest.raises(KeyError, match=f"set: the tree has no '{key}'"):
            gt.set(state, **{key: 1})
        return
    new = gt.set(state, **{key: 2.0})
    if (optimizer, key) != ("inject", "count"):
        _same(new, OT.set(state, **{key: 2.0}))
    else:  # Optax does not reach the count two levels inside a node that has one
        assert [v for _, v in gt.get_all_with_path(new, key)] == [2.0] * len(ours)
    if len(ours) == 1 or key == "count":  # of several counts, the outermost
        assert gt.get(state, key) is ours[0][1]
    else:
        with pytest.raises(KeyError) as error:
            gt.get(state, key)
        for path, _ in ours:
            assert jax.tree_util.keystr(path) in str(error.value)


def test_paths_name_the_tuples():
    state = OPTIMIZERS["adam"].init(PARAMS)
    ((path, _),) = gt.get_all_with_path(state, "mu")
    assert path == (
        jax.tree_util.SequenceKey(0),
        gt.NamedTupleKey("ScaleByAdamState", "mu"),
    )
    assert str(path[-1]) == "ScaleByAdamState.mu"


def test_filtering():
    state = OPTIMIZERS["chain"].init(PARAMS)

    def noise(path, value):
        return path[-1].tuple_name == "AddNoiseState" and value.shape == ()

    assert gt.get(state, "count", filtering=noise) is state[0].count
    new = gt.set(state, noise, count=jnp.asarray(7))
    assert (int(new[0].count), int(new[1].count)) == (7, 0)
    assert gt.get(state, "count", 5, lambda *_: False) == 5
    with pytest.raises(KeyError, match="no 'count' that passes the filter"):
        gt.set(state, lambda *_: False, count=1)


def test_any_pytree_is_searched():
    tree = Node(
        1, [Struct(2), {"count": None, "layer": Layer(4, 5)}, (6, State(7, None))]
    )
    found = gt.get_all_with_path(tree, "count")
    keys = [jax.tree_util.keystr(path) for path, _ in found]
    assert keys == [
        ".count",
        ".child[0].count",
        ".child[1]['count']",
        ".child[2][1]State.count",
    ]
    assert [value for _, value in found] == [1, 2, None, 7]
    assert gt.get(tree, "w") == 4
    assert gt.get(tree, "layer") == Layer(4, 5)
    assert gt.get({3: 4, 5: {}}, 3) == 4
    assert gt.get(tree, "Struct") == Struct(2)
    assert gt.get(tree, "Node") is tree
    assert gt.get(tree, 0) is None
    new = gt.set(tree, count=0, b=jnp.ones(2))
    assert [value for _, value in gt.get_all_with_path(new, "count")] == [0, 0, 0, 0]
    assert gt.get(new, "b").shape == (2,)
    assert gt.get(new, "w") == 4
    assert gt.get(new, "Struct").name == "static"
    assert gt.set(tree, Node=3) == 3
    assert tree.count == 1


def test_outer_before_inner():
    tree = [{"a": {"x": 1}, "x": {"x": 2}}, {"x": 3}]
    ours = gt.get_all_with_path(tree, "x")
    assert [v for _, v in ours] == [{"x": 2}, 3, 1, 2]
    assert [v for _, v in OT.get_all_with_path(tree, "x")] == [v for _, v in ours]


# Mapping over what is shaped like the parameters.


@pytest.mark.parametrize("optimizer", ["adam", "chain", "inject"])
@pytest.mark.usefixtures("lenient")
def test_map_params_as_optax(optimizer):
    tx = OPTIMIZERS[optimizer]
    state = tx.init(PARAMS)
    specs = {"w": 10.0, "b": 20.0}

    def call(t, initable):
        return t.map_params(
            initable,
            lambda x, s: x + s,
            state,
            specs,
            transform_non_params=lambda _: -1,
        )

    theirs = gt.unwrap_random_key_data(call(OT, tx))
    _same(gt.unwrap_random_key_data(call(gt, tx)), theirs)
    _same(gt.unwrap_random_key_data(call(gt, tx.init)), theirs)
    kept = gt.map_params(tx, lambda x: x, state)
    _same(gt.unwrap_random_key_data(kept), gt.unwrap_random_key_data(state))


def _init(params):
    leaves, structure = jax.tree.flatten(params)
    twin = structure.unflatten([jnp.zeros_like(x) for x in leaves])
    return {
        "slots": [twin, State(jnp.zeros(()), twin)],
        "key": jnp.ones(3),
        "none": None,
    }


def test_map_params_of_a_hand_written_init():
    state = _init(PARAMS)
    out = gt.map_params(
        _init,
        lambda x, n: (n, x.ndim),
        state,
        {"w": "W", "b": "B"},
        transform_non_params=lambda x: x.shape,
    )
    names = {"w": ("W", 2), "b": ("B", 1)}
    assert out == {"slots": [names, State((), names)], "key": (3,), "none": None}


def test_map_params_keeps_holes():
    state = _init({"w": jnp.ones(2), "b": None})
    names = {"w": "W", "b": "B"}
    out = gt.map_params(_init, lambda _, n: n, state, names)
    assert out["slots"][0] == {"w": "W", "b": None}
    out = gt.map_params(
        _init, lambda _, n: n, state, names, is_leaf=lambda x: x is None
    )
    assert out["slots"][0] == names


def test_map_params_of_any_structure():
    for params in (jnp.ones(2), (), Layer(jnp.ones(2), jnp.ones(1)), [PARAMS]):
        out = gt.map_params(_init, lambda x: x + 1, _init(params))
        _same(out["slots"][0], gt.ones_like(params))


def test_map_params_refuses_another_state():
    with pytest.raises(ValueError, match="map_params: state is not one of"):
        gt.map_params(optax.adam(0.1), lambda x: x, optax.sgd(0.1).init(PARAMS))
