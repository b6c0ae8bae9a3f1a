"""Which field of one state goes on as which field of another, leaf by leaf."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from gradtx.core.roles import Role
from gradtx.inspection.contents import Held
from gradtx.inspection.optax_states import MEANINGS
from gradtx.values import Misfit, brief

# A mean gradient and a mean squared gradient go by these names in every algorithm,
SHARED = {("mu", Role.MEAN), ("nu", Role.SQUARE)}
# except where they are of something else, or of a part of the gradients.
OTHERS = {
    ("ScaleByBeliefState", "nu"),
    ("ScaleBySpamState", "mu"),
    ("ScaleBySpamState", "nu"),
}
Fields = Mapping[str, str | None]


class Source(NamedTuple):
    """Where something goes on from: a field, and of a slot the leaf."""

    held: Held
    leaf: str | None = None

    @property
    def content(self) -> Any:
        if self.leaf is None:
            return self.held.value
        return (self.held.entries or {})[self.leaf]


class Matching:
    """The fields of an old and of a new state, side by side.

    Args:
      old: the fields of the old state.
      new: those of the new one.
      fields: what the caller says, by places: where a field or a leaf of the new state
        goes on from; None where it begins anew.
    """

    def __init__(self, old: Sequence[Held], new: Sequence[Held], fields: Fields):
        self.old, self.new, self.fields = old, new, fields
        self.places = {
            place_of(held, leaf): Source(held, leaf)
            for held in old
            for _, leaf in held.parts()
        }
        self.turned = [_in_bases(old), _in_bases(new)]
        places = [place_of(held, leaf) for held in new for _, leaf in held.parts()]
        for key in fields:
            if not any(_is_within(place, key) for place in places):
                raise Misfit(
                    f"fields says {key!r}, which is no place in the new state"
                    f"{_near(key, [*(held.place for held in new), *places])}"
                )

    def source(self, held: Held, leaf: str | None) -> Source | None:
        """What an entry of the new state goes on from; None if it begins anew."""
        said = self._said(place_of(held, leaf))
        found = self._found(held, leaf) if said is None else self._told(*said)
        if found is not None:
            _check_roles(held, leaf, found)
            self._check_frames(held, leaf, found)
        return found

    def only(self, held: Held) -> Held | None:
        """The count that one beside no moments goes on from; None if it is not clear
        which that is."""
        alike = self.counts_like(held)
        claim = [n for n in self.new if n.is_count and n.kind == held.kind]
        return alike[claim.index(held)] if len(alike) == len(claim) else None

    def counts_like(self, held: Held) -> list[Held]:
        return [o for o in self.old if o.is_count and _is_alike(held, o)]

    def is_said(self, held: Held, leaf: str | None) -> bool:
        return self._said(place_of(held, leaf)) is not None

    def _said(self, place: str) -> tuple[str, str | None] | None:
        """What the caller says of a place, or of what it is in."""
        keys = [key for key in self.fields if _is_within(place, key)]
        if not keys:
            return None
        key = max(keys, key=len)
        target = self.fields[key]
        return place, None if target is None else target + place[len(key) :]

    def _told(self, place: str, target: str | None) -> Source | None:
        if target is None:
            return None
        if target not in self.places:
            raise Misfit(
                f"fields says that {place} goes on from {target!r}, which is no place "
                f"in the old state{_near(target, self.places)}"
            )
        return self.places[target]

    def _found(self, held: Held, leaf: str | None) -> Source | None:
        alike = [o for o in self.old if _is_alike(held, o) and _has(o, leaf)]
        claim = [n for n in self._unsaid(leaf) if n.kind == held.kind]
        if not alike:
            alike = self._of_the_same_meaning(held, leaf)
            claim = [
                n
                for n in self._unsaid(leaf)
                if self._of_the_same_meaning(n, leaf)
                and n.kind[1] == held.kind[1]
                and not any(_is_alike(n, o) and _has(o, leaf) for o in self.old)
            ]
        if not alike:
            self._check_layout(held, leaf)
            return None
        if len(alike) == len(claim):  # in their order
            return Source(alike[claim.index(held)], leaf)
        ours, theirs = ([h.place for h in some] for some in (claim, alike))
        raise Misfit(
            f"{_listed(theirs)} of the old state could go on as {_listed(ours)} of the "
            f"new one{_for(leaf)}. Say which: fields={{{ours[0]!r}: {theirs[0]!r}}}, "
            "or None to begin anew."
        )

    def _check_frames(self, held: Held, leaf: str | None, source: Source) -> None:
        """Refuse to go on from what is in other coordinates."""
        ours = _frame(held, leaf, self.turned[1])
        theirs = _frame(source.held, source.leaf, self.turned[0])
        if ours != theirs and not held.is_count:
            old = place_of(source.held, source.leaf)
            raise Misfit(
                f"{place_of(held, leaf)} is kept {_framed(ours)}, and cannot go on "
                f"from {old} of the old, which is kept {_framed(theirs)}. To begin "
                f"anew, say fields={{{held.place!r}: None}}."
            )

    def _check_layout(self, held: Held, leaf: str | None) -> None:
        """Refuse to lose what is there in one array for several leaves."""
        for old in self.old:
            if _is_alike(held, old) and (old.slot is None) != (held.slot is None):
                self._check_frames(held, leaf, Source(old))

    def _unsaid(self, leaf: str | None) -> list[Held]:
        return [n for n in self.new if _has(n, leaf) and not self.is_said(n, leaf)]

    def _of_the_same_meaning(self, held: Held, leaf: str | None) -> list[Held]:
        """Fields of other algorithms that hold what this does, and are not wanted by
        the same algorithm."""
        if (held.kind[1], held.role) not in SHARED or held.kind in OTHERS:
            return []
        wanted = {n.kind for n in self.new if _has(n, leaf)}
        return [
            o
            for o in self.old
            if (o.kind[1], o.role) == (held.kind[1], held.role)
            and o.kind not in OTHERS | wanted
            and _has(o, leaf)
            and _axes(o, leaf) == _axes(held, leaf)
        ]


def place_of(held: Held, leaf: str | None = None) -> str:
    return "/".join(filter(None, (held.place, leaf)))


def _has(held: Held, leaf: str | None) -> bool:
    if leaf is None:
        return held.slot is None
    return bool(jax.tree.leaves((held.entries or {}).get(leaf)))


def _is_alike(held: Held, other: Held) -> bool:
    """Whether both are the same field of one algorithm."""
    meant_otherwise = held.native != other.native and held.kind[0] in MEANINGS
    return held.kind == other.kind and not meant_otherwise


def _axes(held: Held, leaf: str | None) -> Any:
    """Of the arrays that a slot keeps for a leaf, which axes they have."""
    arrays = jax.tree.leaves((held.entries or {}).get(leaf or ""))
    return [len(x.shape) for x in arrays]


def _check_roles(held: Held, leaf: str | None, source: Source) -> None:
    """Refuse to go on from something of another meaning."""
    ours, theirs, old = held.role, source.held.role, place_of(source.held, source.leaf)
    place = place_of(held, leaf)
    if held.is_count != source.held.is_count or (
        ours is not theirs and ours is not None and theirs is not None
    ):
        names = [_role(held), _role(source.held)]
        raise Misfit(
            f"{place} holds {names[0]}, which cannot go on from {old} of the "
            f"old, {names[1]}. "
            f"To begin anew, say fields={{{held.place!r}: None}}."
        )


def _in_bases(fields: Sequence[Held]) -> set[Any]:
    """The leaves that a wrapper has turned into a basis, with what is around them."""
    bases = [held for held in fields if held.role is Role.BASIS]
    return {(held.frame, leaf) for held in bases for leaf in held.leaves()}


def _frame(held: Held, leaf: str | None, turned: set[Any]) -> tuple[Any, ...]:
    """The layouts around what a field holds for a leaf: what has no basis keeps its
    coordinates inside of `conjugate`."""
    return tuple(
        layout
        for i, layout in enumerate(held.frame)
        if layout[0] != "conjugate" or (held.frame[: i + 1], leaf) in turned
    )


def _is_within(place: str, key: str) -> bool:
    return place == key or place.startswith(f"{key}/")


def _role(held: Held) -> str:
    if held.is_count:
        return "a count"
    names = {Role.MEAN: "a Mean", Role.SQUARE: "a Square", Role.OTHER: "an Other"}
    role = held.role or Role.OTHER
    return names.get(role, f"a {role.value.capitalize()}")


def _framed(frame: tuple[Any, ...]) -> str:
    if not frame:
        return "in the layout of the parameters"
    return "as laid out by " + " in ".join(
        f"{name}({', '.join(view)}, ...)" for name, *view in reversed(frame)
    )


def _listed(places: Iterable[str]) -> str:
    return " and ".join(places)


def _for(leaf: str | None) -> str:
    return "" if leaf is None else f", for {leaf or 'the parameter'}"


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; it is not {brief(name)}."
