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
from gradtx.numerics.linear_algebra import (
    matrix_inverse_pth_root as matrix_inverse_pth_root,
    nnls as nnls,
    power_iteration as power_iteration,
)
from gradtx.numerics.normal import (
    MultiNormalDiagFromLogScale as MultiNormalDiagFromLogScale,
    multi_normal as multi_normal,
)
from gradtx.numerics.norms import norm_of as norm_of
from gradtx.numerics.scale_gradient import scale_gradient as scale_gradient
