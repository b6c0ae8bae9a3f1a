"""The recipes: each is a docstring and a chain."""

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
from gradtx.transforms.dadaptation import dadapt_adamw, dadapt_lion
from gradtx.transforms.polyak import momo, momo_adam
from gradtx.transforms.prodigy import prodigy

__all__ = [
    "adafactor",
    "adam",
    "adam_mini",
    "adamw",
    "came",
    "cautious_adamw",
    "cocob",
    "dadapt_adamw",
    "dadapt_lion",
    "dadapt_sgd",
    "dog",
    "dowg",
    "fromage",
    "grams",
    "hyperball",
    "lamb",
    "lars",
    "madgrad",
    "mars",
    "momo",
    "momo_adam",
    "novograd",
    "polyak_sgd",
    "prodigy",
    "rmsprop",
    "sgd",
    "sm3",
]
