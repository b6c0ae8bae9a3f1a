r"""Record trajectories of sharpness-aware optimizers, in float64: run by hand.

    pip install torch
    pip install --no-deps pytorch-optimizer
    python tests/reference/sharpness.py

writes `sharpness.json` beside this file. The problem is the layer of `problem.py`, on
whole batches, so that a second gradient is of the same loss. The package is called as
it is; it takes norms in float32, which is what its points agree to.
"""

import importlib.metadata
import json
import pathlib

import pytorch_optimizer as po
import torch
from problem import layer_gradient, layer_start

STEPS, KEYS = 10, ("b", "w")
SGD = {"lr": 0.1, "momentum": 0.9}
torch.set_default_dtype(torch.float64)


class Fixed:
    """A schedule of the radius that stays."""

    def step(self):
        return 0.3


def gsam(ws, closure):
    made = po.GSAM(ws, torch.optim.SGD(ws, **SGD), torch.nn.Identity(), Fixed(), 0.4)

    def step():
        made.zero_grad()
        closure()
        made.perturb_weights(0.3)
        closure()
        made.gradient_decompose(0.4)
        made.un_perturb()
        made.base_optimizer.step()

    return step


def recipe(make, call):
    """One that is given a closure; `call` says how."""

    def made(ws, closure):
        optimizer = make(ws)
        return lambda: call(optimizer, closure)

    return made


def after_a_gradient(optimizer, closure):
    closure()
    optimizer.step(closure)


def with_closure(optimizer, closure):
    optimizer.step(closure)


def wsam(decouple):
    def make(ws):
        model = torch.nn.Identity()
        return po.WSAM(
            model,
            ws,
            torch.optim.SGD,
            rho=0.3,
            gamma=0.8,
            max_norm=None,
            decouple=decouple,
            **SGD,
        )

    return recipe(make, with_closure)


def one(make, **arguments):
    return recipe(
        lambda ws: make(ws, torch.optim.SGD, **arguments, **SGD), after_a_gradient
    )


RECIPES = {
    "sam": one(po.SAM, rho=0.3),
    "asam": one(po.SAM, rho=0.5, adaptive=True),
    "gsam": gsam,
    "wsam": wsam(False),
    "wsam_decoupled": wsam(True),
    "looksam": one(po.LookSAM, rho=0.3, k=3, alpha=0.7),
    "friendly_sam": one(po.FriendlySAM, rho=0.3, sigma=0.8, lmbda=0.9),
}


def trajectory(recipe):
    ws = [torch.nn.Parameter(torch.tensor(layer_start()[k])) for k in KEYS]

    def closure():
        now = {k: w.detach().numpy() for k, w in zip(KEYS, ws, strict=True)}
        for w, k in zip(ws, KEYS, strict=True):
            w.grad = torch.tensor(layer_gradient(now, 0)[k])
        return torch.tensor(0.0)

    step = recipe(ws, closure)
    for _ in range(STEPS):
        step()
    return [w.detach().numpy().tolist() for w in ws]


if __name__ == "__main__":
    names = ("pytorch-optimizer", "torch")
    versions = {name: importlib.metadata.version(name) for name in names}
    points = {name: trajectory(recipe) for name, recipe in RECIPES.items()}
    recorded = {"versions": versions, "steps": STEPS, "points": points}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(recorded, indent=1) + "\n")
