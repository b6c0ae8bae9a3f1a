"""Leaves kept otherwise: packed, stacked, flattened, as real and imaginary parts."""

from gradtx.layout.complex_parts import (
    SplitRealAndImaginaryArrays as SplitRealAndImaginaryArrays,
)
from gradtx.layout.complex_parts import (
    SplitRealAndImaginaryState,
    split_real_and_imaginary,
)
from gradtx.layout.eigenbasis import eigenbasis as eigenbasis
from gradtx.layout.flattened import flatten
from gradtx.layout.packed import Packed as Packed
from gradtx.layout.packed import pack, unpack
from gradtx.layout.stacked import StackedState as StackedState
from gradtx.layout.stacked import stacked
from gradtx.layout.subspace import subspace as subspace
from gradtx.layout.views import (
    Coordinates as Coordinates,
    View as View,
    view as view,
)

__all__ = [
    "SplitRealAndImaginaryState",
    "flatten",
    "pack",
    "split_real_and_imaginary",
    "stacked",
    "unpack",
]
