"""The names of `optax.contrib`, for code that says `optax.contrib.prodigy(...)`.

All of them are also at the top: there is no other catalogue here.
"""

from gradtx import optimizers, transforms, wrappers

_NAMES = """
    COCOBState DAdaptAdamWState DoGState DoWGState HutchinsonState MadgradState
    MechanicState MomoAdamState MomoState ProdigyState ReduceLROnPlateauState
    ScaleByAdemamixState ScaleBySimplifiedAdEMAMixState SophiaState
    SplitRealAndImaginaryState acprop ademamix adopt cocob dadapt_adamw dog dowg
    hutchinson_estimator_diag_hessian madgrad mechanize momo momo_adam prodigy
    reduce_on_plateau scale_by_acprop scale_by_ademamix scale_by_adopt scale_by_cocob
    scale_by_madgrad scale_by_simplified_ademamix simplified_ademamix sophia
    split_real_and_imaginary
"""
_ROOMS = {**vars(transforms), **vars(wrappers), **vars(optimizers)}

__all__ = [name for name in _NAMES.split() if name in _ROOMS]
globals().update({name: _ROOMS[name] for name in __all__})
