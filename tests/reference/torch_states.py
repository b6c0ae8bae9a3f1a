r"""Record states of PyTorch's optimizers and how they go on: run by hand.

    pip install torch
    python tests/reference/torch_states.py

writes `torch_states.json` beside this file: after some steps on the layer of
`problem.py`, in float64, the points and the `state_dict`, and the points after more.
"""

import json
import pathlib

import torch
from problem import layer_gradient, layer_start

STEPS, MORE, KEYS = 4, 4, ("b", "w")
torch.set_default_dtype(torch.float64)
RMS = {"lr": 0.01, "alpha": 0.9}
RECIPES = {
    "adam": (torch.optim.Adam, {"lr": 0.01, "betas": (0.9, 0.99)}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "betas": (0.9, 0.9), "amsgrad": True}),
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, RMS),
    "rmsprop_all": (
        torch.optim.RMSprop,
        {**RMS, "momentum": 0.8, "centered": True},
    ),
}


def numbers(x):
    """A state as JSON has it."""
    if isinstance(x, torch.Tensor):
        return x.detach().tolist()
    if isinstance(x, dict):
        return {str(k): numbers(v) for k, v in x.items()}
    return [numbers(v) for v in x] if isinstance(x, list | tuple) else x


def run(make, arguments):
    ws = [torch.nn.Parameter(torch.tensor(layer_start()[k])) for k in KEYS]
    optimizer, record = make(ws, **arguments), {}
    for i in range(STEPS + MORE):
        if i == STEPS:
            record["points"] = numbers(ws)
            record["state_dict"] = numbers(optimizer.state_dict())
        now = {k: w.detach().numpy().copy() for k, w in zip(KEYS, ws, strict=True)}
        for w, k in zip(ws, KEYS, strict=True):
            w.grad = torch.tensor(layer_gradient(now, i)[k])
        optimizer.step()
    return {**record, "later": numbers(ws)}


if __name__ == "__main__":
    recorded = {"torch": torch.__version__, "steps": STEPS, "more": MORE}
    recorded["runs"] = {name: run(*recipe) for name, recipe in RECIPES.items()}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(recorded) + "\n")
