"""SOAP's direction, made orthogonal, with the radius of the weights under control."""

from gradtx.core import GradientTransformation, chain, identity
from gradtx.layout.eigenbasis import eigenbasis
from gradtx.matrix import dense
from gradtx.optimizers.muon import adamw_at, beside_adamw
from gradtx.transforms.momentum import ema
from gradtx.transforms.polar import scale_by_fan, scale_by_polar
from gradtx.transforms.radial import brake_radial, pin_radius
from gradtx.transforms.renorm import renorm
from gradtx.transforms.rmsprop import scale_by_rms
from gradtx.transforms.scaling import scale, scale_by_schedule
from gradtx.trees.matrix_axes import AxesSelector
from gradtx.values import Decay, Function, LearningRate, NonNegative, checked
from gradtx.values.arguments import Fraction, FractionConstant
from gradtx.wrappers.conjugate import conjugate
from gradtx.wrappers.given_gradient import given_gradient
from gradtx.wrappers.parallel import parallel


@checked
def soap_muon(
    learning_rate: LearningRate,
    beta: Decay = 0.95,
    b2: Decay = 0.9,
    weight_decay: NonNegative = 0.025,
    *,
    shampoo_decay: FractionConstant = 0.9,
    brake: Fraction = 0.5,
    floor: NonNegative = 0.3825,
    trust: Function | None = None,
    adam_learning_rate: LearningRate | None = None,
    axes: AxesSelector = dense,
) -> GradientTransformation:
    """Muon after SOAP for matrices, on a radius that is pinned, and AdamW for the rest.

    The momentum is divided by its root mean square in the eigenbasis of the gradients,
    and orthogonalized; the step loses a part of what lengthens the weights, and moves
    each row by a part of its norm at least. Each line of the chain is one of these.

    Args:
      learning_rate: α >= 0, 0.0375 at its greatest in the record.
      beta: of the momentum (see `ema`); from 0.85 to 0.95 and back in the record.
      b2: of the mean square in the eigenbasis (see `scale_by_rms`).
      weight_decay: λ >= 0 (see `pin_radius`).
      shampoo_decay: `decay` of `eigenbasis`.
      brake: see `brake_radial`.
      floor: c >= 0, the least norm of a row's direction beside that of the row.
      trust: a merge of the momentum and of what SOAP makes of it, such as
        `merges.trusted(0.45, 0.85, axes)` for attention outputs, whose axes these are;
        by default SOAP's alone.
      adam_learning_rate: of AdamW, for leaves without axes; by default the same.
      axes: which axes are rows and columns (see `matrix`).

    Equals:
      The code for hidden matrices of record 46 of modded-nanogpt's optimizer track,
      without its cast to bfloat16.
    """
    view = eigenbasis(shampoo_decay, every=1, passes_first=True, of="gradient")
    soap = conjugate(view, scale_by_rms(b2, eps_as_floor=True), axes)
    matrix = chain(
        ema(beta, debias=False, nesterov=True),
        soap if trust is None else parallel(identity(), soap, merge=trust),
        scale_by_polar("gentle", norm="schatten", axes=axes, eps_as_floor=True),
        scale_by_fan("jordan", axes=axes),
        scale(-1.0),
        brake_radial(brake, axes),
        renorm("at least", floor, per="unit", of_params=True, axes=axes),
        scale_by_schedule(learning_rate),
        pin_radius(weight_decay=weight_decay, axes=axes),
    )
    other = adamw_at(learning_rate, adam_learning_rate)
    return beside_adamw(given_gradient(matrix), other, axes, "soap_muon")
