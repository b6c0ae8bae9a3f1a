"""Penalties on the size of the weights: the λ R(W) of the objective, as values."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.core import resolve
from gradtx.numerics import abs_sq, wide_dtype, widen
from gradtx.trees import Mask, PyTree
from gradtx.trees.checks import check_leaves
from gradtx.trees.select import selected
from gradtx.values import NonNegative, Value, is_number, naming, recorded


class Penalty(NamedTuple):
    """What a regularizer's factory returns: a penalty on one array, in three functions.

    Each takes the hyperparameters by name. `value(w)` is the penalty, `gradient(w)` its
    gradient, or a subgradient, and `prox(w, t)` the w' that minimizes
    t · value(w') + ½‖w' − w‖².
    """

    value: Callable[..., jax.Array]
    gradient: Callable[..., jax.Array]
    prox: Callable[..., jax.Array]
    hypers: Mapping[str, Any]
    mask: Mask | None = None


class Regularizer(Value):
    """A penalty λ R(W) on a tree of parameters, as a value.

    It prints as the call that made it, compares, hashes and pickles, and its arrays are
    its leaves as a pytree. The objective is `loss(params) + regularizer(params)`.
    """

    __slots__ = ()

    @property
    def rule(self) -> Penalty:
        """The penalty on one array."""
        return self._made

    def __call__(self, params: Any, count: ArrayLike = 0) -> jax.Array:
        """The same as `penalty`."""
        return self.penalty(params, count)

    def penalty(self, params: Any, count: ArrayLike = 0) -> jax.Array:
        """λ R(W), summed over the selected leaves.

        Args:
          params: a tree of arrays.
          count: the step at which a scheduled hyperparameter is taken.

        Returns:
          A scalar, in float32 or better.
        """
        terms = self._map(self.rule.value, lambda w: None, params, count)
        values = [widen(v, wide_dtype(v.dtype)) for v in jax.tree.leaves(terms)]
        dtype = wide_dtype(*(v.dtype for v in values))
        return sum((v.astype(dtype) for v in values), jnp.zeros((), dtype))

    def gradient(self, params: Any, count: ArrayLike = 0) -> Any:
        """The gradient of the penalty, 0 on leaves that are not selected.

        Args:
          params: a tree of arrays.
          count: the step at which a scheduled hyperparameter is taken.

        Returns:
          A tree like the parameters. Where the penalty has a kink, a subgradient.
        """
        return self._map(self.rule.gradient, jnp.zeros_like, params, count)

    def prox(self, params: Any, step_size: ArrayLike, count: ArrayLike = 0) -> Any:
        """The proximal map: argmin over W' of t · λ R(W') + ½‖W' − W‖².

        Args:
          params: a tree of arrays, W.
          step_size: t >= 0, a scalar.
          count: the step at which a scheduled hyperparameter is taken.

        Returns:
          A tree like the parameters; leaves that are not selected as they are.
        """

        def prox(w: jax.Array, **hypers: Any) -> jax.Array:
            return self.rule.prox(w, jnp.asarray(step_size, w.real.dtype), **hypers)

        return self._map(prox, lambda w: w, params, count)

    def _map(
        self,
        f: Callable[..., jax.Array],
        otherwise: Callable[[jax.Array], Any],
        params: PyTree,
        count: ArrayLike,
    ) -> PyTree:
        with naming(self):
            flat = check_leaves("params", params)
            chosen = selected(self.rule.mask, params)
            scalars = resolve(self.rule.hypers, count)

        def at(w: jax.Array, mark: bool) -> Any:
            if not mark:
                return otherwise(w)
            real = wide_dtype(w.dtype)
            hypers = {
                n: h if is_number(h) else widen(h, real) for n, h in scalars.items()
            }
            value = f(widen(w, real), **hypers)
            return value.astype(w.dtype) if value.shape == w.shape else value

        pairs = zip(flat.leaves, chosen, strict=True)
        return flat.unflatten([None if w is None else at(w, mark) for w, mark in pairs])


regularizer = recorded(Regularizer)


@regularizer
def l2(strength: NonNegative, mask: Mask | None = None) -> Penalty:
    """The squared L2 norm: λ R(W) = λ ‖W‖₂² = λ Σ W².

    Its gradient is 2λW and its proximal map W / (1 + 2tλ). Weight decay, which adds λW,
    is thus the gradient of l2(λ/2): `weight_decay=λ` in PyTorch's SGD and Adam, and
    `add_decayed_weights(λ)` before the optimizer, are `add_regularizer(l2(λ/2))`.

    Args:
      strength: λ >= 0.
      mask: the leaves to penalize: a tree of booleans, of which a prefix is enough, or
        a function from the parameters to one; all by default. Biases and the scales of
        norms are usually left out.

    References:
      Tikhonov, 1943; CS231n, lecture 3.
    """
    return Penalty(
        value=lambda w, strength: strength * jnp.sum(abs_sq(w)),
        gradient=lambda w, strength: 2 * strength * w,
        prox=lambda w, t, strength: w / (1 + 2 * t * strength),
        hypers={"strength": strength},
        mask=mask,
    )


@regularizer
def l1(strength: NonNegative, mask: Mask | None = None) -> Penalty:
    """The L1 norm: λ R(W) = λ ‖W‖₁ = λ Σ |W|.

    Its subgradient is λ sign(W), 0 at W = 0. Its proximal map is soft thresholding,
    sign(W) max(|W| − tλ, 0), which gives exact zeros; the subgradient does not.

    Args:
      strength: λ >= 0.
      mask: the leaves to penalize, as for `l2`.

    References:
      Tibshirani, 1996, "Regression shrinkage and selection via the lasso"; CS231n,
      lecture 3.
    """
    return Penalty(
        value=lambda w, strength: strength * jnp.sum(_size(w)),
        gradient=lambda w, strength: strength * jnp.sign(w),
        prox=lambda w, t, strength: _soft_threshold(w, t * strength),
        hypers={"strength": strength},
        mask=mask,
    )


@regularizer
def elastic_net(
    strength: NonNegative, beta: NonNegative = 1.0, mask: Mask | None = None
) -> Penalty:
    """L1 and L2 together: λ R(W) = λ Σ (β W² + |W|).

    Its subgradient is λ (2βW + sign(W)) and its proximal map the soft threshold by tλ,
    divided by 1 + 2tλβ. scikit-learn's `ElasticNet(alpha, l1_ratio)` has
    λ = alpha · l1_ratio and λβ = alpha · (1 − l1_ratio) / 2.

    Args:
      strength: λ >= 0.
      beta: β >= 0, the share of the square.
      mask: the leaves to penalize, as for `l2`.

    Raises:
      TypeError, ValueError: if λ or β is negative or not finite.

    References:
      Zou and Hastie, 2005, "Regularization and variable selection via the elastic
      net"; CS231n, lecture 3.
    """
    return Penalty(
        value=lambda w, strength, beta: strength * jnp.sum(beta * abs_sq(w) + _size(w)),
        gradient=lambda w, strength, beta: strength * (2 * beta * w + jnp.sign(w)),
        prox=lambda w, t, strength, beta: (
            _soft_threshold(w, t * strength) / (1 + 2 * t * strength * beta)
        ),
        hypers={"strength": strength, "beta": beta},
        mask=mask,
    )


def _size(w: jax.Array) -> jax.Array:
    """|w|, with derivative 0 at 0, which is the subgradient that `gradient` takes."""
    return jnp.abs(w) if jnp.iscomplexobj(w) else w * jnp.sign(w)


def _soft_threshold(w: jax.Array, threshold: Any) -> jax.Array:
    size = jnp.abs(w)
    return jnp.sign(w) * jnp.maximum(size - threshold, jnp.zeros_like(size))
