"""What Optax calls the states and fields that we have, and what they mean there."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import ZERO, Count, Mean, Other
from gradtx.inspection.missing_counts import Missing, agree
from gradtx.inspection.parts import place_of
from gradtx.numerics import wide_dtype
from gradtx.numerics.polar import TABLES, rows_of
from gradtx.trees.flat import Path
from gradtx.values import Misfit, Value, is_number

# By the names of our states: what Optax calls theirs, and what it calls their fields.
CLASSES = {
    "InjectHyperparamsState": {"InjectStatefulHyperparamsState"},
    "ScaleByRmsState": {"ScaleByRmsWithCountState"},
    "ScaleByRStdDevState": {"ScaleByRStdDevWithCountState"},
    "ScaleByAdamaxState": {"ScaleByAdamState"},
}
RENAMED = {"ScaleBySimplifiedAdEMAMixState": {"t": "count"}}
# Random numbers are drawn from the count here, and schedules have the count of all.
DROPPED = {
    "AddNoiseState": {"rng_key"},
    "DifferentiallyPrivateAggregateState": {"rng_key"},
    "HutchinsonState": {"key"},
    "InjectHyperparamsState": {"hyperparams_states"},
}


class MuonState(NamedTuple):
    """What Optax keeps for `scale_by_muon`, which is a chain of two parts here.

    `from_optax_state` gives each part its own. The coefficients are the call's.
    """

    count: Count = ZERO
    mu: Mean = None
    ns_coeffs: Other = None


def translated(
    like: Any, found: Mapping[str, Any], path: Path, tx: Any
) -> dict[str, Any]:
    """The fields of a state by our names, and with our meanings."""
    name = type(like).__name__
    if found.keys() == set(MuonState._fields) and _is_of_muon(like):
        return _parts_of_muon(MuonState(**found), path, tx)
    if not found or not type(like).__module__.startswith("gradtx"):
        return dict(found)
    dropped, renamed = DROPPED.get(name, set()), RENAMED.get(name, {})
    fields = {renamed.get(n, n): x for n, x in found.items() if n not in dropped}
    return MEANINGS.get(name, _same)(like, fields, path, tx)


Fields = dict[str, Any]


def _is_of_muon(like: Any) -> bool:
    parts = ["EmaState", "ScaleByPolarState"]
    return isinstance(like, tuple) and [type(x).__name__ for x in like] == parts


def _parts_of_muon(state: MuonState, path: Path, tx: Any) -> Fields:
    kept, parts = state.ns_coeffs, isinstance(tx, Value) and tx.arguments.get("args")
    if parts and not (isinstance(kept, jax.core.Tracer) or _goes_by(parts[1], kept)):
        raise Misfit(
            f"{place_of(path, tx)} has ns_coeffs {np.asarray(kept).tolist()}; expected "
            f"those of {parts[1]}."
        )
    counted = {"count": state.count}
    return {"0": {**counted, "ema": state.mu}, "1": counted}


def _goes_by(polar: Value, coefficients: Any) -> bool:
    table, steps = (polar.arguments[name] for name in ("coefficients", "steps"))
    if isinstance(table, str):
        table = TABLES.get(table)
    if table is None or callable(table):
        return False
    rows = rows_of(table, steps)
    alike = np.shape(coefficients) in ((3,), rows.shape)
    return alike and bool(np.allclose(rows, coefficients))


def _same(like: Any, fields: Fields, path: Path, tx: Any) -> Fields:
    return fields


def _sums(like: Any, fields: Fields, path: Path, tx: Any) -> Fields:
    """Optax accumulates the mean of a cycle's gradients, not their sum."""
    if "acc_weight" in fields or not {"mini_step", "acc_grads"} <= fields.keys():
        return fields
    n = jnp.asarray(fields["mini_step"])
    mean = tx.arguments.get("use_grad_mean") if isinstance(tx, Value) else None
    if mean is None and not (isinstance(n, jax.core.Tracer) or n == 0):
        raise Misfit(
            f"{place_of(path, tx)} is in the middle of a cycle, and nothing says "
            "use_grad_mean; expected what accumulate returns."
        )

    def total(a: Any) -> jax.Array:
        a = jnp.asarray(a)
        return a.astype(wide_dtype(a.dtype)) * n.astype(wide_dtype(a.dtype))

    sums = (
        fields["acc_grads"]
        if mean is False
        else jax.tree.map(total, fields["acc_grads"])
    )
    return {**fields, "acc_grads": sums, "acc_weight": n.astype(float)}


def _one_count(like: Any, fields: Fields, path: Path, tx: Any) -> Fields:
    """Optax counts for each mean."""
    count = fields.get("count")
    other = fields.pop("count_m2", count)
    if not agree([x for x in (count, other) if x is not None]):
        raise Misfit(
            f"{place_of(path, tx)} has count {count} and count_m2 {other}; expected "
            "one count for both means."
        )
    return fields


def _begun(like: Any, fields: Fields, path: Path, tx: Any) -> Fields:
    """Optax keeps whether there was no gradient yet, not how many there were."""
    initial = fields.pop("is_initial_step", None)
    if initial is None:
        return fields
    if isinstance(initial, jax.core.Tracer):
        return {**fields, "count": 1 - initial.astype(jnp.int32)}
    count: Any = jnp.int32(0) if initial else Missing(tx, path, least=1)
    return {**fields, "count": count}


def _of_adan(like: Any, fields: Fields, path: Path, tx: Any) -> Fields:
    if "t" in fields:
        raise Misfit(
            f"{place_of(path, tx)} is Optax's, whose n is the mean square of another "
            "multiple of the gradient's change, 1 - b2 for b2. It cannot go on here."
        )
    return fields


def _injected(like: Any, fields: Fields, path: Path, tx: Any) -> Fields:
    """Optax injects what is no hyperparameter here, and has not all of ours: of both
    the call says what they are."""
    stored = fields.get("hyperparams")
    if not isinstance(stored, Mapping) or not isinstance(tx, Value):
        return fields
    said, ours = tx.arguments, like.hyperparams
    hyperparams = {n: x for n, x in stored.items() if n in ours or n not in said}
    for name in ours.keys() - stored.keys():
        if is_number(said.get(name)):
            hyperparams[name] = said[name]
    return {**fields, "hyperparams": hyperparams}


MEANINGS: Mapping[str, Callable[[Any, Fields, Path, Any], Fields]] = {
    "InjectHyperparamsState": _injected,
    "InjectStatefulHyperparamsState": _injected,
    "MultiStepsState": _sums,
    "ScaleByAdanState": _of_adan,
    "ScaleByAdemamixState": _one_count,
    "ScaleByOptimisticGradientState": _begun,
}
