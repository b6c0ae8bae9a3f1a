"""The algorithms: what an optimizer does with a gradient, one step of a chain each."""

from typing import TYPE_CHECKING

from gradtx.values import shown_too

# Multiplying, adding up, clipping
from gradtx.transforms.stateless import stateless, stateless_with_tree_map
from gradtx.transforms.scaling import (
    ScaleByScheduleState,
    ScaleState,
    scale,
    scale_by_learning_rate,
    scale_by_schedule,
)
from gradtx.transforms.momentum import EmaState, TraceState, ema, trace
from gradtx.transforms.clipping import (
    ClipByBlockRmsState as ClipByBlockRmsState,
    ClipByGlobalNormState,
    ClipState,
    clip,
    clip_by_block_rms,
    clip_by_global_norm,
)
from gradtx.transforms.update_norm import (
    NormalizeByUpdateNormState as NormalizeByUpdateNormState,
    NormalizeInProportionState as NormalizeInProportionState,
    normalize_by_update_norm,
    normalize_in_proportion as normalize_in_proportion,
)
from gradtx.transforms.centralize import centralize
from gradtx.transforms.apply_every import ApplyEvery, apply_every
from gradtx.transforms.zero_nans import ZeroNansState, zero_nans
from gradtx.transforms.noise import AddNoiseState, add_noise

# Signs
from gradtx.transforms.sign import scale_by_sign
from gradtx.transforms.lion import ScaleByLionState, scale_by_lion

# A step size for each entry
from gradtx.transforms.adagrad import ScaleByRssState, scale_by_rss
from gradtx.transforms.adadelta import ScaleByAdaDeltaState, scale_by_adadelta
from gradtx.transforms.rprop import ScaleByRpropState, scale_by_rprop
from gradtx.transforms.rmsprop import (
    ScaleByRStdDevState,
    ScaleByRmsState,
    scale_by_rms,
    scale_by_stddev,
)
from gradtx.transforms.adam import ScaleByAdamState, scale_by_adam

# Adam's relatives
from gradtx.transforms.adamax import scale_by_adamax
from gradtx.transforms.amsgrad import ScaleByAmsgradState, scale_by_amsgrad
from gradtx.transforms.yogi import scale_by_yogi
from gradtx.transforms.adabelief import ScaleByBeliefState, scale_by_belief
from gradtx.transforms.acprop import scale_by_acprop
from gradtx.transforms.nadam import (
    ScaleByNadamState as ScaleByNadamState,
    scale_by_nadam,
)
from gradtx.transforms.radam import scale_by_radam
from gradtx.transforms.adopt import scale_by_adopt
from gradtx.transforms.adabound import (
    ScaleByAdaboundState as ScaleByAdaboundState,
    ScaleByAmsboundState as ScaleByAmsboundState,
    scale_by_adabound,
    scale_by_amsbound,
)
from gradtx.transforms.adam_atan2 import (
    ScaleByAdamAtan2State as ScaleByAdamAtan2State,
    scale_by_adam_atan2,
)
from gradtx.transforms.qhm import (
    ScaleByQhadamState as ScaleByQhadamState,
    ScaleByQhmState as ScaleByQhmState,
    scale_by_qhadam,
    scale_by_qhm,
)
from gradtx.transforms.optimistic import (
    ScaleByOptimisticGradientState as ScaleByOptimisticGradientState,
    scale_by_optimistic_gradient,
)
from gradtx.transforms.adan import ScaleByAdanState, scale_by_adan
from gradtx.transforms.ademamix import (
    ScaleByAdemamixState,
    ScaleBySimplifiedAdEMAMixState,
    scale_by_ademamix,
    scale_by_simplified_ademamix,
)
from gradtx.transforms.stable_adamw import (
    ScaleByStableAdamWState as ScaleByStableAdamWState,
    scale_by_stable_adamw,
)
from gradtx.transforms.spam import ScaleBySpamState as ScaleBySpamState, scale_by_spam

# Second moments in little memory
from gradtx.transforms.adafactor import FactoredState, scale_by_factored_rms
from gradtx.transforms.came import ScaleByCAMEState as ScaleByCAMEState, scale_by_came
from gradtx.transforms.novograd import ScaleByNovogradState, scale_by_novograd
from gradtx.transforms.sm3 import ScaleBySM3State, scale_by_sm3

# The gradient, edited before a method
from gradtx.transforms.mars import (
    GradientChangeState as GradientChangeState,
    gradient_change,
)
from gradtx.transforms.grokfast import GrokfastState as GrokfastState, grokfast
from gradtx.transforms.deviation import (
    DeviationState as DeviationState,
    deviation as deviation,
)
from gradtx.transforms.orthograd import orthogonalize_to_params

# The size of a step beside that of the parameters
from gradtx.transforms.renorm import RenormState as RenormState, renorm
from gradtx.transforms.trust_ratio import ScaleByTrustRatioState, scale_by_trust_ratio
from gradtx.transforms.param_scale import (
    ScaleByParamBlockNormState as ScaleByParamBlockNormState,
    ScaleByParamBlockRmsState as ScaleByParamBlockRmsState,
    scale_by_param_block_norm,
    scale_by_param_block_rms,
)
from gradtx.transforms.adaptive_grad_clip import (
    AdaptiveGradClipState,
    adaptive_grad_clip,
    unitwise_clip as unitwise_clip,
    unitwise_norm as unitwise_norm,
)
from gradtx.transforms.adamp import (
    ScaleByAdampState as ScaleByAdampState,
    ScaleBySgdpState as ScaleBySgdpState,
    scale_by_adamp,
    scale_by_sgdp,
)
from gradtx.transforms.fromage import (
    RotateAndShrinkState as RotateAndShrinkState,
    rotate_and_shrink,
)
from gradtx.transforms.hyperball import KeepNormState as KeepNormState, keep_norm

# Step sizes that are found
from gradtx.transforms.polyak import (
    ScaleByPolyakState as ScaleByPolyakState,
    scale_by_polyak,
)
from gradtx.transforms.dog import (
    DoGState,
    DoWGState,
    ScaleByDistanceOverGradientsState,
    scale_by_distance_over_gradients,
    scale_by_dog,
    scale_by_dowg,
)
from gradtx.transforms.dadaptation import (
    DAdaptSGDState as DAdaptSGDState,
    scale_by_dadapt_sgd,
)
from gradtx.transforms.madgrad import MadgradState, scale_by_madgrad
from gradtx.transforms.cocob import COCOBState, scale_by_cocob
from gradtx.transforms.plateau import ReduceLROnPlateauState, reduce_on_plateau

# Last links: where the parameters may be, and their mean
from gradtx.transforms.nonnegative import (
    NonNegativeParamsState,
    keep_params_nonnegative,
)
from gradtx.transforms.qk_clip import QkClipState as QkClipState, qk_clip
from gradtx.transforms.primal_average import (
    PrimalAverageState as PrimalAverageState,
    primal_average as primal_average,
)
from gradtx.transforms.schedule_free import (
    ScheduleFreeAverageState as ScheduleFreeAverageState,
    schedule_free_average as schedule_free_average,
)
from gradtx.transforms.momentum_sam import (
    MomentumSamState as MomentumSamState,
    momentum_sam as momentum_sam,
)
from gradtx.transforms.ema_nesterov import (
    EmaNesterovState as EmaNesterovState,
    ema_nesterov as ema_nesterov,
)
from gradtx.transforms.average_params import (
    AverageParamsState as AverageParamsState,
    average_params,
)

# Curvature
from gradtx.transforms.hutchinson import (
    HutchinsonState,
    hutchinson_estimator_diag_hessian,
)

# What Optax has in its `transforms`, and lives on a higher floor here.
if TYPE_CHECKING:
    from gradtx.places import transforms as elsewhere
    from gradtx.places.transforms import *  # noqa: F403
else:
    __getattr__, __dir__ = shown_too(__name__, "gradtx.places.transforms")

# Directions and line searches
from gradtx.transforms.backtracking import (
    BacktrackingLinesearchInfo as BacktrackingLinesearchInfo,
    ScaleByBacktrackingLinesearchState,
    scale_by_backtracking_linesearch,
)
from gradtx.transforms.lbfgs import ScaleByLBFGSState, scale_by_lbfgs
from gradtx.transforms.value_and_grad import value_and_grad_from_state
from gradtx.transforms.zoom import (
    ScaleByZoomLinesearchState,
    ZoomLinesearchInfo,
    scale_by_zoom_linesearch,
)
from gradtx.transforms.nonlinear_cg import (
    ScaleByNonlinearCGState as ScaleByNonlinearCGState,
    scale_by_nonlinear_cg as scale_by_nonlinear_cg,
)

# Matrices
from gradtx.transforms.lmo import LmoState as LmoState, lmo as lmo
from gradtx.transforms.decay_stepped import (
    DecayStepState as DecayStepState,
    decay_stepped_weights as decay_stepped_weights,
)
from gradtx.transforms.radial import (
    BrakeRadialState as BrakeRadialState,
    PinRadiusState as PinRadiusState,
    brake_radial as brake_radial,
    pin_radius as pin_radius,
)
from gradtx.transforms.polar import (
    NormalizeRowsState as NormalizeRowsState,
    ScaleByFanState as ScaleByFanState,
    ScaleByPolarState as ScaleByPolarState,
    normalize_rows as normalize_rows,
    scale_by_fan,
    scale_by_polar,
)

__all__ = [
    # Multiplying, adding up, clipping
    "ScaleByScheduleState",
    "ScaleState",
    "scale",
    "scale_by_learning_rate",
    "scale_by_schedule",
    "stateless",
    "stateless_with_tree_map",
    "EmaState",
    "TraceState",
    "ema",
    "trace",
    "ClipByGlobalNormState",
    "ClipState",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "normalize_by_update_norm",
    "centralize",
    "ApplyEvery",
    "apply_every",
    "ZeroNansState",
    "zero_nans",
    "AddNoiseState",
    "add_noise",
    # Directions and line searches
    "ScaleByBacktrackingLinesearchState",
    "ScaleByLBFGSState",
    "ScaleByZoomLinesearchState",
    "ZoomLinesearchInfo",
    "scale_by_backtracking_linesearch",
    "scale_by_lbfgs",
    "scale_by_zoom_linesearch",
    "value_and_grad_from_state",
    # Matrices
    "scale_by_fan",
    "scale_by_polar",
    # Signs
    "scale_by_sign",
    "ScaleByLionState",
    "scale_by_lion",
    # A step size for each entry
    "ScaleByRssState",
    "scale_by_rss",
    "ScaleByAdaDeltaState",
    "scale_by_adadelta",
    "ScaleByRpropState",
    "scale_by_rprop",
    "ScaleByRStdDevState",
    "ScaleByRmsState",
    "scale_by_rms",
    "scale_by_stddev",
    "ScaleByAdamState",
    "scale_by_adam",
    # Adam's relatives
    "scale_by_adamax",
    "ScaleByAmsgradState",
    "scale_by_amsgrad",
    "scale_by_yogi",
    "ScaleByBeliefState",
    "scale_by_belief",
    "scale_by_acprop",
    "scale_by_nadam",
    "scale_by_radam",
    "scale_by_adopt",
    "scale_by_adabound",
    "scale_by_amsbound",
    "scale_by_adam_atan2",
    "scale_by_qhadam",
    "scale_by_qhm",
    "scale_by_optimistic_gradient",
    "ScaleByAdanState",
    "scale_by_adan",
    "ScaleByAdemamixState",
    "ScaleBySimplifiedAdEMAMixState",
    "scale_by_ademamix",
    "scale_by_simplified_ademamix",
    "scale_by_stable_adamw",
    "scale_by_spam",
    # Second moments in little memory
    "FactoredState",
    "scale_by_factored_rms",
    "scale_by_came",
    "ScaleByNovogradState",
    "scale_by_novograd",
    "ScaleBySM3State",
    "scale_by_sm3",
    # The gradient, edited before a method
    "gradient_change",
    "grokfast",
    "orthogonalize_to_params",
    # The size of a step beside that of the parameters
    "renorm",
    "ScaleByTrustRatioState",
    "scale_by_trust_ratio",
    "scale_by_param_block_norm",
    "scale_by_param_block_rms",
    "AdaptiveGradClipState",
    "adaptive_grad_clip",
    "scale_by_adamp",
    "scale_by_sgdp",
    "rotate_and_shrink",
    "keep_norm",
    # Step sizes that are found
    "scale_by_polyak",
    "DoGState",
    "DoWGState",
    "ScaleByDistanceOverGradientsState",
    "scale_by_distance_over_gradients",
    "scale_by_dog",
    "scale_by_dowg",
    "scale_by_dadapt_sgd",
    "MadgradState",
    "scale_by_madgrad",
    "COCOBState",
    "scale_by_cocob",
    "ReduceLROnPlateauState",
    "reduce_on_plateau",
    # Last links: where the parameters may be, and their mean
    "NonNegativeParamsState",
    "keep_params_nonnegative",
    "qk_clip",
    "average_params",
    # Curvature
    "HutchinsonState",
    "hutchinson_estimator_diag_hessian",
]

if TYPE_CHECKING:
    __all__ += elsewhere.__all__
