"""Record runs of the authors' Schedule-Free, in float64: run by hand, not by pytest.

    pip install torch
    pip install --no-deps git+https://github.com/facebookresearch/schedule_free
    python tests/reference/schedule_free.py

writes `schedule_free.json` beside this file: the points where gradients are taken, and
those that the optimizer evaluates. The problem is the ravine of `problem.py`. Nothing
of the package is copied: it is called.
"""

import importlib.metadata
import json
import pathlib

import torch
from problem import GRADIENT_STEPS, RECORDED_STEPS, gradient, start, value
from schedulefree import AdamCScheduleFreePlusPaper, AdamWScheduleFree, SGDScheduleFree

torch.set_default_dtype(torch.float64)

RUNS = {
    "sgd": (SGDScheduleFree, {"lr": 0.1}),
    "sgd_warm": (SGDScheduleFree, {"lr": 0.1, "warmup_steps": 20, "weight_decay": 0.1}),
    "sgd_power": (SGDScheduleFree, {"lr": 0.1, "momentum": 0.8, "r": 1.0}),
    "adamw": (AdamWScheduleFree, {"lr": 0.05}),
    "adamw_warm": (
        AdamWScheduleFree,
        {"lr": 0.05, "betas": (0.95, 0.99), "warmup_steps": 20, "weight_decay": 0.1},
    ),
    "adamw_power": (
        AdamWScheduleFree,
        {"lr": 0.05, "warmup_steps": 20, "r": 0.5, "weight_lr_power": 1.0},
    ),
    "plus": (AdamCScheduleFreePlusPaper, {"lr": 0.1}),
    "plus_all": (
        AdamCScheduleFreePlusPaper,
        {
            "lr": 0.5,
            "betas": (0.8, 0.99),
            "weight_decay": 0.2,
            "r": 1.0,
            "c_warmup": 5,
            "sf_beta1_anneal_steps": 60,
        },
    ),
}


def run(make, arguments):
    """The trained and the evaluated points after the recorded steps."""
    w = torch.nn.Parameter(torch.tensor(start()))
    optimizer, trained, evaluated = make([w], **arguments), [], []
    optimizer.train()
    for i in range(GRADIENT_STEPS):
        here, takes_value = w.detach().numpy(), hasattr(optimizer, "step_func")
        k = i + 8 if takes_value else i  # past the gradient of 0, by which it divides
        w.grad = torch.tensor(gradient(here, k))
        if takes_value:
            optimizer.step_func(value(here, k))
        else:
            optimizer.step()
        if i + 1 in RECORDED_STEPS:
            at = w.detach().clone()
            trained.append(at.tolist())
            optimizer.eval()
            evaluated.append(w.detach().tolist())
            optimizer.train()
            w.data.copy_(at)  # as it was, to the last bit
    return {"call": f"{make.__name__}({arguments})", "points": [trained, evaluated]}


if __name__ == "__main__":
    packages = ("schedulefree", "torch")
    recorded = {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "runs": {name: run(*args) for name, args in RUNS.items()},
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(recorded).replace("}, ", "},\n") + "\n")
