"""Every optimizer that both libraries have, found by its name, and how to call it."""

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

import gradtx
from benchmarks import measure, trees
from benchmarks.measure import Run

ARGUMENTS = {"learning_rate": 1e-3}  # for parameters that have no default
Words = Callable[[Any], Mapping[str, Any]]  # from the gradients to extra arguments


def nothing(grads: Any) -> dict[str, Any]:
    return {}


def value(grads: Any) -> dict[str, Any]:
    return {"value": jnp.ones(()), "obj_fn": squares}


def line_search(grads: Any) -> dict[str, Any]:
    return {"value": jnp.ones(()), "grad": grads, "value_fn": squares}


def squares(params: Any) -> jax.Array:
    return sum(jnp.vdot(x, x) for x in jax.tree.leaves(params))


class Peer(NamedTuple):
    """An optimizer of one library, with the extra arguments that its update needs."""

    library: Any
    tx: Any
    words: Words

    def step(self) -> Any:
        """A fresh jitted step, to which parameters and state are given away."""

        def step(params: Any, state: Any, grads: Any) -> Any:
            words = self.words(grads)
            updates, state = self.tx.update(grads, state, params, **words)
            return self.library.apply_updates(params, updates), state

        return jax.jit(step, donate_argnums=(0, 1))


def names() -> list[str]:
    """The optimizers that both libraries have."""
    return [name for name in gradtx.optimizers.__all__ if theirs(name) is not None]


def theirs(name: str) -> Any:
    return getattr(optax, name, getattr(contrib, name, None))


def peers(name: str) -> dict[str, Peer]:
    """Ours and Optax's, called alike, with defaults.

    Raises:
      TypeError: if it needs what is not known here.
    """
    ours = peer(gradtx, getattr(gradtx, name))
    return {"gradtx": ours, "optax": peer(optax, theirs(name))}


def peer(library: Any, factory: Any) -> Peer:
    parameters = inspect.signature(factory).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty]
    tx = factory(**{name: ARGUMENTS[name] for name in needed if name in ARGUMENTS})
    params = {"w": trees.leaf(4, 4), "b": trees.leaf(4)}
    errors = []
    for words in (nothing, value, line_search):
        found = Peer(library, tx, words)
        try:
            jax.eval_shape(
                found.step(), params, jax.eval_shape(tx.init, params), params
            )
        except Exception as error:
            errors.append(error)
        else:
            return found
    raise TypeError(f"{factory.__name__} was not called: {errors[0]}")


def compiled_afresh(
    jitted: Any, *args: Any, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, Any]:
    """The seconds to trace, lower and compile a function from empty caches, and it."""
    jax.clear_caches()
    with measure.no_collection():
        start = clock()
        made = jitted.lower(*args).compile()
        return clock() - start, made


class Compiled(NamedTuple):
    seconds: float  # to trace, lower and compile it, from empty caches
    temporary: float  # bytes for each byte of parameters
    run: Run


def compiled(peer: Peer, shapes: Any) -> Compiled:
    """A peer's step, compiled, and its parameters and state."""
    state = jax.eval_shape(peer.tx.init, shapes)
    seconds, step = compiled_afresh(peer.step(), shapes, state, shapes)
    temporary = step.memory_analysis().temp_size_in_bytes / trees.nbytes(shapes)
    params, grads = trees.normal(shapes), trees.normal(shapes, seed=1)
    carry = (params, jax.tree.map(jnp.copy, peer.tx.init(params)))  # to be given away
    return Compiled(seconds, temporary, measure.steps(step, carry, grads))
