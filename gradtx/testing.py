"""Whether what a transformation says of itself is true: its scope and its roles.

    gradtx.testing.check(scale_by_softsign())

An `entrywise` rule is followed through its jaxpr: a value becomes the number of the
expression that gives it. A rule whose expressions have nothing but functions of single
entries, and are the same for every shape, does the same however entries lie in leaves.
What is not known to be such a function is taken for none. Other scopes and the roles
are tried out on numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import Pair, Scope
from gradtx.core.pair import as_pair
from gradtx.core.roles import Role, Slot, is_slot, read_roles
from gradtx.trees import PyTree, Shape, keystr
from gradtx.values import naming

__all__ = ["check", "check_roles", "check_scope"]

SHAPES: tuple[Shape, ...] = ((2, 3), (3,), (), (4, 1, 2))
STEPS = 2

PRIMITIVES = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp complex
    conj convert_element_type cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1
    floor ge gt imag integer_pow is_finite lgamma log log1p logistic lt le max min mul
    ne neg nextafter not optimization_barrier or pow real reduce_precision rem round
    rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor
"""
ENTRYWISE = frozenset(PRIMITIVES.split())
RESHAPING = frozenset({"broadcast_in_dim", "copy", "copy_p", "reshape", "squeeze"})
CALLS = frozenset(
    {"checkpoint", "closed_call", "custom_jvp_call", "custom_vjp_call", "jit", "pjit"}
)
NO_VALUE = frozenset({"sharding", "weak_type"})  # parameters that change no value


def check(
    tx: Any, params: PyTree | None = None, extra: Mapping[str, Any] | None = None
) -> None:
    """Check that the declared scope and the declared roles are true.

    Args:
      tx: a gradient transformation.
      params: parameters to try it on; by default leaves of several shapes. Give some
        to a rule that does not take all shapes.
      extra: the extra arguments that `update` needs.

    Raises:
      AssertionError: naming what is declared, and what is found.
    """
    check_scope(tx, params, extra)
    check_roles(tx, params, extra)


def check_scope(
    tx: Any, params: PyTree | None = None, extra: Mapping[str, Any] | None = None
) -> None:
    """Check that a transformation mixes no more entries than its scope says.

    Args:
      tx: as for `check`.
      params: as for `check`.
      extra: as for `check`.

    Raises:
      AssertionError: with what it mixes.
    """
    pair = _pair(tx, "check_scope")
    ps, words = _params() if params is None else params, dict(extra or {})
    if pair.scope is Scope.ENTRYWISE:
        try:
            _follow_shapes(pair, ps, words)
        except _DependsOnLeavesError as error:
            raise AssertionError(
                f"{tx!r} is declared entrywise, but it {error}."
            ) from None
    if not pair.scope & Scope.GLOBAL:
        together, alone = _run(pair, ps, words), {}
        for path, p in jax.tree_util.tree_leaves_with_path(ps):
            alone[path] = [u["leaf"] for u in _run(pair, {"leaf": p}, words)]
        for step, us in enumerate(together):
            for path, u in jax.tree_util.tree_leaves_with_path(us):
                _same(tx, "leafwise", path, u, alone[path][step])
    if pair.scope.arrangement_free:
        apart, joined = _run(pair, ps, words), _run(pair, _joined(ps), words)
        for us, vs in zip(apart, joined, strict=True):
            _same(tx, "free of the arrangement", (), _joined(us), vs)


def check_roles(
    tx: Any, params: PyTree | None = None, extra: Mapping[str, Any] | None = None
) -> None:
    """Check that the fields of a state are what their roles say.

    A `Mean` is multiplied with the gradients, a `Square` with their squares and is not
    negative, a `Scale` is not negative, and a `Point` moves with the parameters. Of a
    composite transformation, each part is checked by itself.

    Args:
      tx: as for `check`.
      params: as for `check`.
      extra: as for `check`.

    Raises:
      AssertionError: with the field, its role and what it does.
    """
    pair = _pair(tx, "check_roles")
    ps, words = _params() if params is None else params, dict(extra or {})
    parts = pair.parts(pair.init(ps))
    for part in parts:
        check_roles(part.tx, ps, extra)
    if parts:
        return
    outline = read_roles(pair.init)
    structure: Any
    slots, structure = jax.tree.flatten(outline, is_leaf=is_slot)
    if not any(is_slot(slot) for slot in slots):
        return
    names = [
        keystr(path)
        for path, _ in jax.tree_util.tree_leaves_with_path(outline, is_leaf=is_slot)
    ]

    def after(factor: float, shift: float = 0.0) -> list[Any]:
        at = jax.tree.map(lambda p: p + shift, ps)
        return structure.flatten_up_to(_state(pair, at, words, factor))

    runs = [after(0.0), after(1.0), after(2.0), after(1.0, shift=1.0)]
    for name, slot, *xs in zip(names, slots, *runs, strict=True):
        if is_slot(slot):
            rows = [jax.tree.leaves(x) for x in xs]
            for arrays in zip(*rows, strict=True):
                _check_role(tx, name, slot, *map(np.asarray, arrays))


def _check_role(
    tx: Any, name: str, slot: Slot, none: Any, once: Any, twice: Any, moved: Any
) -> None:
    """A field after gradients of 0, once, twice, and at shifted parameters."""
    close: Any = {"rtol": 1e-4, "atol": 1e-6}

    def refuse(what: str) -> AssertionError:
        said = slot.role.value.capitalize()
        return AssertionError(f"{tx!r}: state{name} is declared {said}, but {what}.")

    if slot.role in (Role.SQUARE, Role.SCALE) and (once < 0).any():
        raise refuse("it is negative")
    change = once - none
    if slot.role is Role.MEAN and not np.allclose(twice - none, 2 * change, **close):
        raise refuse("is not multiplied with the gradients")
    if slot.role is Role.SQUARE and not np.allclose(twice - none, 4 * change, **close):
        raise refuse("is not multiplied with the squares of the gradients")
    if slot.role is Role.POINT and not np.allclose(moved - once, 1, **close):
        raise refuse("does not move with the parameters")


def _pair(tx: Any, who: str) -> Pair:
    with naming(who):
        return as_pair(tx, "tx")


def _params() -> PyTree:
    return {
        f"leaf{i}": jnp.sin(jnp.arange(1.0, 1 + np.prod(shape, dtype=int)) + i).reshape(
            shape
        )
        for i, shape in enumerate(SHAPES)
    }


def _gradients(params: PyTree, step: int, factor: float = 1.0) -> PyTree:
    """Gradients of order 1 that differ by entry and by step, and only by these."""
    structure: Any
    flat, structure = jax.tree.flatten(params)
    ends = np.cumsum([0, *(p.size for p in flat)])
    return structure.unflatten(
        (factor * (1.5 + jnp.cos(3.0 * jnp.arange(a, a + p.size) + step)))
        .reshape(p.shape)
        .astype(p.dtype)
        for p, a in zip(flat, ends[:-1], strict=True)
    )


def _run(pair: Pair, params: PyTree, extra: Mapping[str, Any]) -> list[PyTree]:
    """The updates of a few steps."""
    state, outs = pair.init(params), []
    for step in range(STEPS):
        gs = jax.tree.map(jnp.sin, params) if step else jax.tree.map(jnp.cos, params)
        u, state = pair.update(gs, state, params, **_taken(pair, extra))
        outs.append(u)
    return outs


def _state(
    pair: Pair, params: PyTree, extra: Mapping[str, Any], factor: float
) -> PyTree:
    """The state after a few steps with gradients times a factor."""
    state = pair.init(params)
    for step in range(STEPS):
        gs = _gradients(params, step, factor)
        _, state = pair.update(gs, state, params, **_taken(pair, extra))
    return state


def _taken(pair: Pair, extra: Mapping[str, Any]) -> dict[str, Any]:
    takes = pair.extra_args
    return {k: v for k, v in extra.items() if takes is None or k in takes}


def _joined(tree: PyTree) -> PyTree:
    return {"all": jnp.concatenate([x.ravel() for x in jax.tree.leaves(tree)])}


def _same(tx: Any, said: str, path: Any, a: Any, b: Any) -> None:
    a, b = (np.asarray(jax.tree.leaves(x)[0]) for x in (a, b))
    if not np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True):
        raise AssertionError(
            f"{tx!r} is declared {said}, but the update{keystr(path)} depends on how "
            f"the parameters are arranged in leaves: {a} and {b}."
        )


# Following a rule in symbols.


class _Input(NamedTuple):
    """An argument of a rule. Equal labels stand for the same argument."""

    aval: Any
    label: str
    has_entries: bool  # of the leaf; else it is a scalar


class _Symbol(NamedTuple):
    expression: int
    has_entries: bool  # whether it is another number for each entry of the leaf
    is_uniform: bool  # whether it is one number, however it is shaped


class _DependsOnLeavesError(ValueError):
    """Says what a rule does."""


def _follow_shapes(pair: Pair, params: PyTree, extra: Mapping[str, Any]) -> None:
    """Refuse an update that does not make of an entry the same for all shapes."""
    follower, first = _Follower(), None
    for shape in dict.fromkeys(jnp.shape(p) for p in jax.tree.leaves(params)):
        leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
        state = jax.eval_shape(pair.init, leaf)
        words = {name: jnp.asarray(x) for name, x in _taken(pair, extra).items()}

        def update(g: Any, s: Any, p: Any, words: Any) -> Any:
            return pair.update(g, s, p, **words)

        found = follower.follow(
            update,
            _inputs("updates", leaf, shape),
            _inputs("state", state, shape),
            _inputs("params", leaf, shape),
            _inputs("extra arguments", words, shape),
        )
        symbols = [s.expression for s in jax.tree.leaves(found, is_leaf=_is_symbol)]
        if first is None:
            first = symbols
        elif symbols != first:
            raise _DependsOnLeavesError(f"is another one for leaves of shape {shape}")


def _inputs(name: str, x: Any, shape: Shape) -> Any:
    def one(path: Any, a: Any) -> _Input:
        if a.shape not in ((), shape):
            raise _DependsOnLeavesError(
                f"has {name}{keystr(path)} of shape {a.shape} for a leaf of {shape}"
            )
        # A scalar of the state of a scalar leaf is taken for an entry of it, too.
        entries = a.shape == shape and jnp.issubdtype(a.dtype, jnp.inexact)
        return _Input(a, name + keystr(path), entries)

    return jax.tree_util.tree_map_with_path(one, x)


def _is_input(x: Any) -> bool:
    return isinstance(x, _Input)


def _is_symbol(x: Any) -> bool:
    return isinstance(x, _Symbol)


class _Follower:
    """Follows functions; equal expressions have equal numbers, across calls too."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def follow(self, function: Callable[..., Any], *args: Any) -> Any:
        """What a function makes of trees of inputs, as a tree of symbols."""
        structure: Any
        inputs, structure = jax.tree.flatten(args, is_leaf=_is_input)
        avals = structure.unflatten([i.aval for i in inputs])
        closed, out = jax.make_jaxpr(function, return_shape=True)(*avals)
        symbols = [
            _Symbol(
                self.number("input", i.label, i.aval.dtype),
                i.has_entries,
                not i.has_entries,
            )
            for i in inputs
        ]
        found = self.run(closed.jaxpr, closed.consts, symbols)
        return jax.tree.unflatten(jax.tree.structure(out), found)

    def number(self, *expression: Any) -> int:
        return self.numbers.setdefault(expression, len(self.numbers))

    def constant(self, x: Any) -> _Symbol:
        is_key = jnp.issubdtype(jnp.result_type(x), jax.dtypes.extended)
        value: Any = id(x)
        if not (is_key or isinstance(x, jax.core.Tracer) or np.ndim(x)):
            value = (str(jnp.result_type(x)), repr(np.asarray(x).item()))
        return _Symbol(self.number("constant", value), False, not np.ndim(x))

    def run(self, jaxpr: Any, consts: Any, args: Sequence[_Symbol]) -> list[_Symbol]:
        known = dict(zip(jaxpr.invars, args, strict=True))
        known.update(zip(jaxpr.constvars, map(self.constant, consts), strict=True))

        def read(atom: Any) -> _Symbol:
            literal = hasattr(atom, "val")
            return self.constant(atom.val) if literal else known[atom]

        for eqn in jaxpr.eqns:
            outs = self.results(eqn, [read(v) for v in eqn.invars])
            known.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def results(self, eqn: Any, args: list[_Symbol]) -> list[_Symbol]:
        name, params = eqn.primitive.name, eqn.params
        avals = [v.aval for v in (*eqn.invars, *eqn.outvars)]
        has_entries = any(a.has_entries for a in args)
        if name in CALLS:
            inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
            consts = getattr(inner, "consts", ())
            return self.run(getattr(inner, "jaxpr", inner), consts, args)
        if name == "cond" and has_entries and not args[0].has_entries:
            ways = [self.run(b.jaxpr, b.consts, args[1:]) for b in params["branches"]]
            columns = [[args[0], *column] for column in zip(*ways, strict=True)]
            return [self.made(("cond",), column, True) for column in columns]
        same_shape = avals[0].shape in ((), avals[-1].shape) if args else False
        if name in RESHAPING and (same_shape or args[0].is_uniform):
            return args[:1]
        if name == "convert_element_type" and avals[0].dtype == avals[-1].dtype:
            return args
        if has_entries and name not in ENTRYWISE:
            raise _DependsOnLeavesError(f"applies {name} to a whole leaf")
        if has_entries and not all(a.has_entries or a.is_uniform for a in args):
            raise _DependsOnLeavesError("treats entries by where they lie in the leaf")
        told = {k: v for k, v in params.items() if k not in NO_VALUE}
        entrywise = name in ENTRYWISE and all(a.is_uniform for a in args)
        return [
            self.made(
                (name, str(sorted(told.items(), key=str)), k),
                args,
                entrywise or v.aval.shape == (),
            )
            for k, v in enumerate(eqn.outvars)
        ]

    def made(
        self, operation: tuple[Any, ...], args: Iterable[_Symbol], is_uniform: bool
    ) -> _Symbol:
        args = list(args)
        has_entries = any(a.has_entries for a in args)
        number = self.number(*operation, *(a.expression for a in args))
        return _Symbol(number, has_entries, is_uniform and not has_entries)
