"""The state of an optimizer of PyTorch, carried on to one of ours."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from gradtx.core.pair import as_pair
from gradtx.core.roles import PARAMETERS, Role
from gradtx.inspection.contents import Contents, Held, contents
from gradtx.inspection.matching import Fields
from gradtx.inspection.migration import Migration
from gradtx.inspection.move import Move
from gradtx.inspection.options import options_of
from gradtx.trees import PyTree
from gradtx.trees.boxes import entries
from gradtx.trees.flat import shape_of
from gradtx.values import Misfit, brief, check_call, naming, wrong_type

# By the keys that tell them: what PyTorch's arrays are called here.
KINDS: Mapping[str, Mapping[str, tuple[str, str, Role]]] = {
    "exp_avg": {
        "exp_avg": ("ScaleByAdamState", "mu", Role.MEAN),
        "exp_avg_sq": ("ScaleByAdamState", "nu", Role.SQUARE),
        # Only with convention="torch" a maximum of what is not debiased, so not by
        # itself.
        "max_exp_avg_sq": ("torch.optim.Adam", "max_exp_avg_sq", Role.SQUARE),
    },
    "grad_avg": {
        "grad_avg": ("ScaleByRStdDevState", "mu", Role.MEAN),
        "square_avg": ("ScaleByRStdDevState", "nu", Role.SQUARE),
        "momentum_buffer": ("TraceState", "trace", Role.MEAN),
    },
    "square_avg": {
        "square_avg": ("ScaleByRmsState", "nu", Role.SQUARE),
        "momentum_buffer": ("TraceState", "trace", Role.MEAN),
    },
    "momentum_buffer": {"momentum_buffer": ("TraceState", "trace", Role.MEAN)},
}
RATES = ("ScaleByScheduleState", "ScaleState")


def from_torch(
    state_dict: Mapping[str, Any],
    tx: Any,
    params: PyTree,
    order: PyTree,
    *,
    arrange: Callable[[str, np.ndarray], Any] | None = None,
    fields: Fields | None = None,
    grads: PyTree | None = None,
    count: int | None = None,
) -> tuple[PyTree, Migration]:
    """Go on from the `state_dict` of PyTorch's Adam, AdamW, SGD or RMSprop.

    As `migrate` does, from `exp_avg` to `mu`, `exp_avg_sq` and `square_avg` to `nu`,
    `grad_avg` to `mu`, `momentum_buffer` to `trace`, and `step` to the counts. The
    buffer of RMSprop is multiplied by the learning rate in the dictionary, if the trace
    comes after the learning rate here, as in `rmsprop`. The maximum of AMSGrad goes on
    if `fields` says so, `{"0/nu_max": "max_exp_avg_sq"}`, and is right with
    `convention="torch"`.

        paths = ["dense/bias", "dense/kernel"]
        state, report = from_torch(saved, adamw(1e-3), params, paths, arrange=kernels)

        def kernels(path, x):
            return x.T if path.endswith("kernel") else x

    Args:
      state_dict: what `optimizer.state_dict()` returned, of tensors or of anything that
        NumPy reads.
      tx: the transformation to go on with, with the numbers that are to count: those in
        the dictionary do not.
      params: the parameters, or their shapes.
      order: which parameter is which: the paths of the leaves in PyTorch's order, that
        of its `param_groups`, with None for one that is not here; or a tree like the
        parameters, of the numbers in that order.
      arrange: from a path and an array to that array as the leaf here has its axes,
        such as a kernel's transpose; by default as they are. A square one that should
        have been transposed is not seen.
      fields, grads: as for `migrate`; places of the old state are `exp_avg`, ...
      count: the updates so far, where the dictionary does not say, as SGD's.

    Returns:
      As of `migrate`.

    Raises:
      TypeError, ValueError: by path, where `migrate` does; if the dictionary is of
        another optimizer, maximizes, or damps; if parameters have made different
        numbers of steps; if `order` does not match the parameters.
    """
    with naming("from_torch"):
        options = options_of(fields, count, grads)
        if not (arrange is None or callable(arrange)):
            raise wrong_type(
                f"arrange is {brief(arrange)}; expected a function "
                "arrange(path, array) that returns the array."
            )
        if arrange is not None:
            check_call(arrange, "arrange(path, array)", "", None)
        groups, saved = _opened(state_dict)
        outline = jax.eval_shape(as_pair(tx, "tx").init, params)
        new = contents(tx, outline, params)
        numbers = _numbers(order, new, sum(len(g["params"]) for g in groups))
        ids = [i for group in groups for i in group["params"]]
        rates = [group.get("lr") for group in groups for _ in group["params"]]
        theirs = {
            leaf: {k: x for k, x in saved.get(ids[i], {}).items() if x is not None}
            for leaf, i in numbers.items()
        }
        known = {key for found in theirs.values() for key in found} - {"step"}
        kinds = next((kinds for key, kinds in KINDS.items() if key in known), {})
        if known - kinds.keys():
            raise Misfit(
                f"state_dict holds {', '.join(sorted(known))}; expected that of Adam, "
                "AdamW, SGD or RMSprop."
            )
        here = {
            leaf: {
                key: _placed(leaf, key, _array(x), new.by_name[leaf], arrange)
                for key, x in found.items()
            }
            for leaf, found in theirs.items()
        }
        if "square_avg" in known and _is_after_the_rate(new):
            for leaf, number in numbers.items():
                if (velocity := here[leaf].get("momentum_buffer")) is not None:
                    here[leaf]["momentum_buffer"] = -_array(rates[number]) * velocity
        held = [_held(key, kinds[key], here) for key in kinds if key in known]
        held += _count(here, options.count)
        return Move(held, tx, params, options).made()


def _opened(state_dict: Any) -> tuple[Sequence[Any], Mapping[Any, Any]]:
    """The groups and the states of a dictionary, if we can go on with what is meant."""
    keys = state_dict.keys() if isinstance(state_dict, Mapping) else ()
    if not {"state", "param_groups"} <= set(keys):
        raise wrong_type(
            f"state_dict is {brief(state_dict)}; expected what the state_dict() of an "
            "optimizer of PyTorch returns, with 'state' and 'param_groups'."
        )
    for group in state_dict["param_groups"]:
        if group.get("maximize"):
            raise Misfit("state_dict is of an optimizer that maximizes.")
        if group.get("dampening"):
            raise Misfit(
                f"state_dict has dampening {group['dampening']}; the velocity here is "
                "not damped."
            )
    return state_dict["param_groups"], state_dict["state"]


def _numbers(order: PyTree, new: Contents, expected: int) -> dict[str, int]:
    """For each leaf, which of PyTorch's parameters it is."""
    leaves = {name for name, x in new.by_name.items() if x is not None}
    is_list = isinstance(order, list | tuple)
    if is_list and all(x is None or isinstance(x, str) for x in order):
        if len(order) != expected:
            raise Misfit(
                f"order has {len(order)} paths, and state_dict {expected} parameters."
            )
        found = {name: i for i, name in enumerate(order) if name is not None}
    else:
        given = entries(new.flat, order, "params", "order")
        pairs = zip(new.by_name, given, strict=True)
        found = {name: int(i) for name, i in pairs if i is not None}
    wrong = sorted(found.keys() ^ leaves)
    if wrong or len(set(found.values())) < len(found):
        raise Misfit(
            f"order names {wrong or 'a parameter'} otherwise than once; the leaves are "
            f"{', '.join(sorted(leaves))}."
        )
    beyond = [name for name, i in found.items() if not 0 <= i < expected]
    if beyond:
        raise Misfit(f"order says {found[beyond[0]]} for {beyond[0]}, of {expected}.")
    return found


def _array(x: Any) -> np.ndarray:
    """A tensor, or anything else that NumPy reads, as an array."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
    try:
        return np.asarray(x)
    except TypeError:  # NumPy has no bfloat16
        return np.asarray(x.float())


def _placed(leaf: str, key: str, x: np.ndarray, p: Any, arrange: Any) -> Any:
    """An array of PyTorch's as the leaf has its axes."""
    if key == "step":
        return x
    if arrange is not None:
        x = np.asarray(arrange(leaf, x))
    if x.shape != shape_of(p):
        fix = ""
        if x.T.shape == shape_of(p) and arrange is None:
            fix = "; arrange=... may transpose it"
        raise Misfit(
            f"{key} of {leaf} has shape {x.shape}; expected {shape_of(p)}{fix}."
        )
    return x


def _is_after_the_rate(new: Contents) -> bool:
    """Whether the new state traces steps that the learning rate is in already."""
    kinds = [held.kind[0] for held in new.held]
    rates = [kinds.index(kind) for kind in RATES if kind in kinds]
    return "TraceState" in kinds and min(rates, default=len(kinds)) < kinds.index(
        "TraceState"
    )


def _held(key: str, kind: tuple[str, str, Role], here: Mapping[str, Any]) -> Held:
    owner, field, role = kind
    found = {leaf: arrays.get(key) for leaf, arrays in here.items()}
    return Held(key, "state", (owner, field), role, slot=PARAMETERS, entries=found)


def _count(here: Mapping[str, Any], count: int | None) -> list[Held]:
    """The steps that the parameters have made, if that is one number."""
    steps = {
        leaf: int(found["step"]) for leaf, found in here.items() if "step" in found
    }
    if len(set(steps.values())) > 1:
        said = ", ".join(f"{leaf} {n}" for leaf, n in steps.items())
        raise Misfit(f"the parameters have made different numbers of steps: {said}.")
    number = next(iter(steps.values()), count)
    if number is None:
        return []
    kind, value = ("torch.optim", "step"), np.int32(number)
    return [Held("step", "state", kind, Role.COUNT, is_count=True, value=value)]
