"""Several gradients, one update."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import (
    GradientTransformation,
    Mean,
    OptState,
    Pair,
    Params,
    Updates,
    around_one,
    hyper_at,
    inner_pair,
    rounded,
    zero_updates,
)
from gradtx.core.precision import dtype_within, narrow, wide_enough
from gradtx.core.wrap import run_if
from gradtx.numerics import DTypeLike, as_array, safe_increment, wide_dtype, widen
from gradtx.numerics.dtypes import is_float
from gradtx.numerics.xla import either
from gradtx.trees import Flat, Leaf, PyTree, flatten
from gradtx.trees.checks import check_flag, check_leaf, check_leaves, parameters_beside
from gradtx.values import DType, Misfit, Number, brief, is_number, recorded
from gradtx.values.arguments import steps
from gradtx.wrappers.judge import SkipFunction, judge_of

_WEIGHT = Number(0, low_open=True, schedule=False)
Every = Annotated[
    int | jax.Array | Callable[[jax.Array], Any], steps(1, schedule=True, name="Every")
]


class MultiStepsState(NamedTuple):
    mini_step: jax.Array  # gradients of this cycle so far
    gradient_step: jax.Array  # updates so far
    inner_opt_state: OptState
    acc_grads: Mean  # the weighted sum of the gradients of this cycle
    skip_state: Any = ()  # what should_skip_update_fn reported last
    acc_weight: Any = 0.0  # the sum of their weights


class MultiSteps(GradientTransformation):
    """What `accumulate` returns: a transformation with the methods of Optax's object.

    `MultiSteps(opt, every_k_schedule)` is `accumulate(opt, every_k_schedule)`.

    Args:
      opt: the transformation inside.
      every_k_schedule: `every` of `accumulate`.
      use_grad_mean: as for `accumulate`.
      should_skip_update_fn: as for `accumulate`.
      accumulator_dtype: as for `accumulate`.

    Example:
      >>> tx = gradtx.MultiSteps(gradtx.sgd(1.0), every_k_schedule=2)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
      >>> print(updates, tx.has_updated(state))
      [0.] False
    """

    __slots__ = ()

    def __new__(
        cls,
        opt: GradientTransformation,
        every_k_schedule: Every,
        use_grad_mean: bool = True,
        should_skip_update_fn: SkipFunction | None = None,
        accumulator_dtype: DType | None = None,
    ) -> Any:
        return accumulate(
            opt,
            every_k_schedule,
            use_grad_mean=use_grad_mean,
            should_skip_update_fn=should_skip_update_fn,
            accumulator_dtype=accumulator_dtype,
        )

    @property
    def inner_opt(self) -> GradientTransformation:
        """The transformation inside."""
        return self.arguments["inner"]

    def has_updated(self, state: MultiStepsState) -> jax.Array:
        """Whether a cycle has just ended: no gradient is waiting, and there was one."""
        return (state.mini_step == 0) & (state.gradient_step > 0)

    def gradient_transformation(self) -> GradientTransformation:
        """The same: it is a transformation already."""
        return self


@recorded(MultiSteps)
def accumulate(
    inner: GradientTransformation,
    every: Every,
    *,
    use_grad_mean: bool = True,
    should_skip_update_fn: SkipFunction | None = None,
    accumulator_dtype: DType | None = None,
) -> Pair:
    """Run a transformation once in k calls, on the mean of the gradients of all k.

    In a cycle of k calls, a ← a + w_i g_i and W ← W + w_i. The last call hands a / W to
    the transformation inside, and sets a and W to 0. The other calls return updates of
    zero, whatever the gradient, and what is inside neither runs nor changes. So k
    micro-batches do what one batch of all their examples does.

    The weight w_i is an extra argument of a call, `update(updates, state, params,
    weight=n)`: a number > 0, such as the examples of the micro-batch, and 1 where it is
    not given. A transformation inside that takes a `weight` too gets W. Other extra
    arguments are those of the cycle's last call, also `value`.

    `update(updates, state, params, flush=True)` ends the cycle with that call, on the
    mean of what came so far, such as at the end of an epoch. `flush` is a boolean or a
    boolean scalar array; what is inside gets it too, if it takes it. Where nothing was
    added up yet, because all was skipped, it does nothing.

    Sums are computed in float32 or better, and a / W is not rounded to the dtype of the
    gradients before it is handed on. A leaf whose gradient is None keeps its sum. Under
    `vmap` over states, what is inside runs in every call.

    Args:
      inner: a gradient transformation.
      every: k: a whole number >= 1, an array, or a function of the updates so far. What
        only the compiled step knows is not checked: it is rounded up, to 1 at least.
      use_grad_mean: whether to hand on a / W; otherwise a.
      should_skip_update_fn: `f(updates, gradient_step, params) -> (skip, report)`, or
        a pair, as for `skip_updates`. Where the boolean scalar `skip` is true, the
        gradient is left out of its cycle, as if it had not come. The report is a tree
        of arrays, kept in `state.skip_state`.
      accumulator_dtype: the dtype of a; the parameters' by default, >= float32.

    Returns:
      A `MultiSteps`, whose state is a `MultiStepsState`. In a state of Optax,
      `acc_grads` is the mean so far: the sum is `mini_step` times that, and
      `acc_weight` is `mini_step`. Between cycles all of these are 0.

    Raises:
      TypeError, ValueError: if an argument is out of its range; from `update`, if the
        weight, `flush` or k is, or by path, if gradients, parameters and state do not
        match.

    Example:
      >>> tx = gradtx.accumulate(gradtx.sgd(1.0), every=2)
      >>> state = tx.init(jnp.zeros(1))
      >>> for g in (1.0, 3.0):
      ...     updates, state = tx.update(jnp.array([g]), state)
      ...     print(updates)
      [0.]
      [-2.]
    """
    pair = inner_pair(inner)
    judge = judge_of(should_skip_update_fn or _take_all)
    # Then nothing waits between calls, and there is no branch.
    at_once = is_number(every) and every == 1 and should_skip_update_fn is None

    def init(params: Params) -> MultiStepsState:
        # What is no float the inner transformation refuses, unless it is frozen there.
        inner_opt_state, step = pair.init(params), jnp.zeros((), jnp.int32)
        floats = [is_float(x) for x in flatten(params).leaves]
        flat = check_leaves("params", params, floats)
        sums = jax.tree.map(first_sum, list(flat.leaves))
        finest = wide_dtype(*(a.dtype for a in jax.tree.leaves(sums)))
        return MultiStepsState(
            mini_step=jnp.zeros((), jnp.int32),
            gradient_step=step,
            inner_opt_state=inner_opt_state,
            acc_grads=flat.unflatten(sums),
            skip_state=judge.init(params),
            acc_weight=jnp.zeros((), finest),
        )

    def first_sum(p: jax.Array) -> jax.Array:
        return widen(jnp.zeros_like(p), accumulator_dtype or wide_dtype(p.dtype))

    def update(
        updates: Updates,
        state: MultiStepsState,
        params: Params = None,
        *,
        weight: Any = None,
        flush: Any = None,
        **extra: Any,
    ) -> tuple[Updates, MultiStepsState]:
        flat = check_leaves("updates", updates)
        given = {"weight": weight, "flush": flush}
        extra |= {word: x for word, x in given.items() if x is not None}
        flushes = check_flag("flush", False if flush is None else flush, "is")
        parameters_beside(flat, params, params)
        accs = _matched(flat, state.acc_grads, "state.acc_grads")
        updates, step = flat.unflatten(flat.leaves), state.gradient_step
        before = as_array(state.acc_weight)
        w = _known("weight", _WEIGHT, 1 if weight is None else weight)
        w = jnp.asarray(w, before.dtype)

        def weighted(g: jax.Array, dtype: DTypeLike) -> jax.Array:
            g = widen(g, dtype)
            return g if weight is None else g * w.astype(g.dtype)

        def emit(
            sums: Any, inner_state: OptState, params: Params, total: jax.Array
        ) -> tuple[tuple[bool, Updates], OptState]:
            gs = jax.tree.map(wide_enough, sums)
            if use_grad_mean:
                gs = jax.tree.map(lambda a: a / total.astype(a.dtype), gs)
            words = extra if weight is None else {**extra, "weight": total}
            out, inner_state = pair.update(
                flat.unflatten(gs), inner_state, params, **words
            )
            return (True, rounded(out, updates, params)), inner_state

        if at_once:
            sums = [
                g if g is None else weighted(g, dtype_within(g)) for g in flat.leaves
            ]
            (_, out), inner_state = emit(sums, state.inner_opt_state, params, w)
            step = safe_increment(step)
            return out, state._replace(gradient_step=step, inner_opt_state=inner_state)

        k = _known("every", steps(1), every(step) if callable(every) else every)
        skip, report = judge.update(updates, state.skip_state, params, step, extra)

        def added(a: Any, g: Any) -> Any:
            if g is None:
                return None
            dtype = dtype_within((a, g))
            wide = widen(a, dtype)
            new = wide + narrow(weighted(g, dtype), wide.dtype)
            return jnp.where(skip, a, new.astype(a.dtype))

        sums = list(map(added, accs, flat.leaves))
        total = jnp.where(skip, before, before + w)
        mini_step = jnp.where(skip, state.mini_step, safe_increment(state.mini_step))
        full = ~skip & (mini_step.astype(float) >= k)
        (ended, out), inner_state = run_if(
            full | (flushes & (mini_step > 0)),
            Pair(pair.init, emit),
            sums,
            state.inner_opt_state,
            params,
            {"total": total},
            otherwise=(False, zero_updates(updates, params)),
        )
        # The branch itself says that it was taken. So XLA knows that the sums have been
        # read by then, and sets them to zero in place; else it copies them first.
        zeros = jax.tree.map(jnp.zeros_like, sums)
        sums = either(ended, lambda: zeros, lambda: sums)
        sums = [a if s is None else s for a, s in zip(accs, sums, strict=True)]
        return out, MultiStepsState(
            mini_step=jnp.where(ended, 0, mini_step),
            gradient_step=jnp.where(ended, safe_increment(step), step),
            inner_opt_state=inner_state,
            acc_grads=flat.unflatten(sums),
            skip_state=report,
            acc_weight=jnp.where(ended, 0, total),
        )

    return around_one(
        MultiStepsState, init, update, inner, pair, "inner_opt_state", beside=[judge]
    )


def _matched(flat: Flat, other: PyTree, name: str) -> list[Leaf]:
    """What another tree holds for each gradient, which has the gradient's shape."""
    found = flat.match(other, "updates", name)
    for i, (g, x) in enumerate(zip(flat.leaves, found, strict=True)):
        if g is not None:
            x = check_leaf(name, flat.paths[i], x)
            flat.check_shape(i, g, x, "updates", name)
    return found


def _known(name: str, allowed: Number, value: Any) -> Any:
    """A number that is checked where its value is known, else a real scalar."""
    traced = isinstance(value, jax.core.Tracer)
    if isinstance(value, jax.Array | np.ndarray) and not traced and value.ndim == 0:
        value = value.item()
    try:
        value = allowed(value)
    except (TypeError, ValueError) as error:
        raise Misfit(
            f"{name} must be {allowed}; got {brief(value)}.", type(error)
        ) from None
    return hyper_at(name, value, None)


def _take_all(*_: Any) -> tuple[bool, tuple[()]]:
    return False, ()
