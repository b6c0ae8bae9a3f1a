"""gradtx.tree.map_params and state_sharding: what in a state is like the parameters."""

import itertools
import math
from typing import Any, NamedTuple

import catalogue
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.core import FrozenDict
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradtx
from gradtx.tree import map_params, state_sharding


class Factored(NamedTuple):
    count: Any
    rows: Any  # without the largest axis, if two are large
    columns: Any  # without the second largest
    full: Any  # where it is not factored
    scalar: Any  # as in NovoGrad
    axes: Any  # as in SM3
    gram: Any  # as in Shampoo
    mean: Any


@gradtx.transformation
def factored(least: int = 128) -> gradtx.Pair:
    """Slots of every kind; only their shapes matter, and that they move."""

    def large(p):
        order = sorted(range(p.ndim), key=lambda i: p.shape[i])[-2:]
        return order if p.ndim > 1 and p.shape[order[0]] >= least else None

    def init(p):
        dummy, axes = jnp.zeros(1), large(p)
        rows = columns = dummy
        if axes:
            rows, columns = (jnp.zeros(np.delete(p.shape, a)) for a in axes[::-1])
        return Factored(
            count=0,
            rows=rows,
            columns=columns,
            full=dummy if axes else jnp.zeros(p.shape),
            scalar=jnp.zeros(()),
            axes=tuple(jnp.zeros(n) for n in p.shape),
            gram=jnp.zeros(p.shape[:1] * 2),
            mean=gradtx.roles.mean_like(p),
        )

    def update(g, s):
        axes = large(g)
        if axes:
            second, first = axes
            s = s._replace(
                rows=s.rows + jnp.mean(g * g, first),
                columns=s.columns + jnp.mean(g * g, second),
            )
        others = [tuple(j for j in range(g.ndim) if j != i) for i in range(g.ndim)]
        return g, s._replace(
            scalar=s.scalar + jnp.sum(g * g),
            axes=tuple(a + jnp.max(g, o) for a, o in zip(s.axes, others, strict=True)),
            mean=s.mean + g,
        )

    return gradtx.leafwise(init, update)


def spec(x, s):
    return s


def shapes(**named):
    return {n: jax.ShapeDtypeStruct(s, jnp.float32) for n, s in named.items()}


def specs_of(tx, shapes, specs, **kwargs):
    state = jax.eval_shape(tx.init, shapes)
    return map_params(
        tx, spec, state, specs, transform_non_params=lambda _: "other", **kwargs
    )


PARAMS = shapes(
    matrix=(200, 300),
    tall=(300, 200),
    square=(256, 256),
    heads=(4, 300, 2, 128),
    between=(256, 4, 256),
    small=(127, 400),
    vector=(5,),
    scalar=(),
)
SPECS = {
    "matrix": P("x", "y"),
    "tall": P("x", "y"),
    "square": P("x", "y"),
    "heads": P("w", "x", None, "y"),
    "between": P("x", None, "y"),
    "small": P("x"),
    "vector": P("x"),
    "scalar": P(),
}


def test_each_array_gets_the_spec_of_the_axes_that_it_has():
    out = specs_of(factored(), PARAMS, SPECS, params=PARAMS)
    assert out.count == "other"
    assert out.mean == SPECS
    dummy = dict.fromkeys(PARAMS, "other")
    assert out.rows == dummy | {
        "matrix": P("x"),
        "tall": P("y"),
        "heads": P("w", None, "y"),
        "between": P("x", None),
    }
    assert out.columns == dummy | {
        "matrix": P("y"),
        "tall": P("x"),
        "heads": P("w", "x", None),
        "between": P(None, "y"),
    }
    small = {name: SPECS[name] for name in ("small", "vector", "scalar")}
    assert out.full == dummy | small
    assert out.scalar == dict.fromkeys(PARAMS, P())
    assert out.axes == {
        name: tuple(P(a) for a in itertools.islice(s.partitions, None))
        for name, s in SPECS.items()
    } | {"small": (P("x"), P(None))}
    assert out.gram == dummy | {"scalar": P()}


def test_without_parameters_only_what_always_has_their_shape():
    out = specs_of(factored(), PARAMS, SPECS)
    assert out.mean == SPECS
    for name, slot in out._asdict().items():
        if name != "mean":
            assert set(jax.tree.leaves(slot)) == {"other"}


def test_a_rule_that_takes_another_shape_late_is_found_out():
    """Alike for the small, factored for the large: `full` is no slot of full arrays."""
    small = shapes(w=(3, 4))
    assert specs_of(factored(), small, {"w": P("x", "y")}).full == {"w": "other"}
    with_params = specs_of(factored(), small, {"w": P("x", "y")}, params=small)
    assert with_params.full == {"w": P("x", "y")}


def keeping(axes):
    class Kept(NamedTuple):
        slot: Any

    def init(p) -> Kept:
        return Kept(jnp.zeros([p.shape[a] for a in axes]))

    return gradtx.GradientTransformation(*gradtx.leafwise(init, lambda g, s: (g, s)))


@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 3, 3), (128, 127, 1)])
def test_any_choice_and_order_of_axes_is_seen(shape):
    params, names = shapes(w=shape), "abc"
    for length in range(4):
        for axes in itertools.permutations(range(3), length):
            out = specs_of(keeping(axes), params, {"w": P(*names)}, params=params)
            assert out.slot == {"w": P(*(names[a] for a in axes))}


def test_a_rule_for_matrices_on_a_tree_without_leaves():
    tx = keeping([1])
    state = tx.init({"hole": None})
    assert state.slot == {"hole": None}
    assert tx.update({"hole": None}, state) == ({"hole": None}, state)


def test_sizes_that_are_no_axis_are_not_taken_for_one():
    class Sizes(NamedTuple):
        constant: Any
        product: Any
        halved: Any
        blocks: Any

    def init(p) -> Sizes:
        return Sizes(
            jnp.zeros(3),
            jnp.zeros(math.prod(p.shape)),
            jnp.zeros(p.shape[0] // 2),
            jnp.zeros((*p.shape, 1)),
        )

    tx = gradtx.GradientTransformation(*gradtx.leafwise(init, lambda g, s: (g, s)))
    for params in (shapes(w=(3, 1)), shapes(w=(6, 3)), shapes(w=(1, 1))):
        out = specs_of(tx, params, {"w": P("x")}, params=params)
        assert set(jax.tree.leaves(tuple(out))) == {"other"}


def test_limits_of_sizes_are_respected():
    """What a rule does to the sizes nearby is not what it does to these."""

    class Limited(NamedTuple):
        at_most: Any
        at_least: Any

    def init(p) -> Limited:
        small = max(p.shape) <= 256
        return Limited(
            jnp.zeros((p.shape[0],) * 2 if small else p.shape),
            jnp.zeros(p.shape[1:] if small else p.shape[:1]),
        )

    tx = gradtx.GradientTransformation(*gradtx.leafwise(init, lambda g, s: (g, s)))
    params = shapes(at=(256, 256), above=(257, 257), far=(999, 999), wide=(256, 99))
    out = specs_of(tx, params, dict.fromkeys(params, P("x", "y")), params=params)
    unclear = dict.fromkeys(params, "other")
    assert out.at_most == unclear | {"far": P("x", "y")}
    assert out.at_least == unclear | {"far": P("x"), "wide": P("y")}


def test_a_rule_that_refuses_sizes():
    class Blocks(NamedTuple):
        left: Any
        whole: Any
        block: Any

    def init(p) -> Blocks:
        assert p.ndim == 2
        assert not p.shape[0] % 8
        return Blocks(jnp.zeros(p.shape[0]), jnp.zeros(p.shape), jnp.zeros(8))

    tx = gradtx.GradientTransformation(*gradtx.leafwise(init, lambda g, s: (g, s)))
    params, specs = shapes(a=(16, 8), b=(8, 8)), {"a": P("x", "y"), "b": P("x", "y")}
    out = specs_of(tx, params, specs, params=params)
    assert out == ({"a": P("x"), "b": P("x")}, specs, dict.fromkeys("ab", "other"))

    def only_eight(p) -> Blocks:
        assert p.shape == (8, 8)
        return init(p)

    tx = gradtx.GradientTransformation(
        *gradtx.leafwise(only_eight, lambda g, s: (g, s))
    )
    params, specs = shapes(b=(8, 8)), {"b": P("x", "y")}
    out = specs_of(tx, params, specs, params=params)
    assert out == ({"b": "other"}, specs, {"b": "other"})


def test_what_is_no_spec_is_passed_as_it_is():
    params, tx = shapes(w=(2, 3)), keeping([1])
    mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
    on_host = NamedSharding(mesh, P("x", None), memory_kind="unpinned_host")
    out = map_params(
        tx,
        lambda x, *others: others,
        jax.eval_shape(tx.init, params),
        {"w": on_host},
        {"w": P("x")},
        {"w": None},
        {"w": np.ones((2, 3))},
        {"w": ("a", "pair")},
        params=params,
    )
    sharding, short, none, array, pair = out.slot["w"]
    assert sharding == NamedSharding(mesh, P(None), memory_kind="unpinned_host")
    assert short == P(None)
    assert none is None
    assert array.shape == (2, 3)
    assert pair == ("a", "pair")


def test_a_spec_that_is_too_long_is_refused_by_path():
    params = shapes(w=(2, 3))
    message = r"P\('x', None, 'y'\) is longer than the shape \(2, 3\) of params\['w'\]"
    with pytest.raises(ValueError, match=message):
        specs_of(keeping([1]), params, {"w": P("x", None, "y")}, params=params)


def test_a_state_of_anything_with_parameters_and_holes():
    params = {"a": jnp.ones((2, 3)), "hole": None, "b": 1.0}
    tx = gradtx.masked(gradtx.scale_by_adam(), {"a": True, "hole": True, "b": False})
    state = tx.init({"a": jnp.ones((2, 3)), "hole": None, "b": jnp.ones(())})
    names = {"a": "A", "hole": "H", "b": "B"}
    named = map_params(tx, spec, state, names, params=params)
    assert named.inner_state.mu == {"a": "A", "hole": None, "b": None}
    again = map_params(
        tx, lambda x, n: x + n, named, names, params=params, is_leaf=lambda x: x == "A"
    )
    assert again.inner_state.nu == {"a": "AA", "hole": None, "b": None}


# Masks are not asked about the stand-in.

WB = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
NAMES = {"w": "W", "b": "B"}
ONLY_W = {"w": "W", "b": None}
MASKS = {
    "tree": {"w": True, "b": False},
    "path": lambda path, leaf: path[0].key == "w",
    "leaf": lambda path, leaf: leaf.ndim == 2,
    "map": lambda p: jax.tree.map(lambda x: x.ndim == 2, p),
    "keys": lambda p: {"w": p["w"].ndim == 2, "b": False},
    "matrices": gradtx.matrices,
    "by_path": gradtx.by_path("w"),
    "everything_but": gradtx.everything_but({"w": False, "b": True}),
}


class Twice(NamedTuple):
    total: Any
    slot: Any


def twice(updates, state):
    return updates, state


TREEWISE = gradtx.GradientTransformation(
    *gradtx.treewise(
        lambda p: Twice(jnp.zeros(()), jax.tree.map(gradtx.roles.mean_like, p)), twice
    )
)
BY_HAND = gradtx.GradientTransformation(
    lambda p: Twice(jnp.zeros(()), jax.tree.map(jnp.zeros_like, p)),
    lambda updates, state, params=None: (updates, state),
)
INNER = {
    "adam": (gradtx.scale_by_adam(), lambda s: s.mu),
    "treewise": (TREEWISE, lambda s: s.slot),
    "by hand": (BY_HAND, lambda s: s.slot),
    "factored": (factored(), lambda s: s.mean),
}
AROUND = {
    "masked": (gradtx.masked, lambda s: s.inner_state),
    "partition": (
        lambda tx, mask: gradtx.partition({True: tx, False: gradtx.trace(0.9)}, mask),
        lambda s: s.inner_states[True].inner_state,
    ),
    "masked in partition": (
        lambda tx, mask: gradtx.partition(
            {"w": gradtx.masked(tx, mask), "b": gradtx.identity()},
            {"w": "w", "b": "b"},
        ),
        lambda s: s.inner_states["w"].inner_state.inner_state,
    ),
    "chains": (
        lambda tx, mask: gradtx.named_chain(
            ("first", gradtx.trace(0.9)),
            (
                "then",
                gradtx.with_extra_args_support(
                    gradtx.chain(gradtx.clip(1.0), gradtx.masked(tx, mask))
                ),
            ),
        ),
        lambda s: s["then"][1].inner_state,
    ),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    ("around", "inner"),
    [(a, "adam") for a in AROUND] + [("masked", i) for i in list(INNER)[1:]],
)
def test_masks_of_every_form(around, mask, inner):
    (wrap, inside), (tx, slot) = AROUND[around], INNER[inner]
    tx = wrap(tx, MASKS[mask])
    state = tx.init(WB)
    for kwargs in ({}, {"params": WB}):
        out = map_params(tx, spec, state, NAMES, **kwargs)
        assert slot(inside(out)) == ONLY_W
        assert jax.tree.structure(out) == jax.tree.structure(state)


def test_adamw_with_a_mask_for_a_tree():
    tx = gradtx.adamw(1e-3, mask={"w": True, "b": False})
    out = map_params(tx, spec, tx.init(WB), NAMES)
    assert out[0].mu == out[0].nu == NAMES


@pytest.mark.usefixtures("lenient")
def test_optaxs_parts_in_our_chain():
    big = {"w": jnp.ones((200, 300)), "b": jnp.ones(3)}
    specs = {"w": P("x", "y"), "b": P("z")}
    tx = gradtx.chain(optax.scale_by_adam(), optax.scale_by_factored_rms())
    state = tx.init(big)
    adam, rms = map_params(tx, spec, state, specs, transform_non_params=lambda _: None)
    assert adam == (None, specs, specs)
    assert not jax.tree.leaves(rms)
    adam, rms = map_params(
        tx,
        spec,
        state,
        specs,
        transform_non_params=lambda _: "other",
        params=big,
    )
    assert adam == ("other", specs, specs)
    assert rms.v_row == {"w": P("x"), "b": "other"}
    assert rms.v_col == {"w": P("y"), "b": "other"}
    assert rms.v == {"w": "other", "b": P("z")}


def test_our_parts_under_optaxs_map():
    for tx in (
        gradtx.adamw(1e-3, mask=MASKS["tree"]),
        gradtx.masked(gradtx.adam(1e-3), MASKS["tree"]),
    ):
        state = tx.init(WB)
        ours = map_params(tx, lambda x: "leaf", state)
        theirs = optax.tree_map_params(tx, lambda x: "leaf", state)
        assert jax.tree.leaves(ours) == jax.tree.leaves(theirs)


def test_an_init_that_looks_inside_is_refused():
    def init(params):
        return params["w"] * 0

    with pytest.raises(TypeError, match=r"map_params: .*init.* stand-in .* only map"):
        map_params(init, spec, init(WB), NAMES)


# Sharding, on two devices.

MESH = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
SHARDED = {
    "adamw": gradtx.adamw(1e-3),
    "factored": factored(least=2),
    "masked": gradtx.masked(gradtx.adam(0.1), {"w": True, "b": False, "s": True}),
    "partition": gradtx.partition(
        {"factored": factored(least=2), "adam": gradtx.adam(0.1)},
        {"w": "factored", "b": "adam", "s": "adam"},
    ),
}


@pytest.mark.parametrize("name", SHARDED)
def test_a_state_is_made_sharded_and_stays_so(name):
    tx = SHARDED[name]
    params = {"w": jnp.ones((4, 6)), "b": jnp.ones(6), "s": jnp.ones(())}
    specs = {"w": P(None, "x"), "b": P("x"), "s": P()}
    shardings = jax.tree.map(lambda s: NamedSharding(MESH, s), specs)
    expected = state_sharding(tx, params, shardings)
    assert expected == jax.tree.map(
        lambda s: NamedSharding(MESH, s), state_sharding(tx, params, specs)
    )
    params = jax.device_put(params, shardings)
    state = jax.jit(tx.init, out_shardings=expected)(params)
    step = jax.jit(tx.update, donate_argnums=1)
    for _ in range(3):
        for x, s in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
            assert x.sharding.is_equivalent_to(s, x.ndim)
        _, state = step(params, state, params)
    split = [x for x in jax.tree.leaves(state) if not x.sharding.is_fully_replicated]
    assert all(x.sharding.shard_shape(x.shape)[-1] == x.shape[-1] / 2 for x in split)
    counts = {"adamw": 4, "factored": 6, "masked": 2, "partition": 5}
    assert len(split) == counts[name]


def test_state_sharding_of_one_array_and_of_none():
    tx, mesh = gradtx.scale_by_adam(), NamedSharding(MESH, P("x"))
    replicated = NamedSharding(MESH, P())
    assert state_sharding(tx, jnp.ones(2), mesh) == (replicated, mesh, mesh)
    assert state_sharding(tx.init, jnp.ones(2), P("x")) == (P(), P("x"), P("x"))
    assert state_sharding(tx, {}, {}) == (P(), {}, {})


# Everything public.


@pytest.mark.parametrize("row", catalogue.ROWS, ids=str)
def test_every_public_factory(row):
    """f sees arrays of the shapes of their parameters, holes stay, and the state does
    not change under a map that changes nothing."""
    tx, params = row.make(), catalogue.params()
    state = tx.init(params)
    for kwargs in ({}, {"params": params}):
        shapes = []

        def look(x, p, shapes=shapes):
            shapes.append((x.shape, p.shape))
            return x

        out = map_params(tx, look, state, params, **kwargs)
        assert jax.tree.structure(out) == jax.tree.structure(state)
        assert all(
            a is b
            for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(state), strict=True)
        )
        if kwargs:
            assert all(set(x) <= set(p) for x, p in shapes)
        else:
            assert all(x == p for x, p in shapes)


@pytest.mark.parametrize("row", catalogue.ROWS, ids=str)
def test_every_public_factory_has_shardings(row):
    tx, params = row.make(), catalogue.params()
    specs = {"dense": {"kernel": P("x", "y"), "bias": P("y")}, "scale": P()}
    state = jax.eval_shape(tx.init, params)
    out = state_sharding(tx, params, specs)
    assert jax.tree.structure(out) == jax.tree.structure(state)
    for x, s in zip(jax.tree.leaves(state), jax.tree.leaves(out), strict=True):
        assert isinstance(s, P)
        assert len(s) <= x.ndim


def test_shardings_are_matched_by_path_and_may_be_a_prefix():
    tx = gradtx.adafactor(0.1, min_dim_size_to_factor=1)
    p = {"a": shapes(w=(2, 3), b=(3,)), "c": shapes(w=(2, 3))}
    specs = {"a": {"w": P("x", "y"), "b": P("y")}, "c": P("x")}
    for tree in (p, FrozenDict(p), nnx.State(p)):
        state = state_sharding(tx, tree, specs)[0]
        assert state.v_row["a"]["w"] == state.v_row["c"]["w"] == P("x")
        assert state.v_col["a"]["w"] == P("y")
        assert state.v_col["c"]["w"] == P(None)
    one = state_sharding(tx, p, P())[0]
    assert set(jax.tree.leaves(one.v)) == {P()}
    with pytest.raises(
        ValueError, match=r"state_sharding: params\['c'\]\['w'\] has no"
    ):
        state_sharding(tx, p, {"a": P()})
