"""The state of any transformation in fewer bytes."""

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.codecs import ACodec, Codec
from gradtx.core import (
    GradientTransformation,
    OptState,
    Pair,
    Params,
    Scope,
    Updates,
    around_one,
    inner_pair,
    transformation,
)
from gradtx.core.roles import (
    ZERO,
    Axes,
    Count,
    Role,
    Slot,
    all_axes,
    is_slot,
    read_roles,
)
from gradtx.inspection.map_params import slots_in
from gradtx.numerics import safe_increment
from gradtx.numerics.rounding import noise
from gradtx.numerics.xla import has_more
from gradtx.trees import Flat, Mask, PyTree, Shape, flatten, keystr
from gradtx.trees.boxes import entries, has_boxes, in_form, refitted
from gradtx.trees.flat import Path, refuse_arranged
from gradtx.trees.select import selected
from gradtx.values import Misfit, StepsOrZero

HOST = jax.memory.Space.Host
REMEMBERED = 64  # plans: for each structure and types of the parameters there is one


class EncodedState(NamedTuple):
    count: Count  # updates so far
    inner_state: OptState  # with codes in the place of arrays


@transformation
def with_state(
    inner: GradientTransformation,
    codec: ACodec,
    where: Mask = None,
    min_size: StepsOrZero = 4096,
    seed: StepsOrZero = 0,
) -> Pair:
    """Keep the state of a transformation in another form, in fewer bytes.

    Before a step the codes are decoded, to the dtypes that `inner` keeps, and what the
    step made of them is encoded:

        tx = gradtx.wrappers.with_state(gradtx.adamw(1e-3), gradtx.codecs.int8())

    Which arrays, their roles say: a mean and a second moment, and, where the codec
    keeps enough, a place among the parameters and a scale. Counts, scalars and bases
    stay as they are, and so do arrays that are no number for each entry of a parameter,
    that are complex or that are small. Two codecs are two wrappers, one in the other.

    Args:
      inner: a gradient transformation, which says what roles its state has.
      codec: the form, such as `codecs.int8()`.
      where: a selector, as for `masked`: True for the parameters whose state is
        encoded; None for all.
      min_size: arrays of fewer entries are kept as they are.
      seed: what the roundings by chance follow from, with the path of an array and the
        count of updates; a whole number >= 0.

    Raises:
      TypeError, ValueError: from `init`, if nothing that `inner` keeps has a role; from
        `update`, by path, if the state is for other parameters or of another codec.

    References:
      Dettmers et al., 2021, arXiv:2110.02861, for the idea.
    """
    pair, plans = inner_pair(inner), dict[Any, _Plan]()

    def plan_for(reference: PyTree, state: PyTree = None) -> _Plan:
        marks = None if where is None else tuple(selected(where, reference))
        leaves, structure = jax.tree.flatten((reference, state))
        types = (structure, marks, *map(_type, leaves))
        plan = plans.get(types)
        if plan is None:
            if len(plans) == REMEMBERED:
                plans.clear()
            plan = _Plan(pair.init, codec, marks, min_size, reference)
            if state is not None:
                plan.check(plan.in_form(state))
            plans[types] = plan
        return plan

    def init(params: Params) -> EncodedState:
        if is_slot(params):
            return EncodedState(ZERO, _coded(read_roles(pair.init), codec, min_size))
        state, plan = pair.init(params), plan_for(params)
        return EncodedState(jnp.zeros((), jnp.int32), plan.begun(state, params))

    def update(
        updates: Updates, state: EncodedState, params: Params = None, **extra: Any
    ) -> tuple[Updates, EncodedState]:
        reference = updates if params is None else params
        plan = plan_for(reference, state.inner_state)
        inner_state = plan.decoded(plan.in_form(state.inner_state))
        out, new = pair.update(updates, inner_state, params, **extra)
        structure: Any = jax.tree.structure(state.inner_state)
        codes = plan.encoded(new, (np.uint32(seed % 2**32), state.count))
        codes = in_form(codes, state.inner_state)
        codes = structure.unflatten(jax.tree.leaves(codes))  # with the boxes of `init`
        return out, EncodedState(safe_increment(state.count), codes)

    scope = pair.scope | Scope.LEAFWISE
    return around_one(EncodedState, init, update, inner, pair, scope=scope)


class _Array(NamedTuple):
    """An array of the state inside that is kept as a code."""

    role: Role
    like: jax.ShapeDtypeStruct  # as it is decoded
    number: np.uint32  # its own, from its path
    path: Path  # of its parameter
    code: Any  # the shapes of its code
    structure: Any


class _Plan:
    """Which arrays of the state are kept as codes, for parameters of these types."""

    def __init__(
        self,
        init: Callable[..., Any],
        codec: Codec,
        marks: Sequence[bool] | None,
        min_size: int,
        reference: PyTree,
    ):
        self.codec, self.min_size = codec, min_size
        self.slots, self.outline = slots_in(init, "with_state")
        structure: Any
        like, structure = jax.tree.flatten(jax.eval_shape(init, reference))
        self.like, self.structure = like, structure
        self.arrays: list[_Array | None] = [None] * len(like)
        paths = jax.tree_util.tree_leaves_with_path(self.structure.unflatten(like))
        for i, role, path in self._encoded_places(flatten(reference), marks):
            encode = functools.partial(_encoded, codec, role, words=None)
            code = jax.eval_shape(encode, like[i])  # traced once for arrays of a kind
            number = np.uint32(zlib.crc32(keystr(paths[i][0]).encode()))
            self.arrays[i] = _Array(
                role, like[i], number, path, code, jax.tree.structure(code)
            )
        encoded = [array.path for array in self.arrays if array is not None]
        refuse_arranged(encoded, Scope.LEAFWISE)
        self._refuse_roleless()

    def _encoded_places(
        self, flat: Flat, marks: Sequence[bool] | None
    ) -> Iterator[tuple[int, Role, Path]]:
        """Of leaves of the state, with the role and the path of the parameter."""
        numbered = self.structure.unflatten(range(len(self.like)))
        shapes = [None if p is None else jnp.shape(p) for p in flat.leaves]
        for slot, places in zip(
            self.slots, self.outline.flatten_up_to(numbered), strict=True
        ):
            if not (is_slot(slot) and slot.role in self.codec.coding.roles):
                continue
            found = entries(flat, places, "params", "the state")
            for k, (shape, place) in enumerate(zip(shapes, found, strict=True)):
                if shape is None or not (marks is None or marks[k]):
                    continue
                if isinstance(place, int) and self._is_fit(self.like[place], shape):
                    yield place, slot.role, flat.paths[k]

    def _is_fit(self, x: Any, shape: Shape) -> bool:
        real = jnp.issubdtype(x.dtype, jnp.floating)
        return real and x.shape == shape and has_more(x, max(self.min_size, 1) - 1)

    def _refuse_roleless(self) -> None:
        """Refuse a large state of which nothing is said, as of another library's."""
        roles = {slot.role for slot in self.slots if is_slot(slot)}
        large = any(x.ndim and has_more(x, self.min_size) for x in self.like)
        if large and not any(self.arrays) and roles <= {Role.OTHER}:
            raise Misfit(
                "nothing in the state inside says that it is a mean or a square, so "
                "that nothing can be encoded. Annotate its fields (see gradtx.roles); "
                "inside of stacked or flatten, with_state can tell."
            )

    def in_form(self, state: PyTree) -> PyTree:
        """The state inside, in the containers that its codes are made in."""
        return in_form(state, self._codes())

    def check(self, state: PyTree) -> None:
        """Refuse a state that is not for these parameters, or of another codec."""
        there, expected = map(jax.tree.leaves, (state, self._codes()))
        if len(there) != len(expected):
            raise Misfit(
                f"the state inside has {len(there)} arrays; expected {len(expected)}, "
                "for this codec, `where` and `min_size`. Where a gradient is None, "
                "update needs the parameters."
            )
        at = 0
        for x, array in zip(self.like, self.arrays, strict=True):
            mine = [x] if array is None else jax.tree.leaves(array.code)
            for known in mine:
                given, at = there[at], at + 1
                if array is None or jnp.shape(given) == known.shape:
                    continue
                raise Misfit(
                    f"updates{keystr(array.path)} has shape {array.like.shape}, but "
                    f"what the state has for it is for another shape, or of another "
                    f"codec: {jnp.shape(given)}, expected {known.shape}."
                )

    def _codes(self) -> PyTree:
        return self.structure.unflatten(
            x if array is None else array.code
            for x, array in zip(self.like, self.arrays, strict=True)
        )

    def begun(self, state: PyTree, params: PyTree) -> PyTree:
        """The code of a first state."""
        for x, array in zip(jax.tree.leaves(state), self.arrays, strict=True):
            if array is not None and jax.typeof(x).memory_space is HOST:
                raise Misfit("the state inside is offloaded; put offload outside.")
        codes = self.encoded(state, None)
        if not has_boxes(params):
            return codes
        fields = [
            refitted(x, params, _coded_axes(slot, self.codec, self.min_size))
            if is_slot(slot)
            else x
            for slot, x in zip(
                self.slots, self.outline.flatten_up_to(codes), strict=True
            )
        ]
        return self.outline.unflatten(fields)

    def encoded(self, state: PyTree, words: Any) -> PyTree:
        """The state in codes, of which chance follows from these numbers."""
        out = []
        for x, array in zip(jax.tree.leaves(state), self.arrays, strict=True):
            if array is not None:
                own = words and (*words, array.number)
                x = _encoded(self.codec, array.role, x, own)
            out.append(x)
        return self.structure.unflatten(out)

    def decoded(self, state: PyTree) -> PyTree:
        codes, out = iter(jax.tree.leaves(state)), []
        for array in self.arrays:
            if array is None:
                out.append(next(codes))
                continue
            code = [next(codes) for _ in range(array.structure.num_leaves)]
            like = array.like.shape, array.like.dtype
            code = array.structure.unflatten(code)
            out.append(_decoded(self.codec, array.role, like, code))
        return self.structure.unflatten(out)


def _encode(codec: Codec, role: Role, x: jax.Array, words: Any) -> Any:
    draw = None if words is None else lambda y: noise(y, *words)
    return codec.coding.encode(role, x, draw)


# Compiled once for the arrays of a kind, for calls outside of `jax.jit`.
_encoded = functools.partial(jax.jit, static_argnums=(0, 1))(_encode)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _decoded(codec: Codec, role: Role, like: Any, code: Any) -> jax.Array:
    return codec.coding.decode(role, code, jax.ShapeDtypeStruct(*like))


def _type(x: Any) -> Any:
    if isinstance(x, jax.Array):
        return x.aval
    return jnp.shape(x), getattr(x, "dtype", type(x))


def _coded(state: PyTree, codec: Codec, min_size: int) -> PyTree:
    """A state made to be read, of which the slots say which axes their codes keep."""

    def coded(x: Any) -> Any:
        known = is_slot(x) and x.role in codec.coding.roles
        return Slot(x.role, _coded_axes(x, codec, min_size)) if known else x

    return jax.tree.map(coded, state, is_leaf=is_slot)


def _coded_axes(slot: Slot, codec: Codec, min_size: int) -> Any:
    if slot.axes is None or slot.role not in codec.coding.roles:
        return slot.axes

    def axes(shape: Shape) -> Any:
        said: Any = slot.axes(shape)  # type: ignore[misc]
        like: Any = jax.ShapeDtypeStruct(shape, jnp.float32)
        whole = isinstance(said, Axes) and said == all_axes(shape)
        encoded = whole and has_more(like, max(min_size, 1) - 1)
        return codec.coding.axes(shape) if encoded else said

    return axes
