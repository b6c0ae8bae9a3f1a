"""The recipes: each is a docstring and a chain."""

from gradtx.optimizers import (
    accumulating,
    adam_family,
    averaged,
    bounded,
    curvature,
    decayed,
    edited,
    frugal,
    gradient,
    layerwise,
    learning_rate_free,
    lecture,
    mixing,
    projected,
    reordered,
    sign,
)
from gradtx.optimizers.accumulating import *
from gradtx.optimizers.adam_family import *
from gradtx.optimizers.averaged import *
from gradtx.optimizers.bounded import *
from gradtx.optimizers.curvature import *
from gradtx.optimizers.decayed import *
from gradtx.optimizers.edited import *
from gradtx.optimizers.frugal import *
from gradtx.optimizers.gradient import *
from gradtx.optimizers.layerwise import *
from gradtx.optimizers.learning_rate_free import *
from gradtx.optimizers.lecture import *
from gradtx.optimizers.mixing import *
from gradtx.optimizers.projected import *
from gradtx.optimizers.reordered import *
from gradtx.optimizers.sign import *
from gradtx.transforms.dadaptation import dadapt_adamw, dadapt_lion
from gradtx.transforms.ftrl import ftrl
from gradtx.transforms.polyak import momo, momo_adam
from gradtx.transforms.prodigy import prodigy

__all__ = [
    *accumulating.__all__,
    *adam_family.__all__,
    *averaged.__all__,
    *bounded.__all__,
    *curvature.__all__,
    *decayed.__all__,
    *edited.__all__,
    *frugal.__all__,
    *gradient.__all__,
    *layerwise.__all__,
    *learning_rate_free.__all__,
    *lecture.__all__,
    *mixing.__all__,
    *projected.__all__,
    *reordered.__all__,
    *sign.__all__,
    "dadapt_adamw",
    "dadapt_lion",
    "ftrl",
    "momo",
    "momo_adam",
    "prodigy",
]
