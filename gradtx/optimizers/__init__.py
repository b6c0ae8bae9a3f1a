"""The recipes: each is a docstring and a chain."""

from gradtx.optimizers.accumulating import adadelta, adagrad, rprop
from gradtx.optimizers.adam_family import (
    acprop,
    adabelief,
    adamax,
    adamaxw,
    adopt,
    amsgrad,
    nadam,
    nadamw,
    radam,
    yogi,
)
from gradtx.optimizers.averaged import asgd
from gradtx.optimizers.bounded import (
    adabound,
    adam_atan2,
    amsbound,
    spam,
    stable_adamw,
)
from gradtx.optimizers.curvature import sophia
from gradtx.optimizers.decayed import adamc
from gradtx.optimizers.edited import cautious_adamw, grams, mars
from gradtx.optimizers.frugal import adafactor, adam_mini, came, novograd, sm3
from gradtx.optimizers.gradient import noisy_sgd, optimistic_gradient_descent
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
from gradtx.optimizers.mixing import (
    adan,
    ademamix,
    optimistic_adam,
    optimistic_adam_v2,
    simplified_ademamix,
)
from gradtx.optimizers.projected import adamp, sgdp
from gradtx.optimizers.reordered import laprop, qhadam, qhm
from gradtx.optimizers.sign import lion, sign_sgd, signum
from gradtx.transforms.dadaptation import dadapt_adamw, dadapt_lion
from gradtx.transforms.ftrl import ftrl
from gradtx.transforms.polyak import momo, momo_adam
from gradtx.transforms.prodigy import prodigy

__all__ = [
    "acprop",
    "adabelief",
    "adabound",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adam_atan2",
    "adam_mini",
    "adamax",
    "adamaxw",
    "adamc",
    "adamp",
    "adamw",
    "adan",
    "ademamix",
    "adopt",
    "amsbound",
    "amsgrad",
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
    "lion",
    "madgrad",
    "mars",
    "momo",
    "momo_adam",
    "nadam",
    "nadamw",
    "noisy_sgd",
    "novograd",
    "optimistic_adam",
    "optimistic_adam_v2",
    "optimistic_gradient_descent",
    "polyak_sgd",
    "prodigy",
    "qhadam",
    "qhm",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sgdp",
    "sign_sgd",
    "signum",
    "simplified_ademamix",
    "sm3",
    "sophia",
    "spam",
    "stable_adamw",
    "yogi",
]
