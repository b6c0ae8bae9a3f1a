"""Functions of a batch, run on parts of it, one after the other."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.microbatching.accumulation import AccumulationType, Accumulators, Kept
from gradtx.microbatching.batches import Batch, place_of, size_of
from gradtx.numerics import as_array
from gradtx.trees import PyTree
from gradtx.values import Misfit, brief, naming


def microbatch(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    microbatch_size: int | None,
    accumulator: Accumulators = AccumulationType.SUM,
    *,
    argnames: str | Sequence[str] = (),
    in_axes: int | Sequence[int] = 0,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., Any]:
    """The same function, run on parts of the batch, one after the other.

        grads = microbatch(jax.grad(total_loss), 1, 32)(params, batch)

    Sums and means are those of the results of the parts: a function that takes a mean
    over its batch wants `AccumulationType.MEAN`. They are added up in at least float32,
    and given in the dtype that one part has; integers as by `jnp.sum`.

    Args:
      fun: any function of arrays.
      argnums: which arguments have a batch axis.
      microbatch_size: >= 1, the examples of a part; None for the whole batch at once.
      accumulator: what becomes of the results: an `AccumulationType`, an `Accumulator`,
        or a tree of them that is a prefix of what `fun` returns.
      argnames: which arguments that are passed by name have a batch axis.
      in_axes: that axis, for all or for each of `argnums` and then `argnames`.
      num_real_microbatches: how many of the parts to run, also known at run time only,
        at most all; by default all. Of the others, `CONCAT` has zeros.

    Raises:
      ValueError: by path, when it is called: if the batch is not divisible, if two
        arrays have batches of different sizes, or if the accumulators do not fit.
    """
    if microbatch_size is None:
        return fun
    with naming("microbatch"):
        size = size_of(microbatch_size)
        places = [*_several(argnums), *_several(argnames)]
        axes = _axes(in_axes, len(places))

    @functools.wraps(fun)
    def in_parts(*args: Any, **kwargs: Any) -> Any:
        with naming("microbatch"):
            batch = Batch(args, kwargs, dict(zip(places, axes, strict=True)), size)

            def of_part(i: Any) -> Any:
                args, kwargs = batch.part(i)
                return fun(*args, **kwargs)

            return _run(of_part, batch.parts, num_real_microbatches, accumulator)

    return in_parts


def micro_vmap(
    fun: Callable[..., Any],
    in_axes: int | Sequence[int | None] = 0,
    out_axes: Any = 0,
    *,
    microbatch_size: int | None = None,
    vmap_fn: Callable[..., Any] = jax.vmap,
    accumulator: Accumulators = AccumulationType.CONCAT,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., Any]:
    """`jax.vmap`, run on parts of the batch, one after the other.

    Args:
      fun: a function of one example.
      in_axes: the batch axis of all arguments or of each, None for none. Arguments that
        are passed by name have it in front.
      out_axes: 0, as others are not supported.
      microbatch_size: as for `microbatch`.
      vmap_fn: called as `jax.vmap`, in its place.
      accumulator: what becomes of the results, as for `microbatch`. With `CONCAT` they
        are those of `jax.vmap`; the others take less memory.
      num_real_microbatches: as for `microbatch`.

    Raises:
      NotImplementedError: if `out_axes` is not 0.
      ValueError: as for `microbatch`.
    """
    if out_axes != 0:
        raise NotImplementedError(
            f"micro_vmap: out_axes={out_axes!r} is not supported; expected 0."
        )
    return _mapped(
        "micro_vmap",
        fun,
        lambda args: _axes(in_axes, len(args)),
        microbatch_size,
        vmap_fn,
        accumulator,
        num_real_microbatches,
    )


class IndividualOutputs(NamedTuple):
    """What `micro_grad` gives beside the gradients, for each example."""

    values: Any
    metrics: Any
    aux: Any


def micro_grad(
    fun: Callable[..., Any],
    has_aux: bool = False,
    argnums: int | Sequence[int] = 0,
    *,
    batch_argnums: int | Sequence[int] = 1,
    keep_batch_dim: bool = True,
    microbatch_size: int | None = None,
    accumulator: Accumulators = AccumulationType.SUM,
    transform_fn: Callable[[PyTree], PyTree] = lambda grads: grads,
    metrics_fn: Callable[[PyTree], PyTree] = lambda grads: None,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., tuple[PyTree, IndividualOutputs]]:
    """The gradients of each example, transformed and then added up.

        clipped = partial(clip_one, norm=1.0)
        grads, outputs = micro_grad(loss, transform_fn=clipped)(params, batch)

    Args:
      fun: a function to a scalar, or to a scalar and more with `has_aux`.
      has_aux: whether it returns a pair `(value, aux)`.
      argnums: which arguments to differentiate by.
      batch_argnums: which arguments have a batch in front.
      keep_batch_dim: whether `fun` is given a batch of one example, or the example.
      microbatch_size: as for `microbatch`.
      accumulator: what becomes of the transformed gradients.
      transform_fn: of the gradients of one example.
      metrics_fn: of the same gradients, such as a norm; it is kept for each example.
      num_real_microbatches: as for `microbatch`.

    Returns:
      A function to the gradients, and to `IndividualOutputs(values, metrics, aux)` with
      an axis of examples in front.

    Raises:
      ValueError: as for `microbatch`.
    """
    batched = _several(batch_argnums)
    differentiated = jax.value_and_grad(fun, argnums, has_aux=has_aux)

    def of_one(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        for i in batched if keep_batch_dim else ():
            given[i] = jax.tree.map(lambda x: x[None], given[i])
        out, grads = differentiated(*given, **kwargs)
        value, aux = out if has_aux else (out, None)
        others = IndividualOutputs(value, metrics_fn(grads), aux)
        return transform_fn(grads), others

    def axes(args: Sequence[Any]) -> list[int | None]:
        here = {place_of(i, args) for i in batched}
        return [0 if i in here else None for i in range(len(args))]

    return _mapped(
        "micro_grad",
        of_one,
        axes,
        microbatch_size,
        jax.vmap,
        (accumulator, AccumulationType.CONCAT),
        num_real_microbatches,
    )


def _mapped(
    who: str,
    fun: Callable[..., Any],
    axes_of: Callable[[Sequence[Any]], Sequence[int | None]],
    microbatch_size: int | None,
    vmap_fn: Callable[..., Any],
    accumulator: Accumulators,
    bound: Any,
) -> Callable[..., Any]:
    with naming(who):
        size = None if microbatch_size is None else size_of(microbatch_size)

    @functools.wraps(fun)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        with naming(who):
            axes = tuple(axes_of(args))

            def vmapped(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
                return vmap_fn(fun, axes, 0)(*args, **kwargs)

            if size is None:
                kept = Kept(accumulator, vmapped(args, kwargs), 1)
                return kept.rounded(kept.aggregate(kept.likes))
            batched = {i: axis for i, axis in enumerate(axes) if axis is not None}
            batch = Batch(args, kwargs, batched | dict.fromkeys(kwargs, 0), size)
            return _run(
                lambda i: vmapped(*batch.part(i)),
                batch.parts,
                bound,
                accumulator,
                aggregates=True,
            )

    return mapped


def _run(
    f: Callable[[Any], PyTree],
    parts: int,
    bound: Any,
    accumulator: Accumulators,
    aggregates: bool = False,
) -> PyTree:
    """f(0), f(1), ..., accumulated; with `aggregates`, each over its examples first."""
    runs = parts if bound is None else _bounded(bound, parts)
    kept = Kept(accumulator, jax.eval_shape(f, 0), parts)

    def results(i: Any) -> list[PyTree]:
        out = kept.split(jax.tree.map(as_array, f(i)))
        return kept.aggregate(out) if aggregates else out

    def body(i: Any, carry: list[PyTree]) -> list[PyTree]:
        return kept.update(carry, results(i), i)

    first = kept.init(jax.eval_shape(results, 0))
    carry = jax.lax.fori_loop(0, runs, body, first)
    return kept.rounded(kept.finalize(carry))


def _bounded(number: Any, parts: int) -> Any:
    """How many parts to run."""
    if isinstance(number, jax.core.Tracer):
        return jnp.minimum(number, parts)
    try:
        number = operator.index(number)
    except TypeError:
        number = -1
    if not 0 <= number <= parts:
        raise Misfit(
            f"num_real_microbatches is {brief(number)}; expected a whole number from 0 "
            f"to {parts}, as the batch has that many parts."
        )
    return number


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, int | str) else list(value)


def _axes(in_axes: Any, n: int) -> list[Any]:
    axes = [in_axes] * n if in_axes is None or isinstance(in_axes, int) else [*in_axes]
    if len(axes) != n or not all(isinstance(axis, int | None) for axis in axes):
        raise Misfit(
            f"in_axes is {brief(in_axes)}; expected a number, or one for each of the "
            f"{n} arguments."
        )
    return axes
