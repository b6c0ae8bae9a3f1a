"""Codecs: in what form `wrappers.with_state` keeps the arrays of a state.

    gradtx.wrappers.with_state(gradtx.adamw(1e-3), gradtx.codecs.int8())

A codec is a value, as schedules and views are. Between two steps a state is its codes;
for a step they are decoded, and what the step made of them is encoded.
"""

from gradtx.codecs.codec import ACodec, Codec, Coding, codec
from gradtx.codecs.floats import (
    Corrected,
    Split,
    bfloat16,
    bfloat16_and_error,
    bfloat16_and_rest,
)
from gradtx.codecs.blockwise import Blocks, float8, int4, int8
from gradtx.codecs.shared import shared

__all__ = [
    # To write one
    "ACodec",
    "Codec",
    "Coding",
    "codec",
    # By entry
    "bfloat16",
    "bfloat16_and_error",
    "bfloat16_and_rest",
    "Corrected",
    "Split",
    # By blocks
    "Blocks",
    "float8",
    "int4",
    "int8",
    # By rows and columns
    "shared",
]
