"""Problems for solvers: functions, where to begin, and bounds, if there are any."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import datasets

Bounds = tuple[float, float] | None


class Problem(NamedTuple):
    fun: Callable[[jax.Array], jax.Array]
    start: np.ndarray
    bounds: Bounds = None  # of each entry
    # The least value, if another program knows it; else that of the best solver counts.
    least: Callable[[], float] | None = None


def booth(x: Any) -> Any:
    return (x[0] + 2 * x[1] - 7) ** 2 + (2 * x[0] + x[1] - 5) ** 2


def beale(x: Any) -> Any:
    return sum(
        (c - x[0] * (1 - x[1] ** k)) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))
    )


def himmelblau(x: Any) -> Any:
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def wood(x: Any) -> Any:
    a, b, c, d = x
    steep = 100 * (b - a**2) ** 2 + 90 * (d - c**2) ** 2
    flat = (1 - a) ** 2 + (1 - c) ** 2
    return (
        steep + flat + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2) + 19.8 * (b - 1) * (d - 1)
    )


def powell(x: Any) -> Any:
    a, b, c, d = x.reshape(-1, 4).T
    squares = (a + 10 * b) ** 2 + 5 * (c - d) ** 2
    return jnp.sum(squares + (b - 2 * c) ** 4 + 10 * (a - d) ** 4)


def helix(x: Any) -> Any:
    angle = jnp.arctan2(x[1], x[0]) / (2 * jnp.pi)
    radius = jnp.hypot(x[0], x[1])
    return 100 * ((x[2] - 10 * angle) ** 2 + (radius - 1) ** 2) + x[2] ** 2


def rosenbrock(x: Any) -> Any:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def dixon_price(x: Any) -> Any:
    i = jnp.arange(2.0, len(x) + 1)
    return (x[0] - 1) ** 2 + jnp.sum(i * (2 * x[1:] ** 2 - x[:-1]) ** 2)


def trigonometric(x: Any) -> Any:
    i = jnp.arange(1.0, len(x) + 1)
    waves = len(x) - jnp.sum(jnp.cos(x)) + i * (1 - jnp.cos(x)) - jnp.sin(x)
    return jnp.sum(waves**2)


def broyden(x: Any) -> Any:
    around = jnp.pad(x, 1)
    return jnp.sum(((3 - 2 * x) * x - around[:-2] - 2 * around[2:] + 1) ** 2)


def linear_data() -> tuple[np.ndarray, np.ndarray]:
    """Features and targets of scikit-learn's diabetes data, in standard units."""
    X, y = datasets.load_diabetes(return_X_y=True)
    return X / X.std(0), (y - y.mean()) / y.std()


def squares(A: Any, b: Any) -> Any:
    return lambda x: 0.5 * jnp.sum((A @ x - b) ** 2) / len(b)


def penalized(l1: float, l2: float) -> Problem:
    """Least squares with an L1 and an L2 penalty, as a smooth problem between bounds:
    the weights are differences of non-negative ones."""
    X, y = linear_data()
    X, loss = np.hstack([X, -X]), squares(X, y)

    def fun(w: Any) -> Any:
        half = len(w) // 2
        both = w[:half] - w[half:]
        residual = X[:, :half] @ both - y
        smooth = 0.5 * jnp.sum(residual**2) / len(y) + 0.5 * l2 * jnp.sum(both**2)
        return smooth + l1 * jnp.sum(w)

    def least() -> float:
        from sklearn.linear_model import ElasticNet

        model = ElasticNet(
            alpha=l1 + l2,
            l1_ratio=l1 / (l1 + l2),
            fit_intercept=False,
            tol=1e-12,
            max_iter=100_000,
        )
        w = model.fit(X[:, : X.shape[1] // 2], y).coef_
        return float(fun(jnp.concatenate([jnp.maximum(w, 0), jnp.maximum(-w, 0)])))

    del loss
    return Problem(fun, np.zeros(X.shape[1]), (0, np.inf), least)


def logistic() -> Problem:
    """Of scikit-learn's breast cancer data, in standard units, with an L2 penalty."""
    X, y = datasets.load_breast_cancer(return_X_y=True)
    X, signs = (X - X.mean(0)) / X.std(0), 2.0 * y - 1

    def fun(w: Any) -> Any:
        margins = signs * (X @ w[:-1] + w[-1])
        return jnp.mean(jax.nn.softplus(-margins)) + 0.5e-3 * jnp.sum(w[:-1] ** 2)

    def least() -> float:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(
            C=1 / (1e-3 * len(X)), solver="newton-cholesky", tol=1e-12, max_iter=1000
        )
        model.fit(X, y)
        return float(fun(jnp.append(model.coef_[0], model.intercept_)))

    return Problem(fun, np.zeros(X.shape[1] + 1), least=least)


def digits() -> Problem:
    """Multinomial logistic regression on scikit-learn's digits, with an L2 penalty."""
    X, y = datasets.load_digits(return_X_y=True)
    X = X / 16

    def fun(w: Any) -> Any:
        W = w.reshape(X.shape[1], 10)
        scores = X @ W
        right = jnp.take_along_axis(scores, jnp.asarray(y)[:, None], axis=1)[:, 0]
        losses = jax.nn.logsumexp(scores, axis=1) - right
        return jnp.mean(losses) + 0.5e-4 * jnp.sum(w**2)

    return Problem(fun, np.zeros(X.shape[1] * 10))


def ill_conditioned() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(80, 50)) * np.geomspace(1, 0.03, 50)
    return A, rng.normal(size=80)


def non_negative() -> Problem:
    A, b = ill_conditioned()

    def least() -> float:
        from scipy.optimize import nnls

        return 0.5 * nnls(A, b)[1] ** 2 / len(b)

    return Problem(squares(A, b), np.zeros(A.shape[1]), (0, np.inf), least)


def between() -> Problem:
    A, b = ill_conditioned()

    def least() -> float:
        from scipy.optimize import lsq_linear

        return lsq_linear(A, b, (-0.1, 0.1), tol=1e-14).cost / len(b)

    return Problem(squares(A, b), np.zeros(A.shape[1]), (-0.1, 0.1), least)


def transport() -> Problem:
    """The semi-dual of entropic optimal transport between two histograms."""
    x = np.linspace(0, 1, 60)
    a, b = (np.exp(-(((x - m) / s) ** 2)) + 1e-3 for m, s in ((0.3, 0.1), (0.7, 0.15)))
    a, b = a / a.sum(), b / b.sum()
    cost, eps = (x[:, None] - x) ** 2, 0.01

    def fun(g: Any) -> Any:
        soft = jax.nn.logsumexp((g - cost) / eps + np.log(b), axis=1)
        return eps * jnp.sum(a * soft) - jnp.sum(b * g)

    return Problem(fun, np.zeros(len(x)))


def barycentre() -> Problem:
    """The dual of the entropic Wasserstein barycentre of three histograms: a potential
    for each of two, and minus their sum for the third."""
    x = np.linspace(0, 1, 40)
    masses = [
        np.exp(-(((x - m) / s) ** 2)) + 1e-3
        for m, s in ((0.2, 0.1), (0.5, 0.05), (0.8, 0.15))
    ]
    masses = [m / m.sum() for m in masses]
    cost, eps = (x[:, None] - x) ** 2, 0.02

    def fun(g: Any) -> Any:
        first, second = g.reshape(2, -1)
        duals = zip(masses, (first, second, -first - second), strict=True)
        return sum(
            eps * jnp.sum(m * jax.nn.logsumexp((p - cost) / eps, axis=1))
            for m, p in duals
        )

    return Problem(fun, np.zeros(2 * len(x)))


def problems() -> dict[str, Problem]:
    zero = lambda: 0.0  # noqa: E731
    powell_start = np.tile([3.0, -1, 0, 1], 10)
    return {
        "Booth": Problem(booth, np.zeros(2), least=zero),
        "Beale": Problem(beale, np.ones(2), least=zero),
        "Himmelblau": Problem(himmelblau, np.zeros(2), least=zero),
        "Wood": Problem(wood, np.array([-3.0, -1, -3, -1]), least=zero),
        "helical valley": Problem(helix, np.array([-1.0, 0, 0]), least=zero),
        "Powell, 40": Problem(powell, powell_start, least=zero),
        "Rosenbrock, 2": Problem(rosenbrock, np.array([-1.2, 1]), least=zero),
        "Rosenbrock, 100": Problem(rosenbrock, np.tile([-1.2, 1], 50)),
        "Rosenbrock, 1000": Problem(rosenbrock, np.zeros(1000), least=zero),
        "Rosenbrock, box": Problem(rosenbrock, np.full(100, 0.3), (-0.5, 0.8)),
        "Dixon-Price, 20": Problem(dixon_price, np.ones(20)),
        "trigonometric, 50": Problem(trigonometric, np.full(50, 1 / 50)),
        "Broyden, 500": Problem(broyden, -np.ones(500), least=zero),
        "logistic": logistic(),
        "digits": digits(),
        "lasso": penalized(0.05, 0.0),
        "elastic net": penalized(0.05, 0.05),
        "NNLS": non_negative(),
        "box least squares": between(),
        "transport": transport(),
        "barycentre": barycentre(),
    }
