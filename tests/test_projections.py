"""Projections: exact, also where the input is degenerate, with right derivatives."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from jax.test_util import check_grads

import gradtx
from gradtx import projections
from gradtx.projections import (
    project,
    projection_box,
    projection_halfspace,
    projection_hypercube,
    projection_hyperplane,
    projection_l1_ball,
    projection_l1_sphere,
    projection_l2_ball,
    projection_l2_sphere,
    projection_linf_ball,
    projection_non_negative,
    projection_simplex,
    projection_vector,
)

inf, nan = np.inf, np.nan
A = np.array([1.0, -2.0, 0.5, 3.0, -1.0, 0.25])
LOW, HIGH = -0.5 * np.abs(A), 0.25 + np.abs(A) / 4

# A function of the tree, and what its values y satisfy: (type, function of y).
CONVEX = {
    "non_negative": (projection_non_negative, [("ineq", lambda y: y)]),
    "box": (
        lambda x: projection_box(x, LOW, HIGH),
        [("ineq", lambda y: y - LOW), ("ineq", lambda y: HIGH - y)],
    ),
    "hypercube": (
        lambda x: projection_hypercube(x, 0.7),
        [("ineq", lambda y: y), ("ineq", lambda y: 0.7 - y)],
    ),
    "linf_ball": (
        lambda x: projection_linf_ball(x, 0.6),
        [("ineq", lambda y: 0.6 - y), ("ineq", lambda y: y + 0.6)],
    ),
    "simplex": (
        lambda x: projection_simplex(x, 1.5),
        [("ineq", lambda y: y), ("eq", lambda y: y.sum() - 1.5)],
    ),
    "l2_ball": (
        lambda x: projection_l2_ball(x, 0.8),
        [("ineq", lambda y: 0.64 - (y**2).sum())],
    ),
    "vector": (
        lambda x: projection_vector(x, A),
        [("eq", lambda y: y[1:] * A[0] - y[0] * A[1:])],
    ),
    "hyperplane": (
        lambda x: projection_hyperplane(x, A, 0.5),
        [("eq", lambda y: A @ y - 0.5)],
    ),
    "halfspace": (
        lambda x: projection_halfspace(x, A, -0.5),
        [("ineq", lambda y: -0.5 - A @ y)],
    ),
}
ANY = {
    **{name: f for name, (f, _) in CONVEX.items()},
    "l1_ball": lambda x: projection_l1_ball(x, 0.9),
    "l1_sphere": lambda x: projection_l1_sphere(x, 0.9),
    "l2_sphere": lambda x: projection_l2_sphere(x, 0.9),
}


def inputs(n=3):
    scales = np.array([[1.0], [0.3], [3.0]])
    return (np.random.default_rng(0).normal(size=(3, 6)) * scales)[:n]


@pytest.mark.parametrize("name", CONVEX)
def test_is_the_solution_of_the_quadratic_program(name, x64):
    f, constraints = CONVEX[name]
    constraints = [{"type": kind, "fun": g} for kind, g in constraints]
    for x in inputs():
        y = f(jnp.asarray(x))
        best = scipy.optimize.minimize(
            lambda y, x=x: ((y - x) ** 2).sum() / 2,
            np.full(6, 0.1),
            jac=lambda y, x=x: y - x,
            constraints=constraints,
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 200},
        )
        np.testing.assert_allclose(y, best.x, atol=2e-6)


def test_the_l1_ball_and_sphere_by_all_supports(x64):
    """The nearest point has the signs of x, and among each support one candidate."""

    def nearest(x, radius):
        best = None
        for bits in range(1, 2**6):
            on = np.array([bits >> i & 1 for i in range(6)], bool)
            y = np.where(on, np.abs(x) - (np.abs(x)[on].sum() - radius) / on.sum(), 0)
            if (y >= 0).all():
                y *= np.where(x < 0, -1, 1)
                if best is None or ((y - x) ** 2).sum() < ((best - x) ** 2).sum():
                    best = y
        return best

    for x in (*inputs(), np.array([0.0, 0.1, 0.0, -0.1, 0.1, 0.0])):
        y = nearest(x, 0.9)
        np.testing.assert_allclose(projection_l1_sphere(x, 0.9), y, atol=1e-14)
        inside = np.abs(x).sum() <= 0.9
        expected = x if inside else y
        np.testing.assert_allclose(projection_l1_ball(x, 0.9), expected, atol=1e-14)


def test_a_tree_is_one_vector_and_optax_agrees(lenient):
    rng = np.random.default_rng(1)
    x, a = (
        {
            "w": rng.normal(size=(2, 3)).astype("f"),
            "b": (np.float32(rng.normal()), None),
        }
        for _ in range(2)
    )
    for name in projections.__all__:
        ours = getattr(projections, name)
        theirs = getattr(optax.projections, name, None)
        more = {
            "projection_box": (
                jax.tree.map(lambda x: x * 0 - 0.5, x),
                jax.tree.map(lambda x: x * 0 + 0.25, x),
            ),
            "projection_vector": (a,),
            "projection_hyperplane": (a, 0.3),
            "projection_halfspace": (a, -0.3),
        }.get(name, ())
        # Theirs takes no bounds of 0 and 1 for a tree.
        if theirs is not None and name != "projection_hypercube":
            chex.assert_trees_all_close(ours(x, *more), theirs(x, *more), atol=1e-6)


@pytest.mark.parametrize("name", ANY)
def test_derivatives_are_those_of_finite_differences(name, x64, lenient):
    for x in inputs(2):
        check_grads(jax.jit(ANY[name]), (jnp.asarray(x),), order=1, eps=1e-6)


def test_derivatives_by_the_other_arguments(x64, lenient):
    def check(f, *args):
        check_grads(jax.jit(f), args, order=1, eps=1e-6)

    x = jnp.asarray(inputs()[0])
    for f in (
        projection_hypercube,
        projection_linf_ball,
        projection_simplex,
        projection_l1_ball,
        projection_l1_sphere,
        projection_l2_ball,
        projection_l2_sphere,
    ):
        check(functools.partial(f, x), jnp.asarray(0.7))
    check(projection_vector, x, A)
    for f in (projection_hyperplane, projection_halfspace):
        check(f, x, A, -5.0)
    check(projection_box, x, jnp.asarray(LOW), jnp.asarray(HIGH))
    simplex = jax.jit(jax.hessian(lambda x: (projection_simplex(x) ** 2).sum()))(x)
    assert np.isfinite(simplex).all()


def test_in_the_set_the_derivative_is_the_identity():
    on_boundary = jnp.array([0.6, 0.0, -0.8])
    cases = (
        (projection_l2_ball, jnp.zeros(3)),
        (projection_l1_ball, jnp.zeros(3)),
        (projection_linf_ball, jnp.array([1.0, 0.0, -1.0])),
        (projection_l1_ball, jnp.array([0.5, 0.0, -0.5])),
        (projection_non_negative, jnp.array([0.0, 1.0, 2.0])),
        (projection_hypercube, jnp.array([0.0, 1.0, 0.5])),
        (functools.partial(projection_l2_ball, scale=inf), on_boundary),
        (functools.partial(projection_l1_ball, scale=inf), on_boundary),
        (lambda x: projection_halfspace(x, jnp.ones(3), 0.0), jnp.array([1.0, -1, 0])),
        (lambda x: projection_halfspace(x, jnp.ones(3), inf), on_boundary),
        (lambda x: projection_hyperplane(x, jnp.zeros(3), 0.0), on_boundary),
    )

    @jax.jit
    def all_at_once():
        return [(f(x), jax.jacrev(f)(x), jax.jacfwd(f)(x)) for f, x in cases]

    for (_, x), (y, reverse, forward) in zip(cases, all_at_once(), strict=True):
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(reverse, np.eye(3))
        np.testing.assert_array_equal(forward, np.eye(3))


def test_derivatives_where_there_is_none_are_finite():
    xs = jnp.zeros(3), jnp.array([1.0, 0.0, -2.0])
    scaled = [
        getattr(projections, name)
        for name in projections.__all__
        if name.endswith(("ball", "sphere", "simplex", "cube"))
    ]

    @jax.jit
    def all_at_once():
        slopes = [jax.jacrev(f, argnums=(0, 1))(xs[0], 0.7) for f in scaled]
        points = [jax.jacrev(f, argnums=(0, 1))(x, 0.0) for f in scaled for x in xs]
        return slopes, points, [f(x, 0.0) for f in scaled for x in xs]

    slopes, points, values = all_at_once()
    chex.assert_tree_all_finite((slopes, points))
    for by_x, value in zip([by_x for by_x, _ in points], values, strict=True):
        np.testing.assert_array_equal(value, 0)
        np.testing.assert_array_equal(by_x, 0)


DEGENERATE = [
    (projection_simplex, [0.0, 0.0, -inf], [0.5, 0.5, 0.0]),
    (projection_simplex, [inf, 2.0, inf], [0.5, 0.0, 0.5]),
    (projection_simplex, [-inf, -inf], [0.5, 0.5]),
    (projection_simplex, [7.0, 7.0, 7.0, 6.0], [1 / 3, 1 / 3, 1 / 3, 0.0]),
    (projection_simplex, [3e38, -3e38], [1.0, 0.0]),
    (projection_simplex, [-5.0], [1.0]),
    (projection_simplex, [2.0**26, 2.0**26 - 2**20], [1.0, 0.0]),
    (projection_simplex, 4.0, 1.0),
    (projection_simplex, [0.0, nan], [nan, nan]),
    (projection_l1_sphere, [0.0, 0.0], [0.5, 0.5]),
    (projection_l1_sphere, [-inf, 1.0], [-1.0, 0.0]),
    (projection_l1_sphere, -3.0, -1.0),
    (projection_l1_ball, [-inf, 1.0], [-1.0, 0.0]),
    (projection_l1_ball, [3e38, -3e38], [0.5, -0.5]),
    (projection_l1_ball, [0.25, -0.5], [0.25, -0.5]),
    (projection_l1_ball, [nan, 0.5], [nan, nan]),
    (projection_l2_sphere, [0.0] * 4, [0.5] * 4),
    (projection_l2_sphere, [1e-30, 0.0], [1.0, 0.0]),
    (projection_l2_sphere, [3e38, 3e38], [0.5**0.5] * 2),
    (projection_l2_sphere, [-inf, 5.0], [-1.0, 0.0]),
    (projection_l2_ball, [3e30, 4e30], [0.6, 0.8]),
    (projection_l2_ball, [3e-30, 0.0], [3e-30, 0.0]),
    (projection_l2_ball, [inf, inf], [0.5**0.5] * 2),
    (projection_l2_ball, [nan, 0.0], [nan, nan]),
    (projection_linf_ball, [inf, -inf, nan, 0.5], [1.0, -1.0, nan, 0.5]),
    (projection_non_negative, [inf, -inf, nan, -0.5], [inf, 0.0, nan, 0.0]),
    (projection_hypercube, [inf, -inf, nan, 0.5], [1.0, 0.0, nan, 0.5]),
]


def test_degenerate_inputs():
    @jax.jit
    def all_at_once():
        xs = [jnp.asarray(x, jnp.float32) for _, x, _ in DEGENERATE]
        fs = [f for f, _, _ in DEGENERATE]
        finite = [jnp.nan_to_num(x, posinf=1, neginf=-1) for x in xs]
        slopes = [jax.jacrev(f)(x) for f, x in zip(fs, finite, strict=True)]
        half = [f(x.astype(jnp.bfloat16)) for f, x in zip(fs, xs, strict=True)]
        return [f(x) for f, x in zip(fs, xs, strict=True)], half, slopes

    for (f, _, expected), y, half, slope in zip(
        DEGENERATE, *all_at_once(), strict=True
    ):
        name = f.__name__
        np.testing.assert_allclose(y, np.float32(expected), rtol=2e-7, err_msg=name)
        assert (half.shape, half.dtype) == (y.shape, jnp.bfloat16)
        np.testing.assert_allclose(np.float32(half), np.float32(y), rtol=2**-7)
        assert np.isfinite(slope).all()


def test_empty_trees_come_back():
    for f in (*ANY.values(), projection_simplex):
        if f not in (ANY["vector"], ANY["box"], ANY["hyperplane"], ANY["halfspace"]):
            assert f({}) == {}
            assert f({"a": jnp.ones(0), "b": None})["a"].shape == (0,)
    assert projection_hyperplane({}, {}, 1.0) == {}


def test_large_simplexes_are_exact_to_rounding():
    x = np.random.default_rng(2).normal(size=200_000).astype("f") * 1e-3 + 100
    y = np.asarray(jax.jit(projection_simplex)(x), "d")
    np.testing.assert_allclose(y.sum(), 1, atol=1e-5)
    s = np.sort(np.asarray(x, "d"))[::-1]
    taus = (np.cumsum(s) - 1) / np.arange(1, s.size + 1)
    tau = taus[np.flatnonzero(s > taus)[-1]]
    np.testing.assert_allclose(y, np.maximum(x - tau, 0), atol=1e-6)


def test_complex_numbers_keep_their_angles(x64):
    z = jnp.asarray([3 + 4j, 0.3j, -1.0])
    for f in (projection_l1_ball, projection_l1_sphere, projection_linf_ball):
        expected = np.asarray(f(jnp.abs(z), 0.9)) * np.exp(1j * np.angle(z))
        np.testing.assert_allclose(f(z, 0.9), expected, atol=1e-14)
    pairs = jnp.stack([z.real, z.imag])
    for f in (projection_l2_ball, projection_l2_sphere):
        re, im = f(pairs)
        np.testing.assert_allclose(f(z), jax.lax.complex(re, im), atol=1e-14)
    for f in (projection_simplex, projection_non_negative):
        with pytest.raises(TypeError, match=r"projection_.*complex128; expected real"):
            f({"a": z})


def test_integers_become_floats_and_others_are_refused():
    y = projection_simplex({"a": np.array([1, 1, 0])})["a"]
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, [0.5, 0.5, 0.0])
    with pytest.raises(TypeError, match=r"tree\['a'\] is of dtype bool"):
        projection_l2_ball({"a": np.array([True])})


def test_what_does_not_match_is_refused():
    x = {"a": jnp.ones(2), "b": jnp.ones(3)}
    with pytest.raises(ValueError, match=r"projection_simplex: scale is -1"):
        projection_simplex(x, -1)
    with pytest.raises(ValueError, match=r"scale has shape \(2,\)"):
        projection_l2_ball(x, jnp.ones(2))
    with pytest.raises(ValueError, match=r"upper\['b'\] has shape \(2,\)|tree\['b'\]"):
        projection_box(x, 0.0, {"a": 1.0, "b": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"upper is 0.*expected a number >= 1"):
        projection_box(jnp.ones(2), 1.0, 0.0)
    with pytest.raises(ValueError, match=r"\['b'\] has no counterpart in a"):
        projection_hyperplane(x, {"a": jnp.ones(2)}, 0.0)
    with pytest.raises(ValueError, match=r"a\['b'\] has shape \(1,\)"):
        projection_vector(x, {"a": jnp.ones(2), "b": jnp.ones(1)})


def test_bounds_are_a_prefix_of_the_tree():
    x = {"a": {"k": jnp.array([-2.0, 2.0])}, "b": jnp.array(3.0), "c": None}
    y = projection_box(x, -1.0, {"a": 0.5, "b": inf, "c": 1.0})
    np.testing.assert_array_equal(y["a"]["k"], [-1.0, 0.5])
    assert y["b"] == 3.0
    assert y["c"] is None


def test_vmap_and_one_trace():
    x = jnp.asarray(inputs(), "f")
    radii = jnp.array([0.5, 1.0, 20.0])
    for f in (projection_simplex, projection_l1_ball, projection_l2_ball):
        batched = jax.jit(jax.vmap(f))(x, radii)
        one_by_one = [f(*each) for each in zip(x, radii, strict=True)]
        np.testing.assert_allclose(batched, jnp.stack(one_by_one), atol=1e-6)


# As the last link of a chain.


P = {"a": jnp.array([0.5, -1.0, 2.0]), "b": jnp.array([[0.25, 3.0]])}
U = {"a": jnp.array([0.5, 0.5, 0.5]), "b": jnp.array([[1.0, -1.0]])}


def stepped(tx, p=P, u=U):
    u, _ = jax.jit(tx.update)(u, tx.init(p), p)
    return gradtx.apply_updates(p, u)


def test_of_the_whole_tree_or_of_each_leaf():
    moved = gradtx.apply_updates(P, U)
    tree = stepped(project(projection_simplex, scale=2.0))
    chex.assert_trees_all_close(tree, projection_simplex(moved, 2.0), atol=3e-7)
    leaf = stepped(project(projection_simplex, per="leaf", scale=2.0))
    each = jax.tree.map(lambda w: projection_simplex(w, 2.0), moved)
    chex.assert_trees_all_close(leaf, each, atol=3e-7)
    low = {"a": jnp.array([0.0, 0.5, 1.0]), "b": 1.5}
    box = stepped(project(projection_box, lower=low, upper=2.0))
    chex.assert_trees_all_close(box, projection_box(moved, low, 2.0), atol=3e-7)


def test_of_the_leaves_that_a_mask_selects():
    tx = gradtx.masked(project(projection_non_negative), gradtx.vectors)
    p = {**P, "b": -P["b"]}
    new = stepped(tx, p)
    np.testing.assert_array_equal(new["a"], [1.0, 0.0, 2.5])
    chex.assert_trees_all_close(new["b"], p["b"] + U["b"])


def test_of_a_tree_that_is_spread_over_devices():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("d",))
    p = {"a": jnp.linspace(-1.0, 1.0, 8), "b": jnp.ones(4)}
    tx, over = project(projection_l1_ball, scale=0.5), jax.sharding.PartitionSpec("d")
    spread = gradtx.across(tx, "d")

    def new(p):
        return spread.update(p, spread.init(p), p)[0]

    on_two = jax.jit(jax.shard_map(new, mesh=mesh, in_specs=over, out_specs=over))(p)
    alone, _ = jax.jit(tx.update)(p, tx.init(p), p)
    chex.assert_trees_all_close(on_two, alone, atol=1e-7)


def test_arguments_may_be_schedules_and_arrays():
    tx = project(projection_linf_ball, scale=gradtx.linear_schedule(1.0, 0.0, 2))
    state, largest = tx.init(P), []
    for _ in range(3):
        u, state = jax.jit(tx.update)(U, state, P)
        largest.append(float(gradtx.tree.norm(gradtx.apply_updates(P, u), "inf")))
    assert largest == [1.0, 0.5, 0.0]
    given = project(projection_linf_ball, scale=jnp.array(0.5))
    chex.assert_trees_all_equal(
        stepped(given), stepped(project(projection_linf_ball, scale=0.5))
    )
    assert eval(repr(given), {**vars(gradtx), "jnp": jnp}) == given
    assert gradtx.parse(repr(given)) == given


def test_arguments_that_a_projection_does_not_take_are_refused():
    with pytest.raises(TypeError, match=r"project.*unexpected keyword argument 'scal'"):
        project(projection_l2_ball, scal=1.0)
    with pytest.raises(
        TypeError, match=r"project.*missing a required argument: 'upper'"
    ):
        project(projection_box, lower=1.0)
    for bad in (float("nan"), None, "1", True):
        with pytest.raises(ValueError, match=r"project\(.*scale must be"):
            project(projection_l2_ball, scale=bad)
    with pytest.raises(ValueError, match="per must be"):
        project(projection_l2_ball, per="row")


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_how_far_rounding_leads_out_of_the_set(dtype):
    """By one rounding of the update and one of the sum; of float32 updates, none."""
    rng = np.random.default_rng(3)
    p, u = (jnp.asarray(rng.uniform(-2, 2, 4000)).astype(dtype) for _ in range(2))
    tx = project(projection_linf_ball, scale=1.0)
    eps = float(jnp.finfo(dtype).eps)
    new = np.asarray(stepped(tx, p, u), "d")
    assert np.abs(new).max() <= 1 + 2 * eps
    assert np.abs(np.asarray(stepped(tx, p, u.astype(jnp.float32)), "d")).max() <= (
        1 + 2 * (eps if dtype == jnp.float32 else 0)
    )


def test_parameters_do_not_leave_a_box():
    rng = np.random.default_rng(4)
    p, u = jnp.asarray(rng.uniform((-0.5, -2), (0.1, 2), (5000, 2)), "f").T
    new = np.asarray(stepped(project(projection_box, lower=-0.5, upper=0.1), p, u))
    assert new.max() == np.float32(0.1)
    assert new.min() == -0.5


def test_projected_descent_finds_the_constrained_minimum():
    target = jnp.asarray([1.2, 0.3, -2.0])
    tx = gradtx.chain(gradtx.sgd(0.3), project(projection_simplex))

    def step(carry, _):
        w, state = carry
        u, state = tx.update(w - target, state, w)
        return (gradtx.apply_updates(w, u), state), None

    w = jnp.full(3, 1 / 3)
    (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), length=60)
    np.testing.assert_allclose(w, projection_simplex(target), atol=1e-6)
    assert w[2] == 0
