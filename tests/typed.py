"""A user's file, which type checkers read and nothing runs: twelve lines are mistakes.

Each mistake is marked by what mypy says of it; where mypy or, in `.ci/types`, Pyright
says nothing, the mark is an error.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import gradtx
from gradtx import Decay, Pair, by_path, entrywise, lerp, slots, transformation
from gradtx.roles import Count, Mean
from gradtx.schedules import inject_hyperparams
from gradtx.transforms import chain, masked
from gradtx.tree_utils import tree_add

params = {"w": jnp.array([1.0, -2.0]), "b": jnp.zeros(())}
tx = gradtx.adamw(gradtx.warmup_cosine_decay_schedule(0.0, 1e-2, 100, 1000))
state = tx.init(params)


def loss(params: gradtx.Params, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)


@jax.jit
def step(
    params: gradtx.Params, state: gradtx.OptState, x: jax.Array, y: jax.Array
) -> tuple[gradtx.Params, gradtx.OptState]:
    grads = jax.grad(loss)(params, x, y)
    updates, state = tx.update(grads, state, params)
    return gradtx.apply_updates(params, updates), state


class ScaleByLionState(NamedTuple):
    count: Count
    mu: Mean


@transformation
def scale_by_lion(b1: Decay = 0.9, b2: Decay = 0.99) -> Pair:
    def update(g: Any, s: Any, *, b1: Any, b2: Any) -> tuple[Any, Any]:
        return jnp.sign(lerp(s.mu, g, b1)), s._replace(mu=lerp(s.mu, g, b2))

    return entrywise(slots(ScaleByLionState), update)


sparse = gradtx.chain(gradtx.sgd(0.1), gradtx.proximal(gradtx.l1(1e-3), 0.1))
lion = gradtx.chain(scale_by_lion(b1=0.5), gradtx.scale_by_learning_rate(1e-4))
parts = {True: gradtx.adamw(1e-3), False: gradtx.sgd(jnp.array(0.1))}
grouped = gradtx.partition(parts, gradtx.matrices)
head_only = gradtx.selective_transform(grouped, freeze_mask=by_path("encoder/*"))
rules = [("*/norm", False), ("*", True)]
without_norms = gradtx.adamw(1e-3, mask=by_path(rules))
per_layer = gradtx.adamw(1e-3, mask=gradtx.per_layer(gradtx.matrices, {"layers/*": 1}))
slower = gradtx.scale_by_rules([("embed/*", 0.1)], default=1.0)
frugal = gradtx.scale_by_adam(second_moment=gradtx.second_moment.rank_one())
faster: gradtx.GradientTransformation = tx.replace(learning_rate=3e-4)
init, update = gradtx.accumulate(gradtx.apply_if_finite(tx), every=4)
gradtx.testing.check(scale_by_lion())
elsewhere = chain(inject_hyperparams(masked)(tx, gradtx.matrices))
twice: Any = tree_add(params, params)

gradtx.adamm(1e-3)  # type: ignore[attr-defined]
gradtx.adamw(lr=1e-3)  # type: ignore[call-arg]
gradtx.adamw()  # type: ignore[call-arg]
gradtx.adamw("1e-3")  # type: ignore[arg-type]
gradtx.chain(gradtx.clip(1.0), 3)  # type: ignore[arg-type]
gradtx.masked(gradtx.adam(1e-3))  # type: ignore[call-arg]
gradtx.adam(1e-3).updates(params)  # type: ignore[attr-defined]
gradtx.adam(1e-3).init()  # type: ignore[call-arg]
gradtx.sgd(0.1, nesterov="yes")  # type: ignore[arg-type]
gradtx.transforms.adamw(1e-3)  # type: ignore[attr-defined]
gradtx.second_moment.rank_on()  # type: ignore[attr-defined]
0.5 * gradtx.linear_schedule(1.0, 0.0, 10) + "a"  # type: ignore[operator]
