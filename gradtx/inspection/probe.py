"""What can be found out about a pair that says nothing of its state.

Its `init` is run abstractly on parameters of other sizes, of which no two are the same,
and the sizes of what it makes are compared with theirs. It may refuse any of them, by
any error: so all are caught here, and what is not seen twice is taken for unknown.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.roles import UNKNOWN, Axes, all_axes
from gradtx.trees import PyTree, Shape, flatten

# A rule may treat ranks differently, and large and small, and square and not.
SHAPES: list[Shape] = [
    (),
    (5,),
    (8,),
    (3, 7),
    (7, 3),
    (8, 8),
    (4, 3, 5),
    (3, 5, 11, 7),
    (1024, 2048),
    (2003, 1009, 1511),
]


def always_alike(init: Callable[..., Any], structure: Any) -> list[bool]:
    """For each leaf of an outline of the state: whether it always has the shapes of the
    parameters, as far as can be seen."""

    def states(p: jax.ShapeDtypeStruct) -> list[Any]:
        return structure.flatten_up_to(init([p]))

    alike = [True] * structure.num_leaves
    for shape, made in _tried(states):
        for i, slot in enumerate(made):
            one = isinstance(slot, list) and len(slot) == 1
            alike[i] &= one and _is_like(slot[0], shape)
    return alike


def is_always_alike(made: Callable[[Any], Any]) -> bool:
    """Whether what is made for one parameter always has its shape."""
    return all(_is_like(x, shape) for shape, x in _tried(made))


def _tried(f: Callable[[Any], Any]) -> Iterator[tuple[Shape, Any]]:
    """What f makes of one parameter of each shape that it does not refuse."""
    for shape in SHAPES:
        with contextlib.suppress(Exception):  # the rule is for matrices, say
            yield shape, jax.eval_shape(f, jax.ShapeDtypeStruct(shape, jnp.float32))


def _is_like(x: Any, shape: Shape) -> bool:
    """Whether it is one array of this shape, or a hole."""
    return x is None or getattr(x, "shape", None) == shape


def axes_of(
    init: Callable[..., Any], structure: Any, params: PyTree
) -> list[list[list[Any]]]:
    """For each leaf of an outline, for each parameter, for each array: its axes."""
    flat = flatten(params)
    shapes = [() if p is None else jnp.shape(p) for p in flat.leaves]

    def state_for(shapes: Sequence[Shape]) -> list[Any]:
        like = [
            None if p is None else jax.ShapeDtypeStruct(shape, _dtype(p))
            for p, shape in zip(flat.leaves, shapes, strict=True)
        ]
        return structure.flatten_up_to(jax.eval_shape(init, flat.unflatten(like)))

    sizes: list[list[Shape]] = []
    probes: list[list[Any]] = []

    def probe(*ways: str) -> None:
        for way, last in itertools.product(ways, (True, False)):
            others = [_distinct(shape, way, last) for shape in shapes]
            with contextlib.suppress(Exception):  # the rule may refuse these
                probes.append(state_for(others))
                sizes.append(others)

    probe("up", "down")
    if not probes:
        probe("times")

    def axes(i: int, x: Any, others: Sequence[Any]) -> list[Any]:
        """Of the arrays in an entry, from what it is for other sizes."""
        arrays, inside = jax.tree.flatten(x)
        rows = [_leaves(inside, other) for other in others]
        if not probes and [a.shape for a in arrays] == [shapes[i]]:
            return [all_axes(shapes[i])]
        return [
            _agreed(
                _matched(shapes[i], a.shape, s[i], row[j].shape) if row else None
                for s, row in zip(sizes, rows, strict=True)
            )
            for j, a in enumerate(arrays)
        ]

    found: list[list[list[Any]]] = []
    for slot, *others in zip(state_for(shapes), *probes, strict=True):
        try:
            entries, *columns = [
                flat.structure.flatten_up_to(x) for x in (slot, *others)
            ]
        except ValueError:  # no slot
            found.append([])
            continue
        rows = zip(entries, *columns, strict=True)
        found.append([axes(i, x, more) for i, (x, *more) in enumerate(rows)])
    return found


def _distinct(shape: Shape, way: str, last: bool) -> Shape:
    """Other sizes in the same order, no two the same. Of equal sizes the last becomes
    the largest, or the first."""
    order = sorted(range(len(shape)), key=lambda i: (shape[i], i if last else -i))
    steps = [order.index(i) + last for i in range(len(shape))]
    if way == "times":
        return tuple(n * (2 + k) for n, k in zip(shape, steps, strict=True))
    shift = 2
    if way == "down":
        room = min(shape, default=0) > len(shape) + 3
        shift = -len(shape) - 2 if room else len(shape) + 4
    return tuple(n + shift + k for n, k in zip(shape, steps, strict=True))


def _matched(p: Shape, made: Shape, sizes: Shape, other: Shape) -> Axes | None:
    """The axes of a parameter in an array made for it, seen in one made for others.

    Args:
      p: the shape of the parameter.
      made: the shape of the array.
      sizes: that of another parameter, with distinct sizes, and none as in p.
      other: that of the array made for it.
    """
    axes = Axes(sizes.index(n) for n in other if n in sizes)
    same = len(axes) == len(other) and axes.fit(p, made)
    return axes if same else None


def _agreed(seen: Iterable[Axes | None]) -> Any:
    """What at least two probes show and no probe contradicts, if it has every axis
    once."""
    found = [axes for axes in seen if axes is not None]
    once = (
        len(found) > 1 and len(set(found)) == 1 and len(set(found[0])) == len(found[0])
    )
    return found[0] if once else UNKNOWN


def _leaves(structure: Any, x: Any) -> Any:
    try:
        return structure.flatten_up_to(x)
    except ValueError:
        return None


def _dtype(p: Any) -> Any:
    return p.dtype if hasattr(p, "dtype") else jnp.result_type(p)
