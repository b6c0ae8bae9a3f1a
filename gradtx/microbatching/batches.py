"""Arguments with a batch axis, split into parts."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from gradtx.numerics import as_array
from gradtx.trees import PyTree, keystr
from gradtx.values import Misfit, brief, naming
from gradtx.values.arguments import steps


def reshape_batch_axis(tree: PyTree, microbatch_size: int, axis: int = 0) -> PyTree:
    """Split the batch axis of each leaf in two: the parts, and the examples of a part.

    Of n parts, the first has the examples 0, n, 2n, ...: a batch that is sharded over
    devices then has a share of each part on each device.

    Args:
      tree: of arrays.
      microbatch_size: >= 1, the examples of a part.
      axis: of the batch.

    Raises:
      ValueError: by path, if the batch has no such axis, or is not divisible.
    """
    with naming("reshape_batch_axis"):
        size = size_of(microbatch_size)

        def split(path: Any, x: Any) -> jax.Array:
            x = _split(f"tree{keystr(path)}", x, size, axis)
            return jnp.swapaxes(x, _after(axis) - 1, _after(axis))

        return jax.tree_util.tree_map_with_path(split, tree)


class Batch:
    """The arguments of a call whose batches are split into parts.

    Args:
      args: those by place.
      kwargs: those by name.
      axes: the batch axes, by place or name.
      size: the examples of a part.
    """

    def __init__(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        axes: Mapping[int | str, int],
        size: int,
    ):
        self.given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        self.names, self.axes, self.parts = [*kwargs], dict[Any, int](), 0
        first = ""
        for key, axis in axes.items():
            place = key if isinstance(key, str) else place_of(key, args)
            if place not in self.given:
                raise Misfit(f"no argument {place} was passed by name.")
            self.axes[place] = axis
            structure: Any
            flat, structure = jax.tree_util.tree_flatten_with_path(self.given[place])
            leaves = []
            for path, x in flat:
                name = f"argument {place}{keystr(path)}"
                leaves.append(_split(name, x, size, axis))
                n = leaves[-1].shape[_after(axis)]
                if self.parts not in (0, n):
                    raise Misfit(
                        f"{name} has a batch of {n * size}, but {first} has one of "
                        f"{self.parts * size}."
                    )
                self.parts, first = n, first or name
            self.given[place] = structure.unflatten(leaves)
        if not self.parts:
            raise Misfit("no argument has a batch; expected one or more.")

    def part(self, i: Any) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of the i-th part, by place and by name."""
        given = dict(self.given)
        for place, axis in self.axes.items():
            at = functools.partial(
                jax.lax.dynamic_index_in_dim, axis=_after(axis), keepdims=False
            )
            given[place] = jax.tree.map(lambda x, at=at: at(x, i), given[place])
        words = {name: given.pop(name) for name in self.names}
        return [*given.values()], words


def _split(name: str, x: Any, size: int, axis: int) -> jax.Array:
    """An array with the examples of a part at the batch axis, and the parts after it.

    No entry moves, so nothing is copied.
    """
    x = as_array(x)
    if not -x.ndim <= axis < x.ndim:
        raise Misfit(f"{name} has shape {x.shape}, and so no batch axis {axis}.")
    at = axis % x.ndim
    n, left = divmod(x.shape[at], size)
    if not x.shape[at]:
        raise Misfit(f"{name} has a batch of no examples.")
    if left:
        raise Misfit(
            f"{name} has a batch of {x.shape[at]}, which is not divisible by "
            f"microbatch_size={size}: {left} would be left over. Leave them out, or "
            "pad and mask the batch."
        )
    shape = (*x.shape[:at], size, n, *x.shape[at + 1 :])
    return reshaped(x, shape, lambda spec: [*spec[: at + 1], None, *spec[at + 1 :]])


def _after(axis: int) -> int:
    """The axis of the parts."""
    return axis + 1 if axis >= 0 else axis


def reshaped(
    x: jax.Array, shape: Sequence[int], spec_of: Callable[[list[Any]], list[Any]]
) -> jax.Array:
    """x in this shape; under a mesh of explicit axes, with this partition."""
    sharding = jax.typeof(x).sharding
    mesh = sharding.mesh
    if mesh.empty or not mesh.are_all_axes_explicit:
        return x.reshape(shape)
    spec = [*sharding.spec, *[None] * (x.ndim - len(sharding.spec))]
    out = NamedSharding(mesh, PartitionSpec(*spec_of(spec)))
    return jnp.reshape(x, shape, out_sharding=out)


def size_of(microbatch_size: Any) -> int:
    try:
        return int(steps(1)(microbatch_size))
    except (TypeError, ValueError) as error:
        raise Misfit(
            f"microbatch_size is {brief(microbatch_size)}; expected a whole number "
            ">= 1, or None.",
            type(error),
        ) from None


def place_of(i: int, args: Sequence[Any]) -> int:
    if not -len(args) <= i < len(args):
        raise Misfit(f"there is no argument {i} among the {len(args)} by place.")
    return i % len(args)
