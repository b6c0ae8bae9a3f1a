"""A line search for the strong Wolfe conditions, within a given interval."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.trees.arithmetic import where

DECREASE = 1e-3  # of what the slope at the start promises
CURVATURE = 0.9
WIDEST = 0.66  # of what an interval was two trials before, or it is halved


class End(NamedTuple):
    """A step along the line, and what the function is there."""

    step: jax.Array
    value: jax.Array
    slope: jax.Array


class Found(NamedTuple):
    """Where a search ended: at a step that decreases the value, or at 0."""

    step: jax.Array
    value: jax.Array
    grad: jax.Array
    evaluations: jax.Array
    accepted: jax.Array  # whether the conditions hold


class Search(NamedTuple):
    best: End  # the least value so far, of which the slope leads into the interval
    grad: jax.Array  # at the best
    other: End  # of the interval, once it is bracketed
    bracketed: jax.Array
    widths: jax.Array  # of the interval, at the last two trials
    early: jax.Array  # whether no trial has decreased the value enough
    trial: jax.Array
    greatest: jax.Array
    evaluations: jax.Array
    accepted: jax.Array


def searched(
    evaluate: Callable[[jax.Array], tuple[End, jax.Array]],
    start: End,
    grad: jax.Array,
    first: jax.Array,
    greatest: jax.Array,
    max_evaluations: int,
) -> Found:
    """A step at which the value is low enough and the slope flat enough.

    φ(t) ≤ φ(0) + c₁ t φ'(0), or, where a decrease is lost in rounding, φ(t) ≤ φ(0) + ε
    and φ'(t) ≤ (2c₁ − 1) φ'(0); and |φ'(t)| ≤ c₂ |φ'(0)|. A value that is not finite
    bounds the interval.

    Args:
      evaluate: from a step t to the end there and the gradient.
      start: at t = 0. Where its slope is not negative, there is no step.
      grad: the gradient there.
      first: the first trial.
      greatest: the greatest step.
      max_evaluations: >= 1.

    References:
      Moré and Thuente, 1994, doi:10.1145/192115.192132, and Hager and Zhang, 2005,
      doi:10.1137/030601880, for the condition within rounding.
    """
    promised = DECREASE * start.slope
    rounding = 4 * jnp.finfo(start.value.dtype).eps * jnp.abs(start.value)

    def body(s: Search) -> Search:
        end, grad = evaluate(s.trial)
        finite = jnp.isfinite(end.value) & jnp.isfinite(end.slope)
        enough = end.value <= start.value + s.trial * promised
        within = end.value <= start.value + rounding
        within &= end.slope <= (2 * DECREASE - 1) * start.slope
        flat = jnp.abs(end.slope) <= -CURVATURE * start.slope
        at_limit = (s.trial >= s.greatest) & (end.slope <= promised)
        accepted = finite & (enough | within) & (flat | (at_limit & enough))
        early = s.early & ~(enough & (end.slope >= 0))
        new = _narrowed(s._replace(early=early), end, grad, enough, promised)
        shorter = s._replace(
            greatest=s.trial, trial=(s.best.step + s.trial) / 2, early=s.early
        )
        new = where(finite, new, shorter)
        kept = where(accepted, (end, grad), (new.best, new.grad))
        return new._replace(
            best=kept[0],
            grad=kept[1],
            evaluations=s.evaluations + 1,
            accepted=accepted,
        )

    eps = jnp.finfo(start.value.dtype).eps

    def unfinished(s: Search) -> jax.Array:
        width = jnp.abs(s.other.step - s.best.step)
        far = s.bracketed & (width <= eps * jnp.maximum(s.best.step, s.other.step))
        return ~s.accepted & ~far & (s.evaluations < max_evaluations)

    zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    widths = jnp.full((2,), jnp.inf, start.value.dtype)
    first = jnp.minimum(first, greatest)
    uphill = ~(start.slope < 0)
    s = Search(start, grad, start, no, widths, ~no, first, greatest, zero, uphill)
    s = jax.lax.while_loop(unfinished, body, s)
    return Found(s.best.step, s.best.value, s.grad, s.evaluations, s.accepted & ~uphill)


def _narrowed(
    s: Search, end: End, grad: jax.Array, enough: jax.Array, promised: jax.Array
) -> Search:
    """The interval after a trial, and the next trial."""
    # At first what is searched is the minimum of φ(t) − c₁ t φ'(0), where φ is not low
    # enough yet, so that a step that is comes to lie in the interval.
    lift = jnp.where(s.early & (end.value <= s.best.value) & ~enough, promised, 0)

    def lifted(e: End, sign: int) -> End:
        value = e.value - sign * lift * e.step
        return End(e.step, value, e.slope - sign * lift)

    best, other, here = (lifted(e, 1) for e in (s.best, s.other, end))
    higher = here.value > best.value
    turned = here.slope * jnp.sign(best.slope) < 0
    trial = _next_trial(s, best, other, here, higher, turned)
    other = where(higher, here, where(turned, best, other))
    new_best = where(higher, best, here)
    bracketed = s.bracketed | higher | turned
    best, other = lifted(new_best, -1), lifted(other, -1)
    width = jnp.abs(other.step - best.step)
    slow = bracketed & (width >= WIDEST * s.widths[0])
    trial = jnp.where(slow, (best.step + other.step) / 2, trial)
    low, high = jnp.minimum(best.step, other.step), jnp.maximum(best.step, other.step)
    outside = bracketed & ((trial <= low) | (trial >= high))
    trial = jnp.where(outside, (low + high) / 2, trial)
    return s._replace(
        best=best,
        grad=jnp.where(higher, s.grad, grad),
        other=other,
        bracketed=bracketed,
        widths=jnp.where(
            bracketed, jnp.stack([s.widths[1], width]), jnp.full_like(s.widths, jnp.inf)
        ),
        trial=jnp.clip(trial, 0, s.greatest),
    )


def _next_trial(
    s: Search, best: End, other: End, here: End, higher: jax.Array, turned: jax.Array
) -> jax.Array:
    """By cubic and quadratic interpolation, in the four cases of Moré and Thuente."""
    t, b = here.step, best.step
    cubic, has_minimum = _cubic(best, here)
    secant = t + _over(here.slope, here.slope - best.slope) * (b - t)
    mean = _over(best.value - here.value, t - b) + best.slope
    parabola = b + _over(best.slope, 2 * mean) * (t - b)
    nearer = jnp.abs(cubic - b) < jnp.abs(parabola - b)
    in_higher = jnp.where(nearer, cubic, (cubic + parabola) / 2)
    farther = jnp.abs(cubic - t) > jnp.abs(secant - t)
    in_turned = jnp.where(farther, cubic, secant)
    # The slope becomes flatter: the cubic counts only if its minimum lies beyond t.
    least, most = t + 1.1 * (t - b), jnp.minimum(t + 4 * (t - b), s.greatest)
    ahead = has_minimum & ((cubic - t) * (t - b) > 0)
    onward = jnp.where(ahead, cubic, jnp.where(t > b, s.greatest, 0.0))
    apart = jnp.abs(onward - t) > jnp.abs(secant - t)
    extrapolated = jnp.clip(jnp.where(apart, onward, secant), least, most)
    cautious = jnp.where(apart, secant, onward)
    limit = t + WIDEST * (other.step - t)
    cautious = jnp.where(
        t > b, jnp.minimum(limit, cautious), jnp.maximum(limit, cautious)
    )
    flatter = jnp.abs(here.slope) < jnp.abs(best.slope)
    inside, _ = _cubic(other, here)
    in_bracket = jnp.where(flatter, cautious, inside)
    out = jnp.where(s.bracketed, in_bracket, jnp.where(flatter, extrapolated, most))
    return jnp.where(higher, in_higher, jnp.where(turned, in_turned, out))


def _cubic(a: End, b: End) -> tuple[jax.Array, jax.Array]:
    """The minimum of the cubic through two ends, and whether it has one."""
    d = a.slope + b.slope - 3 * _over(a.value - b.value, a.step - b.step)
    size = jnp.maximum(jnp.maximum(jnp.abs(d), jnp.abs(a.slope)), jnp.abs(b.slope))
    square = jnp.square(_over(d, size)) - _over(a.slope, size) * _over(b.slope, size)
    root = size * jnp.sqrt(jnp.maximum(square, 0)) * jnp.sign(b.step - a.step)
    part = _over(b.slope + root - d, b.slope - a.slope + 2 * root)
    return b.step - (b.step - a.step) * part, square > 0


def _over(x: jax.Array, y: jax.Array) -> jax.Array:
    return x / jnp.where(y == 0, jnp.ones_like(y), y)
