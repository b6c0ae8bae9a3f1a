"""The steps of a chain that regularize: before, beside and after the gradient's own."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import ZERO, Count, Pair, Point, entrywise, slots, transformation
from gradtx.core.roles import is_slot, point_like
from gradtx.numerics import lerp
from gradtx.regularizers.penalties import Regularizer
from gradtx.trees import Mask, PyTree, flatten
from gradtx.values import (
    Allowed,
    Decay,
    LearningRate,
    NonNegative,
    brief,
    calling,
    naming,
    one_of,
    wrong_type,
)
from gradtx.values.arguments import is_zero


class AddDecayedWeightsState(NamedTuple):
    count: Count = ZERO


class AddDecayState(NamedTuple):
    count: Count = ZERO
    target: Point | None = None  # what the weights are pulled to; None for zero


class AddRegularizerState(NamedTuple):
    count: Count = ZERO


class ProximalState(NamedTuple):
    count: Count = ZERO


@transformation
def add_decayed_weights(
    weight_decay: NonNegative = 0.0, mask: Mask | None = None
) -> Pair:
    """Add a multiple of the weights: u = g + λW.

    After the step of an adaptive method and before the learning rate it is decoupled
    weight decay, W ← (1 − αλ)W − α u, as in AdamW. Before the method it is L2
    regularization, coupled, with the gradient of `l2(λ/2)`. It needs the parameters.

    Args:
      weight_decay: λ >= 0; the number 0 adds nothing, whatever the weights are.
      mask: the leaves to decay: a tree of booleans, of which a prefix is enough, or a
        function from the parameters to one; all by default. Biases and the scales of
        norms are usually left out.

    Example:
      >>> tx = gradtx.add_decayed_weights(0.5)
      >>> params, g = jnp.array([2.0]), jnp.array([1.0])
      >>> updates, state = tx.update(g, tx.init(params), params)
      >>> print(updates)  # g + λW
      [2.]

    Equals:
      Optax's.

    References:
      Loshchilov and Hutter, 2017, arXiv:1711.05101.
    """

    def update(g, s, p, *, weight_decay):
        # XLA may not leave 0 · W out: of an infinite W it is NaN.
        return g if is_zero(weight_decay) else g + weight_decay * p, s

    return entrywise(slots(AddDecayedWeightsState), update, mask=mask)


_WORDS = one_of("zero", "start", "average")


def _is_target(value: Any) -> Any:
    if isinstance(value, str):
        return _WORDS(value)
    if not jax.tree.leaves(value):
        raise TypeError
    return value


Towards = Annotated[
    Any,
    Allowed(text=f"{_WORDS}, or a tree of arrays", check=_is_target, name="Towards"),
]


@transformation
def add_decay(
    weight_decay: NonNegative,
    mask: Mask | None = None,
    *,
    towards: Towards = "zero",
    entries: Annotated[str, one_of("all", "agreeing", "strictly agreeing")] = "all",
    average_decay: Decay = 0.999,
) -> Pair:
    """Pull the weights to a target: u' = u + λ 1[entries] ⊙ d, where d = W − target.

    Decay has three choices, each by itself. What it pulls to is `towards`, and which it
    pulls is `entries`. By which rate is a matter of λ, as what follows
    multiplies by the learning rate α_t: λ a number is AdamW's αλ; λ divided by the
    greatest learning rate is decay that is independent of it, (α_t / α_max) λ; and
    `corrected_decay_schedule` is AdamC's. It needs the parameters.

    `add_decay(λ)` is `add_decayed_weights(λ)`.

    Args:
      weight_decay: λ >= 0.
      mask: the leaves to decay, as for `add_decayed_weights`.
      towards: "zero"; "start", the parameters that `init` was given: L2-SP, whose
        penalty (α/2)‖W − W₀‖² has α = λ; or "average", the mean of the weights, m ←
        β m + (1 − β) W after each pull, which begins at the start; or a tree like the
        parameters, such as those of a model that was trained before.
      entries: "all"; "agreeing", those with u ⊙ d >= 0, which the step u does not take
        away from the target: cautious weight decay; "strictly agreeing", those with
        u ⊙ d > 0.
      average_decay: β in [0, 1), of the average.

    Equals:
      "start" before an optimizer is the gradient of L2-SP. "agreeing" is the paper of
      cautious decay, and dion; "strictly agreeing" is modded-nanogpt.

    References:
      Li et al., 2018, arXiv:1802.01483 (L2-SP); Chen et al., 2025, arXiv:2510.12402
      (cautious).
    """

    given = not isinstance(towards, str)

    def init(p: jax.Array) -> AddDecayState:
        fixed = not given and towards == "zero"
        target = None if fixed else point_like(p)
        return AddDecayState(count=jnp.int32(0), target=target)

    def update(u, s, p, *, weight_decay, average_decay):
        d = p if s.target is None else p - s.target
        pull = weight_decay * d
        if entries != "all":
            along = (u * d.conj()).real
            pulled = along >= 0 if entries == "agreeing" else along > 0
            pull = jnp.where(pulled, pull, jnp.zeros_like(pull))
        if not given and towards == "average":
            s = s._replace(target=lerp(s.target, p, average_decay))
        return u + pull, s

    pair = entrywise(init, update, mask=mask)
    if not given:
        return pair

    who = calling()

    def from_target(params: PyTree) -> Any:
        with naming(who):
            at = params if is_slot(params) else _as_parameters(towards, params)
        return pair.init(at)

    return Pair(from_target, pair.update, pair.scope, pair.extra_args).remembered()


def _as_parameters(tree: PyTree, params: PyTree) -> PyTree:
    """A tree in the shapes and dtypes of the parameters, or an error with the path."""
    flat = flatten(params)
    targets = flat.match(tree, "params", "towards")
    for i, (p, target) in enumerate(zip(flat.leaves, targets, strict=True)):
        if p is not None:
            flat.check_shape(i, p, target, "params", "towards")
            abstract = isinstance(p, jax.ShapeDtypeStruct)
            targets[i] = p if abstract else jnp.asarray(target, p.dtype)
    return flat.unflatten(targets)


@transformation
def add_regularizer(regularizer: Regularizer) -> Pair:
    """Add the gradient of a regularizer: u = g + ∇ λR(W), coupled regularization.

    First in a chain, it gives what the gradient of loss + λR(W) gives. It needs the
    parameters.

    Args:
      regularizer: `l2(...)`, `l1(...)`, `elastic_net(...)` or another such value.

    Raises:
      TypeError: if the argument is not a regularizer.
    """
    rule = _rule_of(regularizer)

    def update(g, s, p, **hypers):
        return g + rule.gradient(p, **hypers), s

    return entrywise(slots(AddRegularizerState), update, mask=rule.mask, **rule.hypers)


@transformation
def proximal(
    regularizer: Regularizer, learning_rate: LearningRate | None = None
) -> Pair:
    """Apply the proximal map to where the step leads: u' = prox_{α_t λR}(W + u) − W.

    The last link of a chain. L1 then gives exact zeros, W + u' = 0, under any optimizer
    and schedule; after `sgd(α)` it is proximal gradient descent (ISTA). The penalty is
    weighed by the learning rate alone, decoupled from the gradient's scale as AdamW's
    decay is: after an adaptive method, an entry is held at zero while its normalized
    step u / α is less than λ. It needs the parameters.

    Args:
      regularizer: `l1(...)`, `l2(...)`, `elastic_net(...)` or another such value.
      learning_rate: α >= 0: the optimizer's; by default what the links before it in a
        chain have scaled by.

    Raises:
      TypeError: if the first argument is not a regularizer; from `update`, if the
        learning rate is not known.
      TypeError, ValueError: if the learning rate is negative or not finite.

    References:
      Parikh and Boyd, 2014, "Proximal algorithms"; Beck and Teboulle, 2009, for ISTA.
    """
    rule = _rule_of(regularizer)

    def update(u, s, p, *, learning_rate, **hypers):
        rate = jnp.asarray(learning_rate, u.real.dtype)
        return rule.prox(p + u, rate, **hypers) - p, s

    return entrywise(
        slots(ProximalState),
        update,
        mask=rule.mask,
        extra_args=["learning_rate"],
        **rule.hypers,
    )


def _rule_of(regularizer: Any) -> Any:
    if not isinstance(regularizer, Regularizer):
        raise wrong_type(
            f"regularizer is {brief(regularizer)}; expected a value such as l2(1e-4)."
        )
    return regularizer.rule
