"""Whether a rule treats each entry by itself, and alike in leaves of every shape.

The rule's jaxpr is followed in symbols: a value becomes the number of the expression
that gives it. A rule whose expressions have nothing but functions of single entries,
and are the same for every shape, does the same however entries lie in leaves. What is
not known to be such a function is taken for none.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import tree
from gradtx.core.packed import Shape, is_stack, shapes_in

PRIMITIVES = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp complex
    conj convert_element_type cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1
    floor ge gt imag integer_pow is_finite lgamma log log1p logistic lt le max min mul
    ne neg nextafter not or pow real reduce_precision rem round rsqrt select_n sign sin
    sinh sqrt square stop_gradient sub tan tanh xor
"""
ENTRYWISE = frozenset(PRIMITIVES.split())
RESHAPING = frozenset({"broadcast_in_dim", "copy", "copy_p", "reshape", "squeeze"})
CALLS = frozenset(
    {"checkpoint", "closed_call", "custom_jvp_call", "custom_vjp_call", "jit", "pjit"}
)
NO_VALUE = frozenset({"sharding", "weak_type"})  # parameters that change no value


class Input(NamedTuple):
    """An argument of a rule. Equal labels stand for the same argument."""

    aval: Any
    label: Any
    leaf: int | None  # whose entries it has; None if it is a scalar


class Symbol(NamedTuple):
    expression: int
    leaf: int | None  # None if it is the same for all entries


class DependsOnLeavesError(ValueError):
    """Says what a rule does."""


class Follower:
    """Follows functions; equal expressions have equal numbers, across calls too."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def follow(self, function: Callable[..., Any], *args: Any) -> Any:
        """What a function makes of trees of inputs, as a tree of symbols."""
        structure: Any
        inputs, structure = jax.tree.flatten(args, is_leaf=_is_input)
        avals = structure.unflatten([i.aval for i in inputs])
        closed, out = jax.make_jaxpr(function, return_shape=True)(*avals)
        symbols = [
            Symbol(self._number("input", i.label, i.aval.dtype), i.leaf) for i in inputs
        ]
        found = self._run(closed.jaxpr, closed.consts, symbols)
        return jax.tree.unflatten(jax.tree.structure(out), found)

    def _number(self, *expression: Any) -> int:
        return self._numbers.setdefault(expression, len(self._numbers))

    def _constant(self, x: Any) -> Symbol:
        if np.ndim(x):
            raise DependsOnLeavesError(f"holds an array of shape {np.shape(x)}")
        is_key = jnp.issubdtype(jnp.result_type(x), jax.dtypes.extended)
        value: Any = id(x)
        if not (is_key or isinstance(x, jax.core.Tracer)):
            value = (str(jnp.result_type(x)), repr(np.asarray(x).item()))
        return Symbol(self._number("constant", value), None)

    def _run(self, jaxpr: Any, consts: Any, args: Sequence[Symbol]) -> list[Symbol]:
        known = dict(zip(jaxpr.invars, args, strict=True))
        known.update(zip(jaxpr.constvars, map(self._constant, consts), strict=True))

        def read(atom: Any) -> Symbol:
            literal = hasattr(atom, "val")
            return self._constant(atom.val) if literal else known[atom]

        for eqn in jaxpr.eqns:
            outs = self._results(eqn, [read(v) for v in eqn.invars])
            known.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _results(self, eqn: Any, args: list[Symbol]) -> list[Symbol]:
        name, params = eqn.primitive.name, eqn.params
        avals = [v.aval for v in (*eqn.invars, *eqn.outvars)]
        leaves = {a.leaf for a in args} - {None}
        only_scalars = not leaves and all(a.shape == () for a in avals)
        if name in CALLS:
            inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
            return self._run(getattr(inner, "jaxpr", inner), _consts(inner), args)
        if name == "cond" and not only_scalars and args[0].leaf is None:
            ways = [self._run(b.jaxpr, b.consts, args[1:]) for b in params["branches"]]
            columns = [[args[0], *column] for column in zip(*ways, strict=True)]
            return [self._made(("cond",), column) for column in columns]
        same_shape = avals[0].shape in ((), avals[-1].shape) if args else False
        if name in RESHAPING and same_shape:
            return args[:1]
        if name == "convert_element_type" and avals[0].dtype == avals[-1].dtype:
            return args
        if name not in ENTRYWISE and not only_scalars:
            raise DependsOnLeavesError(f"applies {name} to a whole leaf")
        told = {k: v for k, v in params.items() if k not in NO_VALUE}
        return [
            self._made((name, str(sorted(told.items())), k), args)
            for k in range(len(eqn.outvars))
        ]

    def _made(self, operation: tuple[Any, ...], args: Sequence[Symbol]) -> Symbol:
        leaves = {a.leaf for a in args} - {None}
        if len(leaves) > 1:
            raise DependsOnLeavesError("combines entries of different leaves")
        number = self._number(*operation, *(a.expression for a in args))
        return Symbol(number, next(iter(leaves), None))


class LeafwiseCheck:
    """Refuses a rule on one array that does not do the same on vectors of leaves."""

    def __init__(self, who: Any):
        self._who, self._passed = who, set[Any]()

    def call(self, function: Any, path: Any, *arrays: Any) -> None:
        """Check a function of one array, or of several of one shape."""

        def of_shape(follower: Follower, shape: Shape) -> Any:
            inputs = [
                _inputs(f"argument {i}", _shaped(x, shape), shape)
                for i, x in enumerate(arrays)
            ]
            return follower.follow(function, *inputs)

        self._check(path, arrays[0], tuple(x.dtype for x in arrays), of_shape)

    def update(
        self, act: Any, path: Any, g: Any, expected: Any, p: Any, scalars: Any
    ) -> None:
        def of_shape(follower: Follower, shape: Shape) -> Any:
            return follower.follow(
                act,
                _inputs("updates", _shaped(g, shape), shape),
                _inputs("state", expected(shape, g.dtype), shape),
                None if p is None else _inputs("params", _shaped(p, shape), shape),
                _inputs("hyperparameters", scalars()),
            )

        self._check(path, g, (g.dtype, getattr(p, "dtype", None)), of_shape)

    def _check(self, path: Any, vector: Any, what: Any, of_shape: Any) -> None:
        shapes = shapes_in(path)
        case = (shapes, vector.shape, what)
        if shapes and not is_stack(path) and case not in self._passed:
            _check_alike(self._who, path, (vector.shape, *shapes), of_shape)
            self._passed.add(case)


def check_treewise(who: Any, act: Any, gs: Any, s: Any, ps: Any, scalars: Any) -> None:
    """Refuse a rule on trees that may not do the same on trees of packed leaves.

    It is followed on the tree itself and, for each shape of a packed leaf, on two such
    trees of leaves of that shape.
    """
    paths = [path for path, _ in tree.leaves_with_path(gs) if shapes_in(path)]
    if not paths:
        return

    def of_shape(follower: Follower, shape: Shape | None) -> Any:
        numbers = itertools.count()

        def one(name: str, x: Any) -> Any:
            return jax.tree.map(lambda a: _input(name, a, shape, next(numbers)), x)

        def all_leaves(name: str, x: Any) -> Any:
            nonlocal numbers
            numbers = itertools.count()
            return one(name, x) if shape is None else (one(name, x), one(name, x))

        given = all_leaves("updates", gs)
        params = None if ps is None else all_leaves("params", ps)
        state, hypers = _inputs("state", s), _inputs("hyperparameters", scalars())
        out, new = follower.follow(act, given, state, params, hypers)
        first: dict[Any, Symbol] = {}
        pairs = zip(_leaves(given), _leaves(out), strict=True)
        for g, u in pairs:
            if u.leaf not in (None, g.leaf):
                raise DependsOnLeavesError("combines entries of different leaves")
            if first.setdefault(g.aval.dtype, u).expression != u.expression:
                raise DependsOnLeavesError("is not the same for all leaves")
        return first, new

    distinct = dict.fromkeys(shape for path in paths for shape in shapes_in(path))
    _check_alike(who, paths[0], (None, *distinct), of_shape)


def _check_alike(
    who: Any, path: Any, shapes: Iterable[Shape | None], of_shape: Callable[..., Any]
) -> None:
    """Refuse a rule that does not make of an entry the same for all shapes."""
    follower, results = Follower(), []
    for shape in shapes:
        try:
            found = of_shape(follower, shape)
        except DependsOnLeavesError as error:
            raise _refusal(who, path, str(error)) from None
        results.append(jax.tree.map(lambda s: s.expression, found, is_leaf=_is_symbol))
        if results[-1] != results[0]:
            raise _refusal(who, path, f"is another one for leaves of shape {shape}")


def _refusal(who: Any, path: Any, reason: str) -> ValueError:
    what, fix = "vector of packed leaves", "Give it unpacked parameters."
    if is_stack(path):
        what, fix = "stack of leaves", "Put it outside of stacked(...)."
    return ValueError(
        f"{who} depends on how entries lie in leaves, or may do so, and "
        f"{tree.keystr(path)} is a {what}: its rule {reason}. {fix}"
    )


def _inputs(name: str, x: Any, shape: Shape | None = None) -> Any:
    """The inputs for a tree of scalars, and of arrays of this shape if there is one."""

    def one(path: Any, a: Any) -> Input:
        if a.shape not in ((), shape):
            raise DependsOnLeavesError(f"has {name} of shape {a.shape}")
        leaf = 0 if a.shape == shape else None
        return _input(name + tree.keystr(path), a, a.shape, leaf)

    return jax.tree_util.tree_map_with_path(one, x)


def _input(name: str, a: Any, shape: Shape | None, leaf: int | None) -> Input:
    return Input(_shaped(a, a.shape if shape is None else shape), name, leaf)


def _shaped(a: Any, shape: Shape) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, a.dtype)


def _leaves(x: Any) -> list[Any]:
    return jax.tree.leaves(x, is_leaf=lambda y: _is_input(y) or _is_symbol(y))


def _consts(jaxpr: Any) -> Sequence[Any]:
    return getattr(jaxpr, "consts", ())


def _is_input(x: Any) -> bool:
    return isinstance(x, Input)


def _is_symbol(x: Any) -> bool:
    return isinstance(x, Symbol)
