"""Rows: what keeps a state, or parameters, in fewer bits or elsewhere."""

from row import Row

import gradtx
from gradtx import codecs, wrappers

ADAM = gradtx.adam(0.1)

ROWS = [
    Row(
        wrappers.with_state,
        {},
        {"min_size": 1},
        (ADAM, codecs.int8()),
        codes=("int8", "uint8"),
    ),
    Row(
        wrappers.with_state,
        {},
        {"min_size": 1, "where": gradtx.matrices},
        (gradtx.chain(ADAM, gradtx.average_params()), codecs.bfloat16_and_error()),
        needs_params=True,
        codes=("bfloat16", "int8"),
    ),
    Row(wrappers.kahan, {}, {}, (gradtx.sgd(0.1, momentum=0.9),), needs_params=True),
    Row(wrappers.master_weights, {}, {}, (ADAM,), needs_params=True, rounds=True),
    Row(wrappers.offload, {}, {"min_size": 1}, (ADAM,)),
]
