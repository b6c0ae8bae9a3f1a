"""Rows of the wrappers that lay parameters out in another way."""

from row import Row

import gradtx

ROWS = [
    Row(
        gradtx.stacked,
        parts=(
            gradtx.chain(
                gradtx.clip_by_block_rms(0.3),
                gradtx.adamw(0.1, mask=gradtx.matrices),
            ),
        ),
        needs_params=True,
    ),
]
