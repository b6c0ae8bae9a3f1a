"""Every public loss: a call of it, what it should return, and where it is at an edge.

A new loss is a row of the table, and all laws of tests/test_losses.py hold for it.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import special

from gradtx import losses

INF = np.inf


class Case(NamedTuple):
    """A loss, as a function of arrays alone.

    Args:
      loss: the public function.
      f: it, or it with some arguments.
      args: arrays at which it is smooth.
      reference: the same in NumPy and float64.
      floats: places among the arguments of what it is differentiated by.
      edges: other arguments of the same shapes. There it is equal to the reference, and
        the gradient finite.
      refused: other arguments, whose shapes or dtypes are wrong, and a word of the
        message.
      batched: whether the first axis of arguments and result is that of the batch.
      like: of which argument the result has the dtype, if not of what all promote to.
    """

    loss: Any
    f: Callable[..., Any]
    args: tuple[Any, ...]
    reference: Callable[..., Any]
    floats: tuple[int, ...] = (0, 1)
    edges: tuple[tuple[Any, ...], ...] = ()
    refused: tuple[tuple[tuple[Any, ...], str], ...] = ()
    batched: bool = True

    def __repr__(self) -> str:
        words = getattr(self.f, "keywords", {})
        return (
            f"{self.loss.__name__}-{'-'.join(words)}" if words else self.loss.__name__
        )


X = np.array([[1.5, -0.4, 0.3, 2.0], [-1.1, 0.6, 0.2, -0.7], [0.1, 0.9, -2.0, 0.5]])
Y = np.array([[0.3, -1.0, 0.9, 1.2], [0.4, -0.1, -2.2, 0.6], [1.3, 0.2, -0.6, -0.8]])
P = special.softmax(Y, -1)  # distributions
LOG_P, LOG_Q = special.log_softmax(X, -1), special.log_softmax(Y, -1)
K = np.array([3, 0, 1])
ONE_HOT = np.eye(4)[K]
SIGNS = np.sign(Y).astype(int)
BITS = (Y > 0).astype(float)
MASK = np.array(
    [[True, True, False, True], [False, True, True, True], [True, False, True, False]]
)
NONE = np.array([[True] * 4, [False] * 4, [True, False, True, True]])
HIGH = np.array([[INF, 0, 0, 1], [0, 1, 2, 3], [1e30, -1e30, 0, 0.0]])
LOW = np.array([[-INF, 0, -INF, 1], [0, 1, 2, 3], [-INF, 5, -INF, -INF]])
LOW_LABELS = np.array([[0, 0.4, 0, 0.6], [0, 0, 0, 1], [0, 1, 0, 0.0]])
ZEROS = np.zeros_like(X)

# In these, sizes that would broadcast mean something else.
COLUMN = (X, Y[:, :1])
FLAT = (X[:, :1], Y[:, 0])
INTEGERS = (X.astype(int), Y)
UNLIKE = ((COLUMN, "shape"), (FLAT, "shape"), (INTEGERS, "dtype"), ((X, Y.T), "shape"))
UNLIKE += (((X, Y * 1j), "dtype"), ((X, object()), "object"))
UNLIKE_LABELS = (
    ((X, K[:, None]), "labels"),
    ((X, K[:2]), "labels"),
    ((X, K.astype(float)), "integers"),
    ((X, K > 0), "integers"),
    ((X, K[0]), "labels"),
    ((X.astype(int), K), "floating"),
    ((X[:, :0], K), "class"),
)
UNLIKE_ROWS = (*UNLIKE, ((np.stack([X, X]), P), "shape"), ((X, K), "has"))


def part(f, **words):
    return functools.partial(f, **words)


def times(weight, x):
    """weight · x, with 0 · ∞ = 0."""
    with np.errstate(invalid="ignore"):
        return np.where(weight == 0, 0.0, weight * x)


def log_softmax(x):
    """Of rows, where one entry of ∞ is all there is."""
    top = x.max(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return special.log_softmax(np.where(x == top, 0.0, x - top), -1)


def masked_rows(f):
    """f of the entries that count, row by row; 0 where none do."""

    def of_rows(*args):
        *args, mask = args
        rows = zip(*args, np.asarray(mask), strict=True)
        return np.array(
            [f(*(x[m] for x in row)) if m.any() else 0.0 for *row, m in rows]
        )

    return of_rows


def cross_entropy(x, y):
    return -times(y, log_softmax(x)).sum(-1)


def label_cross_entropy(x, k):
    return cross_entropy(x, np.eye(x.shape[-1])[k])


def masked_label_cross_entropy(x, k, mask):
    return masked_rows(cross_entropy)(x, np.eye(x.shape[-1])[k], mask)


def poly(x, y, epsilon=2.0):
    return cross_entropy(x, y) + epsilon * (y * (1 - np.exp(log_softmax(x)))).sum(-1)


def kl(q, t):
    return (special.xlogy(t, t) - times(t, q)).sum(-1)


def kl_of_logs(q, s):
    return kl(q, np.exp(s))


def generalized_kl(q, t):
    return special.kl_div(t, np.exp(q)).sum(-1)


def sigmoid_cross_entropy(x, y):
    return -times(y, special.log_expit(x)) - times(1 - y, special.log_expit(-x))


def focal(x, y, alpha=None, gamma=2.0):
    p = special.expit(x)
    missed = y * special.expit(-x) + (1 - y) * p
    loss = missed**gamma * sigmoid_cross_entropy(x, y)
    return loss if alpha is None else (alpha * y + (1 - alpha) * (1 - y)) * loss


def binary_sparsemax(x, y):
    """The conjugate of Gini's index over p in [0, 1], by its closed-form maximizer."""
    p = np.clip((x + 1) / 2, 0, 1)
    return x * p + p * (1 - p) - x * y


def nearest_distribution(s):
    """By bisection of the threshold."""
    low, high = s.max() - 1, s.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.maximum(s - middle, 0).sum() > 1 else (low, middle)
        )
    return np.maximum(s - high, 0)


def multiclass_sparsemax(x, k):
    return np.array(
        [
            ((np.eye(len(s))[i] - s) ** 2 - (nearest_distribution(s) - s) ** 2).sum()
            / 2
            for s, i in zip(x, k, strict=True)
        ]
    )


def multiclass_margin(x, k, margin):
    return np.array(
        [
            max(0.0, *(s[j] - s[i] + margin for j in range(len(s)) if j != i))
            for s, i in zip(x, k, strict=True)
        ]
    )


def cosine(x, y):
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return (x * y).sum(-1) / np.where(norms == 0, 1.0, norms)


def ranking(x, y, mask):
    """Of the lists with an item, the mean."""
    losses = masked_rows(cross_entropy)(x, y, mask)
    return losses.sum() / max(mask.any(-1).sum(), 1)


def ntxent(x, k, temperature=0.07):
    unit = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-8)
    s = unit @ unit.T / temperature
    losses = []
    for i, j in itertools.permutations(range(len(k)), 2):
        if k[i] == k[j]:
            others = [s[i, m] for m in range(len(k)) if k[m] != k[i]]
            losses.append(special.logsumexp([s[i, j], *others]) - s[i, j])
    return np.mean(losses) if losses else 0.0


def triplet(a, p, n, norm_degree=2, margin=1.0, eps=1e-6):
    def distance(y):
        return ((np.abs(a - y) ** norm_degree).sum(-1) + eps) ** (1 / norm_degree)

    return np.maximum(distance(p) - distance(n) + margin, 0)


def dice_of(p, t, smooth, alpha, beta):
    """Of one class of one picture, by what is right and wrong in it."""
    right, false = (p * t).sum(), (p * (1 - t)).sum()
    missed = ((1 - p) * t).sum()
    below = right + alpha * false + beta * missed + smooth
    return 1 - (right + smooth) / below if below else 0.0


def dice(x, t, smooth=1.0, alpha=0.5, beta=0.5):
    p = special.softmax(x, -1) if x.shape[-1] > 1 else special.expit(x)
    return np.array(
        [
            [
                dice_of(p[i, ..., c], t[i, ..., c], smooth, alpha, beta)
                for c in range(p.shape[-1])
            ]
            for i in range(len(p))
        ]
    )


def generalized_dice(x, t):
    weights = 1 / (t.sum((0, 1)) ** 2 + 1e-7)
    return (dice(x, t) * weights / weights.mean()).mean()


def ctc(x, frame_paddings, y, label_paddings, blank=0):
    """By all sequences of classes, one for each frame."""
    losses = []
    for row in zip(x, frame_paddings, y, label_paddings, strict=True):
        log_p = log_softmax(row[0][row[1] == 0])
        wanted = tuple(row[2][row[3] == 0])
        paths = []
        for path in itertools.product(range(x.shape[-1]), repeat=len(log_p)):
            merged = [a for a, _ in itertools.groupby(path)]
            if tuple(a for a in merged if a != blank) == wanted:
                paths.append(sum(log_p[t, a] for t, a in enumerate(path)))
        losses.append(-special.logsumexp(paths))
    return np.array(losses)


FRAMES = np.cos(np.arange(36.0) * 1.7).reshape(3, 4, 3)
FRAME_PADDINGS = np.array([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0.0]])
LABELS = np.array([[1, 2], [1, 1], [2, 0]])
LABEL_PADDINGS = np.array([[0, 0], [0, 0], [0, 1.0]])
CTC = (FRAMES, FRAME_PADDINGS, LABELS, LABEL_PADDINGS)
SURE = 40.0 * np.eye(3)[np.array([[1, 0, 2, 0], [1, 0, 1, 1], [0, 2, 0, 0]])]
CERTAIN = np.where(SURE == 0, -INF, SURE)
CTC_EDGES = tuple((x, *CTC[1:]) for x in (SURE, CERTAIN, 0 * SURE))
CTC_REFUSED = (
    ((FRAMES[0], *CTC[1:]), "logits"),
    ((FRAMES, FRAME_PADDINGS[:, :2], *CTC[2:]), "logit_paddings"),
    ((*CTC[:2], LABELS[:2], LABEL_PADDINGS[:2]), "labels"),
    ((*CTC[:3], LABEL_PADDINGS[:, :1]), "label_paddings"),
    ((*CTC[:2], LABELS + 0.0, LABEL_PADDINGS), "integers"),
)
VOLUME = np.sin(np.arange(48.0) * 1.3).reshape(2, 8, 3)
REGIONS = np.eye(3)[np.arange(16).reshape(2, 8) % 3]
DICE_REFUSED = (
    ((VOLUME, REGIONS[..., :2]), "targets"),
    ((VOLUME, REGIONS.argmax(-1)), "targets"),
    ((VOLUME[:1], REGIONS), "targets"),
    ((VOLUME.astype(int), REGIONS), "floating"),
)
DICE_EDGES = ((100.0 * VOLUME, REGIONS), (VOLUME, 0 * REGIONS), (0 * VOLUME, REGIONS))
SINGLE = (VOLUME[..., :1], REGIONS[..., :1])
EMBEDDINGS = np.cos(np.arange(12.0) * 2.3).reshape(4, 3)
GROUPS = np.array([0, 1, 1, 0])
SAME_SCORES = np.ones_like(X)
ROW_EDGES = ((HIGH, np.eye(4)[[0, 1, 0]]), (LOW, LOW_LABELS), (X, ONE_HOT))
KL_EDGES = (
    (LOG_P, ONE_HOT),
    (LOG_P, ZEROS),
    (np.where(ONE_HOT == 1, 0.0, -INF), ONE_HOT),
)

CASES = [
    Case(
        losses.squared_error,
        losses.squared_error,
        (X, Y),
        lambda x, y: (x - y) ** 2,
        edges=((X, X),),
        refused=UNLIKE,
    ),
    Case(
        losses.l2_loss,
        losses.l2_loss,
        (X, Y),
        lambda x, y: (x - y) ** 2 / 2,
        edges=((X, X),),
        refused=UNLIKE,
    ),
    Case(losses.l2_loss, losses.l2_loss, (X,), lambda x: x**2 / 2, floats=(0,)),
    Case(
        losses.huber_loss,
        losses.huber_loss,
        (X, Y),
        lambda x, y: special.huber(1.0, x - y),
        edges=((X, X), (Y + 1.0, Y), (X, np.full_like(X, INF))),
        refused=UNLIKE,
    ),
    Case(
        losses.huber_loss,
        part(losses.huber_loss, delta=0.25),
        (X, Y),
        lambda x, y: special.huber(0.25, x - y),
    ),
    Case(
        losses.log_cosh,
        losses.log_cosh,
        (X, Y),
        lambda x, y: np.logaddexp(x - y, y - x) - np.log(2),
        edges=((X, X), (1e3 * X, Y), (X, np.full_like(X, INF))),
        refused=UNLIKE,
    ),
    Case(
        losses.cosine_similarity,
        losses.cosine_similarity,
        (X, Y),
        cosine,
        edges=((ZEROS, Y), (X, ZEROS), (X, X)),
        refused=(*UNLIKE, ((X, Y[:, None]), "shape")),
    ),
    Case(
        losses.cosine_distance,
        lambda x, y, where: losses.cosine_distance(x, y, where=where),
        (X, Y, MASK),
        lambda x, y, where: 1 - masked_rows(cosine)(x, y, where),
        edges=((X, Y, NONE), (np.where(MASK, X, np.nan), Y, MASK)),
        refused=(((X, Y, MASK[:2]), "where"), ((X, Y, MASK + 0.0), "booleans")),
    ),
    Case(
        losses.sigmoid_binary_cross_entropy,
        losses.sigmoid_binary_cross_entropy,
        (X, P),
        sigmoid_cross_entropy,
        edges=((np.where(BITS == 1, INF, -INF), BITS), (X, BITS), (1e4 * X, BITS)),
        refused=UNLIKE,
    ),
    Case(
        losses.sigmoid_focal_loss,
        losses.sigmoid_focal_loss,
        (X, P),
        focal,
        edges=((np.where(BITS == 1, INF, -INF), BITS), (X, BITS), (100 * X, BITS)),
        refused=UNLIKE,
    ),
    Case(
        losses.sigmoid_focal_loss,
        part(losses.sigmoid_focal_loss, alpha=0.25, gamma=0.5),
        (X, P),
        part(focal, alpha=0.25, gamma=0.5),
        edges=((np.where(BITS == 1, INF, -INF), BITS), (100 * X, BITS)),
    ),
    Case(
        losses.sigmoid_focal_loss,
        part(losses.sigmoid_focal_loss, gamma=0.0),
        (X, P),
        sigmoid_cross_entropy,
        edges=((np.where(BITS == 1, INF, -INF), BITS),),
    ),
    Case(
        losses.hinge_loss,
        losses.hinge_loss,
        (X, SIGNS),
        lambda x, y: np.maximum(0, 1 - x * y),
        floats=(0,),
        edges=((INF * SIGNS, SIGNS), (SIGNS, SIGNS)),
        refused=UNLIKE,
    ),
    Case(
        losses.perceptron_loss,
        losses.perceptron_loss,
        (X, SIGNS),
        lambda x, y: np.maximum(0, -x * y),
        floats=(0,),
        edges=((INF * SIGNS, SIGNS), (ZEROS, SIGNS)),
        refused=UNLIKE,
    ),
    Case(
        losses.sparsemax_loss,
        losses.sparsemax_loss,
        (0.4 * X, BITS),
        binary_sparsemax,
        floats=(0,),
        edges=((SIGNS, BITS), (-SIGNS, BITS), (3 * X, BITS)),
        refused=UNLIKE,
    ),
    Case(
        losses.softmax_cross_entropy,
        losses.softmax_cross_entropy,
        (X, P),
        cross_entropy,
        edges=ROW_EDGES,
        refused=UNLIKE_ROWS,
    ),
    Case(
        losses.softmax_cross_entropy,
        lambda x, y, where: losses.softmax_cross_entropy(x, y, where=where),
        (X, P, MASK),
        lambda x, y, m: masked_rows(cross_entropy)(x, y, m),
        edges=((X, P, NONE), (np.where(MASK, X, np.nan), np.where(MASK, P, INF), MASK)),
        refused=(((X, P, MASK[0]), "where"), ((X, P, MASK + 0.0), "booleans")),
    ),
    Case(
        losses.safe_softmax_cross_entropy,
        losses.safe_softmax_cross_entropy,
        (X, P),
        cross_entropy,
        edges=ROW_EDGES,
        refused=UNLIKE_ROWS,
    ),
    Case(
        losses.softmax_cross_entropy_with_integer_labels,
        losses.softmax_cross_entropy_with_integer_labels,
        (X, K),
        label_cross_entropy,
        floats=(0,),
        edges=((HIGH, np.array([0, 1, 0])), (LOW, np.array([3, 0, 1]))),
        refused=UNLIKE_LABELS,
    ),
    Case(
        losses.softmax_cross_entropy_with_integer_labels,
        lambda x, k, where: losses.softmax_cross_entropy_with_integer_labels(
            x, k, where=where
        ),
        (X, np.array([3, 1, 2]), MASK),
        masked_label_cross_entropy,
        floats=(0,),
        edges=(
            (X, K, NONE),
            (np.where(MASK, X, np.nan), np.array([3, 1, 2]), MASK),
            (X, np.array([2, 0, 1]), MASK),
        ),
        refused=(((X, K, MASK[:, :2]), "where"),),
    ),
    Case(
        losses.poly_loss_cross_entropy,
        losses.poly_loss_cross_entropy,
        (X, P),
        poly,
        edges=ROW_EDGES,
        refused=UNLIKE_ROWS,
    ),
    Case(
        losses.multiclass_hinge_loss,
        losses.multiclass_hinge_loss,
        (X, K),
        part(multiclass_margin, margin=1.0),
        floats=(0,),
        edges=((HIGH, np.array([0, 1, 0])), (LOW, np.array([3, 0, 1]))),
        refused=UNLIKE_LABELS,
    ),
    Case(
        losses.multiclass_perceptron_loss,
        losses.multiclass_perceptron_loss,
        (X, K),
        part(multiclass_margin, margin=0.0),
        floats=(0,),
        edges=((HIGH, np.array([0, 1, 0])), (LOW, np.array([3, 0, 1]))),
        refused=UNLIKE_LABELS,
    ),
    Case(
        losses.multiclass_sparsemax_loss,
        losses.multiclass_sparsemax_loss,
        (X, K),
        multiclass_sparsemax,
        floats=(0,),
        edges=((SAME_SCORES, K), (1e5 * ONE_HOT, K), (100 * X, K)),
        refused=UNLIKE_LABELS,
    ),
    Case(
        losses.smooth_labels,
        part(losses.smooth_labels, alpha=0.1),
        (P,),
        lambda y: 0.9 * y + 0.1 / y.shape[-1],
        floats=(0,),
        edges=((ONE_HOT,), (ZEROS,)),
        refused=(((K,), "floating"),),
    ),
    Case(
        losses.smooth_labels,
        lambda y, where: losses.smooth_labels(y, 0.1, where=where),
        (P, MASK),
        lambda y, m: np.where(m, 0.9 * y + 0.1 / m.sum(-1, keepdims=True), 0),
        floats=(0,),
        edges=((np.where(MASK, P, np.nan), MASK),),
        refused=(((P, MASK[:2]), "where"),),
    ),
    Case(
        losses.kl_divergence,
        losses.kl_divergence,
        (LOG_P, P),
        kl,
        edges=KL_EDGES,
        refused=UNLIKE_ROWS,
    ),
    Case(
        losses.kl_divergence,
        lambda q, t, where: losses.kl_divergence(q, t, where=where),
        (LOG_P, P, MASK),
        lambda q, t, m: masked_rows(kl)(q, t, m),
        edges=(
            (LOG_P, P, NONE),
            (np.where(MASK, LOG_P, np.nan), np.where(MASK, P, np.nan), MASK),
        ),
        refused=(((LOG_P, P, MASK[:, 0]), "where"), ((LOG_P, P, K), "booleans")),
    ),
    Case(
        losses.kl_divergence_with_log_targets,
        losses.kl_divergence_with_log_targets,
        (LOG_P, LOG_Q),
        kl_of_logs,
        edges=(
            (LOG_P, np.full_like(X, -INF)),
            (np.where(ONE_HOT == 1, 0, -INF), np.where(ONE_HOT == 1, 0, -INF)),
        ),
        refused=(*UNLIKE_ROWS[:-1], ((X, K), "floating")),
    ),
    Case(
        losses.generalized_kl_divergence,
        losses.generalized_kl_divergence,
        (X, np.exp(Y)),
        generalized_kl,
        edges=KL_EDGES,
        refused=UNLIKE_ROWS[:-1],
    ),
    Case(
        losses.make_fenchel_young_loss,
        losses.make_fenchel_young_loss(
            lambda s: jnp.log(jnp.sum(jnp.exp(s - jnp.max(s)))) + jnp.max(s)
        ),
        (X, P),
        lambda x, y: special.logsumexp(x, -1) - times(y, x).sum(-1),
        edges=((X, ONE_HOT), (LOW, LOW_LABELS)),
        refused=UNLIKE_ROWS,
    ),
    Case(
        losses.ranking_softmax_loss,
        lambda x, y, where: losses.ranking_softmax_loss(x, y, where=where),
        (X, P, MASK),
        ranking,
        edges=((X, P, NONE), (X, ZEROS, MASK), (X, P, MASK & False)),
        refused=(
            ((X, P[:1], MASK), "labels"),
            ((X, P[0], MASK), "labels"),
            ((X, P, MASK[:2]), "where"),
        ),
        batched=False,
    ),
    Case(
        losses.ranking_softmax_loss,
        part(losses.ranking_softmax_loss, reduce_fn=None),
        (X, P),
        cross_entropy,
        edges=ROW_EDGES,
        refused=UNLIKE,
    ),
    Case(
        losses.ntxent,
        losses.ntxent,
        (EMBEDDINGS, GROUPS),
        ntxent,
        floats=(0,),
        edges=(
            (EMBEDDINGS, np.arange(4)),
            (EMBEDDINGS, np.zeros(4, int)),
            (np.where(GROUPS[:, None] == 1, EMBEDDINGS, 0.0), GROUPS),
        ),
        refused=(
            ((EMBEDDINGS, GROUPS[:3]), "labels"),
            ((EMBEDDINGS, GROUPS[:, None]), "labels"),
            ((EMBEDDINGS, GROUPS + 0.5), "integers"),
            ((EMBEDDINGS[0], GROUPS), "embeddings"),
        ),
        batched=False,
    ),
    Case(
        losses.triplet_margin_loss,
        losses.triplet_margin_loss,
        (X, Y, Y[::-1] * 0.7),
        triplet,
        floats=(0, 1, 2),
        edges=((X, X, X),),
        refused=(((X, Y[:, :1], X), "positives"), ((X, Y, X[:2]), "negatives")),
    ),
    Case(
        losses.triplet_margin_loss,
        part(losses.triplet_margin_loss, norm_degree=1, eps=0.0, margin=2.0),
        (X, Y, Y[::-1] * 0.7),
        part(triplet, norm_degree=1, eps=0.0, margin=2.0),
        floats=(0, 1, 2),
        edges=((X, X, Y),),
    ),
    Case(
        losses.dice_loss,
        losses.dice_loss,
        (VOLUME, REGIONS),
        lambda x, t: dice(x, t).mean(-1),
        edges=DICE_EDGES,
        refused=DICE_REFUSED,
    ),
    Case(
        losses.dice_loss,
        part(losses.dice_loss, reduction="none", alpha=0.3, beta=0.7, smooth=0.0),
        SINGLE,
        part(dice, alpha=0.3, beta=0.7, smooth=0.0),
        edges=((-INF * np.ones_like(SINGLE[0]), 0 * SINGLE[1]),),
    ),
    Case(
        losses.multiclass_generalized_dice_loss,
        losses.multiclass_generalized_dice_loss,
        (VOLUME, REGIONS),
        generalized_dice,
        edges=(DICE_EDGES[0], DICE_EDGES[1]),
        refused=DICE_REFUSED,
        batched=False,
    ),
    Case(
        losses.binary_dice_loss,
        losses.binary_dice_loss,
        (VOLUME[..., 0], REGIONS[..., 0]),
        lambda x, t: dice(x[..., None], t[..., None]).mean(-1),
        edges=((100 * VOLUME[..., 0], REGIONS[..., 0]),),
        refused=(((VOLUME[..., 0], REGIONS[:, :3, 0]), "targets"),),
    ),
    Case(
        losses.ctc_loss,
        losses.ctc_loss,
        CTC,
        ctc,
        floats=(0,),
        edges=CTC_EDGES,
        refused=CTC_REFUSED,
    ),
    Case(
        losses.ctc_loss_with_forward_probs,
        lambda *args: losses.ctc_loss_with_forward_probs(*args)[0],
        CTC,
        ctc,
        floats=(0,),
        edges=CTC_EDGES,
        refused=CTC_REFUSED,
    ),
]
