"""The lift of rules for matrices, and how each leaf is seen and worked on."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.lift import leafwise
from gradtx.core.pair import Pair
from gradtx.core.roles import Role, roles_of, slots_of
from gradtx.core.rule import Body
from gradtx.core.stages import REMEMBERED, How, Work, act
from gradtx.numerics.shards import NOWHERE, gathered, is_placed, placed_as, varies_over
from gradtx.numerics.xla import after, rows
from gradtx.trees import PyTree
from gradtx.trees.matrix_axes import Matrices, MatrixAxes, matrix_axes

# An array of these roles that has the shape of its matrix is laid out as the parameter.
LAID_OUT = {Role.MEAN, Role.SQUARE, Role.POINT, Role.SCALE, Role.OTHER}


# Entries of a stack of leaves. It is copied together and apart, which is little beside
# what the rule does with it, but is memory too: a megabyte in float32.
TOGETHER = 2**18
# Entries of a leaf that is stacked. On a CPU the products of a stack take longer than
# those of one matrix after the other from about 100 x 100 on, with two threads up to
# twice as long, as XLA does not divide them well.
SMALL = 2**13


def matrixwise(
    init: Any,
    update: Callable[..., Any],
    /,
    *,
    axes: Any,
    stacks: bool = False,
    others: bool = False,
    takes_turns: bool = False,
    either_way: bool = False,
    extra_args: Iterable[str] = (),
    needs_params: bool | None = None,
    **hypers: Any,
) -> Pair:
    """Lift a pair on one matrix, of m rows (fan-out) and n columns (fan-in).

    Each leaf is taken apart into its matrices and put together again, so the rule sees
    one matrix and never a batch. What it keeps in the shape of the matrix is kept in
    the layout of the parameter; another array of a leaf that is a batch has the batch
    in front.

    Args:
      init: from one matrix to a NamedTuple, or `slots(...)`, as for `entrywise`.
      update: as for `entrywise`, on matrices.
      axes: `Axes(rows, columns)` for all leaves; or a selector of them, as a function
        of `(path, leaf)`. Leaves without, with None, pass through.
      stacks: whether the rule takes a stack of matrices (batch, m, n) as it is; by
        default it is mapped over the first axis.
      others: whether leaves without axes are taken as they are, and do not pass.
      takes_turns: whether leaves are worked on one after the other, and small ones of
        one shape as one stack: for a rule that keeps nothing, and makes arrays of the
        size of a leaf on the way.
      either_way: whether it makes of a transpose the transpose, so that a matrix need
        not be turned.
      extra_args, needs_params: as for `entrywise`.
      **hypers: as for `entrywise`.

    Raises:
      TypeError: as for `entrywise`; from `init` and `update` of the pair, by path, if
        what the selector gives is not `Axes`.
      ValueError: from these, by path, if a leaf has no such axes.
    """
    return leafwise(
        init,
        update,
        mask=_Matrices(axes, stacks, others, takes_turns, either_way),
        extra_args=extra_args,
        needs_params=needs_params,
        **hypers,
    )


def per_matrix(axes: Any) -> Callable[..., Pair]:
    """The lift of a rule that looks at a leaf as a whole: at each of its matrices, if
    it has them."""
    if axes is None:
        return leafwise
    return functools.partial(matrixwise, axes=axes, others=True)


@dataclass(frozen=True, eq=False)
class _Matrices:
    """What the lift asks about the leaves: how each is seen."""

    axes: Any
    stacks: bool
    others: bool
    takes_turns: bool
    either_way: bool

    def views(self, params: PyTree) -> "list[_View | bool]":
        """For each leaf how it is seen, or whether it is acted on as it is."""
        return [
            self.others if axes is None else _View(axes, self.stacks, self.either_way)
            for axes in matrix_axes(self.axes, params)
        ]

    def arranged(self, body: Body, leaves: list[Any], work: list[Work]) -> list[Work]:
        """The work on leaves that take turns, small ones of one kind in stacks.

        Otherwise a rule that makes arrays of the size of a leaf has those of all leaves
        at a time, and is compiled for each leaf, which takes long where they are many.
        """
        if not self.takes_turns:
            return work
        out, kinds = list[Work](), dict[Any, list[Work]]()
        for one in work:
            arrays = [leaves[i] for i in one.inputs]
            if _can_wait(one, arrays):
                types = tuple((x.shape, x.dtype) for x in arrays)
                kinds.setdefault((one.kind, one.how, types), []).append(one)
            else:
                out.append(one)
        for (kind, _, ((shape, _), *_)), alike in kinds.items():
            size = math.prod(shape)
            many = max(1, TOGETHER // size) if size <= SMALL else 1
            for start in range(0, len(alike), many):
                stack = alike[start : start + many]
                view = kind.view if len(stack) == 1 else kind.view.of_stack(len(shape))
                out.append(
                    stack[0]._replace(
                        act=_in_turn(body.seen(view)),
                        inputs=[i for one in stack for i in one.inputs],
                        outputs=[i for one in stack for i in one.outputs],
                        takes_turns=True,
                    )
                )
        return out


def _can_wait(work: Work, arrays: list[Any]) -> bool:
    """Whether a leaf may be stacked with others, and done after them."""
    g, kind = arrays[0], work.kind
    keeps_nothing = len(work.outputs) == 1
    return (
        keeps_nothing
        and kind is not None
        and isinstance(kind.view, _View)
        and kind.adapter is None
        and work.how.spread == NOWHERE
        and isinstance(g.size, int)
        and g.size > 0
        and not any(is_placed(x) or varies_over(x) for x in arrays)
    )


@functools.lru_cache(maxsize=REMEMBERED)
def _in_turn(body: Body) -> Any:
    """The rule on one leaf or a stack, after the number `done`, if there is one."""

    def on_leaves(how: How, arrays: list[jax.Array], common: Any, done: Any) -> Any:
        n = how.structure.num_leaves
        many = len(arrays) // n
        if many > 1:
            arrays = [_together(arrays[i::n]) for i in range(n)]
        arrays = [after(arrays[0], done), *arrays[1:]]
        (out,) = act(body, how, arrays, common)
        return [out] if many == 1 else rows(out)

    on_leaves.__name__ = body.name
    return jax.jit(on_leaves, static_argnums=0)


def _together(xs: Sequence[jax.Array]) -> jax.Array:
    # Along an axis that is there: a new one would be one more operation for each.
    return jnp.concatenate(xs).reshape(len(xs), *xs[0].shape)


@dataclass(frozen=True)
class _View:
    """A rule on a matrix as one on a leaf of matrices."""

    axes: MatrixAxes
    stacks: bool
    either_way: bool

    def of_stack(self, ndim: int) -> "_View":
        """The same for leaves of so many axes, stacked along a first axis."""
        return replace(self, axes=self.axes.behind(ndim, 1))

    def matrices(self, x: jax.Array) -> Matrices:
        leaf = self.axes.of(x.shape)
        return leaf.as_they_lie() if self.either_way else leaf

    def mapped(self, f: Callable[..., Any], leaf: Matrices) -> Callable[..., Any]:
        return f if self.stacks else vmapped(f, leaf)

    def init(self, f: Callable[..., Any]) -> Callable[..., Any]:
        def init(p: jax.Array) -> Any:
            leaf = self.matrices(p)
            made = [self.mapped(f, leaf)(x) for x in leaf.apart(gathered(p))]
            return _joined(leaf, p, made)

        return init

    def update(self, f: Callable[..., Any]) -> Callable[..., Any]:
        def update(g: jax.Array, state: Any, *p: jax.Array, **words: Any) -> Any:
            leaf = self.matrices(g)
            if not slots_of(type(state)):
                return self._alone(f, leaf, g, state, *p, **words), state
            count = getattr(state, "count", None)
            ps = [leaf.apart(gathered(x)) for x in p if x is not None]

            def act(g: jax.Array, slots: Any, *p: jax.Array) -> Any:
                new = slots._replace(count=count) if "count" in slots._fields else slots
                given = p if p or not ps else (None,)
                out, new = f(g, new, *given, **words)
                return out, new._replace(count=()) if "count" in new._fields else new

            gs = leaf.apart(gathered(g))
            parts = zip(gs, _split(leaf, state), *ps, strict=True)
            done = [self.mapped(act, leaf)(*part) for part in parts]
            new = _joined(leaf, g, [new for _, new in done])
            if count is not None:
                new = new._replace(count=count)
            return placed_as(g, leaf.together([out for out, _ in done])), new

        return update

    def _alone(
        self, f: Any, leaf: Matrices, g: jax.Array, state: Any, *p: Any, **words: Any
    ) -> jax.Array:
        """What a rule that keeps nothing makes of a leaf."""

        def act(arrays: Any) -> jax.Array:
            g, *p = arrays
            return f(g, state, *p, **words)[0]

        return on_matrices(leaf, act, (g, *p), self.mapped)


def on_matrices(
    leaf: Matrices,
    f: Callable[[Any], jax.Array],
    arrays: Any,
    mapped: Callable[..., Any] | None = None,
) -> jax.Array:
    """What a function of matrices makes of leaves of one shape, a tree of arrays."""
    structure: Any
    leaves, structure = jax.tree.flatten(arrays)

    def one(*matrices: jax.Array) -> jax.Array:
        return f(structure.unflatten(matrices))

    act = (mapped or vmapped)(one, leaf)
    parts = list(zip(*(leaf.apart(gathered(x)) for x in leaves), strict=True))
    outs = [act(*part) for part in parts]
    if all(out is part[0] for out, part in zip(outs, parts, strict=True)):
        return leaves[0]
    return placed_as(leaves[0], leaf.together(outs))


def vmapped(f: Callable[..., Any], leaf: Matrices) -> Callable[..., Any]:
    """A function of a matrix, mapped over those along the first axis."""
    return f if leaf.count is None else jax.vmap(f)


def _joined(leaf: Matrices, like: jax.Array, states: Sequence[Any]) -> Any:
    """The state of a leaf, of those of its blocks."""
    fields = {}
    for name, role in roles_of(type(states[0])).items():
        parts = [getattr(state, name) for state in states]
        many = () if leaf.count is None else (leaf.count,)
        shapes = [(*many, *size) for size in leaf.sizes]
        fits = [getattr(x, "shape", None) for x in parts] == shapes
        if role in LAID_OUT and fits:
            fields[name] = placed_as(like, leaf.together(parts))
        elif name == "count" or len(parts) == 1:
            fields[name] = parts[0]
        else:
            fields[name] = tuple(parts)
    return type(states[0])(**fields)


def _split(leaf: Matrices, state: Any) -> list[Any]:
    """The states of the blocks of a leaf, of its own; without the count."""
    roles, fields = roles_of(type(state)), dict[str, list[Any]]()
    for name in slots_of(type(state)):
        x = getattr(state, name)
        if roles[name] in LAID_OUT and getattr(x, "shape", None) == leaf.shape:
            fields[name] = leaf.apart(gathered(x))
        else:
            fields[name] = [x] if len(leaf.blocks) == 1 else list(x)
    blank = {"count": ()} if "count" in roles else {}
    return [
        type(state)(**blank, **{n: xs[i] for n, xs in fields.items()})
        for i in range(len(leaf.blocks))
    ]
