"""Arithmetic on arrays: which dtype it is done in, and what is right at the ends."""

from gradtx.numerics.arithmetic import (
    abs_sq as abs_sq,
    debias as debias,
    divide as divide,
    lerp as lerp,
    over_root as over_root,
    safe_increment as safe_increment,
    sqrt as sqrt,
    unbounded as unbounded,
)
from gradtx.numerics.dtypes import (
    DTypeLike as DTypeLike,
    as_array as as_array,
    is_real as is_real,
    promote as promote,
    wide_dtype as wide_dtype,
    widen as widen,
)
from gradtx.numerics.norms import norm_of as norm_of
