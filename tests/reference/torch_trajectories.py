"""Record trajectories of PyTorch's optimizers, in float64: run by hand, not by pytest.

    pip install torch
    python tests/reference/torch_trajectories.py

writes `torch_trajectories.json` beside this file. The problem is in `problem.py`.
"""

import json
import pathlib

import numpy as np
import torch
from problem import GRADIENT_STEPS, gradient, start

RECIPES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "sgd_l2": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.02),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "rmsprop_momentum": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
    "rmsprop_centered": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adam_l2": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.02),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.02),
}


def trajectory(recipe):
    """Every tenth point of the path."""
    w = torch.tensor(start(), dtype=torch.float64, requires_grad=True)
    optimizer, points = recipe([w]), []
    for step in range(GRADIENT_STEPS):
        w.grad = torch.tensor(gradient(w.detach().numpy(), step))
        optimizer.step()
        if (step + 1) % 10 == 0:
            points.append(w.detach().numpy().tolist())
    return points


if __name__ == "__main__":
    recorded = {name: trajectory(recipe) for name, recipe in RECIPES.items()}
    assert all(np.isfinite(points).all() for points in recorded.values())
    path = pathlib.Path(__file__).with_suffix(".json")
    content = {"torch": torch.__version__, "trajectories": recorded}
    path.write_text(json.dumps(content, indent=1) + "\n")
