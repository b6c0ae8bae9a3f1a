"""The recipes: each is a docstring and a chain."""

from gradtx.optimizers.edited import cautious_adamw, grams, mars
from gradtx.optimizers.frugal import adafactor, adam_mini, came, novograd, sm3
from gradtx.optimizers.layerwise import fromage, hyperball, lamb, lars
from gradtx.optimizers.lecture import adam, adamw, rmsprop, sgd

__all__ = [
    "adafactor",
    "adam",
    "adam_mini",
    "adamw",
    "came",
    "cautious_adamw",
    "fromage",
    "grams",
    "hyperball",
    "lamb",
    "lars",
    "mars",
    "novograd",
    "rmsprop",
    "sgd",
    "sm3",
]
