"""Nonlinear conjugate gradients with a line search."""

from gradtx.core import GradientTransformation, chain
from gradtx.transforms.nonlinear_cg import Method, scale_by_nonlinear_cg
from gradtx.transforms.scaling import scale
from gradtx.transforms.zoom import scale_by_zoom_linesearch
from gradtx.values import checked

# A direction is conjugate only if the search along the last one came near its minimum.
ZOOM = scale_by_zoom_linesearch(
    max_linesearch_steps=25, curv_rtol=0.1, initial_guess_strategy="keep"
)


@checked
def nonlinear_cg(
    method: Method = "polak-ribiere", linesearch: GradientTransformation = ZOOM
) -> GradientTransformation:
    """Conjugate gradients for a loss that is not quadratic: W ← W − t u, u ← g + β u.

    It needs the parameters, and what the line search needs, as `lbfgs` does. It is for
    losses without noise, where the memory of `lbfgs` is too much.

    Args:
      method: see `scale_by_nonlinear_cg`.
      linesearch: what finds t; its condition on the slope should be strict.

    References:
      Fletcher and Reeves, 1964, "Function minimization by conjugate gradients"; Polak
      and Ribière, 1969, "Note sur la convergence de méthodes de directions conjuguées".
    """
    return chain(scale_by_nonlinear_cg(method), scale(-1.0), linesearch)
