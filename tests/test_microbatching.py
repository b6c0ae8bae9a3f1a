"""Functions of a batch in several parts: the same results in less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradtx
from gradtx.microbatching import (
    AccumulationType,
    Accumulator,
    micro_grad,
    micro_vmap,
    microbatch,
    reshape_batch_axis,
)

SUM, MEAN = AccumulationType.SUM, AccumulationType.MEAN
RUNNING_MEAN, CONCAT = AccumulationType.RUNNING_MEAN, AccumulationType.CONCAT


def test_it_is_at_the_top_too():
    assert gradtx.microbatch is microbatch


def several(w, x, *, y):
    out = w * x["a"] + y
    return {"each": out, "sum": out.sum(0)}, (out.mean(), out.mean(0), None)


def test_each_accumulation_is_that_of_the_whole_batch():
    x = {"a": jnp.sin(jnp.arange(24.0).reshape(8, 3))}
    y = jnp.cos(jnp.arange(24.0)).reshape(3, 8)
    f = microbatch(
        lambda w, x, *, y: several(w, x, y=y.T),
        -1,
        2,
        ({"each": CONCAT, "sum": SUM}, (MEAN, RUNNING_MEAN, None)),
        argnames="y",
        in_axes=(0, -1),
    )
    ours, theirs = jax.jit(lambda: (f(2.0, x, y=y), several(2.0, x, y=y.T)))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), ours, theirs)


def test_the_parts_take_less_memory():
    def loss(w, x):
        return jnp.sum(jnp.tanh(jnp.tanh(x @ w) @ w) ** 2)

    whole = jax.grad(loss)
    args = (
        jax.ShapeDtypeStruct((32, 32), jnp.float32),
        jax.ShapeDtypeStruct((4096, 32), jnp.float32),
    )

    def temporary(f):
        return jax.jit(f).lower(*args).compile().memory_analysis().temp_size_in_bytes

    assert temporary(microbatch(whole, 1, 256)) < temporary(whole) / 4
    apart = micro_vmap(whole, (None, 0), accumulator=SUM)
    small = micro_vmap(whole, (None, 0), accumulator=SUM, microbatch_size=64)
    assert temporary(small) < temporary(apart) / 16


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("kind", [SUM, MEAN, RUNNING_MEAN])
def test_half_precision_is_added_up_in_float32_and_rounded_once(dtype, kind):
    x = jnp.full((1024, 1), 0.1, dtype)
    expected = np.asarray(x, np.float64).sum() / (1 if kind is SUM else 1024)
    for f in (
        microbatch(lambda x: x[0], 0, 1, kind),
        micro_vmap(lambda x: x, accumulator=kind, microbatch_size=512),
        micro_vmap(lambda x: x, accumulator=kind),
    ):
        out = f(x)
        assert out.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(out, np.float64), expected, jnp.finfo(dtype).eps
        )


def test_sums_beyond_half_precision_on_the_way_are_no_infinities():
    x = jnp.asarray([60000.0, 60000.0, -60000.0, -60000.0], jnp.float16)[:, None]
    f = micro_vmap(lambda x: x, accumulator=SUM, microbatch_size=2)
    assert f(x) == 0


def test_integers_and_booleans_are_counted():
    x = jnp.full(300, 1, jnp.int8)
    for size in (None, 100):
        f = micro_vmap(lambda x: (x, x > 0), accumulator=SUM, microbatch_size=size)
        total, count = f(x)
        assert (total, count) == (300, 300)
        assert total.dtype == count.dtype == jnp.sum(x).dtype
    with pytest.raises(ValueError, match=r"microbatch: a mean of int8 numbers"):
        microbatch(lambda x: x[0], 0, 2, MEAN)(x)


def test_an_infinite_result_is_an_infinite_mean():
    x = jnp.asarray([jnp.inf, 1.0, 2.0])
    for kind in (MEAN, RUNNING_MEAN):
        assert microbatch(jnp.sum, 0, 1, kind)(x) == jnp.inf


def test_an_accumulator_of_ones_own():
    greatest = Accumulator(
        init=lambda like: jax.tree.map(lambda s: jnp.full(s.shape, -jnp.inf), like),
        update=lambda carry, x, i: jax.tree.map(jnp.maximum, carry, x),
        finalize=lambda carry: carry,
        aggregate=lambda xs: jax.tree.map(lambda x: x.max(0), xs),
    )
    x = jnp.sin(jnp.arange(12.0))
    for f in (
        microbatch(lambda x: {"max": x.max()}, 0, 3, greatest),
        micro_vmap(lambda x: {"max": x}, accumulator=greatest, microbatch_size=3),
        micro_vmap(lambda x: {"max": x}, accumulator=greatest),
    ):
        assert f(x)["max"] == x.max()


def test_fewer_parts_are_run_if_asked_for():
    x = jnp.arange(1.0, 13.0)
    parts, traces = reshape_batch_axis(x, 3), []

    @jax.jit
    def first(n):
        traces.append(n)
        f = microbatch(
            lambda x: (x, x.sum(), x.sum()),
            0,
            3,
            (CONCAT, SUM, RUNNING_MEAN),
            num_real_microbatches=n,
        )
        return f(x)

    for n in (0, 1, 3, 4, 9):
        run = min(n, 4)
        each, total, mean = first(n)
        assert jnp.count_nonzero(each) == 3 * run
        assert total == parts[:run].sum() == mean * run
    assert len(traces) == 1
    with pytest.raises(ValueError, match=r"is 5; expected a whole number from 0 to 4"):
        microbatch(jnp.sum, 0, 3, num_real_microbatches=5)(x)


def test_gradients_of_each_example_are_transformed_before_the_sum():
    def loss(params, x, y):
        assert x.ndim == y.ndim + 1 == 2
        errors = x @ params["w"] - y
        return (errors**2).mean(), errors

    def shortened(g):
        return jax.tree.map(lambda x: x / (1 + gradtx.global_norm(g)), g)

    params = {"w": jnp.asarray([1.0, -2.0])}
    x, y = jnp.sin(jnp.arange(12.0)).reshape(6, 2), jnp.arange(6.0)
    one = jax.grad(lambda p, i: loss(p, x[i : i + 1], y[i : i + 1])[0])
    each = [one(params, i) for i in range(6)]
    expected = sum(shortened(g)["w"] for g in each)
    f = micro_grad(
        loss,
        True,
        batch_argnums=(1, 2),
        microbatch_size=3,
        transform_fn=shortened,
        metrics_fn=gradtx.global_norm,
    )
    grads, outputs = jax.jit(f)(params, x, y)
    np.testing.assert_allclose(grads["w"], expected, 1e-5)
    norms = [gradtx.global_norm(g) for g in each]
    np.testing.assert_allclose(outputs.metrics, norms, 1e-5)
    np.testing.assert_allclose(outputs.values, (x @ params["w"] - y) ** 2, 1e-5)
    assert outputs.aux.shape == (6, 1)


def test_arguments_after_the_batch_have_none():
    f = micro_grad(lambda w, x, scale: scale * w * x, keep_batch_dim=False)
    assert f(1.0, jnp.arange(4.0), 10.0)[0] == 60.0


def test_it_is_differentiable():
    x = jnp.arange(4.0)
    f = microbatch(lambda w, x: (w * x).sum(), 1, 2)
    assert jax.grad(f)(2.0, x) == 6.0


def test_a_sharded_batch_stays_so():
    mesh = jax.make_mesh((2,), ("d",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        x = jax.device_put(
            jnp.arange(8.0).reshape(8, 1), NamedSharding(mesh, P("d", None))
        )

        @jax.jit
        def run(x):
            f = microbatch(lambda x: (2 * x, x.sum()), 0, 4, (CONCAT, SUM))
            each, total = f(x)
            assert jax.typeof(each).sharding.spec == P("d", None)
            split = reshape_batch_axis(x, 4)
            assert jax.typeof(split).sharding.spec == P(None, "d", None)
            return each, total, split

        each, total, split = run(x)
    np.testing.assert_array_equal(each, 2 * np.arange(8.0)[:, None])
    assert total == 28.0
    np.testing.assert_array_equal(np.asarray(split)[0, :, 0], [0, 2, 4, 6])


X = jnp.arange(12.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: microbatch(jnp.sum, 0, 5)({"a": X}),
            r"argument 0\['a'\] has a batch of 12, which is not divisible by "
            "microbatch_size=5: 2 would be left over",
        ),
        (
            lambda: microbatch(lambda a, b: a, (0, 1), 2)(X, {"k": X[:4]}),
            r"argument 1\['k'\] has a batch of 4, but argument 0 has one of 12",
        ),
        (lambda: microbatch(jnp.sum, 0, 0), "microbatch_size is 0; expected a whole"),
        (lambda: microbatch(jnp.sum, 0, 2, in_axes=(0, 1)), "for each of the 1 arg"),
        (lambda: microbatch(jnp.sum, 1, 2)(X), "there is no argument 1 among the 1"),
        (lambda: microbatch(jnp.sum, (), 2)(X), "no argument has a batch"),
        (lambda: microbatch(jnp.sum, 0, 2)(X[:0]), "a batch of no examples"),
        (lambda: microbatch(jnp.sum, 0, 2, in_axes=1)(X), "and so no batch axis 1"),
        (lambda: microbatch(jnp.sum, (), 2, argnames="y")(X), "no argument y was pass"),
        (lambda: microbatch(jnp.sum, 0, 2, (SUM, SUM))(X), "which is no prefix of"),
        (lambda: micro_vmap(jnp.sum, (0, 0))(X), "micro_vmap: in_axes is"),
        (
            lambda: micro_grad(jnp.dot, microbatch_size=5)(1.0, X),
            "micro_grad: argument 1 has a batch of 12",
        ),
        (
            lambda: reshape_batch_axis({"k": X}, 5),
            r"reshape_batch_axis: tree\['k'\] has a batch of 12",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_accumulator_that_is_none_and_other_axes_are_refused():
    with pytest.raises(TypeError, match=r"accumulator holds 'sum'; expected an Accum"):
        microbatch(jnp.sum, 0, 2, "sum")(X)
    with pytest.raises(NotImplementedError, match=r"micro_vmap: out_axes=1"):
        micro_vmap(jnp.sum, 0, 1)
