"""Rules on trees where there is no gradient: the slots have holes there too."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jax

from gradtx.core import tree
from gradtx.core.roles import is_params, roles


def slots_of(init: Callable[[Any], Any]) -> dict[str, bool]:
    """The fields of the state with an entry for each parameter, and whether that is an
    array of its shape. None are found where `init` looks inside the parameters."""
    with contextlib.suppress(Exception):
        made = jax.eval_shape(lambda: roles(init))
        pairs = zip(made._fields, made, strict=True)
        return {field: role.alike for field, role in pairs if is_params(role)}
    return {}


def around_holes(
    who: Any,
    slots: Mapping[str, bool],
    run: Callable[[Any], tuple[Any, Any]],
    gs: Any,
    s: Any,
) -> tuple[Any, Any]:
    """What `run` gives for a state with the holes of the gradients.

    Args:
      who: the transformation, for errors.
      slots: what `slots_of` returned.
      run: from the state to the updates and the new state.
      gs: the gradients; None is a hole.
      s: the state. Where there is a hole it stays as it is.
    """
    if not slots:
        return run(s)
    flat = tree.flatten(gs)
    before = {
        field: flat.match(getattr(s, field), "updates", f"state.{field}", who)
        for field in slots
    }
    for field, alike in slots.items():
        for i, (g, x) in enumerate(zip(flat.leaves, before[field], strict=True)):
            if alike and g is not None and g.shape != tree.shape_of(x):
                names = ("updates", f"state.{field}")
                tree.check_shape(who, flat.paths[i], g, x, *names)

    def over(field: str, f: Callable[..., Any], *others: Any) -> Any:
        rows = zip(flat.leaves, before[field], *others, strict=True)
        return flat.structure.unflatten([f(*row) for row in rows])

    opened = {f: over(f, lambda g, x: None if g is None else x) for f in slots}
    out, new = run(s._replace(**opened))

    def closed(field: str) -> Any:
        now = flat.match(getattr(new, field), "updates", f"state.{field}", who)
        return over(field, lambda g, x, y: x if g is None else y, now)

    return out, new._replace(**{field: closed(field) for field in slots})
