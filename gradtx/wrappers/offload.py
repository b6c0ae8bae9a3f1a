"""A state that lies in the memory of the host."""

import functools
from typing import Any, NamedTuple

import jax

from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Updates,
    around_one,
    inner_pair,
    transformation,
)
from gradtx.core.roles import is_slot
from gradtx.numerics.xla import has_more
from gradtx.trees import PyTree
from gradtx.values import Misfit, StepsOrZero

HOST, DEVICE = jax.memory.Space.Host, jax.memory.Space.Device


class OffloadedState(NamedTuple):
    inner_state: OptState  # its large arrays in the host's memory


@transformation
def offload(inner: GradientTransformation, min_size: StepsOrZero = 4096) -> Pair:
    """Keep the state of a transformation in the host's memory between the steps.

    For states that a device has no room for. In each step the arrays travel to the
    device and back, and the updates are the same. What looks at a state, such as
    `with_state`, goes inside.

    Args:
      inner: a gradient transformation.
      min_size: arrays of fewer entries stay on the device.

    Raises:
      ValueError: from `init`, if the devices cannot reach the host's memory.
    """
    pair = inner_pair(inner)

    def moved(state: PyTree, here: Any, there: Any) -> PyTree:
        def move(x: Any) -> Any:
            large = hasattr(x, "shape") and x.ndim and has_more(x, min_size - 1)
            return _moved(here, there, x) if large else x

        return jax.tree.map(move, state)

    def init(params: Params) -> OffloadedState:
        if is_slot(params):
            return OffloadedState(pair.init(params))
        _check_memory()
        return OffloadedState(moved(pair.init(params), DEVICE, HOST))

    def update(
        updates: Updates, state: OffloadedState, params: Params = None, **extra: Any
    ) -> tuple[Updates, OffloadedState]:
        here = moved(state.inner_state, HOST, DEVICE)
        out, inner_state = pair.update(updates, here, params, **extra)
        return out, OffloadedState(moved(inner_state, DEVICE, HOST))

    return around_one(OffloadedState, init, update, inner, pair)


# JAX takes the derivative of what was moved to lie where the other half lies.
@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _moved(here: Any, there: Any, x: jax.Array) -> jax.Array:
    return jax.device_put(x, there)


_moved.defvjp(
    lambda here, there, x: (_moved(here, there, x), None),
    lambda here, there, _, slope: (jax.device_put(slope, here),),
)


def _check_memory() -> None:
    device = jax.local_devices()[0]
    kinds = [memory.kind for memory in device.addressable_memories()]
    if "pinned_host" not in kinds:
        raise Misfit(
            f"{device} has no memory 'pinned_host', which a state in the host's memory "
            f"lies in; it has {', '.join(kinds)}."
        )
