"""Pytrees taken apart, compared, selected from, searched (public: `gradtx.tree`)."""

from gradtx.trees.arithmetic import norm as norm, vdot as vdot
from gradtx.trees.flat import (
    Flat as Flat,
    Leaf as Leaf,
    PyTree as PyTree,
    Shape as Shape,
    flatten as flatten,
    keystr as keystr,
)
from gradtx.trees.select import Mask as Mask
