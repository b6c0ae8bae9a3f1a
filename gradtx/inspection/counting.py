"""The counts of a state that goes on from another, and what begins late beside them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.roles import Role
from gradtx.inspection.contents import Contents, Held
from gradtx.inspection.late import aged, as_old, count_matters
from gradtx.inspection.matching import Matching, Source, place_of
from gradtx.inspection.missing_counts import CLOCKS, is_scheduled
from gradtx.trees import PyTree
from gradtx.trees.boxes import entries
from gradtx.values import Misfit, brief

Sources = Mapping[tuple[str, str | None], Source]  # by places and leaves


class Counted(NamedTuple):
    """How a count goes on, as a sentence of the report has it."""

    value: Any = None  # None: from 0
    source: str = ""  # the place that it is from
    with_moments: bool = False


def number(count: Any) -> int | None:
    """A count, if it is known."""
    if isinstance(count, jax.ShapeDtypeStruct | jax.core.Tracer) or count is None:
        return None
    return int(count)


def is_injected(held: Held) -> bool:
    """Whether it is a hyperparameter, which does not age."""
    owner, name = held.kind
    return owner == "InjectHyperparamsState" and name.startswith("hyperparams/")


class Counting:
    """What the counts of a new state are.

    Args:
      matching: of the old and the new fields.
      new: the fields of the new state.
      sources: what goes on from what.
      count: the updates so far, as the caller says.
      grads: gradients for what begins late, or None.
    """

    def __init__(
        self,
        matching: Matching,
        new: Contents,
        sources: Sources,
        count: Any,
        grads: PyTree,
    ):
        self.matching, self.new, self.sources = matching, new, sources
        self.grads, self.late = grads, functools.cache(self._late)
        self.aged = functools.cache(aged)
        self.matters = functools.cache(count_matters)
        self.of, self.so_far = functools.cache(self._of), count
        known = [held.value for held in matching.old if held.is_count]
        if count is None and known:
            numbers = {number(x) for x in known}
            self.so_far = known[0] if len(numbers) == 1 else None

    def _of(self, held: Held) -> Counted:
        """How a count of the new state goes on."""
        if self.matching.is_said(held, None):
            said = self.matching.source(held, None)
            return Counted() if said is None else _from(said.held)
        others = [] if _is_clock(held) else self._beside(held)
        found = [self.sources.get(key) for other in others for key in other.parts()]
        origins = {s.held.group: s.held for s in found if s is not None}
        if origins:
            return self._with_moments(held, origins)
        if others:
            if is_scheduled(held.tx) and number(self.so_far) != 0:
                raise Misfit(
                    f"{held.place} would begin anew with the moments beside it, but "
                    f"{brief(held.tx)} has a schedule that goes by it. With "
                    "inject_hyperparams the schedule has a count of its own; or say "
                    f"fields={{{held.place!r}: None}}, to begin it anew."
                )
            return Counted()
        source = self.matching.only(held) or self._in_their_chain(held)
        if source is not None:
            return _from(source)
        if self.so_far is None and is_scheduled(held.tx):
            raise Misfit(
                f"{held.place} is for the schedule of {brief(held.tx)}, and the old "
                "state does not say how many updates there were, or says several: "
                "pass count=..."
            )
        return Counted(self.so_far, "the updates so far")

    def _in_their_chain(self, held: Held) -> Held | None:
        """The one of its kind in the chain that the moments of its own chain are from,
        if there is one."""
        chain = _around(held)
        beside = [other for other in self.new.held if _around(other) == chain]
        found = [self.sources.get(key) for other in beside for key in other.parts()]
        chains = {_around(s.held) for s in found if s is not None}
        alike = [o for o in self.matching.counts_like(held) if _around(o) in chains]
        return alike[0] if len(alike) == 1 else None

    def _with_moments(self, held: Held, origins: Mapping[str, Held]) -> Counted:
        """That of the fields that the moments beside it go on from."""
        counts = [
            old
            for old in self.matching.old
            if old.is_count and old.group in origins and not _is_clock(old)
        ]
        if not counts:  # Optax does not count for all
            if self.so_far is None and self._matters(held):
                raise Misfit(
                    f"{held.place} corrects the bias of what goes on beside it, but "
                    "the old state does not say how many updates there were, or says "
                    "several: pass count=..."
                )
            return Counted(self.so_far, "the updates so far", with_moments=True)
        if len({number(old.value) for old in counts}) > 1:
            said = ", ".join(f"{old.place} is {number(old.value)}" for old in counts)
            raise Misfit(
                f"{held.place} is one count for moments that are of several ages: "
                f"{said}. To begin some anew, say fields={{...: None}}."
            )
        return _from(counts[0], with_moments=True)

    def _matters(self, held: Held) -> bool:
        """Whether a count does, of any leaf that something beside it is for."""
        leaves = [leaf for other in self._beside(held) for leaf in other.leaves()]
        ranks = {np.ndim(self.new.by_name[leaf]) for leaf in leaves} or {0}
        return any(self.matters(held.tx, rank) for rank in ranks)

    def _beside(self, held: Held) -> list[Held]:
        """The fields that a count is for."""
        return [
            other
            for other in self.new.held
            if other.group == held.group
            and not (other.is_count or is_injected(other))
            and other.parts()
        ]

    # What begins late

    def is_late(self, held: Held, leaf: str | None) -> bool:
        """Whether what begins anew would be taken for older than it is."""
        count = self._count_beside(held)
        if count is None or is_injected(held):
            return False
        how = self.of(count)
        rank = 0 if leaf is None else np.ndim(self.new.by_name[leaf])
        on = how.with_moments and number(how.value) != 0
        return on and self.matters(held.tx, rank)

    def _count_beside(self, held: Held) -> Held | None:
        counts = (h for h in self.new.held if h.is_count and h.group == held.group)
        return next((h for h in counts if not _is_clock(h)), None)

    def begun_late(self, held: Held, leaf: str | None) -> Any:
        """What an entry would hold by now, if its gradient had always come."""
        count = self._count_beside(held)
        assert count is not None
        how = self.of(count)
        if leaf is None or self.grads is None:
            goes_on = any(place == held.place for place, _ in self.sources)
            own = "give the leaf a part of its own, as by partition, or " * goes_on
            raise Misfit(
                f"{place_of(held, leaf)} would begin anew beside a count of "
                f"{number(how.value)} updates, from {how.source}, which corrects the "
                f"bias of all: {own}say by grads=... which gradients it begins with, "
                "or by fields=... what it goes on from, or that what is beside it "
                "begins anew, too."
            )
        p = self.new.by_name[leaf]
        if number(how.value) is None or isinstance(p, jax.ShapeDtypeStruct):
            return (held.entries or {})[leaf]
        return self.late(held.tx, leaf, number(how.value))(held.kind[1], held.role)

    def _late(
        self, tx: Any, leaf: str, count: int
    ) -> Callable[[str, Role | None], Any]:
        flat = self.new.flat
        given = entries(flat, self.grads, "params", "grads")
        at = list(self.new.by_name).index(leaf)
        g, p = given[at], flat.leaves[at]
        if g is None or jnp.shape(g) != jnp.shape(p):
            raise Misfit(
                f"grads has {'nothing' if g is None else jnp.shape(g)} for {leaf}, "
                f"which begins late; expected an array of shape {jnp.shape(p)}."
            )

        def alone(x: Any) -> PyTree:
            return flat.unflatten(
                [x if i == at else None for i in range(len(flat.leaves))]
            )

        ages = functools.partial(self.aged, tx, count)
        made = as_old(tx, alone(g), alone(p), ages)
        return lambda field, role: entries(flat, made(field, role), "", "")[at]


def _from(old: Held, with_moments: bool = False) -> Counted:
    return Counted(old.value, old.place, with_moments)


def _around(held: Held) -> str:
    """The place of what its part is in."""
    return held.group.rpartition("/")[0]


def _is_clock(held: Held) -> bool:
    """Whether it counts the updates of what is inside, and not its own."""
    return held.kind[1] in CLOCKS.get(held.kind[0], {}).values()
