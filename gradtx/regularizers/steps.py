"""The steps of a chain that regularize: before, beside and after the gradient's own."""

from typing import Any, NamedTuple

import jax

from gradtx.core.check import LearningRate, NonNegative
from gradtx.core.lift import leafwise
from gradtx.core.rule import Pair
from gradtx.core.transformation import transformation
from gradtx.regularizers.penalties import Regularizer


class AddDecayedWeightsState(NamedTuple):
    count: jax.Array  # updates so far


class AddRegularizerState(NamedTuple):
    count: jax.Array  # updates so far


class ProximalState(NamedTuple):
    count: jax.Array  # updates so far


@transformation
def add_decayed_weights(weight_decay: NonNegative = 0.0, mask: Any = None) -> Pair:
    """Add a multiple of the weights: u = g + λW.

    After the step of an adaptive method and before the learning rate it is decoupled
    weight decay, W ← (1 − αλ)W − α u, as in AdamW. Before the method it is L2
    regularization, coupled, with the gradient of `l2(λ/2)`. It needs the parameters.

    Args:
      weight_decay: λ >= 0.
      mask: the leaves to decay: a tree of booleans, of which a prefix is enough, or a
        function from the parameters to one; all by default. Biases and the scales of
        norms are usually left out.

    Raises:
      TypeError, ValueError: if λ is negative or not finite.

    References:
      Loshchilov and Hutter, 2017, arXiv:1711.05101.
    """

    def init(p):
        return AddDecayedWeightsState(count=0)

    def update(g, s, p, *, weight_decay):
        return g + weight_decay * p, s

    return leafwise(init, update, mask=mask, weight_decay=weight_decay)


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
    rule = _rule_of(regularizer, "add_regularizer")

    def init(p):
        return AddRegularizerState(count=0)

    def update(g, s, p, **hypers):
        return g + rule.gradient(p, **hypers), s

    return leafwise(init, update, mask=rule.mask, **rule.hypers)


@transformation
def proximal(regularizer: Regularizer, learning_rate: LearningRate) -> Pair:
    """Apply the proximal map to where the step leads: u' = prox_{α_t λR}(W + u) − W.

    The last link of a chain. L1 then gives exact zeros, W + u' = 0, under any optimizer
    and schedule; after `sgd(α)` it is proximal gradient descent (ISTA). The penalty is
    weighed by the learning rate alone, decoupled from the gradient's scale as AdamW's
    decay is: after an adaptive method, an entry is held at zero while its normalized
    step u / α is less than λ. It needs the parameters.

    Args:
      regularizer: `l1(...)`, `l2(...)`, `elastic_net(...)` or another such value.
      learning_rate: α >= 0, a number, an array or a schedule: the optimizer's.

    Raises:
      TypeError: if the first argument is not a regularizer.
      TypeError, ValueError: if the learning rate is negative or not finite.

    References:
      Parikh and Boyd, 2014, "Proximal algorithms"; Beck and Teboulle, 2009, for ISTA.
    """
    rule = _rule_of(regularizer, "proximal")

    def init(p):
        return ProximalState(count=0)

    def update(u, s, p, *, learning_rate, **hypers):
        return rule.prox(p + u, learning_rate, **hypers) - p, s

    return leafwise(
        init, update, mask=rule.mask, learning_rate=learning_rate, **rule.hypers
    )


def _rule_of(regularizer: Any, who: str) -> Any:
    if not isinstance(regularizer, Regularizer):
        raise TypeError(
            f"{who}: regularizer is {regularizer!r}; expected a value such as l2(1e-4)."
        )
    return regularizer.rule
