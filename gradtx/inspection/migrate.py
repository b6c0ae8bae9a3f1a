"""A state carried on to another optimizer."""

from typing import Any, Literal

from gradtx.core.pair import as_pair
from gradtx.inspection.contents import contents_of_old
from gradtx.inspection.matching import Fields
from gradtx.inspection.migration import Migration
from gradtx.inspection.move import Move
from gradtx.inspection.options import options_of
from gradtx.trees import PyTree
from gradtx.values import Misfit, brief, naming


def migrate(
    old_tx: Any,
    state: PyTree,
    new_tx: Any,
    params: PyTree,
    *,
    old_params: PyTree | None = None,
    fields: Fields | None = None,
    grown: Literal["refuse", "corner"] = "refuse",
    grads: PyTree | None = None,
    count: int | None = None,
) -> tuple[PyTree, Migration]:
    """Carry what two optimizers have in common from the state of one to the other.

    A field goes on as the same field of the same algorithm, however deep in chains and
    wrappers it is, leaf by leaf: so one optimizer may become a `partition`, or be
    accumulated. A mean gradient `mu` and a mean squared gradient `nu` also go on in
    another algorithm, as from Adam to Lion. The counts of moments go with them; those
    of schedules, and of what has no moments, go on with the run. Everything else begins
    anew, as `new_tx.init(params)`. Of a hyperparameter that was injected the new call's
    value stands, where the two calls differ.

        state, report = migrate(old_tx, state, new_tx, params)
        print(report)

    There is one count for all leaves of an algorithm. Where it corrects the bias of
    moments, a leaf that was added would step too far. So it is refused, unless it has a
    part of a `partition` to itself, which counts from 0, or `grads` say how its moments
    begin: as if those gradients had come at every update so far.

    States of Optax come and go, too: `old_tx` and `new_tx` may be Optax's, whose fields
    are known by the names of its states; or `old_tx` is ours for a state of Optax,
    which `from_optax_state` puts into form.

    Args:
      old_tx: the transformation that the state is of.
      state: its state.
      new_tx: the transformation to go on with.
      params: the parameters to go on with, or their `jax.ShapeDtypeStruct`s; with a
        state of these, too, it is a plan, which costs no memory.
      old_params: the parameters that the state is of, or their shapes, if they are
        others and no field of the state shows them.
      fields: what else goes on as what, by places as the report prints them: from a
        field of the new state, or a leaf in one, to the old state's; None to begin it
        anew. `{"0/nu_max": "0/nu", "0/mu": None, "0/nu/dense": "0/nu/linear"}`.
      grown: "corner", to keep what there is of a leaf that was grown in the corner at
        the beginning of each axis, while the rest begins anew; or "refuse".
      grads: gradients like `params`, for what begins late; None at other leaves.
      count: the updates so far, where the state does not say, or says several.

    Returns:
      The state, with the structure, shapes and dtypes of `new_tx.init(params)`, and a
      `Migration`, which says what was carried, what begins anew and what was left, by
      place and leaf. Arrays of one dtype are the same arrays, not copies.

    Raises:
      TypeError, ValueError: by name and path, if the state is not one of `old_tx`; if
        several fields could go on as one; if a field would go on from one of another
        role, such as a `Square` from a `Mean`, or in another basis; if a leaf has
        another shape; if a leaf begins late and nothing says how; if a schedule needs a
        count that nobody says.
    """
    with naming("migrate"):
        if grown not in ("refuse", "corner"):
            raise Misfit(f"grown is {brief(grown)}; expected 'refuse' or 'corner'.")
        if params is None:
            raise Misfit("params is None; expected the parameters to go on with.")
        options = options_of(fields, count, grads, grown == "corner")
        as_pair(old_tx, "old_tx"), as_pair(new_tx, "new_tx")
        held = contents_of_old(old_tx, state, params, old_params)
        return Move(held, new_tx, params, options).made()
