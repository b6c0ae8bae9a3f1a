"""Whether what a transformation says of itself is true: its scope and its roles.

    gradtx.testing.check(scale_by_softsign())

An `entrywise` rule is followed through its jaxpr: a value becomes the number of the
expression that gives it. A rule whose expressions have nothing but functions of single
entries, and are the same for every shape, does the same however entries lie in leaves.
What is not known to be such a function is taken for none. Other scopes and the roles
are tried out on numbers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import Pair, Scope
from gradtx.core.pair import as_pair
from gradtx.core.roles import Role, is_slot, read_roles
from gradtx.trees import PyTree, Shape, keystr
from gradtx.values import brief, naming

__all__ = ["check", "check_roles", "check_scope"]

SHAPES: tuple[Shape, ...] = ((2, 3), (), (4, 1, 2))
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
      tx: a gradient transformation. Of a composite one, each part is checked by itself.
      params: parameters to try it on; by default leaves of several shapes. Give some
        to a rule that does not take all shapes.
      extra: the extra arguments that `update` needs; `grad` is the gradient by default.

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
    pair, ps, words = _given("check_scope", tx, params, extra)
    parts = pair.parts(pair.init(ps))
    for part in parts:
        check_scope(part.tx, ps, extra)
    followed = pair.scope is Scope.ENTRYWISE and not parts
    if followed:
        _follow_shapes(tx, pair, ps, words)
    with jax.disable_jit():  # many shapes, a few steps each: not worth compiling
        _compare_arrangements(tx, pair, ps, words, followed)


def check_roles(
    tx: Any, params: PyTree | None = None, extra: Mapping[str, Any] | None = None
) -> None:
    """Check that the fields of a state are what their roles say.

    A `Mean` is multiplied with the gradients, a `Square` with their squares and is not
    negative, a `Scale` is not negative, and a `Point` moves with the parameters.

    Args:
      tx: as for `check`.
      params: as for `check`.
      extra: as for `check`.

    Raises:
      AssertionError: with the field, its role and what it does.
    """
    pair, ps, words = _given("check_roles", tx, params, extra)
    parts = pair.parts(pair.init(ps))
    for part in parts:
        check_roles(part.tx, ps, extra)
    if parts:
        return
    slots: list[Any]
    structure: Any
    slots, structure = jax.tree_util.tree_flatten_with_path(
        read_roles(pair.init), is_leaf=is_slot
    )

    def after(factor: float, shift: float = 0.0) -> list[Any]:
        _, state = _run(pair, ps, words, factor, shift)
        return structure.flatten_up_to(state)

    with jax.disable_jit():
        runs = [after(0.0), after(1.0), after(2.0), after(1.0, shift=1.0)]
    for (path, slot), *fields in zip(slots, *runs, strict=True):
        if is_slot(slot):
            columns = [jax.tree.leaves(field) for field in fields]
            for arrays in zip(*columns, strict=True):
                wrong = _misfit(slot.role, *map(np.asarray, arrays))
                if wrong:
                    said = slot.role.value.capitalize()
                    raise AssertionError(
                        f"{brief(tx)}: state{keystr(path)} is declared {said}, but "
                        f"{wrong}."
                    )


def _misfit(role: Role, none: Any, once: Any, twice: Any, moved: Any) -> str | None:
    """What is wrong with a field, seen after gradients of 0, once and twice some, and
    at parameters that are moved by 1."""

    def close(a: Any, b: Any) -> bool:
        return np.allclose(a, b, rtol=1e-4, atol=1e-6)

    if role in (Role.SQUARE, Role.SCALE) and (once < 0).any():
        return "is negative"
    if role is Role.MEAN and not close(twice - none, 2 * (once - none)):
        return "is not multiplied with the gradients"
    if role is Role.SQUARE and not close(twice - none, 4 * (once - none)):
        return "is not multiplied with the squares of the gradients"
    if role is Role.POINT and not close(moved - once, 1):
        return "does not move with the parameters"
    return None


def _given(
    who: str, tx: Any, params: PyTree | None, extra: Mapping[str, Any] | None
) -> tuple[Pair, PyTree, dict[str, Any]]:
    with naming(who):
        pair = as_pair(tx, "tx")
    takes = pair.extra_args
    words = {k: x for k, x in (extra or {}).items() if takes is None or k in takes}
    return pair, _leaves_of_several_shapes() if params is None else params, words


def _leaves_of_several_shapes() -> PyTree:
    entries = np.sin(np.arange(100.0, dtype=np.float32))
    ends = np.cumsum([0, *map(math.prod, SHAPES)])
    return {
        f"leaf{i}": jnp.asarray(entries[ends[i] : ends[i + 1]].reshape(shape))
        for i, shape in enumerate(SHAPES)
    }


def _run(
    pair: Pair,
    params: PyTree,
    extra: Mapping[str, Any],
    factor: float = 1.0,
    shift: float = 0.0,
) -> tuple[list[PyTree], PyTree]:
    """The updates of a few steps at parameters that stay, and the state then."""
    at = jax.tree.map(lambda p: p + jnp.asarray(shift, p.dtype), params)
    state, outs = pair.init(at), []
    for step in range(STEPS):
        # Of the entry alone, so that each has the same however they are arranged.
        gs = jax.tree.map(
            lambda p, i=step: (factor * (1.5 + jnp.cos(3 * p + i))).astype(p.dtype),
            params,
        )
        u, state = pair.update(gs, state, at, **_heard(pair, gs, extra))
        outs.append(u)
    return outs, state


def _heard(pair: Pair, gradient: PyTree, extra: Mapping[str, Any]) -> Any:
    """The extra arguments, with those that links of a chain hear from others."""
    told = {"grad": gradient, "learning_rate": 0.1}
    hears = pair.extra_args or frozenset()
    return {**{word: x for word, x in told.items() if word in hears}, **extra}


def _compare_arrangements(
    tx: Any, pair: Pair, params: PyTree, extra: Mapping[str, Any], followed: bool
) -> None:
    """Compare the updates of leaves together, of each alone, and of all joined.

    What was followed mixes no entries of a leaf, so that joined leaves are as good as
    each alone.
    """
    together, _ = _run(pair, params, extra)
    if not (followed or pair.scope & Scope.GLOBAL):
        for path, _ in jax.tree_util.tree_leaves_with_path(params):

            def alone(tree: PyTree, at: Any = path) -> PyTree:
                return jax.tree_util.tree_map_with_path(
                    lambda q, x: x if q == at else None, tree
                )

            outs, _ = _run(pair, alone(params), extra)
            for us, vs in zip(together, outs, strict=True):
                _check_same(tx, "leafwise", path, alone(us), vs)
    if pair.scope.arrangement_free:
        outs, _ = _run(pair, _joined(params), extra)
        for us, vs in zip(together, outs, strict=True):
            _check_same(tx, f"{pair.scope}", (), _joined(us), vs)


def _joined(tree: PyTree) -> PyTree:
    return {"all": jnp.concatenate([x.ravel() for x in jax.tree.leaves(tree)])}


def _check_same(tx: Any, said: str, path: Any, us: PyTree, vs: PyTree) -> None:
    for u, v in zip(*map(jax.tree.leaves, (us, vs)), strict=True):
        if not np.allclose(u, v, rtol=1e-5, atol=1e-6, equal_nan=True):
            raise AssertionError(
                f"{brief(tx)} is declared {said}, but the update{keystr(path)} depends "
                f"on how parameters lie in leaves: it is {brief(u)} or {brief(v)}."
            )


# Following a rule in symbols.


class _Symbol(NamedTuple):
    expression: int
    has_entries: bool  # whether it is another number for each entry of the leaf
    is_uniform: bool  # whether it is one number, however it is shaped
    mixed: str = ""  # how it depends on other entries


def _follow_shapes(
    tx: Any, pair: Pair, params: PyTree, extra: Mapping[str, Any]
) -> None:
    """Refuse an update that does not make of an entry the same for all shapes."""
    follower, first = _Follower(), None
    shapes = {jnp.shape(p): None for p in jax.tree.leaves(params)}
    shapes.pop((), None)  # there, an entry and a scalar of the state look the same
    for shape in shapes:
        found = follower.follow_update(pair, shape, extra)
        first = first or found
        mixed = [s.mixed for s in found if s.mixed]
        if not mixed and [s.expression for s in found] != [s.expression for s in first]:
            mixed = [f"is another one for leaves of shape {shape}"]
        if mixed:
            raise AssertionError(
                f"{brief(tx)} is declared entrywise, but it {mixed[0]}."
            )


class _Follower:
    """Follows functions; equal expressions have equal numbers, across calls too."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def follow_update(
        self, pair: Pair, shape: Shape, extra: Mapping[str, Any]
    ) -> list[_Symbol]:
        """What an update makes of a leaf of this shape: the update, and the state."""
        leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
        state = jax.eval_shape(pair.init, leaf)
        words = {name: jnp.asarray(x) for name, x in extra.items()}
        closed = jax.make_jaxpr(
            lambda g, s, p, w: pair.update(g, s, p, **_heard(pair, g, w))
        )(leaf, state, leaf, words)
        args = jax.tree_util.tree_leaves_with_path((leaf, state, leaf, words))
        inputs = [self.input(path, x, shape) for path, x in args]
        fields = range(1, 1 + len(jax.tree.leaves(state)))
        while True:
            found = self.run(closed.jaxpr, closed.consts, inputs)
            # What mixes entries may be kept, if no update depends on what is kept.
            news = [i for i in fields if found[i].mixed and not inputs[i].mixed]
            if not news:
                kept = [found[i] for i in fields if not found[i].mixed]
                return [found[0], *kept]
            for i in news:
                inputs[i] = inputs[i]._replace(mixed=found[i].mixed)

    def input(self, path: Any, x: Any, shape: Shape) -> _Symbol:
        has_entries = x.shape == shape and jnp.issubdtype(x.dtype, jnp.inexact)
        alien = "" if x.shape in ((), shape) else f"keeps an array of shape {x.shape}"
        number = self.number("input", keystr(path), x.dtype)
        return _Symbol(number, has_entries, not has_entries, alien)

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
        mixed = ""
        if has_entries and name not in ENTRYWISE:
            mixed = f"applies {name} to a whole leaf"
        elif has_entries and not all(a.has_entries or a.is_uniform for a in args):
            mixed = "treats entries by where they lie in the leaf"
        counted = {k: v for k, v in params.items() if k not in NO_VALUE}
        operation = name, str(sorted(counted.items(), key=str))
        entrywise = name in ENTRYWISE and all(a.is_uniform for a in args)
        return [
            self.made((*operation, k), args, entrywise or v.aval.shape == (), mixed)
            for k, v in enumerate(eqn.outvars)
        ]

    def made(
        self, operation: Any, args: list[_Symbol], is_uniform: bool, mixed: str = ""
    ) -> _Symbol:
        has_entries = any(a.has_entries for a in args)
        number = self.number(*operation, *(a.expression for a in args))
        before = next((a.mixed for a in args if a.mixed), mixed)
        return _Symbol(number, has_entries, is_uniform and not has_entries, before)
