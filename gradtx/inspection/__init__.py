"""Looking inside: what a transformation holds, and with which numbers it works."""

from gradtx.inspection.describe import DescribedPart as DescribedPart
from gradtx.inspection.describe import Description as Description
from gradtx.inspection.describe import describe
from gradtx.inspection.evaluation import evaluation_params
from gradtx.inspection.from_torch import from_torch as from_torch
from gradtx.inspection.hyperparameters import hyperparameters
from gradtx.inspection.map_params import map_params as map_params
from gradtx.inspection.map_params import state_sharding as state_sharding
from gradtx.inspection.migrate import migrate as migrate
from gradtx.inspection.migration import Migration as Migration
from gradtx.inspection.migration import Moved as Moved
from gradtx.inspection.optax_states import MuonState
from gradtx.inspection.plot import plot_schedule
from gradtx.inspection.range_test import RangeTest as RangeTest
from gradtx.inspection.range_test import lr_range_test
from gradtx.inspection.restart import restart
from gradtx.inspection.restored import from_optax_state

__all__ = [
    "MuonState",
    "describe",
    "evaluation_params",
    "from_optax_state",
    "hyperparameters",
    "lr_range_test",
    "plot_schedule",
    "restart",
]
