"""Losses: the laws that all obey, each against a definition in NumPy; and what is told
apart by no law."""

import copy
import functools
import inspect
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from loss_cases import CASES, CTC, K, P, X, Y
from scipy import special

import gradtx
from gradtx import losses
from gradtx.numerics.softmax import sparsemax

TORCH = json.loads(
    (pathlib.Path(__file__).parent / "reference" / "torch_losses.json").read_text()
)
cases = pytest.mark.parametrize("case", CASES, ids=repr)


def test_the_table_holds_every_loss():
    # The last has another name for `generalized_kl_divergence`.
    known = {case.loss.__name__ for case in CASES} | {"convex_kl_divergence"}
    assert known == set(losses.__all__)


@pytest.mark.parametrize("name", losses.__all__)
def test_takes_the_calls_of_optax(name):
    ours, theirs = (
        inspect.signature(getattr(library.losses, name)).parameters.values()
        for library in (gradtx, optax)
    )
    assert [(p.name, p.kind) for p in ours] == [(p.name, p.kind) for p in theirs]
    defaults = [(p.default, q.default) for p, q in zip(ours, theirs, strict=True)]
    assert all(a == b for a, b in defaults)


def test_every_loss_of_optax_is_here_and_at_the_top_where_it_is_there():
    theirs = {n for n in dir(optax.losses) if n[0] != "_" and n.islower()}
    assert theirs - {"annotations"} <= set(losses.__all__)
    for name in losses.__all__:
        assert (name in gradtx.__all__) == hasattr(optax, name)


def in_dtype(case, dtype, args=None):
    """The arguments as arrays, those that are differentiated in this dtype."""
    args = case.args if args is None else args
    return [
        jnp.asarray(x, dtype if i in case.floats else None) for i, x in enumerate(args)
    ]


def slopes(case, args, weights):
    """The gradient of the weighted reference, by central differences."""

    def at(i, x):
        return (weights * case.reference(*args[:i], x, *args[i + 1 :])).sum()

    for i in case.floats:
        x, slope = args[i], np.zeros_like(args[i])
        for j in np.ndindex(x.shape):
            h = np.zeros_like(x)
            h[j] = 1e-6
            slope[j] = (at(i, x + h) - at(i, x - h)) / 2e-6
        yield slope


@cases
def test_equals_its_definition_and_so_does_its_gradient(case, x64):
    """Jitted and mapped over a point where it is smooth and the edges, in one program;
    at the first also eagerly."""
    points = [case.args, *case.edges]
    wanted = [case.reference(*args) for args in points]
    weights = 1 + 0.1 * np.arange(np.size(wanted[0])).reshape(np.shape(wanted[0]))

    def weighted(floats, others):
        args = [floats[i] if i in floats else others[i] for i in range(len(case.args))]
        loss = case.f(*args)
        return jnp.sum(loss * weights), loss

    def split(args):
        args = dict(enumerate(map(jnp.asarray, args)))
        return {i: args.pop(i) for i in case.floats}, args

    stacked = [np.stack(x) for x in zip(*points, strict=True)]
    grad = jax.grad(weighted, has_aux=True)
    gradients, found = jax.jit(jax.vmap(grad))(*split(stacked))
    np.testing.assert_allclose(found, np.stack(wanted), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[0], case.f(*in_dtype(case, float)), rtol=1e-12)
    for i, slope in zip(case.floats, slopes(case, case.args, weights), strict=True):
        np.testing.assert_allclose(gradients[i][0], slope, rtol=1e-5, atol=1e-8)
        assert np.isfinite(gradients[i]).all(), (i, gradients[i])


@pytest.mark.parametrize("case", {c.loss: c for c in CASES[::-1]}.values(), ids=repr)
def test_half_precision_is_rounded_once(case):
    """What is given is taken as it is, computed with in float32, and rounded."""
    for dtype in (jnp.float16, jnp.float32):
        loss = jax.eval_shape(case.f, *in_dtype(case, dtype))
        assert (loss.dtype, loss.weak_type) == (dtype, False)
    args = in_dtype(case, jnp.bfloat16)
    found = jax.jit(case.f)(*args)
    assert (found.dtype, found.weak_type) == (jnp.bfloat16, False)
    exact = case.reference(
        *[
            np.asarray(x, float if i in case.floats else None)
            for i, x in enumerate(args)
        ]
    )
    np.testing.assert_allclose(np.asarray(found, float), exact, rtol=2**-8, atol=2e-6)


@cases
def test_what_means_something_else_is_refused_by_name(case):
    name = case.loss.__name__.removeprefix("make_")
    for args, word in case.refused:
        with pytest.raises(
            (ValueError, TypeError), match=rf"^(losses\.)?{name}[:(]"
        ) as error:
            # Copies, as JAX keeps what it once made of an array: float32 without x64.
            jax.eval_shape(lambda args=args: case.f(*map(copy.copy, args)))
        assert word in str(error.value)


@cases
def test_an_empty_batch_is_fine(case):
    args = [x[:0] for x in in_dtype(case, jnp.float32)]
    shape = jax.eval_shape(case.f, *in_dtype(case, jnp.float32)).shape
    if case.batched:
        assert jax.eval_shape(case.f, *args).shape == (0, *shape[1:])
    else:
        assert case.f(*args) == 0.0


def spread_over(mesh, x):
    """An argument of a batch twice as large, whose first axis lies on two devices."""
    sharding = jax.NamedSharding(mesh, jax.P("d"))
    shape = (2 * x.shape[0], *x.shape[1:])
    return jax.ShapeDtypeStruct(shape, x.dtype, sharding=sharding)


def test_a_batch_may_lie_on_several_devices():
    """By explicit shardings and in `jax.shard_map`; so does the gradient."""
    explicit = (jax.sharding.AxisType.Explicit,)
    mesh = jax.make_mesh((2,), ("d",), explicit, devices=jax.devices()[:2])
    for case in CASES:
        if not case.batched:
            continue
        args = [spread_over(mesh, x) for x in in_dtype(case, jnp.float32)]
        shard = jax.shard_map(
            case.f, mesh=mesh, in_specs=jax.P("d"), out_specs=jax.P("d")
        )
        with jax.set_mesh(mesh):
            for f in (case.f, shard):
                grad = jax.grad(lambda *args, f=f: jnp.sum(f(*args)))
                slope = jax.eval_shape(grad, *args)
                assert slope.sharding.spec[0] == "d", case


# PyTorch and scikit-learn


def inputs(name):
    return np.array(TORCH["inputs"][name])


def torch_ctc(x):
    frames, counts = np.arange(14)[None], np.arange(6)[None]
    return losses.ctc_loss(
        x,
        frames >= inputs("frames")[:, None],
        np.where(counts < inputs("counts")[:, None], inputs("labels"), -1),
        (counts >= inputs("counts")[:, None]).astype(float),
    )


PEERS = {
    "ctc_loss": torch_ctc,
    "huber_loss": lambda x: losses.huber_loss(x, inputs("y"), delta=0.7),
    "cross_entropy": lambda x: losses.softmax_cross_entropy(
        x, losses.smooth_labels(jnp.eye(5)[inputs("class")], 0.2)
    ),
    "binary_cross_entropy_with_logits": lambda x: losses.sigmoid_binary_cross_entropy(
        x, special.expit(inputs("y"))
    ),
    "kl_div": lambda x: losses.kl_divergence_with_log_targets(
        jax.nn.log_softmax(x), special.log_softmax(inputs("y"), -1)
    ),
    "cosine_similarity": lambda x: losses.cosine_similarity(x, inputs("y")),
}


@pytest.mark.parametrize("name", PEERS)
def test_equals_pytorch(name, x64):
    def total(x):
        loss = PEERS[name](x)
        return jnp.sum(loss), loss

    x = jnp.asarray(inputs("logits" if name == "ctc_loss" else "x"))
    gradient, loss = jax.jit(jax.grad(total, has_aux=True))(x)
    np.testing.assert_allclose(loss, TORCH[name]["loss"], rtol=1e-10)
    np.testing.assert_allclose(gradient, TORCH[name]["gradient"], rtol=1e-8, atol=1e-12)


def test_equals_scikit_learn(x64):
    metrics = pytest.importorskip("sklearn.metrics")
    signs, columns = np.sign(Y[0]), np.arange(4)

    @jax.jit
    def found(x, y):
        return (
            losses.softmax_cross_entropy_with_integer_labels(x, K).mean(),
            losses.multiclass_hinge_loss(x, K).mean(),
            losses.hinge_loss(x[0], signs).mean(),
            losses.cosine_distance(x[:, None], y[None]),
        )

    known = (
        metrics.log_loss(K, special.softmax(X, -1), labels=columns),
        metrics.hinge_loss(K, X, labels=columns),
        metrics.hinge_loss(signs, X[0]),
        metrics.pairwise.cosine_distances(X, Y),
    )
    for ours, theirs in zip(found(X, Y), known, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


# Shapes and dtypes


def test_what_may_broadcast(x64):
    for f in (losses.squared_error, losses.hinge_loss):
        np.testing.assert_array_equal(f(X, 1.0), f(X, np.ones_like(X)))
    every = np.broadcast_to(P[0], X.shape)
    for f in (losses.softmax_cross_entropy, losses.kl_divergence):
        wanted = f(X, every)
        for one in (P[0], P[:1]):
            np.testing.assert_allclose(f(X, one), wanted, rtol=1e-12)
        with pytest.raises(ValueError, match=r"targets|labels"):
            f(np.stack([X] * 3), P)  # of as many rows as matrices
    with pytest.raises(ValueError, match="labels has shape"):
        losses.softmax_cross_entropy(np.eye(4), np.array([0, 3, 2, 1]))
    # Negatives on an axis in front, as users of transformers have them.
    found = losses.cosine_similarity(X, np.stack([X, Y]))
    known = [np.ones(3), losses.cosine_similarity(X, Y)]
    np.testing.assert_allclose(found, known, rtol=1e-12)


def test_axes_are_those_of_the_classes(x64):
    pairs = [
        (losses.softmax_cross_entropy, P),
        (losses.kl_divergence, P),
        (losses.poly_loss_cross_entropy, P),
        (losses.cosine_similarity, Y),
    ]
    labelled = losses.softmax_cross_entropy_with_integer_labels

    @jax.jit
    def found(x):
        matrices = x.reshape(3, 2, 2)
        several = [f(matrices, b.reshape(3, 2, 2), axis=(1, 2)) for f, b in pairs]
        first = [f(x.T, b.T, axis=0) for f, b in pairs]
        every = [f(x[0], b[0], axis=None) for f, b in pairs]
        swapped = labelled(matrices.swapaxes(1, 2), K, axis=(2, 1))
        return several, first, every, swapped

    wanted = [f(X, b) for f, b in pairs]
    several, first, every, swapped = found(X)
    np.testing.assert_allclose(several, wanted, rtol=1e-12)
    np.testing.assert_allclose(first, wanted, rtol=1e-12)
    np.testing.assert_allclose(every, [loss[0] for loss in wanted], rtol=1e-12)
    np.testing.assert_allclose(swapped, labelled(X, K), rtol=1e-12)
    for f, b in pairs:
        with pytest.raises(ValueError, match="axis is 3"):
            f(X, b, axis=3)
    with pytest.raises(ValueError, match="axis is None"):
        labelled(X, K, axis=None)


def test_a_mask_of_rows_and_one_of_classes(x64):
    rows, classes = np.array([True, False, True]), np.array([True, True, False, True])
    kept = rows.astype(float)
    f = losses.softmax_cross_entropy
    g = losses.softmax_cross_entropy_with_integer_labels
    np.testing.assert_allclose(f(X, P, where=rows), kept * f(X, P))
    np.testing.assert_allclose(g(X, K, where=rows), kept * g(X, K))
    f = losses.kl_divergence
    found = f(X, P, where=classes)
    np.testing.assert_allclose(found, f(X[:, classes], P[:, classes]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32])
def test_a_label_that_is_none_gives_nan(dtype):
    bad = np.array([4, -1 if dtype != np.uint8 else 255, 1]).astype(dtype)
    known = np.array([False, False, True])
    labelled = losses.softmax_cross_entropy_with_integer_labels
    names = ["softmax_cross_entropy_with_integer_labels", "multiclass_hinge_loss"]
    names += ["multiclass_perceptron_loss", "multiclass_sparsemax_loss"]

    @jax.jit
    def found(x):
        # Whoever knows which these are can leave them out, of the gradient too.
        slopes = (
            jax.grad(lambda x: labelled(x, bad, where=known).sum())(x),
            jax.grad(lambda x: jnp.where(known, labelled(x, bad), 0.0).sum())(x),
        )
        return [getattr(losses, name)(x, bad) for name in names], slopes

    each, slopes = found(jnp.asarray(X, jnp.float32))
    for loss in each:
        assert np.isnan(loss).tolist() == [True, True, False]
    for slope in slopes:
        assert not slope[:2].any()
        np.testing.assert_allclose(
            slope[2], special.softmax(X[2]) - np.eye(4)[1], rtol=1e-5
        )
    many = jnp.zeros((1, 300))
    assert np.isfinite(labelled(many, np.array([100]).astype(dtype)))


def test_the_dtype_of_the_result():
    half, wide = jnp.asarray(X, jnp.bfloat16), jnp.asarray(P, jnp.float32)
    assert losses.sigmoid_binary_cross_entropy(half, wide).dtype == jnp.bfloat16
    assert losses.softmax_cross_entropy(half, wide).dtype == jnp.float32
    assert losses.squared_error(half, 1.0).dtype == jnp.bfloat16
    assert losses.squared_error(half, np.ones(X.shape, int)).dtype == jnp.bfloat16
    assert losses.huber_loss(half, delta=jnp.float32(2.0)).dtype == jnp.bfloat16
    large = losses.cosine_similarity(half * 1e30, half * 1e30)
    np.testing.assert_array_equal(large, np.ones(3))


def test_hyperparameters_are_checked():
    wrong = [
        (lambda: losses.huber_loss(X, delta=0.0), "delta"),
        (lambda: losses.sigmoid_focal_loss(X, P, gamma=-1.0), "gamma"),
        (lambda: losses.sigmoid_focal_loss(X, P, alpha=2.0), "alpha"),
        (lambda: losses.smooth_labels(P, 1.5), "alpha"),
        (lambda: losses.cosine_similarity(X, Y, epsilon=-1.0), "epsilon"),
        (lambda: losses.ntxent(X, K, temperature=0.0), "temperature"),
        (lambda: losses.triplet_margin_loss(X, Y, X, norm_degree=0.5), "norm_degree"),
        (lambda: losses.dice_loss(X, P, reduction="max"), "reduction"),
        (lambda: losses.dice_loss(X, P, class_weights=np.ones(3)), "class_weights"),
        (lambda: losses.dice_loss(X, P, axis=-1), "axis"),
        (lambda: losses.ctc_loss(*CTC, blank_id=3), "blank_id"),
        (lambda: losses.make_fenchel_young_loss(3.0), "max_fun"),
        (lambda: losses.huber_loss(X[0], delta=np.ones((3, 4))), "delta"),
        (lambda: losses.huber_loss(X, delta=np.ones(3)), "delta"),
    ]
    for call, word in wrong:
        with pytest.raises((ValueError, TypeError), match=word):
            call()
    each = jnp.array([0.1, 1.0, 2.0, 3.0])
    found = losses.huber_loss(X, Y, delta=each)
    np.testing.assert_allclose(found, special.huber(each, X - Y), rtol=1e-5)


# One by one


def test_small_and_large_errors_keep_their_digits():
    x = jnp.array([1e-4, 1e-3, 0.3, 0.999, 1.0, 50.0, 1e30])
    exact = np.asarray(x, float)
    exact = np.where(exact < 1, 0.0, exact - np.log(2) + np.log1p(np.exp(-2 * exact)))
    near = np.asarray(x[:4], float)
    exact[:4] = np.log1p(2 * np.sinh(near / 2) ** 2)
    np.testing.assert_allclose(losses.log_cosh(x), exact, rtol=1e-6)


def test_fenchel_young_losses_are_zero_at_best(x64):
    def conjugate(s):
        p = sparsemax(s)
        return p @ s - 0.5 * (p @ p)

    loss = losses.make_fenchel_young_loss(conjugate)

    @jax.jit
    def found(x, y):
        p = sparsemax(x)
        slope = jax.grad(lambda s: loss(s, P).sum())(x)
        one_hot = loss(x, jnp.eye(4)[K])
        multiclass = losses.multiclass_sparsemax_loss(x, K)
        return p, loss(x, p), loss(y, p), slope, one_hot, multiclass

    p, best, other, slope, one_hot, multiclass = map(np.asarray, found(X, Y))
    norm = 0.5 * (p**2).sum(-1)
    np.testing.assert_allclose(best + norm, np.zeros(3), atol=1e-12)
    assert (other + norm >= 0).all()
    np.testing.assert_allclose(slope, p - P, atol=1e-12)
    np.testing.assert_allclose(multiclass, one_hot + 0.5, atol=1e-12)
    scaled = losses.make_fenchel_young_loss(lambda s, c, power: c * jnp.sum(s**power))
    known = 2 * X[0] @ X[0] - P[0] @ X[0]
    np.testing.assert_allclose(scaled(X[0], P[0], 2.0, power=2), known)


def test_second_derivatives(x64):
    names = "softmax_cross_entropy_with_integer_labels", "multiclass_sparsemax_loss"
    fs = [functools.partial(getattr(losses, name), labels=1) for name in names]
    found = jax.jit(lambda x: [jax.hessian(f)(x) for f in fs])(X[0])
    p = special.softmax(X[0])
    on = (X[0] > 1.2).astype(float)  # where sparsemax is not 0
    np.testing.assert_allclose(found[0], np.diag(p) - np.outer(p, p), rtol=1e-12)
    known = np.diag(on) - np.outer(on, on) / on.sum()
    np.testing.assert_allclose(found[1], known, atol=1e-12)


def test_ranking_by_definition():
    f = losses.ranking_softmax_loss
    w = np.array([0.5, 2.0, 1.0, 3.0])
    each = f(X, P, weights=w, reduce_fn=None)
    np.testing.assert_allclose(
        each, -(w * P * special.log_softmax(X, -1)).sum(-1), rtol=1e-6
    )
    np.testing.assert_allclose(f(X, P, weights=w, reduce_fn=jnp.max), each.max())
    rows = np.array([[True], [False], [True]])
    found = f(X, P, weights=w, where=rows, reduce_fn=jnp.sum)
    np.testing.assert_allclose(found, each[0] + each[2], rtol=1e-6)


def test_probabilities_of_dice_are_checked_where_they_are_known():
    p = jnp.full((2, 3, 2), 0.5)
    t = p > 0.2
    assert losses.dice_loss(p, t, apply_softmax=False).shape == (2,)
    single = p[..., :1]  # of one channel they do not sum to 1
    assert losses.binary_dice_loss(single, t[..., 0], apply_sigmoid=False).shape == (2,)
    with pytest.raises(ValueError, match="valid probability distributions"):
        losses.dice_loss(p + 0.1, t, apply_softmax=False)
    with pytest.raises(ValueError, match="probabilities"):
        losses.binary_dice_loss(single + 1, t[..., :1], apply_sigmoid=False)
    traced = jax.eval_shape(lambda p: losses.dice_loss(p, t, apply_softmax=False), p)
    assert traced.shape == (2,)


def test_ctc_of_what_is_wrong_or_cannot_be():
    x, frames, y, pads = CTC

    @jax.jit
    def ctc(x, frames, y, pads, log_epsilon):
        def total(x):
            loss = losses.ctc_loss(x, frames, y, pads, log_epsilon=log_epsilon)
            return loss.sum(), loss

        slope, loss = jax.grad(total, has_aux=True)(x)
        return loss, slope

    usual = jnp.float32(-1e5)
    wrong = np.array([[1, 3], [0, 1], [2, -7]])  # the last is padding
    loss, _ = ctc(x, frames, wrong, pads, usual)
    assert np.isnan(loss).tolist() == [True, True, False]
    gap = np.array([[1.0, 0.0], [0, 0], [0, 1]])
    loss, _ = ctc(x, frames, y, gap, usual)
    assert np.isnan(loss).tolist() == [True, False, False]
    short = np.array([[0, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1.0]])
    noise = np.where(short[..., None] == 1, np.nan, x)  # padding may hold anything
    for given in (x, noise):
        loss, slope = ctc(given, short, y, pads, usual)
        assert (np.asarray(loss) > 9e4).all()
        assert np.isfinite(slope).all()
        assert not slope[short == 1].any()
    loss, _ = ctc(x, short, y, pads, jnp.float32(-jnp.inf))
    assert np.isposinf(loss).all()


def test_ctc_of_nothing():
    x, frames, y, pads = CTC
    f = jax.jit(losses.ctc_loss_with_forward_probs)
    none, _, _ = f(x, frames, y[:, :0], pads[:, :0])
    blank = special.log_softmax(x, -1)[..., 0]
    np.testing.assert_allclose(none, -(blank * (frames == 0)).sum(-1), rtol=1e-5)
    at_once = f(x[:, :0], frames[:, :0], y, pads + 1)
    assert [np.shape(z) for z in at_once] == [(3,), (0, 3, 3), (0, 3, 2)]
    assert not at_once[0].any()


def test_ctc_of_another_blank_and_its_forward_probabilities():
    x, frames, y, pads = CTC
    moved = np.roll(x, 1, axis=-1)  # class 0 is the last then
    order = np.array([1, 2, 0])  # what was class k is k + 1
    f = jax.jit(losses.ctc_loss_with_forward_probs, static_argnames="blank_id")
    found, _, _ = f(moved, frames, order[y], pads, blank_id=1)
    whole, blanks, emits = f(x, frames, y, pads)
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    log_p = special.log_softmax(x, -1)
    first = log_p[0, 0]
    np.testing.assert_allclose(blanks[0, 0, 0], first[0], rtol=1e-5)
    np.testing.assert_allclose(emits[0, 0, 0], first[1], rtol=1e-5)
    # Two frames: "1 1", "1 after a blank", or both labels.
    p = np.exp(log_p[0])
    one = p[1, 1] * (p[0, 1] + p[0, 0])
    np.testing.assert_allclose(np.exp(emits[1, 0]), [one, p[0, 1] * p[1, 2]], rtol=1e-5)
    np.testing.assert_allclose(-blanks[-1, 0, 2], whole[0], rtol=1e-6)


def test_the_former_name_of_a_divergence_warns():
    with pytest.warns(DeprecationWarning, match="use generalized_kl_divergence"):
        found = losses.convex_kl_divergence(X, P)
    np.testing.assert_array_equal(found, losses.generalized_kl_divergence(X, P))


def test_compiled_once_for_all_values():
    traces = []

    @jax.jit
    def f(x, k, delta):
        traces.append(1)
        loss = losses.softmax_cross_entropy_with_integer_labels(x, k)
        return loss + losses.huber_loss(x, delta=delta).sum(-1)

    for delta in (0.5, 2.0):
        f(jnp.asarray(X, jnp.float32), jnp.asarray(K), jnp.float32(delta))
    assert len(traces) == 1
