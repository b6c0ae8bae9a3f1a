"""Pytrees: arithmetic by the names of `optax.tree`, and what a state holds."""

from gradtx.inspection.map_params import map_params, state_sharding
from gradtx.trees import norm, vdot
from gradtx.trees.arithmetic import (
    add,
    add_scale,
    allclose,
    cast,
    cast_like,
    clip,
    conj,
    div,
    dtype,
    max,
    min,
    mul,
    real,
    scale,
    sub,
    sum,
    where,
)
from gradtx.trees.flat import map_matching
from gradtx.trees.like import (
    batch_shape,
    full_like,
    ones_like,
    random_like,
    size,
    split_key_like,
    unwrap_random_key_data,
    zeros_like,
)
from gradtx.trees.moments import (
    bias_correction,
    update_infinity_moment,
    update_moment,
    update_moment_per_elem_norm,
)
from gradtx.trees.rules import path_string
from gradtx.trees.search import NamedTupleKey, get, get_all_with_path, set
from gradtx.trees.select import labels, selection

__all__ = [
    "NamedTupleKey",
    "add",
    "add_scale",
    "allclose",
    "batch_shape",
    "bias_correction",
    "cast",
    "cast_like",
    "clip",
    "conj",
    "div",
    "dtype",
    "full_like",
    "get",
    "get_all_with_path",
    "labels",
    "map_matching",
    "map_params",
    "max",
    "min",
    "mul",
    "norm",
    "ones_like",
    "path_string",
    "random_like",
    "real",
    "scale",
    "selection",
    "set",
    "size",
    "split_key_like",
    "state_sharding",
    "sub",
    "sum",
    "unwrap_random_key_data",
    "update_infinity_moment",
    "update_moment",
    "update_moment_per_elem_norm",
    "vdot",
    "where",
    "zeros_like",
]
