# %% [markdown]
# # 6. Coming from Optax, PyTorch or Keras
#
# What you write there, and what you write here. Optax is run beside gradtx; the tables for
# PyTorch and Keras are text, as those are not installed here.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import gradtx
from gradtx.tour import digits

jax.config.update("jax_enable_x64", True)
plt.style.use("lecture.mplstyle")
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = plt.rcParams["axes.prop_cycle"].by_key()[
    "color"
]

# %% [markdown]
# ## Optax
#
# The names, the arguments and their order are Optax's: `import gradtx as optax` is a
# start. Each line below is evaluated twice, once with `optax` and once with `gradtx` by
# that name, and trains the same network on the same batches of digits.

# %%
expressions = [
    "",
    "optax.sgd(0.1)",
    "optax.sgd(0.1, momentum=0.9)",
    "optax.sgd(0.1, momentum=0.9, nesterov=True)",
    "optax.rmsprop(1e-3)",
    "optax.rmsprop(1e-3, centered=True, momentum=0.9)",
    "optax.adam(1e-3)",
    "optax.adam(1e-3, nesterov=True)",
    "optax.adamw(1e-3, weight_decay=0.1)",
    'optax.adamw(1e-3, mask={"hidden": True, "out": False}, weight_decay=0.1)',
    "optax.adam(optax.warmup_cosine_decay_schedule(0.0, 1e-2, 20, 100))",
    "optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3))",
    "optax.chain(optax.scale_by_adam(), optax.trace(0.5), optax.scale(-1e-3))",
    "optax.apply_if_finite(optax.adam(1e-3), 5)",
    "",
][1:-1]

train, _ = digits.load()
images, labels = train.images.reshape(-1, 64), train.labels
first, second = jax.random.split(jax.random.key(0))
params = {
    "hidden": np.sqrt(2 / 64) * jax.random.normal(first, (64, 32)),
    "out": np.sqrt(2 / 32) * jax.random.normal(second, (32, 10)),
}
batches = jnp.asarray(np.random.default_rng(0).integers(0, len(labels), (100, 64)))


def loss(params, rows):
    scores = jax.nn.relu(images[rows] @ params["hidden"]) @ params["out"]
    log_p = jax.nn.log_softmax(scores)
    return -jnp.take_along_axis(log_p, labels[rows][:, None], axis=1).mean()


def learn(tx):
    """The parameters after a step for each batch. Either library's `tx` will do."""

    def step(carry, rows):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, rows), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), batches)[0][0]


def distance(a, b):
    """The largest difference of two parameters."""
    return max(
        float(jnp.abs(x - y).max())
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


apart, moved = [], []
for text in expressions:
    theirs, ours = (
        learn(eval(text, {"optax": library})) for library in (optax, gradtx)
    )
    apart.append(distance(ours, theirs))
    moved.append(distance(ours, params))

_, ax = plt.subplots(figsize=(9.6, 4.6))
rows = np.arange(len(expressions))
ax.plot(moved, rows, "s", color=ORANGE, label="from the start")
ax.plot(
    np.maximum(apart, 1e-18), rows, "o", color=BLUE, label="from Optax's parameters"
)
ax.set_yticks(rows, [text.replace("optax.", "") for text in expressions], fontsize=8)
ax.invert_yaxis()
ax.set(
    xscale="log",
    xlim=(3e-19, 30),
    xlabel="largest difference of a parameter after 100 steps (0 is drawn at 1e-18)",
)
ax.set_title("gradtx's parameters: as far as rounding from Optax's", loc="right")
ax.legend(loc="center")
plt.show()

# %% tags=["measured"]
scheduled = ["schedule" in text for text in expressions]
assert np.max(np.array(apart)[~np.array(scheduled)]) < 1e-12
assert max(apart) < 1e-8
print(
    f"After 100 steps of {len(expressions)} optimizers, whose parameters have moved by up to "
    f"{max(moved):.1f}, gradtx's parameters are within 1e-12 of Optax's, and within 1e-8 "
    "with a schedule, which Optax evaluates in float32 and gradtx here in float64."
)

# %% [markdown]
# Parts of either library may stand in the other's chains, and `to_optax` makes an
# instance of Optax's own class for a host that asks for one.

# %%
mixed = [
    gradtx.chain(optax.clip_by_global_norm(0.5), gradtx.adam(1e-3)),
    optax.chain(gradtx.clip_by_global_norm(0.5), optax.adam(1e-3)),
    gradtx.to_optax(gradtx.chain(gradtx.clip_by_global_norm(0.5), gradtx.adam(1e-3))),
]
reference = learn(optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3)))
print([distance(learn(tx), reference) < 1e-12 for tx in mixed])
print(isinstance(mixed[2], optax.GradientTransformation))

# %% [markdown]
# What is deliberately not the same:

# %%
half = jnp.zeros(2, jnp.float16)
for library in (optax, gradtx):
    tx = library.adam(1e-3)
    updates, _ = tx.update(half, tx.init(half))
    print(f"{library.__name__}: Adam of a zero float16 gradient is {updates.tolist()}")

narrow, wide = jnp.ones(2), jnp.ones((3, 2))
for library in (optax, gradtx):
    tx = library.sgd(0.1, momentum=0.9)
    try:
        updates, _ = tx.update(wide, tx.init(narrow), narrow)
        print(
            f"{library.__name__}: a (3, 2) gradient of 2 parameters gives {updates.shape}"
        )
    except ValueError as error:
        print(f"{library.__name__}: refused: {error}")

for library in (optax, gradtx):
    try:
        library.adam(-1e-3)
        print(f"{library.__name__}: a negative learning rate is accepted")
    except ValueError as error:
        print(f"{library.__name__}: refused: {error}")

print(f"gradtx: {gradtx.adam(1e-3) == gradtx.adam(1e-3)=}")
print(f"optax: {optax.adam(1e-3) == optax.adam(1e-3)=}")

# %% [markdown]
# ## PyTorch
#
# ```python
# # PyTorch                                         # gradtx
# optimizer = torch.optim.AdamW(                    tx = gradtx.adamw(1e-3, weight_decay=1e-2)
#     model.parameters(), lr=1e-3)                  state = tx.init(params)
#
# for x, y in data:                                 @jax.jit
#     optimizer.zero_grad()                         def step(params, state, x, y):
#     loss_fn(model(x), y).backward()                   grads = jax.grad(loss)(params, x, y)
#     optimizer.step()                                  updates, state = tx.update(grads, state, params)
#                                                       return gradtx.apply_updates(params, updates), state
#
#                                                   for x, y in data:
#                                                       params, state = step(params, state, x, y)
# ```
#
# The optimizer holds nothing: what PyTorch keeps in `optimizer.state` you pass in and get
# back, and `optimizer.state_dict()` is `state`, a tree of arrays.
#
# | PyTorch | gradtx |
# |---|---|
# | `SGD(p, lr, momentum=0.9)` | `sgd(lr, momentum=0.9)` |
# | `SGD(p, lr, weight_decay=λ)` | `chain(add_decayed_weights(λ), sgd(lr))` |
# | `Adam(p, lr)` | `adam(lr)` |
# | `Adam(p, lr, weight_decay=λ)`, which is L2 | `chain(add_decayed_weights(λ), adam(lr))` |
# | `AdamW(p, lr)`, whose λ is 1e-2 | `adamw(lr, weight_decay=1e-2)`; the default here is 1e-4 |
# | `RMSprop(p, lr)` | `rmsprop(lr, decay=0.99, eps_in_sqrt=False)` |
# | parameter groups | `partition({"a": ..., "b": ...}, labels)` |
# | `requires_grad_(False)` | the label `None`, or `selective_transform(tx, freeze_mask=...)` |
# | `clip_grad_norm_(p, 1.0)` before the step | `clip_by_global_norm(1.0)`, first in the chain |
# | several `backward()` before a step, which sum | `accumulate(tx, every)`, which takes their mean |
# | `StepLR(opt, 30, gamma=0.1)` | `step_decay_schedule(lr, 30, 0.1)` |
# | `MultiStepLR(opt, [30, 60], 0.1)` | `piecewise_constant_schedule(lr, {30: 0.1, 60: 0.1})` |
# | `CosineAnnealingLR(opt, T)` | `cosine_decay_schedule(lr, T)`, which stays at its end |
# | `CosineAnnealingWarmRestarts(opt, T_0, T_mult)` | `cosine_restarts_schedule(lr, T_0, T_mult)` |
# | `PolynomialLR(opt, T, power=2)` | `polynomial_schedule(lr, 0.0, 2, T)` |
# | `OneCycleLR(opt, lr, T)` | `cosine_onecycle_schedule(T, lr)`, for the learning rate |
# | `ReduceLROnPlateau(opt, factor=0.1)` | `chain(tx, reduce_on_plateau(factor=0.1))`, and `update(..., value=loss)` |
# | `opt.param_groups[0]["lr"] = 0.01` | `inject_hyperparams(adam)(lr)`, then `state.hyperparams["learning_rate"] = 0.01` |
# | `GradScaler`'s skipped steps | `apply_if_finite(tx)` |
#
# A schedule here counts updates. Where `scheduler.step()` is called once an epoch, its
# numbers of epochs are to be multiplied by the updates in one.
#
# ## Keras
#
# | Keras 3 | gradtx |
# |---|---|
# | `SGD(lr)` | `sgd(lr)` |
# | `SGD(lr, momentum=0.9)`, whose velocity holds the learning rate | `chain(scale_by_learning_rate(lr), trace(0.9))`; with a constant rate `sgd(lr, momentum=0.9)` is the same |
# | `RMSprop(lr)` | `rmsprop(lr, decay=0.9, eps=1e-7)` |
# | `Adam(lr)` | `adam(lr, eps=1e-7)`, but for ε, which Keras adds to the root before its correction |
# | `AdamW(lr)`, whose λ is 4e-3 | `adamw(lr, eps=1e-7, weight_decay=4e-3)`, likewise |
# | `clipvalue=c` | `clip(c)`, first in the chain |
# | `global_clipnorm=c` | `clip_by_global_norm(c)`, first in the chain |
# | `gradient_accumulation_steps=k` | `accumulate(tx, k)` |
# | `model.trainable = False` of a layer | `selective_transform(tx, freeze_mask=by_path("layer/*"))` |
# | `ExponentialDecay(lr, n, rate, staircase=True)` | `exponential_decay(lr, n, rate, staircase=True)` |
# | `CosineDecay(lr, n)` | `cosine_decay_schedule(lr, n)` |
# | `CosineDecay(0.0, n, warmup_target=lr, warmup_steps=w)` | `warmup_cosine_decay_schedule(0.0, lr, w, w + n)`, whose length includes the warmup |
# | `CosineDecayRestarts(lr, n, t_mul=2, m_mul=m)` | `cosine_restarts_schedule(lr, n, 2, m)` |
# | `optimizer.learning_rate = 0.01` | `state.hyperparams["learning_rate"] = 0.01` with `inject_hyperparams` |
#
# The right-hand sides of both tables are calls that gradtx accepts:

# %%
lr, λ, T, T_0, T_mult, n, rate, w, m, c, k, every = (
    0.1,
    0.1,
    9,
    3,
    2,
    9,
    0.5,
    2,
    0.5,
    1.0,
    4,
    4,
)
tx, layers = gradtx.adam(lr), {"layer": {"kernel": jnp.ones(2)}, "head": jnp.ones(2)}
accepted = [
    "",
    "chain(add_decayed_weights(λ), sgd(lr))",
    "chain(add_decayed_weights(λ), adam(lr))",
    "adamw(lr, weight_decay=1e-2)",
    "rmsprop(lr, decay=0.99, eps_in_sqrt=False)",
    "clip_by_global_norm(1.0)",
    "accumulate(tx, every)",
    "step_decay_schedule(lr, 30, 0.1)",
    "piecewise_constant_schedule(lr, {30: 0.1, 60: 0.1})",
    "cosine_decay_schedule(lr, T)",
    "cosine_restarts_schedule(lr, T_0, T_mult)",
    "chain(tx, reduce_on_plateau(factor=0.1))",
    "inject_hyperparams(adam)(lr)",
    "apply_if_finite(tx)",
    "chain(scale_by_learning_rate(lr), trace(0.9))",
    "rmsprop(lr, decay=0.9, eps=1e-7)",
    "adamw(lr, eps=1e-7, weight_decay=4e-3)",
    "clip(c)",
    "accumulate(tx, k)",
    'selective_transform(tx, freeze_mask=by_path("layer/*"))',
    "exponential_decay(lr, n, rate, staircase=True)",
    "warmup_cosine_decay_schedule(0.0, lr, w, w + n)",
    "cosine_restarts_schedule(lr, n, 2, m)",
    "",
][1:-1]
for text in accepted:
    value = eval(text, {**vars(gradtx), **globals()})
    if isinstance(value, gradtx.GradientTransformation):
        value.init(layers)
    else:
        float(value(0))

print(f"{len(accepted)} calls of the two tables were made and accepted.")
