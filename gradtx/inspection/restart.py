"""Moments that begin anew, while the schedules go on."""

from collections.abc import Sequence
from typing import Any

import jax

from gradtx.core import GradientTransformation
from gradtx.core.checks import RESTORED
from gradtx.core.pair import as_pair
from gradtx.core.roles import Role, is_slot, read_roles, roles_of
from gradtx.core.wrap import parts_of
from gradtx.inspection.missing_counts import is_scheduled
from gradtx.inspection.parts import opened, owners
from gradtx.trees import PyTree
from gradtx.values import Misfit, brief, naming


def restart(
    tx: GradientTransformation, state: PyTree, params: PyTree, keep: str = "schedules"
) -> PyTree:
    """A state whose moments begin anew at these parameters, while schedules go on.

    Each part whose state follows the gradients becomes what `init(params)` gives, with
    its count: so the next step of Adam is right by its bias correction. Everything else
    stays: the counts of schedules, injected hyperparameters, the scale of
    `reduce_on_plateau`, the gradients of an unfinished cycle, and places among the
    parameters, such as the start that `add_decay` goes back to and an average. It works
    inside `jax.jit`, so also in a branch of `jax.lax.cond` every k steps.

    Args:
      tx: a gradient transformation.
      state: what `init` returned, or a later state.
      params: the parameters now.
      keep: "schedules"; to keep nothing, call `tx.init(params)`.

    Raises:
      ValueError: if the state is not one of the transformation, or a part that begins
        anew has a schedule of its own: it has one count for both.
    """
    with naming("restart"):
        if keep != "schedules":
            raise Misfit(
                f"keep is {brief(keep)}; expected 'schedules'. To keep nothing, call "
                "tx.init(params)."
            )
        return begun_anew(tx, state, params)


def begun_anew(tx: Any, state: PyTree, params: PyTree) -> PyTree:
    """What `restart` returns."""
    fresh = as_pair(tx, "tx").init(params)
    expected: Any = jax.tree.structure(fresh)
    if jax.tree.structure(state) != expected:
        raise Misfit(
            f"the state is not that of {brief(tx)}; expected what init(params) "
            f"returns. {RESTORED}"
        )
    return _Restart(dict(owners(tx, fresh))).restarted(fresh, state)


class _Restart:
    """A fresh state beside an old one, and the parts that they belong to."""

    def __init__(self, parts: dict[int, Any]):
        self.parts = parts

    def restarted(self, fresh: Any, old: Any) -> Any:
        part = self.parts.get(id(fresh))
        if part is not None and not parts_of(part, fresh):
            return self._begun(part, fresh, old)
        keys, news, structure = opened(fresh)
        if not keys:
            return old
        out = list(map(self.restarted, news, opened(old)[1]))
        # What a wrapper with a count keeps itself is an algorithm's.
        if part is not None and "count" in getattr(type(fresh), "_fields", ()):
            own = [n for n, x in fresh._asdict().items() if not self._holds_parts(x)]
            if _follows_gradients(part, own):
                names = zip(fresh._fields, out, strict=True)
                return fresh._replace(**{n: x for n, x in names if n not in own})
        return structure.unflatten(out)

    def _begun(self, part: Any, fresh: Any, old: Any) -> Any:
        fields = getattr(type(fresh), "_fields", None)
        if not _follows_gradients(part, fields):
            return old
        if is_scheduled(part):
            raise Misfit(
                f"{brief(part)} has one count for its moments and for its schedule. "
                "With inject_hyperparams the schedule has a count of its own."
            )
        return fresh

    def _holds_parts(self, state: Any) -> bool:
        return id(state) in self.parts or any(map(self._holds_parts, opened(state)[1]))


def _follows_gradients(part: Any, fields: Sequence[str] | None) -> bool:
    """Whether these fields of a state are an algorithm's that began with the run: some
    of it is like the parameters, and not all of it are places among them."""
    if fields is not None and set(fields) <= {"count"}:
        return False
    try:
        made: Any = read_roles(as_pair(part, "tx").init)
    except Exception:  # it looks at the parameters, as a measurement may
        return True
    roles = roles_of(type(made)) if fields is not None else {}
    kept: Any = [made] if fields is None else [getattr(made, n) for n in fields]
    like = any(map(is_slot, jax.tree.leaves(kept, is_leaf=is_slot)))
    places = (Role.COUNT, Role.POINT)
    return like and not all(roles.get(n) in places for n in fields or ("",))
