"""Transformation in, transformation out: what is done around an optimizer."""

from gradtx.wrappers.selection import (
    MaskedState,
    PartitionState,
    freeze,
    masked,
    multi_transform,
    partition,
    selective_transform,
)

__all__ = [
    "MaskedState",
    "PartitionState",
    "freeze",
    "masked",
    "multi_transform",
    "partition",
    "selective_transform",
]
