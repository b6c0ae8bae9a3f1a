"""The gradient beside the parameters: where a perturbation has taken them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    around_one,
    inner_pair,
    rounded,
    transformation,
)
from gradtx.core.precision import all_wide_enough
from gradtx.trees import flatten
from gradtx.trees.checks import gradients_beside
from gradtx.trees.update import apply_updates
from gradtx.values import brief, check_call, wrong_type

GradFn = Callable[[Params, int], Updates]


class PerturbedGradientState(NamedTuple):
    inner_state: OptState  # of the perturbation


@transformation
def perturbed_gradient(perturbation: GradientTransformation) -> Pair:
    """Put the gradient at W + e in the place of the gradient at W: u = ∇f(W + e).

    e is what the perturbation makes of the gradient; with
    `normalize_by_update_norm(ρ, eps=1e-12)` it is ρ g / ‖g‖, and u the gradient of SAM.
    It needs the parameters and the gradient as a function,

        update(grads, state, params, grad_fn=lambda params, i: grad(params, batch))

    which is called once, with i = 0. It gets W + e in float32 or better, since half
    precision would round a small e away. To be used outside of `partition`, and of
    whatever else gives its inside other parameters than those of the loss.

    Args:
      perturbation: a gradient transformation. Its updates point uphill.

    Raises:
      TypeError: from `update`, if it is not given `grad_fn`, or cannot call it.
      ValueError: from `update`, by path, if what `grad_fn` returns has another
        structure or shape than the updates.

    References:
      Foret et al., 2020, arXiv:2010.01412.
    """
    pair = inner_pair(perturbation, "perturbation")

    def init(params: Params) -> PerturbedGradientState:
        return PerturbedGradientState(pair.init(params))

    def update(
        updates: Updates,
        state: PerturbedGradientState,
        params: Params,
        *,
        grad_fn: GradFn,
        **extra: Any,
    ) -> tuple[Updates, PerturbedGradientState]:
        wide = all_wide_enough(updates)
        e, inner = pair.update(wide, state.inner_state, params, **extra)
        at = apply_updates(all_wide_enough(params), e)
        out = gradient_at(grad_fn, at, 0, updates)
        return rounded(out, updates, params), PerturbedGradientState(inner)

    return around_one(
        PerturbedGradientState, init, update, perturbation, pair, scope=Scope.TREEWISE
    )


def gradient_at(grad_fn: Any, params: Params, i: int, updates: Updates) -> Updates:
    """What `grad_fn` returns, if it is like the updates.

    Args:
      grad_fn: an extra argument, which the caller gave.
      params: where to.
      i: the how manieth gradient beside the parameters it is in this call.
      updates: the gradient at the parameters.
    """
    if not callable(grad_fn):
        raise wrong_type(
            f"grad_fn is {brief(grad_fn)}; expected a function grad_fn(params, i) that "
            "returns the gradient."
        )
    hint = "One that has no use for i is lambda params, i: grad(params)."
    check_call(grad_fn, f"grad_fn(params, i), with i = {i}", params, i, hint=hint)
    flat = flatten(updates)
    try:
        found = grad_fn(params, i)
    except Exception as error:
        if None in flatten(params).leaves:
            error.add_note(
                "grad_fn was given None for parameters that a part is not for, as in "
                "partition and masked: what calls it belongs outside of them."
            )
        raise
    gs = gradients_beside(flat, found, f"grad_fn(params, {i})")
    return flat.unflatten(gs)
