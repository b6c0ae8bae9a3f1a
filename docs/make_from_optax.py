"""Write docs/from-optax.md: what differs, of the table that the tests check.

python docs/make_from_optax.py
"""

import pathlib
import sys
from collections.abc import Iterable

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "from-optax.md"
sys.path.insert(0, str(ROOT / "tests"))
from optax_differences import BEHAVIOURS, CALLS, KINDS  # noqa: E402

HEAD = """# From Optax

```python
import gradtx as optax
```

is a start: what Optax 0.2.8 has stands in the same place, takes the same arguments in
the same order with the same defaults, and does the same, but for the differences of
this page. `tests/test_optax_names.py` compares every public name, every signature and
the fields of every state; each row about what is done has a test that holds in gradtx
and fails in Optax. A row that is missing fails the tests, and so does one that is no
longer true.

## In short

**What you write stays.** Loops, `chain`, masks, schedules, `inject_hyperparams`,
`tree_map_params` and `optax.tree.get` work as they are. Types for annotations
(`optax.OptState`, `optax.ScalarOrSchedule`) are there, too.

**More is refused**, when the call is made or traced, by a message that names the call
and the leaf: numbers out of their range, gradients of another shape, arguments that
nothing takes. What is refused was done silently before; the table says what to write
instead.

**Half precision is computed in float32** and rounded once, and moments are float32 at
least. So a run in bfloat16 takes more state than with Optax, and is right.

**A state has the same structure for every value.** A constant learning rate keeps a
count as a schedule does, so that one can be put in the other's place. Read and build
states by the names of fields.

**Checkpoints go on.** `from_optax_state` puts a state of Optax's, also one of lists,
dicts and NumPy arrays as it comes back from a file, into the form that `init` gives:

```python
import gradtx
import jax.numpy as jnp
import optax

params = {"w": jnp.ones(3)}
old = optax.adamw(1e-3)
_, saved = old.update(params, old.init(params), params)

tx = gradtx.adamw(1e-3)
state = gradtx.from_optax_state(tx, params, saved)
updates, state = tx.update(params, state, params)
```

To another optimizer, [a state moves on](migrate.md), from Optax's or to it.

**Both libraries may be mixed.** Optax's transformations may be parts of our chains and
ours of its chains; for a host that asks for Optax's own class there is `to_optax`:

```python
mixed = gradtx.chain(optax.clip(1.0), gradtx.adam(1e-3))
inside = optax.chain(gradtx.clip(1.0), optax.scale(-1e-3))
theirs = gradtx.to_optax(gradtx.adamw(1e-3))
assert isinstance(theirs, optax.GradientTransformation)
```

Where ours has more arguments they follow Optax's and need not be given, and fields that
Optax's states have not are the last ones and have defaults. Names that Optax gives up
(that warn when they are asked for) are not compared.
"""


FURTHER = """## Further, by module

- *Losses*. Elementwise ones take equal shapes or a scalar target; softmax and divergences
  labels of the logits' rank, with 1s on batch axes, or one floating-point distribution.
  A label out of range is NaN, also in `ctc_loss`, where it may not be the blank and
  padding has to be last. `smooth_labels(where=)` gives masked entries 0; the cosine of a
  zero vector, and `ntxent` without pairs, are 0. `triplet_margin_loss` takes |x|ᵖ, p >= 1.
- *Errors*. They have other words: the call, the argument or the path, and what was
  expected. What is of another type is a TypeError, also where Optax has a ValueError.
- *Projections*. The projection of the centre onto a sphere is the point with equal
  entries. `projection_non_negative` has the derivative 1 at 0. Integers become floats, and
  nothing is broadcast but a prefix of a box's bounds.
- *Linear algebra*. `matrix_inverse_pth_root` takes any plain whole number p >= 1;
  `scale_gradient` a scalar; `hungarian_algorithm` and `base_hungarian_algorithm` are one
  function, whose pairs are in the order of rows, with an infinite sum where no assignment
  is possible; `nnls` restarts its momentum.
- *Line searches*. A search that fails makes no step, where Optax's may make an unsafe one;
  on a function so flat that differences of the loss are rounding it need not fail.
  Gradients of complex parameters are passed conjugated, like all updates.
- *Matrices*. `muon` gives embeddings and heads to AdamW, by their paths; its coefficients
  are the call's and not in the state, which is that of the chain that it is; a `MuonState`
  is what `from_optax_state` takes. `adaptive` scales each matrix of a stack by itself.
  `aol`, which can reverse a direction, is not offered.
- *Microbatches*. Sums of half precision are carried in float32; more real microbatches
  than there are parts are refused.
- *Privacy*. An example whose gradient is not finite counts as zero, so that it cannot move
  the sum by more than the bound. `experimental.aggregating.process` gives the preprocessor
  no parameters, which have no axis of examples.
- *Integers*. Parameters and gradients that are arrays of integers are refused by path;
  `masked` and `partition` freeze them.
- *Half precision in the state*. Hyperparameters in a state are float32 at least:
  `hyperparam_dtype` in bfloat16 would make 0.999 a 1.
"""  # noqa: E501 - a page


def cell(text: str) -> str:
    return text.replace("|", "\\|") or "—"


def table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    names = head.split(", ")
    lines = [names, ["---"] * len(names), *([cell(x) for x in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page() -> str:
    calls = [
        (f"`{call.name}`", "; ".join(sorted(call.what)), call.why, call.instead)
        for call in CALLS
    ]
    parts = [HEAD, "## What is called otherwise"]
    parts.append(table("name, here, why, write instead", calls))
    for kind, title in KINDS.items():
        rows = [
            (f"`{b.name}`", b.there, b.here, b.instead)
            for b in BEHAVIOURS
            if b.kind == kind
        ]
        parts.append(f"## {title}")
        parts.append(table("about, Optax 0.2.8, gradtx, write instead", rows))
    parts.append(FURTHER)
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
