"""The types of Optax's that code imports to annotate with, by their names there."""

from typing import Any, Protocol

import jax
from jax.typing import ArrayLike

from gradtx.core.transformation import (
    OptState as OptState,
    Params as Params,
    TransformInitFn as TransformInitFn,
    TransformUpdateExtraArgsFn as TransformUpdateExtraArgsFn,
    TransformUpdateFn as TransformUpdateFn,
    Updates as Updates,
)
from gradtx.values.arguments import ScalarOrSchedule as ScalarOrSchedule

MaskOrFn = Any  # a tree of booleans, or a function of the parameters, or None


class ConditionFn(Protocol):
    """What `conditionally_transform` asks whether to transform."""

    def __call__(self, step: jax.Array, /, **extra_args: Any) -> ArrayLike: ...


class ShouldSkipUpdateFunction(Protocol):
    """What `skip_updates` and `MultiSteps` ask whether to skip the updates."""

    def __call__(
        self, updates: Updates, gradient_step: jax.Array, params: Params
    ) -> tuple[ArrayLike, Any]: ...
