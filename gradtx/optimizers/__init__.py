"""The recipes: each is a docstring and a chain; a few are rules of their own."""

# The lecture's
from gradtx.optimizers.sgd import sgd
from gradtx.optimizers.rmsprop import rmsprop
from gradtx.optimizers.adam import adam, adamw

# Signs
from gradtx.optimizers.sign import sign_sgd, signum
from gradtx.optimizers.lion import lion, tiger

# A step size for each entry
from gradtx.optimizers.adagrad import adagrad
from gradtx.optimizers.adadelta import adadelta
from gradtx.optimizers.rprop import rprop

# Adam's relatives
from gradtx.optimizers.adamax import adamax, adamaxw
from gradtx.optimizers.amsgrad import amsgrad
from gradtx.optimizers.yogi import yogi
from gradtx.optimizers.adabelief import adabelief
from gradtx.optimizers.acprop import acprop
from gradtx.optimizers.nadam import nadam, nadamw
from gradtx.optimizers.radam import radam
from gradtx.optimizers.adopt import adopt
from gradtx.optimizers.adabound import adabound, amsbound
from gradtx.optimizers.adam_atan2 import adam_atan2
from gradtx.optimizers.qhm import qhadam, qhm
from gradtx.optimizers.laprop import laprop
from gradtx.optimizers.optimistic import (
    optimistic_adam,
    optimistic_adam_v2,
    optimistic_gradient_descent,
)
from gradtx.optimizers.adan import adan
from gradtx.optimizers.ademamix import ademamix, simplified_ademamix
from gradtx.optimizers.stable_adamw import stable_adamw
from gradtx.optimizers.spam import spam

# Second moments in little memory
from gradtx.optimizers.adafactor import adafactor
from gradtx.optimizers.adam_mini import adam_mini
from gradtx.optimizers.came import came
from gradtx.optimizers.novograd import novograd
from gradtx.optimizers.sm3 import sm3

# AdamW, edited
from gradtx.optimizers.adamc import adamc
from gradtx.optimizers.mars import mars
from gradtx.optimizers.grams import grams
from gradtx.optimizers.cautious import cautious_adamw

# The size of a step beside that of the parameters
from gradtx.optimizers.lars import lars
from gradtx.optimizers.lamb import lamb
from gradtx.optimizers.fromage import fromage
from gradtx.optimizers.hyperball import hyperball
from gradtx.optimizers.adamp import adamp, sgdp

# Matrices
from gradtx.optimizers.muon import muon, scale_by_muon
from gradtx.optimizers.muon_family import (
    adamuon as adamuon,
    normuon as normuon,
    scion as scion,
)
from gradtx.optimizers.soap import soap
from gradtx.optimizers.soap_muon import soap_muon as soap_muon
from gradtx.optimizers.galore import (
    GaLoreDimensionNumbers,
    GaLoreState,
    galore,
    scale_by_galore,
)

# Step sizes that are found
from gradtx.optimizers.polyak import polyak_sgd
from gradtx.optimizers.dog import dog, dowg
from gradtx.optimizers.dadaptation import (
    DAdaptAdamWState,
    DAdaptLionState as DAdaptLionState,
    dadapt_adamw,
    dadapt_lion,
    dadapt_sgd,
)
from gradtx.optimizers.prodigy import ProdigyState, prodigy
from gradtx.optimizers.momo import MomoAdamState, MomoState, momo, momo_adam
from gradtx.optimizers.madgrad import madgrad
from gradtx.optimizers.cocob import cocob
from gradtx.optimizers.ftrl import FtrlState as FtrlState, ftrl

# A second gradient, beside the parameters
from gradtx.optimizers.sharpness import (
    asam as asam,
    friendly_sam as friendly_sam,
    gsam as gsam,
    looksam as looksam,
    wsam as wsam,
)

# With a line search
from gradtx.optimizers.lbfgs import lbfgs
from gradtx.optimizers.nonlinear_cg import nonlinear_cg as nonlinear_cg

# Averages, noise and curvature
from gradtx.optimizers.asgd import asgd
from gradtx.optimizers.schedule_free import schedule_free_adamw, schedule_free_sgd
from gradtx.optimizers.noise import noisy_sgd
from gradtx.optimizers.dpsgd import dpsgd
from gradtx.optimizers.normalize import NormalizeState, normalize
from gradtx.optimizers.sophia import sophia

__all__ = [
    # The lecture's
    "sgd",
    "rmsprop",
    "adam",
    "adamw",
    # Signs
    "sign_sgd",
    "signum",
    "lion",
    "tiger",
    # A step size for each entry
    "adagrad",
    "adadelta",
    "rprop",
    # Adam's relatives
    "adamax",
    "adamaxw",
    "amsgrad",
    "yogi",
    "adabelief",
    "acprop",
    "nadam",
    "nadamw",
    "radam",
    "adopt",
    "adabound",
    "amsbound",
    "adam_atan2",
    "qhadam",
    "qhm",
    "laprop",
    "optimistic_adam",
    "optimistic_adam_v2",
    "optimistic_gradient_descent",
    "adan",
    "ademamix",
    "simplified_ademamix",
    "stable_adamw",
    "spam",
    # Second moments in little memory
    "adafactor",
    "adam_mini",
    "came",
    "novograd",
    "sm3",
    # AdamW, edited
    "adamc",
    "mars",
    "grams",
    "cautious_adamw",
    # The size of a step beside that of the parameters
    "lars",
    "lamb",
    "fromage",
    "hyperball",
    "adamp",
    "sgdp",
    # Matrices
    "muon",
    "scale_by_muon",
    "soap",
    "GaLoreDimensionNumbers",
    "GaLoreState",
    "galore",
    "scale_by_galore",
    # Step sizes that are found
    "polyak_sgd",
    "dog",
    "dowg",
    "DAdaptAdamWState",
    "dadapt_adamw",
    "dadapt_lion",
    "dadapt_sgd",
    "ProdigyState",
    "prodigy",
    "MomoAdamState",
    "MomoState",
    "momo",
    "momo_adam",
    "madgrad",
    "cocob",
    "ftrl",
    # With a line search
    "lbfgs",
    # Averages, noise and curvature
    "asgd",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "noisy_sgd",
    "dpsgd",
    "NormalizeState",
    "normalize",
    "sophia",
]
