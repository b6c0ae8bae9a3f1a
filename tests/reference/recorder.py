"""How trajectories of PyTorch's and other libraries' optimizers are recorded."""

import json
import pathlib

import numpy as np
import torch
from problem import GRADIENT_STEPS, PROBLEMS, RECORDED_STEPS

# Some keep a scalar, such as a product of decays, in the default type.
torch.set_default_dtype(torch.float64)


def entry(make, /, problem="ravine", call=None, step=None, **arguments):
    """Record `make(parameters, **arguments)`, in words `call`, stepped by `step`."""
    call = call or f"{make.__module__}.{make.__qualname__}"
    written = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
    return f"{call}({written})", problem, lambda ws: make(ws, **arguments), step


def trajectory(problem, make, step):
    """The points after the recorded steps; of a tree, its leaves in order of key."""
    start, gradient, value = PROBLEMS[problem]
    p = start()
    keys = sorted(p) if isinstance(p, dict) else None
    ws = [torch.tensor(p[k]) for k in keys] if keys else [torch.tensor(p)]
    ws = [torch.nn.Parameter(w) for w in ws]
    optimizer, points = make(ws), []
    for i in range(GRADIENT_STEPS):
        now = [w.detach().numpy().copy() for w in ws]
        now = dict(zip(keys, now, strict=True)) if keys else now[0]
        gs = gradient(now, i)
        for w, g in zip(ws, [gs[k] for k in keys] if keys else [gs], strict=True):
            w.grad = torch.tensor(g)
        if step:
            step(optimizer, torch.tensor(value(now, i)))
        else:
            optimizer.step()
        if i + 1 in RECORDED_STEPS:
            leaves = [w.detach().numpy().tolist() for w in ws]
            points.append(leaves if keys else leaves[0])
    for w in ws:
        assert w.dtype == torch.float64
        assert np.isfinite(w.detach().numpy()).all()
    return points


def record(recipes, versions, script):
    """Write the trajectories beside the script that records them, one a line."""
    lines = []
    for name, (call, problem, make, step) in recipes.items():
        points = trajectory(problem, make, step)
        line = {"call": call, "problem": problem, "points": points}
        lines.append(f"{json.dumps(name)}: {json.dumps(line)}")
    path = pathlib.Path(script).with_suffix(".json")
    path.write_text(
        f'{{"versions": {json.dumps(versions)},\n"trajectories": {{\n'
        + ",\n".join(lines)
        + "\n}}\n"
    )
