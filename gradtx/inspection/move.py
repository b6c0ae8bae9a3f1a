"""A new state made of the fields of an old one, and an account of what became of each.

What goes on as what is said by a `Matching`, how far counts are by a `Counting`; here
the arrays are fitted.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.pair import as_pair
from gradtx.inspection.coded import codec_of, decoded, encoded, forms, plain_like
from gradtx.inspection.contents import Held, contents
from gradtx.inspection.counting import Counting, is_injected, number
from gradtx.inspection.matching import Matching, Source, place_of
from gradtx.inspection.migration import Migration, Moved
from gradtx.inspection.options import Options
from gradtx.numerics.dtypes import is_inexact, is_real
from gradtx.trees import PyTree
from gradtx.trees.flat import shape_of
from gradtx.values import Misfit, Value


class Move:
    """From the fields of an old state to a new one."""

    def __init__(
        self, old: Sequence[Held], new_tx: Any, params: PyTree, options: Options
    ):
        self.tx, self.params, self.corner = new_tx, params, options.corner
        outline = jax.eval_shape(as_pair(new_tx, "new_tx").init, params)
        self.new = contents(new_tx, outline, params)
        self.matching = Matching(old, self.new.held, options.fields)
        self.noted = dict[tuple[str, str, str, str], list[str]]()
        self.taken = set[str]()  # places of the old state
        self.arrays = set[int]()  # that are in the new state already
        self.sources = dict[tuple[str, str | None], Source]()
        for held in self.new.held:
            for place, leaf in [] if held.is_count else held.parts():
                found = self.matching.source(held, leaf)
                if found is not None and not _is_said_otherwise(held, found.held):
                    self.sources[place, leaf] = found
        self.counting = Counting(
            self.matching, self.new, self.sources, options.count, options.grads
        )

    def made(self) -> tuple[PyTree, Migration]:
        leaves = [self._field(held) for held in self.new.held]
        self._check_left()
        return self.new.structure.unflatten(leaves), self._migration()

    @functools.cached_property
    def fresh(self) -> Mapping[str, Held]:
        """The fields of a first state, by place; made if something begins anew."""
        state = as_pair(self.tx, "new_tx").init(self.params)
        made = contents(self.tx, state, self.params)
        return {held.place: held for held in made.held}

    def _field(self, held: Held) -> Any:
        if held.is_count:
            return self._count(held)
        if held.slot is None:
            return self._entry(held, None, held.value)
        made = [self._entry(held, *item) for item in (held.entries or {}).items()]
        return self.new.flat.unflatten(made)

    def _count(self, held: Held) -> Any:
        how = self.counting.of(held)
        if how.value is None:
            self._note("anew", held)
            return self.fresh[held.place].value
        self._note("carried", held, None, how.source)
        return self._in_dtype(how.value, held.value)

    def _entry(self, held: Held, leaf: str | None, like: Any) -> Any:
        if not jax.tree.leaves(like):
            return like
        source = self.sources.get((held.place, leaf))
        if source is None:
            self._note("anew", held, leaf)
            return self._begun(held, leaf)
        place = place_of(source.held, source.leaf)
        self.taken.add(place)
        shown = source.held.place if leaf == source.leaf else place
        codec, old = codec_of(held, leaf), codec_of(source.held, source.leaf)
        if codec is None and old is None:
            moved, note = self._fitted(held, leaf, place, source.content, like)
        elif codec == old and forms(like) == forms(source.content):
            moved, note = jax.tree.map(self._in_dtype, source.content, like), ""
        else:
            moved, note = self._recoded(held, leaf, source, old, codec)
        self._note("carried", held, leaf, shown, note)
        return moved

    def _fitted(
        self, held: Held, leaf: str | None, place: str, old: Any, like: Any
    ) -> tuple[Any, str]:
        """What goes on, in the types of the new state, and what to say of it."""
        structure: Any = jax.tree.structure(like)
        if structure != jax.tree.structure(old):
            raise _misfit(
                held, leaf, f"is kept in another form than {place} of the old"
            )
        pairs = [*zip(jax.tree.leaves(old), jax.tree.leaves(like), strict=True)]
        notes = [f"rounded to {y.dtype}" for x, y in pairs if _rounds(x, y, place)]
        moved = [self._in_dtype(x, y) for x, y in pairs]
        if any(shape_of(x) != y.shape for x, y in pairs):
            for x, y in pairs:
                self._check_grown(held, leaf, place, (shape_of(x), y.shape))
            whole = jax.tree.leaves(self._begun(held, leaf, plain=True))
            moved = list(map(_in_corner, moved, whole))
            notes.append("in the corner, the rest begins anew")
        return structure.unflatten(moved), "".join(notes[:1])

    def _recoded(
        self, held: Held, leaf: str | None, source: Source, old: Any, new: Any
    ) -> tuple[Any, str]:
        """The same, of what is encoded in the old state or in the new one."""
        content, like = source.content, (held.entries or {})[leaf or ""]
        if old is not None:
            p = (source.held.params or {})[source.leaf or ""]
            content = decoded(old, source.held.role, content, plain_like(p))
        if new is not None:
            like = plain_like(self.new.by_name[leaf or ""])
        place = place_of(source.held, source.leaf)
        moved, note = self._fitted(held, leaf, place, content, like)
        notes = [note] if note else []
        if new is not None:
            return encoded(new, held.role, moved), "; ".join(["in codes", *notes])
        return moved, "; ".join(["decoded", *notes])

    def _begun(self, held: Held, leaf: str | None, plain: bool = False) -> Any:
        """What an entry begins with; `plain` if it is not to be encoded."""
        codec = codec_of(held, leaf)
        if self.counting.is_late(held, leaf):
            late = self.counting.begun_late(held, leaf)
            return late if codec is None or plain else encoded(codec, held.role, late)
        fresh = self.fresh[held.place]
        begun = fresh.value if leaf is None else (fresh.entries or {})[leaf]
        if codec is None or not plain:
            return begun
        like = plain_like(self.new.by_name[leaf or ""])
        return decoded(codec, held.role, begun, like)

    def _in_dtype(self, x: Any, like: Any) -> Any:
        if isinstance(x, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(x.shape, like.dtype)
        if getattr(x, "dtype", None) != like.dtype:
            x = jnp.asarray(x, like.dtype)
        elif id(x) in self.arrays:
            x = jnp.copy(x)  # what is there twice could not be donated
        self.arrays.add(id(x))
        return x

    def _check_grown(
        self, held: Held, leaf: str | None, place: str, shapes: Any
    ) -> None:
        old, new = shapes
        fits = len(old) == len(new) and all(map(int.__le__, old, new))
        if not (fits and self.corner):
            fix = ", which grown='corner' keeps in the corner" if fits else ""
            raise _misfit(
                held, leaf, f"has shape {new}, and {place} of the old {old}{fix}"
            )

    def _check_left(self) -> None:
        """Refuse to leave what the parameters cannot do without."""
        for held in self.matching.old:
            away = held.kind == ("SAMState", "steps_since_sync") and number(held.value)
            if away and held.place not in self.taken:
                raise Misfit(
                    f"{held.place} of the old is {away}: the parameters are uphill, in "
                    "the middle of a cycle. Go on between two cycles, or from the "
                    f"parameters in {held.place.replace('steps_since_sync', 'cache')}, "
                    "with a steps_since_sync of 0."
                )

    # The account

    def _note(self, what: str, held: Held, leaf: str | None = None, *more: str) -> None:
        source, note, *_ = (*more, "", "")
        key = what, held.place, source, note
        self.noted.setdefault(key, []).extend([] if leaf is None else [leaf])

    def _migration(self) -> Migration:
        def some(what: str) -> tuple[Moved, ...]:
            return tuple(
                Moved(place, tuple(leaves), source, note)
                for (kind, place, source, note), leaves in self.noted.items()
                if kind == what
            )

        for held in self.matching.old:
            for _, leaf in [] if held.is_count else held.parts():
                if place_of(held, leaf) not in self.taken:
                    self._note("left", held, leaf)
        return Migration(some("carried"), some("anew"), some("left"))


def _is_said_otherwise(held: Held, old: Held) -> bool:
    """Whether the new call says another value of what was injected."""
    if not is_injected(held):
        return False
    name = held.kind[1].partition("/")[2].partition("/")[0]
    calls = [h.tx.arguments if isinstance(h.tx, Value) else {} for h in (held, old)]
    ours: Any
    theirs: Any
    ours, theirs = (call.get(name) for call in calls)
    try:
        return not np.array_equal(ours, theirs) and ours is not theirs
    except (TypeError, ValueError):
        return ours != theirs


def _misfit(held: Held, leaf: str | None, what: str) -> Misfit:
    place = place_of(held, leaf)
    return Misfit(f"{place} {what}. To begin anew, say fields={{{place!r}: None}}.")


def _rounds(x: Any, like: Any, place: str) -> bool:
    """Whether an array loses digits in the dtype of another.

    Raises:
      Misfit: if it would lose more.
    """
    # An array is not looked into, as it may be large, and on a device.
    old = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
    new = like.dtype
    if old == new:
        return False
    if is_inexact(old) != is_inexact(new) or (is_real(new) and not is_real(old)):
        raise Misfit(f"{place} of the old has dtype {old}, and would become {new}.")
    with jax.numpy_dtype_promotion("standard"):
        return is_inexact(old) and jnp.promote_types(old, new) != new


def _in_corner(x: Any, whole: Any) -> Any:
    """An array with another in the corner at the beginning of each axis."""
    if isinstance(x, jax.ShapeDtypeStruct) or isinstance(whole, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(whole.shape, whole.dtype)
    return jnp.asarray(whole).at[tuple(map(slice, x.shape))].set(x)
