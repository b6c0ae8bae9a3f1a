"""Solvers beside each other: what they solve, with how many evaluations, how fast."""

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import measure
from benchmarks.measure import Result
from benchmarks.problems import Problem, problems
from gradtx import solvers as ours

TOL, MOST = 1e-6, 5000  # of the gradient's largest entry; steps
NEAR = 1e-7  # how near to the least value is solved, relative to it or to 1
Run = Callable[[], np.ndarray]  # from a problem to where a solver ends

PEERS: dict[str, tuple[str, Callable[..., Any]]] = {}


def peer(name: str, package: str) -> Any:
    """Names a function from a function, a start and bounds to a jitted function that
    returns where it ends; or None, if it cannot do it."""

    def add(build: Callable[..., Any]) -> Callable[..., Any]:
        PEERS[name] = package, build
        return build

    return add


@peer("gradtx lbfgs", "gradtx")
def gradtx_lbfgs(fun: Any, start: Any, bounds: Any) -> Any:
    return jax.jit(
        lambda x: (
            ours.minimize(
                fun, x, "lbfgs", bounds=bounds, tol=TOL, max_steps=MOST
            ).params
        )
    )


@peer("gradtx lbfgsb", "gradtx")
def gradtx_lbfgsb(fun: Any, start: Any, bounds: Any) -> Any:
    if bounds is not None:
        return None  # it is the same
    return jax.jit(
        lambda x: ours.minimize(fun, x, "lbfgsb", tol=TOL, max_steps=MOST).params
    )


@peer("SciPy L-BFGS-B", "scipy")
def scipy_lbfgsb(fun: Any, start: Any, bounds: Any) -> Any:
    from scipy.optimize import minimize

    value_and_grad = jax.jit(jax.value_and_grad(fun))

    def run(x: Any) -> Any:
        def both(x: Any) -> Any:
            value, grad = value_and_grad(x)
            return float(value), np.asarray(grad)

        options = {"gtol": TOL, "ftol": 0, "maxiter": MOST, "maxfun": 10 * MOST}
        sides = None if bounds is None else [bounds] * len(start)
        return minimize(
            both, x, jac=True, method="L-BFGS-B", bounds=sides, options=options
        ).x

    return run


@peer("JAXopt", "jaxopt")
def jaxopt_lbfgs(fun: Any, start: Any, bounds: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is no longer maintained
        import jaxopt
    if bounds is None:
        solver = jaxopt.LBFGS(fun, tol=TOL, maxiter=MOST)
        return jax.jit(lambda x: solver.run(x).params)
    solver = jaxopt.LBFGSB(fun, tol=TOL, maxiter=MOST)
    box = tuple(jnp.full_like(start, b) for b in bounds)
    return jax.jit(lambda x: solver.run(x, bounds=box).params)


@peer("Optimistix", "optimistix")
def optimistix_lbfgs(fun: Any, start: Any, bounds: Any) -> Any:
    import optimistix

    if bounds is not None:
        return None
    make = getattr(optimistix, "LBFGS", optimistix.BFGS)
    solver = make(rtol=1e-10, atol=1e-10)
    return jax.jit(
        lambda x: (
            optimistix.minimise(
                lambda y, _: fun(y), solver, x, max_steps=MOST, throw=False
            ).value
        )
    )


def evaluations(build: Any, problem: Problem) -> tuple[int, np.ndarray]:
    """How often the function is run on the way, and where that ends."""
    count = 0

    def tell() -> None:
        nonlocal count
        count += 1

    def counted(x: Any) -> Any:
        jax.debug.callback(tell)
        return problem.fun(x)

    solve = build(counted, problem.start, problem.bounds)
    end = np.asarray(solve(jnp.asarray(problem.start)))
    jax.effects_barrier()
    return count, end


def measured(
    build: Any, problem: Problem, options: argparse.Namespace
) -> dict[str, Any]:
    """Evaluations, the end, the time of the first call, and of further ones."""
    count, _ = evaluations(build, problem)
    jax.clear_caches()
    start = jnp.asarray(problem.start)
    solve = build(problem.fun, problem.start, problem.bounds)
    begun = time.perf_counter()
    end = np.asarray(solve(start))
    first = time.perf_counter() - begun
    times = []
    with measure.no_collection():
        for _ in range(options.repeats):
            begun = time.perf_counter()
            jax.block_until_ready(solve(start))
            times.append(time.perf_counter() - begun)
    value = float(problem.fun(jnp.asarray(end)))
    low, high = problem.bounds or (-math.inf, math.inf)
    if not np.all((end >= low) & (end <= high)):
        value = math.inf
    return {"evaluations": count, "value": value, "first": first, "times": times}


def solvers(options: argparse.Namespace) -> Result:
    """Problems, solved by each solver that is installed."""
    found = {name: find_spec(package) for name, (package, _) in PEERS.items()}
    absent = sorted({PEERS[name][0] for name, spec in found.items() if spec is None})
    result = Result(
        "solvers",
        f"In float64, until the largest entry of the gradient is {TOL} (Optimistix has "
        "another criterion, at 1e-10). Solved: the value is within "
        f"{NEAR} of the least, relative to that or to 1. Evaluations are runs of the "
        "function, with or without its gradient, counted on the way. First: with "
        "compilation, from empty caches."
        + (f" Not installed: {', '.join(absent)}." if absent else ""),
        ["evaluations/SciPy's", "time/SciPy's"],
    )
    with jax.enable_x64(True):
        for title, problem in problems().items():
            if options.problems and title not in options.problems:
                continue
            result.rows += rows_of(title, problem, found, options)
    result.rows += summary(result.rows)
    return result


def rows_of(
    title: str, problem: Problem, found: Any, options: argparse.Namespace
) -> list[dict[str, Any]]:
    made, failed = {}, {}
    for name, (_, build) in PEERS.items():
        if found[name] is None:
            continue
        probe = build(problem.fun, problem.start, problem.bounds)
        if probe is None:
            continue
        try:
            made[name] = measured(build, problem, options)
        except Exception as error:  # of another library, on a problem
            failed[name] = f"{type(error).__name__}"
    values = [m["value"] for m in made.values() if math.isfinite(m["value"])]
    least = min([*values, *([problem.least()] if problem.least else [])])
    peers = made.get("SciPy L-BFGS-B")
    rows = []
    for name, m in made.items():
        above = m["value"] - least
        row = {
            "problem": title,
            "n": len(problem.start),
            "solver": name,
            "solved": "yes" if above <= NEAR * max(1, abs(least)) else "no",
            "above the least": float(f"{above:.2g}"),
            "evaluations": m["evaluations"],
            "evaluations/SciPy's": None,
            "first (s)": m["first"],
            "time (ms)": measure.spread(m["times"], 1e-3),
            "time/SciPy's": None,
        }
        if peers:
            row["evaluations/SciPy's"] = m["evaluations"] / peers["evaluations"]
            row["time/SciPy's"] = statistics.median(m["times"]) / statistics.median(
                peers["times"]
            )
        rows.append(row)
    for name, error in failed.items():
        rows.append(
            {**dict.fromkeys(rows[0]), "problem": title, "n": len(problem.start)}
        )
        rows[-1] |= {"solver": name, "solved": error}
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each solver: how many it solved, and means of what it took."""
    out = []
    for name in dict.fromkeys(row["solver"] for row in rows):
        of_it = [row for row in rows if row["solver"] == name]
        solved = [row for row in of_it if row["solved"] == "yes"]
        row = dict.fromkeys(rows[0])
        row |= {"problem": "all", "n": len(of_it), "solver": name}
        row["solved"] = f"{len(solved)} of {len(of_it)}"
        for column in ("evaluations/SciPy's", "time/SciPy's"):
            ratios = [r[column] for r in solved if r[column] is not None]
            if ratios:
                row[column] = statistics.geometric_mean(ratios)
        first = [r["first (s)"] for r in solved]
        if first:
            row["first (s)"] = statistics.median(first)
        out.append(row)
    return out
