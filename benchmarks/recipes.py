"""What is measured: the same calls of gradtx, of Optax and of PyTorch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

import gradtx
from benchmarks import trees

LIBRARIES = {"gradtx": gradtx, "optax": optax}
COSINE = (0.0, 1e-3, 1_000, 1_000_000)  # init, peak, warmup_steps, decay_steps


class Recipe(NamedTuple):
    build: Callable[[Any], Any]  # from the library to the transformation
    torch: Callable[..., Callable[[], Any]] | None = None  # (torch, params, **how)
    gradient_reads: int = 1  # a global norm needs all gradients before any update


def torch_clipped_cosine(torch: Any, params: Any, **how: Any) -> Callable[[], Any]:
    tx = torch.optim.AdamW(params, 1e-3, **how)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(tx, 1_000_000)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        tx.step()
        rate.step()

    return step


RECIPES = {
    "sgd": Recipe(
        lambda lib: lib.sgd(1e-3),
        lambda torch, ps, **how: torch.optim.SGD(ps, 1e-3, **how).step,
    ),
    "momentum": Recipe(
        lambda lib: lib.sgd(1e-3, momentum=0.9),
        lambda torch, ps, **how: torch.optim.SGD(ps, 1e-3, momentum=0.9, **how).step,
    ),
    "rmsprop": Recipe(
        lambda lib: lib.rmsprop(1e-3),
        lambda torch, ps, **how: torch.optim.RMSprop(ps, 1e-3, 0.9, **how).step,
    ),
    "rmsprop centered": Recipe(
        lambda lib: lib.rmsprop(1e-3, centered=True),
        lambda torch, ps, **how: (
            torch.optim.RMSprop(ps, 1e-3, 0.9, centered=True, **how).step
        ),
    ),
    "adam": Recipe(
        lambda lib: lib.adam(1e-3),
        lambda torch, ps, **how: torch.optim.Adam(ps, 1e-3, **how).step,
    ),
    "adamw": Recipe(
        lambda lib: lib.adamw(1e-3),
        lambda torch, ps, **how: torch.optim.AdamW(ps, 1e-3, **how).step,
    ),
    "adamw+bfloat16": Recipe(lambda lib: lib.adamw(1e-3, mu_dtype="bfloat16")),
    "adamw+clip+cosine": Recipe(
        lambda lib: lib.chain(
            lib.clip_by_global_norm(1.0),
            lib.adamw(lib.warmup_cosine_decay_schedule(*COSINE)),
        ),
        torch_clipped_cosine,
        gradient_reads=2,
    ),
    "lion": Recipe(lambda lib: lib.lion(1e-4)),
    "lamb": Recipe(lambda lib: lib.lamb(1e-3)),
    "adafactor": Recipe(
        lambda lib: lib.adafactor(1e-3),
        lambda torch, ps, **how: torch.optim.Adafactor(ps, 1e-3, **how).step,
    ),
}

SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "constant": lambda lib: lib.constant_schedule(0.1),
    "linear": lambda lib: lib.linear_schedule(0.1, 0.0, 1000),
    "exponential": lambda lib: lib.exponential_decay(0.1, 1000, 0.5),
    "staircase": lambda lib: lib.exponential_decay(0.1, 1000, 0.5, staircase=True),
    "piecewise": lambda lib: lib.piecewise_constant_schedule(0.1, {300: 0.1, 600: 0.1}),
    "cosine": lambda lib: lib.cosine_decay_schedule(0.1, 1000),
    "warmup_constant": lambda lib: lib.warmup_constant_schedule(0.0, 0.1, 100),
    "warmup_cosine": lambda lib: lib.warmup_cosine_decay_schedule(0.0, 0.1, 100, 1000),
    "join": lambda lib: lib.join_schedules(
        [lib.linear_schedule(0.0, 0.1, 100), lib.cosine_decay_schedule(0.1, 900)], [100]
    ),
    "sgdr": lambda lib: lib.sgdr_schedule(
        [
            {"init_value": 0.0, "peak_value": p, "warmup_steps": 10, "decay_steps": 300}
            for p in (0.1, 0.05, 0.02)
        ]
    ),
}


def step(library: Any, tx: Any) -> Any:
    """A fresh jitted step, to which parameters and state are given away."""

    def step(params: Any, state: Any, grads: Any) -> Any:
        updates, state = tx.update(grads, state, params)
        return library.apply_updates(params, updates), state

    return jax.jit(step, donate_argnums=(0, 1))


def compiled(library: Any, recipe: Recipe, shapes: Any, where: Any = None) -> Any:
    """A recipe's step, compiled from shapes alone; `where`: for what sharding."""
    tx = recipe.build(library)
    state = jax.eval_shape(tx.init, shapes)
    params, state = jax.tree.map(lambda x: x.update(sharding=where), (shapes, state))
    return step(library, tx).lower(params, state, params).compile()


def least_bytes(recipe: Recipe, shapes: Any) -> int:
    """What a step must move: read and write params and state, read gradients."""
    state = jax.eval_shape(recipe.build(gradtx).init, shapes)
    params = trees.nbytes(shapes)
    return (2 + recipe.gradient_reads) * params + 2 * trees.nbytes(state)
