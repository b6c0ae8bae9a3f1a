"""Looking inside: what a transformation holds, and with which numbers it works."""

from gradtx.inspection.describe import DescribedPart, Description, describe
from gradtx.inspection.hyperparameters import hyperparameters
from gradtx.inspection.plot import plot_schedule
from gradtx.inspection.range_test import RangeTest, lr_range_test

__all__ = [
    "DescribedPart",
    "Description",
    "RangeTest",
    "describe",
    "hyperparameters",
    "lr_range_test",
    "plot_schedule",
]
