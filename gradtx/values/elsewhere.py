"""Names of other libraries, and what is written here in their place."""

from collections.abc import Iterable, Mapping
from types import ModuleType

# From PyTorch, Keras, and what they build on; not those that differ by case alone.
NAMES: Mapping[str, str] = {
    "AveragedModel": "average_params(...), as the last link of a chain",
    "ChainedScheduler": "multiply_schedules",
    "ConstantLR": "constant_schedule",
    "CosineAnnealingLR": "cosine_decay_schedule",
    "CosineAnnealingWarmRestarts": "cosine_restarts_schedule",
    "CosineDecay": "cosine_decay_schedule",
    "CosineDecayRestarts": "cosine_restarts_schedule",
    "CyclicLR": "cyclic_schedule",
    "ExponentialLR": "exponential_decay",
    "GradScaler": "loss_scale",
    "LambdaLR": "a function of the step, in the learning rate's place",
    "LearningRateSchedule": "Schedule, or any function of the step",
    "LinearLR": "linear_schedule",
    "LossScaleOptimizer": "loss_scale",
    "MultiStepLR": "piecewise_constant_schedule",
    "MultiplicativeLR": "multiply_schedules",
    "OneCycleLR": "cosine_onecycle_schedule",
    "Optimizer": "GradientTransformation",
    "PiecewiseConstantDecay": "piecewise_constant_schedule",
    "PolynomialDecay": "polynomial_schedule",
    "PolynomialLR": "polynomial_schedule",
    "ReduceLROnPlateau": "contrib.reduce_on_plateau",
    "SequentialLR": "join_schedules",
    "SparseAdam": "lazy_rows(adam(...))",
    "StepLR": "step_decay_schedule",
    "apply_gradients": "apply_updates(params, updates)",
    "backward": "jax.grad",
    "clip_grad_norm_": "clip_by_global_norm(...), as the first link of a chain",
    "clip_grad_value_": "clip(...), as the first link of a chain",
    "lr_scheduler": "schedules; each may stand in the learning rate's place",
    "param_groups": "partition(transforms, labels)",
    "step": "update(grads, state, params), of a transformation",
    "swa_utils": "average_params(...), as the last link of a chain",
    "zero_grad": "nothing: gradients are values, and not kept",
}


def advice(name: str, known: Iterable[str], rooms: Iterable[ModuleType]) -> str:
    """What to write for a name that the package has not; "" if nobody knows.

    Args:
      name: what was asked for.
      known: the names that it has.
      rooms: its modules.
    """
    if name in NAMES:
        return NAMES[name]
    for room in rooms:
        home = getattr(vars(room).get(name), "__module__", "")
        if home.startswith(room.__name__):
            return f"{room.__name__.partition('.')[2]}.{name}"
    plain = _plain(name)
    return next((ours for ours in known if _plain(ours) == plain), "")


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
