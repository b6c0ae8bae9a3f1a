r"""Record trajectories of published packages, in float64: run by hand, not by pytest.

    pip install torch einops packaging
    pip install --no-deps adabound adam-atan2-pytorch adam-mini came-pytorch \
        dadaptation dog-optimizer lion-pytorch madgrad momo-opt prodigyopt \
        pytorch-optimizer qhoptim timm torch-optimi
    python tests/reference/published_trajectories.py

writes `published_trajectories.json` beside this file. The problems are in `problem.py`.
Nothing of the packages is copied: they are called. What they keep in PyTorch's default
type is in float64, since `recorder.py` sets that; what else is changed is said below.
"""

import importlib
import importlib.metadata
import pathlib
import sys
import types

import adabound
import adam_mini
import came_pytorch
import dadaptation
import dog
import lion_pytorch
import madgrad
import momo
import optimi
import prodigyopt
import pytorch_optimizer
import qhoptim.pyt
import torch
from adam_atan2_pytorch import AdamAtan2
from problem import SCALES
from recorder import entry, record

PACKAGES = [
    "adabound",
    "adam-atan2-pytorch",
    "adam-mini",
    "came-pytorch",
    "dadaptation",
    "dog-optimizer",
    "lion-pytorch",
    "madgrad",
    "momo-opt",
    "prodigyopt",
    "pytorch-optimizer",
    "qhoptim",
    "timm",
    "torch",
    "torch-optimi",
]


def timm(file, name):
    """An optimizer of timm, whose import would ask for torchvision."""
    top = pathlib.Path(importlib.metadata.distribution("timm").locate_file("timm"))
    for package, path in (("timm", top), ("timm.optim", top / "optim")):
        if package not in sys.modules:
            sys.modules[package] = stub = types.ModuleType(package)
            stub.__path__ = [str(path)]
    return getattr(importlib.import_module(f"timm.optim.{file}"), name)


def po(name, **arguments):
    """One of pytorch_optimizer's; its loop, whose scalars are Python's."""
    return entry(getattr(pytorch_optimizer, name), foreach=False, **arguments)


def with_loss(optimizer, value):
    optimizer.step(loss=value)


def with_hessian(optimizer, value):
    """The diagonal of the Hessian of the ravine, in place of its estimate."""
    due = optimizer.param_groups[0].get("step", 0) % optimizer.update_period == 0
    optimizer.step(hessian=[torch.tensor(0.1 * SCALES)] if due else None)


def mini(ws, **arguments):
    """Adam-mini knows the kind of a parameter by its name."""
    pairs = list(zip(["other", "mlp"], ws, strict=True))
    return adam_mini.Adam_mini(pairs, verbose=False, **arguments)


def wrapped(outer, inner, **arguments):
    """A wrapper of pytorch_optimizer's around an optimizer of PyTorch's."""

    def make(ws, **inner_arguments):
        return outer(inner(ws, **inner_arguments), **arguments)

    written = "".join(f", {k}={v!r}" for k, v in arguments.items())
    make.__module__ = outer.__module__
    make.__qualname__ = f"{outer.__qualname__}({inner.__name__}{written})"
    return make


B = (0.9, 0.99)
RECIPES = {
    # Each method's own package.
    "lion": entry(lion_pytorch.Lion, lr=0.01),
    "lion_decay": entry(
        lion_pytorch.Lion, lr=0.01, betas=(0.8, 0.95), weight_decay=0.2
    ),
    "prodigy": entry(prodigyopt.Prodigy, d0=1e-3),
    "prodigy_corrected": entry(prodigyopt.Prodigy, d0=1e-3, use_bias_correction=True),
    "prodigy_decay": entry(
        prodigyopt.Prodigy, d0=1e-3, weight_decay=0.02, d_coef=0.5, problem="layer"
    ),
    "prodigy_corrected_decay": entry(
        prodigyopt.Prodigy,
        problem="layer",
        d0=1e-3,
        use_bias_correction=True,
        weight_decay=0.02,
    ),
    "prodigy_safeguard": entry(
        prodigyopt.Prodigy, d0=1e-3, safeguard_warmup=True, beta3=0.9
    ),
    "dadapt_adam": entry(dadaptation.DAdaptAdam, d0=1e-3),
    "dadapt_adam_corrected": entry(
        dadaptation.DAdaptAdam, d0=1e-3, use_bias_correction=True
    ),
    "dadapt_adamw_corrected": entry(
        dadaptation.DAdaptAdam,
        problem="layer",
        d0=1e-3,
        use_bias_correction=True,
        weight_decay=0.02,
        decouple=True,
    ),
    "dadapt_sgd": entry(dadaptation.DAdaptSGD, d0=1e-3, problem="layer"),
    "dadapt_sgd_momentum": entry(
        dadaptation.DAdaptSGD, d0=1e-3, momentum=0.9, problem="layer"
    ),
    "dadapt_lion": entry(dadaptation.DAdaptLion, d0=1e-3, problem="layer"),
    "dog": entry(dog.DoG),
    "dog_layer": entry(dog.DoG, reps_rel=1e-3, weight_decay=0.02, problem="layer"),
    "dog_init_eta": entry(dog.DoG, init_eta=0.01, problem="layer"),
    "ldog": entry(dog.LDoG, reps_rel=1e-3, problem="layer"),
    "momo": entry(momo.Momo, step=with_loss, lr=1.0),
    "momo_corrected": entry(momo.Momo, step=with_loss, lr=1.0, bias_correction=True),
    "momo_decay": entry(
        momo.Momo, step=with_loss, problem="layer", lr=0.5, weight_decay=0.02
    ),
    "momo_star": entry(
        momo.Momo, step=with_loss, problem="layer", lr=1.0, use_fstar=True
    ),
    "momo_adam": entry(momo.MomoAdam, step=with_loss, lr=0.1),
    "momo_adam_decay": entry(
        momo.MomoAdam, step=with_loss, problem="layer", lr=0.1, weight_decay=0.02
    ),
    "momo_adam_star": entry(
        momo.MomoAdam, step=with_loss, problem="layer", lr=0.1, use_fstar=True
    ),
    "came": entry(came_pytorch.CAME, lr=0.01, problem="layer"),
    "came_decay": entry(came_pytorch.CAME, lr=0.01, weight_decay=0.1, problem="layer"),
    "adam_atan2": entry(AdamAtan2, lr=0.01),
    "adam_atan2_decay": entry(
        AdamAtan2, lr=0.01, a=1.0, b=2.0, weight_decay=0.1, problem="layer"
    ),
    "adam_mini": entry(
        mini,
        problem="layer",
        call="adam_mini.Adam_mini of an unnamed vector and an mlp",
        lr=0.01,
        weight_decay=0.1,
    ),
    "madgrad": entry(madgrad.MADGRAD, lr=0.01),
    "madgrad_l2": entry(madgrad.MADGRAD, lr=0.01, weight_decay=0.02),
    "madgrad_plain": entry(
        madgrad.MADGRAD, lr=0.01, momentum=0.0, eps=1e-4, problem="layer"
    ),
    "stable_adamw_optimi": entry(
        optimi.StableAdamW, lr=0.01, weight_decay=0.1, foreach=False
    ),
    "qhadam": entry(qhoptim.pyt.QHAdam, lr=0.01, nus=(0.7, 1.0)),
    "qhadam_both": entry(
        qhoptim.pyt.QHAdam, lr=0.01, betas=(0.95, 0.98), nus=(0.7, 0.8)
    ),
    "qhm": entry(qhoptim.pyt.QHM, lr=0.05, momentum=0.9, nu=0.7),
    "adabound": entry(adabound.AdaBound, lr=0.01),
    "adabound_fast": entry(adabound.AdaBound, lr=0.01, gamma=0.1, final_lr=0.05),
    "amsbound": entry(adabound.AdaBound, lr=0.01, gamma=0.1, betas=B, amsbound=True),
    # pytorch_optimizer.
    "ademamix": po("AdEMAMix", lr=0.01),
    "ademamix_warmup": po(
        "AdEMAMix",
        lr=0.01,
        betas=(0.9, 0.999, 0.99),
        t_alpha_beta3=50.0,
        weight_decay=0.02,
        weight_decouple=True,
    ),
    "simplified_ademamix": po("SimplifiedAdEMAMix", lr=0.001, alpha=5.0),
    "yogi": po("Yogi", lr=0.01),
    "fromage": po("Fromage", lr=0.01, problem="layer"),
    "signum": po("SignSGD", lr=0.01),
    "signum_decay": po("SignSGD", lr=0.01, weight_decay=0.1, problem="layer"),
    "sign_sgd": po("SignSGD", lr=0.01, momentum=0.0),
    "stable_adamw": po("StableAdamW", lr=0.01, weight_decay=0.1),
    "tiger": po("Tiger", lr=0.01, weight_decay=0.1),
    "sophia": po("SophiaH", lr=0.05, step=with_hessian, update_period=10),
    "novograd": po("NovoGrad", lr=0.01, problem="layer"),
    "grokfast_adamw": po(
        "GrokFastAdamW", lr=0.01, eps=0.0, normalize_lr=False, problem="layer"
    ),
    "mars_po": po("MARS", lr=0.01, optimize_1d=True, problem="layer"),
    "ftrl": po("FTRL", lr=0.05),
    "ftrl_sparse": po("FTRL", lr=0.05, beta=1.0, lambda_1=0.05, lambda_2=0.1),
    "lamb_po": po("Lamb", lr=0.01, pre_norm=False, problem="layer"),
    "sm3": po("SM3", lr=0.05),
    "sm3_layer": po("SM3", lr=0.05, momentum=0.9, problem="layer"),
    "sm3_beta": po("SM3", lr=0.05, beta=0.9, problem="layer"),
    "grams": po("Grams", lr=0.01, weight_decay=0.1),
    "adopt_po": po("ADOPT", lr=0.01),
    "aggmo": po("AggMo", lr=0.05),
    "lookahead": entry(
        wrapped(pytorch_optimizer.Lookahead, torch.optim.SGD, k=5, alpha=0.5),
        lr=0.05,
        momentum=0.9,
    ),
    "orthograd": entry(
        wrapped(pytorch_optimizer.OrthoGrad, torch.optim.SGD),
        problem="layer",
        lr=0.05,
        momentum=0.9,
    ),
    "orthograd_adam": entry(
        wrapped(pytorch_optimizer.OrthoGrad, torch.optim.Adam), problem="layer", lr=0.01
    ),
    # timm.
    "lamb": entry(
        timm("lamb", "Lamb"),
        problem="layer",
        lr=0.01,
        weight_decay=0.1,
        max_grad_norm=None,
    ),
    "lamb_no_decay": entry(
        timm("lamb", "Lamb"),
        problem="layer",
        lr=0.01,
        weight_decay=0.0,
        max_grad_norm=None,
        always_adapt=True,
    ),
    "lamb_clipped": entry(
        timm("lamb", "Lamb"), problem="layer", lr=0.01, max_grad_norm=0.2
    ),
    "adan": entry(timm("adan", "Adan"), lr=0.01, weight_decay=0.1),
    "adan_no_prox": entry(
        timm("adan", "Adan"), lr=0.01, weight_decay=0.1, no_prox=True
    ),
    "adopt": entry(timm("adopt", "Adopt"), lr=0.01, clip_exp=0.25),
    "adopt_timm": entry(timm("adopt", "Adopt"), lr=0.01),
    "laprop": entry(timm("laprop", "LaProp"), lr=0.01),
    "laprop_decay": entry(timm("laprop", "LaProp"), lr=0.01, weight_decay=0.1),
    "mars": entry(timm("mars", "Mars"), lr=0.01, weight_decay=0.1),
    "mars_lion": entry(timm("mars", "Mars"), lr=0.01, mars_type="lion"),
    "mars_1d": entry(timm("mars", "Mars"), lr=0.01, optimize_1d=True, problem="layer"),
    "cautious_adamw": entry(
        timm("adamw", "AdamWLegacy"), lr=0.01, weight_decay=0.1, caution=True
    ),
    "cautious_lion": entry(
        timm("lion", "Lion"), lr=0.01, weight_decay=0.1, caution=True
    ),
    "nadamw_timm": entry(timm("nadamw", "NAdamW"), lr=0.01, weight_decay=0.1),
    "lars": entry(
        timm("lars", "Lars"),
        problem="layer",
        lr=0.5,
        momentum=0.9,
        trust_coeff=0.01,
        always_adapt=True,
        eps=0.0,
    ),
    "lars_decay": entry(
        timm("lars", "Lars"),
        problem="layer",
        lr=0.5,
        momentum=0.9,
        trust_coeff=0.01,
        weight_decay=0.1,
        eps=0.0,
    ),
    "adabelief": entry(timm("adabelief", "AdaBelief"), lr=0.01, rectify=False),
    "adamp": entry(timm("adamp", "AdamP"), lr=0.01, problem="layer"),
    "adamp_decay": entry(
        timm("adamp", "AdamP"),
        problem="layer",
        lr=0.01,
        weight_decay=0.1,
        nesterov=True,
    ),
    "sgdp": entry(timm("sgdp", "SGDP"), lr=0.05, momentum=0.9, problem="layer"),
    "sgdp_decay": entry(
        timm("sgdp", "SGDP"),
        problem="layer",
        lr=0.05,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.1,
    ),
    "adafactor_bv": entry(
        timm("adafactor_bv", "AdafactorBigVision"),
        problem="layer",
        lr=0.01,
        min_dim_size_to_factor=2,
        momentum=None,
    ),
    "adafactor_bv_momentum": entry(
        timm("adafactor_bv", "AdafactorBigVision"),
        problem="layer",
        lr=0.01,
        min_dim_size_to_factor=2,
        momentum=0.9,
        momentum_dtype=torch.float64,
        clipping_threshold=1.0,
        weight_decay=0.1,
    ),
    "novograd_timm": entry(
        timm("nvnovograd", "NvNovoGrad"), lr=0.01, weight_decay=0.1, problem="layer"
    ),
}

if __name__ == "__main__":
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    record(RECIPES, versions, __file__)
