"""Codecs, and what they are for: a state in fewer bytes, parameters in fewer bits."""

import functools
import pathlib
import sys
import types

import catalogue
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, strategies as st
from jax.sharding import PartitionSpec

import gradtx
from gradtx import codecs, wrappers
from gradtx.core.roles import Role
from gradtx.numerics.rounding import by_chance, noise

REFERENCE = pathlib.Path(__file__).parent / "reference"
sys.path.insert(0, str(REFERENCE))
from torchao_codes import SHAPE, numbers  # noqa: E402

MEAN, SQUARE, POINT = Role.MEAN, Role.SQUARE, Role.POINT
CODECS = [
    codecs.bfloat16(),
    codecs.bfloat16_and_error(),
    codecs.bfloat16_and_rest(),
    codecs.int8(),
    codecs.int8(block=100),
    codecs.int4(),
    codecs.float8(),
]
SOME = {role: numbers()[name] for name, role in (("mean", MEAN), ("square", SQUARE))}


@functools.partial(jax.jit, static_argnums=(0, 1))
def encode(codec, role, x, seed=None):
    draw = None if seed is None else lambda y: noise(y, seed)
    return codec.coding.encode(role, x, draw)


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def decode(codec, role, code, shape):
    return codec.coding.decode(role, code, jax.ShapeDtypeStruct(shape, jnp.float32))


# The codes.


@pytest.mark.parametrize("kind", ["int8", "int4", "float8"])
@pytest.mark.parametrize("role", [MEAN, SQUARE])
def test_codes_are_those_of_torchao(kind, role):
    words = {} if kind == "float8" else {"map": "published"}
    codec = getattr(codecs, kind)(rounding="nearest", **words)
    code = encode(codec, role, SOME[role])
    recorded = np.load(REFERENCE / "torchao_codes.npz")
    theirs = recorded[f"{kind} {role.value}"]
    ours = np.asarray(code.codes)
    ours = ours.view(np.uint8) if kind == "float8" else ours.astype(np.uint8)
    assert (ours != theirs).sum() == 0
    if kind != "float8":
        scales = recorded[f"{kind} {role.value} scales"]
        np.testing.assert_array_equal(code.scales.ravel(), scales)


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("role", [MEAN, SQUARE])
def test_what_was_decoded_has_the_same_code_also_by_chance(codec, role):
    for x in (SOME[role], SOME[role][:, :150], SOME[role].reshape(64, 16, 16)):
        code = encode(codec, role, x, seed=1)
        again = decode(codec, role, code, x.shape)
        chex.assert_trees_all_equal(encode(codec, role, again, seed=2), code)
        chex.assert_trees_all_equal(encode(codec, role, again), code)


@pytest.mark.parametrize("codec", [codecs.int8(), codecs.int4()], ids=str)
@pytest.mark.parametrize("role", [MEAN, SQUARE])
def test_all_entries_of_a_map_are_fixed_points(codec, role):
    some = encode(codec, role, jnp.ones((1, 256)))
    info = jnp.iinfo(some.codes.dtype)
    codes = jnp.arange(-info.max if info.min else 0, info.max + 1).astype(info.dtype)
    codes = jnp.concatenate([codes, jnp.full(256 - codes.size, info.max, info.dtype)])
    for scale in (1e-30, 0.37, 1.0, 3.3e7):
        scales = jnp.full_like(some.scales, scale)
        code = codecs.Blocks(codes[None], scales)
        x = decode(codec, role, code, (1, 256))
        for seed in range(3):
            chex.assert_trees_all_equal(encode(codec, role, x, seed), code)


def test_the_published_map_has_no_fixed_point_where_the_extreme_is_negative():
    x = -abs(SOME[MEAN])
    for map, kept in (("published", 0.87), ("symmetric", 0.999)):
        codec = codecs.int8(map=map, rounding="nearest")

        def again(_, y, codec=codec):
            return decode(codec, MEAN, codec.coding.encode(MEAN, y, None), SHAPE)

        last = jax.lax.fori_loop(0, 50, again, jnp.asarray(x))
        ratio = np.linalg.norm(last) / np.linalg.norm(x)
        assert (ratio < kept) == (map == "published")


def test_a_positive_second_moment_stays_positive():
    tiny = jnp.array([[1e-9, 0.0, 1.0]])
    for codec in (codecs.int8(), codecs.int8(map="published"), codecs.int4()):
        code = encode(codec, SQUARE, tiny, seed=0)
        positive = decode(codec, SQUARE, code, (1, 3))[0, 0] > 0
        assert positive == ("published" not in str(codec))


def test_halves_and_errors_are_exact():
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, 1e-38, -1.0]
    bits = np.array([0x7F800001, 0xFFFFFFFF, 0x7F7FFFFF, 0x00000001], np.uint32)
    x = np.concatenate([np.float32(special), bits.view(np.float32), SOME[MEAN].ravel()])
    rest, error = codecs.bfloat16_and_rest(), codecs.bfloat16_and_error("nearest")
    code = encode(rest, POINT, x)
    np.testing.assert_array_equal(decode(rest, POINT, code, x.shape), x)
    code = encode(error, POINT, x)
    near = np.asarray(decode(error, POINT, code, x.shape))
    finite = np.isfinite(x)
    np.testing.assert_array_equal(near[~finite], x[~finite])
    normal = finite & (abs(x) > 1e-37) & (abs(x) < 3e38)
    assert np.isfinite(near[finite]).all()
    assert (abs(near[normal] - x[normal]) <= 2.0**-16 * abs(x[normal])).all()
    away = abs(near[normal].view(np.int32) % 2**16 - 2**15) > 0  # from a tie
    ours = np.asarray(code.value.astype(jnp.float32))[normal]
    nearest = jnp.asarray(near[normal]).astype(jnp.bfloat16).astype(jnp.float32)
    np.testing.assert_array_equal(ours[away], np.asarray(nearest)[away])


def test_a_second_moment_in_rows_and_columns():
    codec = codecs.shared(gradtx.second_moment.rank_one(2))
    x = jnp.outer(jnp.arange(1.0, 5), jnp.arange(2.0, 8)).astype(jnp.float32)
    code = encode(codec, SQUARE, x)
    np.testing.assert_allclose(decode(codec, SQUARE, code, x.shape), x, rtol=1e-6)
    assert sum(a.size for a in jax.tree.leaves(code)) == 4 + 6 + 1


# Rounding by chance.


ALL_BITS = np.arange(2**16, dtype=np.uint32) << 16
rounded = jax.jit(
    lambda x, bits: by_chance(x + 0 * bits.astype(x.dtype), bits, "bfloat16")
)


@given(st.floats(width=32, allow_subnormal=False, allow_nan=True))
def test_the_mean_of_what_is_rounded_by_chance_is_what_was_rounded(x):
    x = np.float32(x)
    out = np.asarray(rounded(x, ALL_BITS).astype(jnp.float32)).astype(np.float64)
    if not abs(x) <= float(jnp.finfo(jnp.bfloat16).max):
        whole = np.isfinite(x)  # beyond the greatest number there is only that
        expected = np.copysign(float(jnp.finfo(jnp.bfloat16).max), x) if whole else x
        np.testing.assert_array_equal(out, np.float64(expected))
    elif abs(x) >= float(jnp.finfo(jnp.float32).tiny):
        assert out.mean() == np.float64(x)
        below, above = out.min(), out.max()
        assert below <= x <= above
        exact = np.float32(jnp.bfloat16(x)) == x
        assert (below == above) == exact


@pytest.mark.parametrize("dtype", ["float16", "float8_e4m3fn", "float8_e5m2"])
def test_other_dtypes_too_are_rounded_by_chance(dtype):
    most = float(jnp.finfo(dtype).max)
    x = jnp.array([0.3, -5.1, 1.37, 1.0, 0.25, -most, 2 * most], jnp.float32)
    levels = jnp.arange(2**13, dtype=jnp.uint32)
    bits = ((levels << 19) | (1 << 18))[:, None]
    out = by_chance(*jnp.broadcast_arrays(x[None], bits), dtype)
    wide = np.asarray(out.astype(jnp.float32)).astype(np.float64)
    step = (wide.max(0) - wide.min(0))[:3]
    assert (abs(wide.mean(0)[:3] - np.asarray(x[:3], float)) <= step * 2.0**-13).all()
    np.testing.assert_array_equal(
        wide[:, 3:6], np.asarray(x[3:6])[None].repeat(8192, 0)
    )
    np.testing.assert_array_equal(wide[:, 6], most)


@pytest.mark.parametrize(
    "codec", [codecs.int8(), codecs.int4(), codecs.float8()], ids=str
)
@pytest.mark.parametrize("role", [MEAN, SQUARE])
def test_the_mean_of_what_is_decoded_is_what_was_encoded(codec, role):
    x = jnp.asarray(SOME[role][:1, :64]).at[0, 5].set(0)
    levels = jnp.arange(2**13, dtype=jnp.uint32) << 19

    def once(bits):
        code = codec.coding.encode(
            role, x, lambda y: jnp.full_like(y, bits, bits.dtype)
        )
        return decode(codec, role, code, x.shape)

    out = np.asarray(jax.jit(jax.vmap(once))(levels), np.float64)
    most = float(jnp.max(jnp.abs(x)))
    gap = 1 / 32 if codec == codecs.int4() else 5e-6  # to 0
    step = np.maximum(out.max(0) - out.min(0), gap * most)
    least = {"int8": 3.25e-7, "int4": 1 / 16}.get(codec.factory.__name__, 0)
    known = abs(x) >= least * most if role is SQUARE else abs(x) >= 0
    off = abs(out.mean(0) - np.asarray(x, np.float64)) - 2.0**-12 * step - 1e-7 * abs(x)
    assert (off[known] <= 0).all()


def test_bits_are_even_and_differ_from_entry_to_entry_and_from_step_to_step():
    x = jnp.zeros((256, 256))
    a, b, c = (noise(x, *words) >> 16 for words in ((0, 1), (1, 1), (0, 2)))
    u = np.stack([np.asarray(y).ravel() / 2**16 for y in (a, b, c)])
    assert (abs(u.mean(1) - 0.5) < 4 * 12**-0.5 / 256).all()
    shifted = [np.roll(u[0], k) for k in (1, 2, 256, 257)]
    off = np.corrcoef(np.stack([*u, *shifted])) - np.eye(7)
    assert (abs(off) < 4.5 / 256).all()


@pytest.mark.parametrize("decay", [0.98, 0.999])
def test_a_slow_average_goes_on_by_chance_and_stops_under_nearest(decay):
    start = jnp.full((1, 256), 0.3).at[0, 0].set(1)  # which keeps the scale
    goal = jnp.full((1, 256), 0.4).at[0, 0].set(1)

    def after(rounding):
        codec = codecs.int8(rounding=rounding)
        ema = gradtx.ema(decay, debias=False)
        tx = wrappers.with_state(ema, codec, min_size=1)

        def step(state, _):
            return tx.update(goal, state)[1], None

        _, state = tx.update(start / (1 - decay), tx.init(goal))
        state, _ = jax.lax.scan(step, state, None, length=3000)
        return decode(codec, MEAN, state.inner_state.ema, goal.shape)[0, 1:]

    by_chance = after("stochastic")
    expected = 0.4 - 0.1 * decay**3000
    assert abs(by_chance.mean() - expected) < 0.01
    assert (abs(after("nearest") - 0.3) < 0.004).all()


# The wrapper.

PARAMS = {"w": jnp.ones((64, 128)), "b": jnp.ones(128)}
GRADS = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size)).reshape(p.shape), PARAMS)


def test_which_arrays_are_encoded():
    mixed = gradtx.chain(gradtx.adam(0.1), gradtx.average_params())
    tx = wrappers.with_state(mixed, codecs.int8())
    adam, average = (s for s in tx.init(PARAMS).inner_state)
    assert adam[0].mu["w"].codes.dtype == jnp.int8
    assert adam[0].nu["w"].codes.dtype == jnp.uint8
    assert adam[0].mu["b"].dtype == jnp.float32  # small
    assert average.average["w"].dtype == jnp.float32  # no moment
    both = wrappers.with_state(tx, codecs.bfloat16_and_error(), gradtx.matrices)
    adam, average = (s for s in both.init(PARAMS).inner_state.inner_state)
    assert adam[0].mu["w"].codes.dtype == jnp.int8
    assert average.average["w"].error.dtype == jnp.int8
    none = wrappers.with_state(mixed, codecs.int8(), gradtx.vectors, min_size=1)
    adam, _ = none.init(PARAMS).inner_state
    assert adam[0].mu["w"].dtype == jnp.float32
    assert adam[0].mu["b"].codes.shape == (128,)
    split = {"c": jnp.ones((64, 128), jnp.complex64)}
    assert tx.init(split).inner_state[0][0].mu["c"].dtype == jnp.complex64


def test_what_is_decoded_has_the_dtypes_of_init(x64):
    seen = []

    def spying(mu):
        jax.tree.map(lambda x: seen.append(x.dtype), mu)
        return jnp.zeros(())

    for dtype in ("bfloat16", None):
        adam = gradtx.scale_by_adam(mu_dtype=dtype)

        def update(updates, state, params=None, adam=adam):
            spying((state.mu, state.nu))
            return adam.update(updates, state, params)

        pair = gradtx.Pair(adam.init, update)
        for codec in (codecs.int8(), codecs.bfloat16()):
            tx = wrappers.with_state(gradtx.GradientTransformation(*pair), codec)
            p = {"w": jnp.ones((64, 128), jnp.float64)}
            seen.clear()
            state = tx.init(p)
            _, new = tx.update(p, state, p)
            first = jnp.dtype(dtype or "float64")
            assert seen == [first, jnp.dtype("float64")]
            assert jax.tree.map(jnp.result_type, new) == jax.tree.map(
                jnp.result_type, state
            )


@pytest.mark.parametrize(
    ("codec", "least", "most"),
    [
        (codecs.int8(), 2.03, 2.04),
        (codecs.int4(), 1.06, 1.07),
        (codecs.float8(), 2.03, 2.04),
        (codecs.bfloat16(), 4, 4.001),
        (codecs.bfloat16_and_error(), 6, 6.001),
        (codecs.bfloat16_and_rest(), 8, 8.001),
        (codecs.shared(gradtx.second_moment.rank_one()), 4.007, 4.008),
    ],
    ids=str,
)
def test_describe_names_the_codec_and_its_bytes(codec, least, most):
    tx = wrappers.with_state(gradtx.adamw(1e-3), codec)
    plan = gradtx.describe(tx, {"w": jax.ShapeDtypeStruct((1024, 1024), jnp.float32)})
    assert least <= plan.state_bytes_per_parameter <= most
    assert plan.parts[0].hyperparameters["codec"] == codec


def test_codes_are_sharded_as_the_parameter_and_scales_on_the_other_axes():
    tx = wrappers.with_state(gradtx.adam(1e-3), codecs.int8())
    spec = {"w": PartitionSpec("a", "b"), "b": PartitionSpec(None)}
    made = gradtx.tree.state_sharding(tx, PARAMS, spec).inner_state[0]
    for moment in (made.mu, made.nu):
        assert moment["w"] == codecs.Blocks(spec["w"], PartitionSpec("a", None))
        assert moment["b"] == spec["b"]
    doubled = gradtx.tree.map_params(
        tx, lambda x: x * 2, tx.init(PARAMS), params=PARAMS
    )
    assert jax.tree.structure(doubled) == jax.tree.structure(tx.init(PARAMS))


def test_injected_hyperparameters_a_restart_and_a_hole_go_through():
    adam = gradtx.inject_hyperparams(gradtx.adam)(0.1)
    tx = wrappers.with_state(adam, codecs.int8())
    state = tx.init(PARAMS)
    state = gradtx.tree.set(state, learning_rate=0.2)
    u, state = tx.update(GRADS, state, PARAMS)
    np.testing.assert_allclose(u["w"][0, 0], -0.2, rtol=1e-5)
    assert gradtx.hyperparameters(tx, state)["learning_rate"] == jnp.float32(0.2)
    began = gradtx.restart(tx, state, PARAMS)
    moments = (s.inner_state.inner_state[0] for s in (began, tx.init(PARAMS)))
    chex.assert_trees_all_equal(*moments)
    with pytest.raises(ValueError, match=r"gradient is None.*parameters"):
        tx.update({**GRADS, "w": None}, state)


def test_a_state_for_other_parameters_or_of_another_codec_is_refused_by_path():
    tx = wrappers.with_state(gradtx.adam(0.1), codecs.int8())
    state = tx.init(PARAMS)
    wrong = {**GRADS, "w": jnp.ones((32, 256))}
    with pytest.raises(ValueError, match=r"updates\['w'\] has shape \(32, 256\)"):
        tx.update(wrong, state)
    other = wrappers.with_state(gradtx.adam(0.1), codecs.bfloat16())
    with pytest.raises(ValueError, match="this codec"):
        other.update(GRADS, state, PARAMS)
    with pytest.raises(TypeError, match="codec must be a codec, such as int8"):
        wrappers.with_state(gradtx.adam(0.1), "int8")
    with pytest.raises(ValueError, match="must be 'nearest' or 'stochastic'"):
        codecs.int8(rounding="down")


def test_what_says_nothing_of_its_roles_is_refused():
    for inner in (optax.adam(0.1), gradtx.stacked(gradtx.adam(0.1))):
        tx = wrappers.with_state(inner, codecs.int8())
        with pytest.raises(ValueError, match=r"nothing.*a mean or a square"):
            tx.init(PARAMS)
    inside = gradtx.stacked(wrappers.with_state(gradtx.adam(0.1), codecs.int8()))
    dtypes = {x.dtype for x in jax.tree.leaves(inside.init(PARAMS))}
    assert jnp.dtype("int8") in dtypes


OPTIMIZERS = [
    row for row in catalogue.ROWS if row.factory.__name__ in gradtx.optimizers.__all__
]


def test_every_optimizer_may_stand_inside():
    p = {"w": jax.ShapeDtypeStruct((8, 6), jnp.float32)}
    for i, row in enumerate(OPTIMIZERS):
        codec = CODECS[i % len(CODECS)]
        if not row.other.get("min_size"):
            tx = wrappers.with_state(row.tx, codec, min_size=1)

            def steps(p, tx=tx):
                state = tx.init(p)
                return state, tx.update(p, state, p)[1]

            state, new = jax.eval_shape(steps, p)
            assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(
                lambda x: (x.shape, x.dtype), state
            ), str(row)


def test_a_codec_is_traced_once_for_the_arrays_of_a_kind():
    traced = []

    @codecs.codec
    def counted():
        coding = codecs.bfloat16().coding

        def encode(role, x, draw):
            traced.append(role)
            return coding.encode(role, x, draw)

        return coding._replace(encode=encode)

    p = {f"w{i}": jax.ShapeDtypeStruct((64, 64), jnp.float32) for i in range(20)}
    tx = wrappers.with_state(gradtx.adam(0.1), counted())
    plain = gradtx.adam(0.1)
    tx.init(p)
    gradtx.inspection.migrate(plain, plain.init(p), tx, p)
    assert len(traced) <= 6  # of 40 arrays, in init and in migrate


def test_an_exact_codec_changes_nothing():
    inner = gradtx.adamw(0.1)
    tx = wrappers.with_state(inner, codecs.bfloat16_and_rest(), min_size=1)
    ours, theirs = tx.init(PARAMS), inner.init(PARAMS)
    for _ in range(3):
        a, ours = jax.jit(tx.update)(GRADS, ours, PARAMS)
        b, theirs = jax.jit(inner.update)(GRADS, theirs, PARAMS)
        chex.assert_trees_all_close(a, b, rtol=1e-6)


# Parameters in half precision.


def moved(tx, steps=100, **rounding):
    """1 in bfloat16 and in float32, after so many steps of 0.001."""
    p = {"half": jnp.ones(512, jnp.bfloat16), "whole": jnp.ones(3)}
    g = jax.tree.map(lambda x: -jnp.ones_like(x), p)

    def step(carry, i):
        p, state = carry
        u, state = tx.update(g, state, p)
        key = jax.random.fold_in(jax.random.key(0), i) if rounding else None
        return (gradtx.apply_updates(p, u, **rounding, key=key), state), None

    (p, _), _ = jax.lax.scan(step, (p, tx.init(p)), jnp.arange(steps))
    np.testing.assert_allclose(p["whole"], 1.1, rtol=1e-5)
    return np.asarray(p["half"].astype(jnp.float32))


def test_small_steps_move_parameters_in_half_precision():
    sgd = gradtx.sgd(1e-3)
    assert (moved(sgd) == 1).all()
    by_chance = moved(sgd, rounding="stochastic")
    assert abs(by_chance.mean() - 1.1) < 0.003
    assert by_chance.std() > 0.01
    for make in (wrappers.kahan, wrappers.master_weights):
        assert (abs(moved(make(sgd)) - 1.1) <= 2**-8).all()


def test_rounding_by_chance_wants_a_key_and_leaves_holes():
    p = {"a": jnp.ones(3, jnp.bfloat16), "b": None, "c": jnp.arange(3)}
    u = {"a": jnp.full(3, 0.25), "b": None, "c": jnp.arange(3)}
    out = gradtx.apply_updates(p, u, "stochastic", jax.random.key(1))
    chex.assert_trees_all_equal(out, gradtx.apply_updates(p, u))
    with pytest.raises(ValueError, match="needs a key"):
        gradtx.apply_updates(p, u, rounding="stochastic")
    with pytest.raises(ValueError, match=r"'nearest' or 'stochastic'"):
        gradtx.apply_updates(p, u, rounding="up")
    with pytest.raises(TypeError, match=r"key is 1\.5"):
        gradtx.apply_updates(p, u, rounding="stochastic", key=1.5)


def test_copies_of_another_shape_are_named_and_not_taken_for_the_parameters():
    tx, p = wrappers.master_weights(gradtx.sgd(0.1)), jnp.ones(3, jnp.bfloat16)
    state = tx.init({"w": jnp.ones(4, jnp.bfloat16)})
    with pytest.raises(ValueError, match=r"state.master\['w'\] has shape \(4,\), but"):
        tx.update({"w": p}, state, {"w": p})


def test_master_weights_and_kahan_follow_float32():
    p = {"w": jnp.linspace(0.5, 2, 64).astype(jnp.bfloat16)}
    for make in (wrappers.kahan, wrappers.master_weights):
        tx, ours = make(gradtx.adam(3e-4)), p
        plain, theirs = gradtx.adam(3e-4), gradtx.tree.cast(p, jnp.float32)
        state, other = tx.init(ours), plain.init(theirs)
        update, reference = jax.jit(tx.update), jax.jit(plain.update)
        for i in range(60):
            g = (jnp.sin(jnp.arange(64.0) + i) + 0.5).astype(jnp.bfloat16)
            u, state = update({"w": g}, state, ours)
            v, other = reference({"w": g.astype(jnp.float32)}, other, theirs)
            ours, theirs = (
                gradtx.apply_updates(*both) for both in ((ours, u), (theirs, v))
            )
        off = abs(ours["w"].astype(jnp.float32) / theirs["w"] - 1)
        assert off.max() <= 2**-7.9
        if make is wrappers.master_weights:
            chex.assert_trees_all_equal(ours, gradtx.tree.cast(theirs, jnp.bfloat16))


# The host's memory.


def test_an_offloaded_state_lies_in_the_hosts_memory():
    adam = wrappers.with_state(gradtx.adam(0.1), codecs.int8())
    tx = wrappers.offload(adam)
    state, plain = tx.init(PARAMS), adam.init(PARAMS)
    for update in (tx.update, jax.jit(tx.update)):
        u, state = update(GRADS, state, PARAMS)
        v, plain = adam.update(GRADS, plain, PARAMS)
        chex.assert_trees_all_close(u, v, rtol=1e-6)
        mu = state.inner_state.inner_state[0].mu
        assert mu["w"].codes.sharding.memory_kind == "pinned_host"
        assert mu["b"].sharding.memory_kind == "device"
    with pytest.raises(ValueError, match="put offload outside"):
        wrappers.with_state(wrappers.offload(gradtx.adam(0.1)), codecs.int8()).init(
            PARAMS
        )


def test_a_device_without_memory_of_the_host_is_named(monkeypatch):
    device = types.SimpleNamespace(
        addressable_memories=lambda: [types.SimpleNamespace(kind="device")]
    )
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    with pytest.raises(ValueError, match=r"no memory 'pinned_host'.*has device"):
        wrappers.offload(gradtx.adam(0.1)).init(PARAMS)
