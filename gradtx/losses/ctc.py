"""Connectionist temporal classification: a sequence of labels within more frames."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import (
    check_shape,
    floats,
    in_range,
    integers,
    marks,
    scalar,
    widened,
)
from gradtx.numerics.shards import varies_over, varying
from gradtx.numerics.softmax import log_softmax
from gradtx.values import Misfit, Number, checked

Class = Annotated[int, Number(name="Class", low=0, schedule=False, whole=True)]
LogZero = Annotated[float | jax.Array, Number(name="LogZero", high=0, schedule=False)]


@checked
def ctc_loss_with_forward_probs(
    logits: ArrayLike,
    logit_paddings: ArrayLike,
    labels: ArrayLike,
    label_paddings: ArrayLike,
    *,
    blank_id: Class = 0,
    log_epsilon: LogZero = -1e5,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The CTC loss, and the probabilities that it is computed from.

    The loss is −log P of a sequence of labels, summed over all alignments: sequences of
    classes, one for each frame, that give the labels when repetitions are merged and
    then blanks left out. With p = softmax(logits), b(t, n) is the probability of all
    beginnings up to frame t that give n labels and end with a blank, and e(t, n) of
    those that end with label n:

        e(t, n) = p(t, yₙ) (e(t−1, n) + b(t−1, n−1) + e(t−1, n−1) [yₙ ≠ yₙ₋₁])
        b(t, n) = p(t, blank) (b(t−1, n) + e(t−1, n))

    Args:
      logits: floating-point numbers [batch, frames, classes], the blank among them.
      logit_paddings: [batch, frames], not 0 for frames that are left out.
      labels: integers [batch, n] from 0 to classes − 1 without the blank; of another,
        the loss of the sequence is NaN.
      label_paddings: [batch, n], not 0 for labels that are left out, all of which come
        last; otherwise the loss is NaN.
      blank_id: the class of the blank.
      log_epsilon: what stands for log 0, a scalar <= 0. Of a sequence that cannot be,
        as it has more labels than frames, the loss is about −log_epsilon.

    Returns:
      The loss [batch], never negative, and log b(t, n) [frames, batch, n + 1] for 0, 1,
      ..., n labels, and log e(t, n) [frames, batch, n]. To the last b(t, n), e(t, n) is
      added.

    References:
      Graves et al., 2006, "Connectionist temporal classification: labelling unsegmented
      sequence data with recurrent neural networks".
    """
    dtype, outputs = _forward(
        logits, logit_paddings, labels, label_paddings, blank_id, log_epsilon
    )
    loss, blank, emit = (x.astype(dtype) for x in outputs)
    return loss, blank, emit


@checked
def ctc_loss(
    logits: ArrayLike,
    logit_paddings: ArrayLike,
    labels: ArrayLike,
    label_paddings: ArrayLike,
    *,
    blank_id: Class = 0,
    log_epsilon: LogZero = -1e5,
) -> jax.Array:
    """The CTC loss: −log P of a sequence of labels, summed over all alignments.

    Args:
      logits: floating-point numbers [batch, frames, classes], the blank among them.
      logit_paddings: [batch, frames], not 0 for frames that are left out.
      labels: integers [batch, n] from 0 to classes − 1 without the blank; of another,
        the loss of the sequence is NaN.
      label_paddings: [batch, n], not 0 for labels that are left out, all of which come
        last; otherwise the loss is NaN.
      blank_id: the class of the blank.
      log_epsilon: what stands for log 0, a scalar <= 0, as for
        `ctc_loss_with_forward_probs`.

    Returns:
      An array [batch], never negative.

    References:
      Graves et al., 2006, "Connectionist temporal classification".
    """
    dtype, (loss, _, _) = _forward(
        logits, logit_paddings, labels, label_paddings, blank_id, log_epsilon
    )
    return loss.astype(dtype)


def _forward(
    logits: Any,
    logit_paddings: Any,
    labels: Any,
    label_paddings: Any,
    blank_id: int,
    log_epsilon: Any,
) -> tuple[Any, tuple[jax.Array, jax.Array, jax.Array]]:
    """The dtype of the results, and these in what they are computed with in."""
    x, y = floats("logits", logits), integers("labels", labels)
    if x.ndim != 3:
        raise Misfit(f"logits has shape {x.shape}; expected [batch, frames, classes].")
    if y.ndim != 2:
        raise Misfit(f"labels has shape {y.shape}; expected [batch, labels].")
    check_shape("labels", y, (x.shape[0], y.shape[1]), "logits", x)
    skipped = marks("logit_paddings", logit_paddings)
    check_shape("logit_paddings", skipped, x.shape[:2], "logits", x)
    padded = marks("label_paddings", label_paddings)
    check_shape("label_paddings", padded, y.shape, "labels", y)
    if not blank_id < x.shape[2]:
        raise Misfit(f"blank_id is {blank_id}; logits has {x.shape[2]} classes.")
    dtype, (x,) = widened(x)
    log_zero = scalar("log_epsilon", log_epsilon, x)
    known = in_range(y, x.shape[2]) & ~padded
    y = jnp.where(known, y, 0).astype(jnp.int32)

    # What is left out may hold anything, and gets no gradient.
    log_p = log_softmax(jnp.where(skipped[..., None], 0.0, x), (2,))
    log_p = jnp.where(jnp.isneginf(log_p), log_zero, log_p)
    index = jnp.broadcast_to(y[:, None, :], (*x.shape[:2], y.shape[1]))
    frames = (
        jnp.moveaxis(jnp.take_along_axis(log_p, index, axis=2), 1, 0),
        jnp.moveaxis(log_p[:, :, blank_id, None], 1, 0),
        jnp.moveaxis(skipped[..., None], 1, 0),
    )
    n = y.shape[1]
    repeated = jnp.pad(y[:, 1:] == y[:, :-1], ((0, 0), (1, 0)))[:, :n]
    barrier = jnp.where(repeated, log_zero, 0.0)
    # Made of what is given, so that it lies on the devices where that does.
    first = jnp.pad(~padded & padded, ((0, 0), (1, 0)), constant_values=True)
    start = jnp.where(first, 0.0, log_zero), jnp.where(padded, log_zero, log_zero)
    names = varies_over(log_p) | varies_over(y) | varies_over(padded)
    start = _varying(start, tuple(names | varies_over(skipped)))

    def step(before: Any, frame: Any) -> Any:
        (blank, emit), (log_label, log_blank, skip) = before, frame
        # A label may follow another at once, but not the same.
        previous = jnp.pad(emit, ((0, 0), (1, 0)), constant_values=log_zero)[:, :n]
        previous += barrier
        begun = jnp.logaddexp(blank[:, :n], previous)
        next_emit = log_label + jnp.logaddexp(emit, begun)
        next_blank = log_blank + _ended(blank, emit)
        after = jnp.where(skip, blank, next_blank), jnp.where(skip, emit, next_emit)
        return after, after

    last, (blanks, emits) = jax.lax.scan(step, start, frames)
    ended = _ended(*last)
    if x.shape[1]:
        blanks = jnp.concatenate([blanks[:-1], ended[None]])
    length = jnp.sum(~padded, 1, dtype=jnp.int32)
    log_total = jnp.take_along_axis(ended, length[:, None], axis=1)[:, 0]
    labels_are_right = jnp.all((known & (y != blank_id)) | padded, 1)
    right = labels_are_right & ~jnp.any(padded[:, :-1] & ~padded[:, 1:], 1)
    loss = jnp.where(right, jnp.maximum(-log_total, 0.0), jnp.nan)
    return dtype, (loss, blanks, emits)


def _varying(start: Any, names: tuple[str, ...]) -> Any:
    """What a loop starts with, in the type that it has inside `jax.shard_map`."""
    if not names:
        return start
    return tuple(varying(x, names) for x in start)


def _ended(blank: jax.Array, emit: jax.Array) -> jax.Array:
    """Beginnings that give n labels, whether they end with a blank or with label n."""
    return jnp.concatenate([blank[:, :1], jnp.logaddexp(blank[:, 1:], emit)], 1)
