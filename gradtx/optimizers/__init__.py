"""The recipes: each is a docstring and a chain."""

from gradtx.optimizers.averaged import asgd
from gradtx.optimizers.bounded import adabound, adam_atan2, amsbound, spam, stable_adamw
from gradtx.optimizers.decayed import adamc
from gradtx.optimizers.edited import cautious_adamw, grams, mars
from gradtx.optimizers.frugal import adafactor, adam_mini, came, novograd, sm3
from gradtx.optimizers.layerwise import fromage, hyperball, lamb, lars
from gradtx.optimizers.learning_rate_free import (
    cocob,
    dadapt_sgd,
    dog,
    dowg,
    madgrad,
    polyak_sgd,
)
from gradtx.optimizers.lecture import adam, adamw, rmsprop, sgd
from gradtx.optimizers.projected import adamp, sgdp
from gradtx.optimizers.reordered import laprop, qhadam, qhm
from gradtx.transforms.dadaptation import dadapt_adamw, dadapt_lion
from gradtx.transforms.ftrl import ftrl
from gradtx.transforms.polyak import momo, momo_adam
from gradtx.transforms.prodigy import prodigy

__all__ = [
    "adabound",
    "adafactor",
    "adam",
    "adam_atan2",
    "adam_mini",
    "adamc",
    "adamp",
    "adamw",
    "amsbound",
    "asgd",
    "came",
    "cautious_adamw",
    "cocob",
    "dadapt_adamw",
    "dadapt_lion",
    "dadapt_sgd",
    "dog",
    "dowg",
    "fromage",
    "ftrl",
    "grams",
    "hyperball",
    "lamb",
    "laprop",
    "lars",
    "madgrad",
    "mars",
    "momo",
    "momo_adam",
    "novograd",
    "polyak_sgd",
    "prodigy",
    "qhadam",
    "qhm",
    "rmsprop",
    "sgd",
    "sgdp",
    "sm3",
    "spam",
    "stable_adamw",
]
