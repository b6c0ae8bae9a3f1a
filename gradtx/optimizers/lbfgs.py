"""L-BFGS with a line search."""

from gradtx.core import GradientTransformation, chain, identity
from gradtx.transforms.lbfgs import scale_by_lbfgs
from gradtx.transforms.scaling import scale, scale_by_learning_rate
from gradtx.transforms.zoom import scale_by_zoom_linesearch
from gradtx.values import LearningRate, Steps, checked

ZOOM = scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy="one")


@checked
def lbfgs(
    learning_rate: LearningRate | None = None,
    memory_size: Steps = 10,
    scale_init_precond: bool = True,
    linesearch: GradientTransformation | None = ZOOM,
) -> GradientTransformation:
    """L-BFGS: W ← W − t H g, with H from the last changes and t from a line search.

    It needs the parameters, and what the line search needs: `update(grads, state,
    params, value=value, grad=grads, value_fn=f)`, where `value, grads` are
    `value_and_grad_from_state(f)(params, state=state)`. It is for losses without noise.
    With many small leaves, `flatten(lbfgs())` is compiled in a third of the time.

    Args:
      learning_rate: η >= 0, a factor of H g before the line search; None for 1.
      memory_size, scale_init_precond: see `scale_by_lbfgs`.
      linesearch: what finds t, by default `scale_by_zoom_linesearch`; None for t = 1.

    Example:
      >>> gradtx.lbfgs(memory_size=5)
      chain(scale_by_lbfgs(memory_size=5), scale(-1.0), scale_by_zoom_linesearch(20,
      initial_guess_strategy='one'))

    Equals:
      Optax's, up to what `scale_by_lbfgs` and `scale_by_zoom_linesearch` say.

    References:
      Liu and Nocedal, 1989, "On the limited memory BFGS method for large scale
      optimization".
    """
    step = (
        scale(-1.0) if learning_rate is None else scale_by_learning_rate(learning_rate)
    )
    return chain(
        scale_by_lbfgs(memory_size, scale_init_precond),
        step,
        identity() if linesearch is None else linesearch,
    )
