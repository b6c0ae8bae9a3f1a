"""Record trajectories of PyTorch's optimizers, in float64: run by hand, not by pytest.

    pip install torch
    python tests/reference/torch_trajectories.py

writes `torch_trajectories.json` beside this file. The problems are in `problem.py`.
"""

import torch
from recorder import entry, record
from torch.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)

# Muon computes in bfloat16 what is recorded in float64.
torch.Tensor.bfloat16 = torch.Tensor.clone


def muon_beside_adamw(ws, lr):
    """Muon on the matrix, AdamW on the vector."""
    bias, kernel = ws
    both = [
        AdamW([bias], lr=lr, weight_decay=0.1),
        Muon([kernel], lr=lr, weight_decay=0.1),
    ]
    return type("Both", (), {"step": lambda _: [each.step() for each in both]})()


RECIPES = {
    "sgd": entry(SGD, lr=0.05),
    "momentum": entry(SGD, lr=0.05, momentum=0.9),
    "nesterov": entry(SGD, lr=0.05, momentum=0.9, nesterov=True),
    "sgd_l2": entry(SGD, lr=0.05, momentum=0.9, weight_decay=0.02),
    "dampened": entry(SGD, lr=0.05, momentum=0.9, dampening=0.9),
    "rmsprop": entry(RMSprop, lr=0.01),
    "rmsprop_momentum": entry(RMSprop, lr=0.01, momentum=0.9),
    "rmsprop_centered": entry(RMSprop, lr=0.01, centered=True),
    "rmsprop_centered_momentum": entry(RMSprop, lr=0.01, centered=True, momentum=0.9),
    "adam": entry(Adam, lr=0.01),
    "adam_l2": entry(Adam, lr=0.01, weight_decay=0.02),
    "adam_betas": entry(Adam, lr=0.01, betas=(0.7, 0.9), eps=1e-3),
    "adamw": entry(AdamW, lr=0.01, weight_decay=0.02),
    "amsgrad": entry(Adam, lr=0.01, amsgrad=True, betas=(0.9, 0.9)),
    "amsgradw": entry(
        AdamW, lr=0.01, amsgrad=True, betas=(0.9, 0.9), weight_decay=0.02
    ),
    "adagrad": entry(Adagrad, lr=0.05),
    "adagrad_initial": entry(Adagrad, lr=0.05, initial_accumulator_value=0.1, eps=1e-7),
    "adagrad_no_eps": entry(Adagrad, lr=0.05, eps=0.0, problem="layer"),
    "adagrad_lr_decay": entry(Adagrad, lr=0.05, lr_decay=0.01),
    "adadelta": entry(Adadelta, lr=1.0),
    "adadelta_l2": entry(Adadelta, lr=0.5, rho=0.95, eps=1e-4, weight_decay=0.02),
    "adamax": entry(Adamax, lr=0.01),
    "adamax_l2": entry(Adamax, lr=0.01, weight_decay=0.02),
    "nadam": entry(NAdam, lr=0.01),
    "nadam_l2": entry(NAdam, lr=0.01, weight_decay=0.02),
    "nadamw": entry(NAdam, lr=0.01, weight_decay=0.02, decoupled_weight_decay=True),
    "radam": entry(RAdam, lr=0.01),
    "radam_no_eps": entry(RAdam, lr=0.01, eps=0.0),
    "radamw": entry(RAdam, lr=0.01, weight_decay=0.02, decoupled_weight_decay=True),
    "rprop": entry(Rprop, lr=0.01),
    "rprop_bounded": entry(
        Rprop, lr=0.01, etas=(0.7, 1.1), step_sizes=(1e-3, 0.1), problem="layer"
    ),
    "asgd": entry(ASGD, lr=0.05, lambd=0.01, t0=30.0),
    "adafactor": entry(Adafactor, lr=0.05),
    "adafactor_layer": entry(Adafactor, lr=0.05, problem="layer"),
    "adafactor_decay": entry(Adafactor, lr=0.05, weight_decay=0.02, problem="layer"),
    "muon": entry(Muon, lr=0.02, weight_decay=0.1),
    "muon_plain": entry(Muon, lr=0.02, weight_decay=0.0, nesterov=False),
    "muon_beside_adamw": entry(
        muon_beside_adamw,
        problem="layer",
        call="torch.optim.AdamW of b, torch.optim.Muon of w, weight_decay=0.1",
        lr=0.02,
    ),
}

if __name__ == "__main__":
    record(RECIPES, {"torch": torch.__version__}, __file__)
