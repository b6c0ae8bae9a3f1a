# %% [markdown]
# # 5. Compose your own
#
# > A transformation is a pure pair. A pair on arrays is lifted to a pair on trees. Pairs
# > are chained. A pair remembers the call that made it.
#
# What follows from these four sentences, on a small network that reads digits.

# %%
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import gradtx
from gradtx.tour import digits
from gradtx.tour.labels import label_lines

jax.config.update("jax_enable_x64", True)
plt.style.use("lecture.mplstyle")
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = plt.rcParams["axes.prop_cycle"].by_key()[
    "color"
]

train, held_out = digits.load()
images, labels = train.images.reshape(-1, 64), train.labels
keys = jax.random.split(jax.random.key(0))
params = {
    "hidden": {
        "w": np.sqrt(2 / 64) * jax.random.normal(keys[0], (64, 32)),
        "b": jnp.zeros(32),
    },
    "out": {
        "w": np.sqrt(2 / 32) * jax.random.normal(keys[1], (32, 10)),
        "b": jnp.zeros(10),
    },
}
rng = np.random.default_rng(0)
batches = jnp.asarray(rng.integers(0, len(labels), (200, 64)))


def loss(params, rows):
    hidden = jax.nn.relu(images[rows] @ params["hidden"]["w"] + params["hidden"]["b"])
    log_p = jax.nn.log_softmax(hidden @ params["out"]["w"] + params["out"]["b"])
    return -jnp.take_along_axis(log_p, labels[rows][:, None], axis=1).mean()


def learn(tx, params=params, batches=batches):
    """The parameters and the state after a step for each batch, and the losses."""

    def step(carry, rows):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, rows)
        updates, state = tx.update(grads, state, params)
        return (gradtx.apply_updates(params, updates), state), value

    (params, state), losses = jax.lax.scan(step, (params, tx.init(params)), batches)
    return params, state, losses


# %% [markdown]
# ## The algebra
#
# A transformation is `(init, update)`, and a chain gives each link's updates to the next.
# Chains of chains are chains, `identity()` changes nothing, and what prints can be run.

# %%
links = [
    gradtx.clip_by_global_norm(1.0),
    gradtx.scale_by_adam(),
    gradtx.add_decayed_weights(0.1),
    gradtx.scale_by_learning_rate(1e-3),
]
tx = gradtx.chain(*links)
print(tx)
assert eval(repr(tx), vars(gradtx)) == tx
assert gradtx.chain(*links[1:]) == gradtx.adamw(1e-3, weight_decay=0.1)

grads = jax.grad(loss)(params, batches[0])
after = {"the gradient": grads}
updates = grads
for link in links:
    updates, _ = link.update(updates, link.init(params), params)
    after[link.factory.__name__] = updates
whole, _ = tx.update(grads, tx.init(params), params)
nested = gradtx.chain(
    gradtx.chain(*links[:2]), gradtx.identity(), gradtx.chain(*links[2:])
)
of_nested, _ = nested.update(grads, nested.init(params), params)

norms = {name: float(gradtx.global_norm(tree)) for name, tree in after.items()}
_, ax = plt.subplots(figsize=(9, 3.2))
bars = ax.barh(list(norms), list(norms.values()), color=SKY)
ax.bar_label(bars, fmt="%.3g", padding=4)
ax.set(xscale="log", xlim=(1e-2, 200), xlabel="global norm")
ax.invert_yaxis()
ax.set_title("The first step: the norm of the updates after each link of the chain")
plt.show()

# %% tags=["measured"]
for other in (updates, of_nested):
    assert jax.tree.all(jax.tree.map(jnp.array_equal, whole, other))
print(
    f"The chain of {len(links)} links equals the links one after another, and the chain of "
    f"chains, to the last bit; the norm goes from {norms['the gradient']:.2f} to "
    f"{norms['clip_by_global_norm']:.2f} by clipping and to {norms['scale_by_adam']:.1f} by Adam."
)

# %% [markdown]
# ## An algorithm is written for one array
#
# Lion (arXiv:2302.06675) steps by the sign of an interpolated momentum:
#
# $$ u = \operatorname{sign}(\beta_1 m + (1 - \beta_1) g), \qquad
#    m \leftarrow \beta_2 m + (1 - \beta_2) g . $$
#
# The rule below is that, for one array. `entrywise` lifts it to trees, counts, evaluates
# schedules, keeps the precision, and checks.


# %%
class LionState(NamedTuple):
    count: gradtx.roles.Count  # updates so far
    mu: gradtx.roles.Mean  # mean gradient


@gradtx.transformation
def my_lion(b1: gradtx.Decay = 0.9, b2: gradtx.Decay = 0.99) -> gradtx.Pair:
    def update(g, s, *, b1, b2):
        mu = gradtx.lerp(s.mu, g, b2)
        return jnp.sign(gradtx.lerp(s.mu, g, b1)), s._replace(mu=mu)

    return gradtx.entrywise(gradtx.slots(LionState), update)


runs = {
    "my_lion, α = 3e-3": gradtx.chain(my_lion(), gradtx.scale_by_learning_rate(3e-3)),
    "Adam, α = 1e-2": gradtx.adam(1e-2),
    "SGD, α = 0.1": gradtx.sgd(0.1),
}
_, ax = plt.subplots()
looks = zip((RED, BLUE, BLACK), ("-", "--", ":"), strict=True)
ended = {}
for (name, tx), (colour, line) in zip(runs.items(), looks, strict=True):
    ended[name], _, losses = learn(tx)
    smooth = np.convolve(losses, np.ones(10) / 10, "valid")
    ax.semilogy(np.arange(10, 201), smooth, line, color=colour, label=name)
ax.set(xlabel="step", ylabel="cross-entropy (nats a digit)")
ax.set_title(
    "Training loss, the mean over the last 10 steps: an algorithm of ten lines"
)
ax.legend()
plt.show()

# %% tags=["measured"]
theirs, _, _ = learn(optax.lion(3e-3, weight_decay=0.0))
ours = ended["my_lion, α = 3e-3"]
apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), ours, theirs)
assert max(jax.tree.leaves(apart)) < 1e-9
print("After 200 steps the ten lines are where Optax's lion is, to within 1e-9.")

# %% [markdown]
# ## Masks and partitions
#
# A selector says which leaves a transformation acts on: by shape (`matrices`), by path,
# or by a tree of booleans. `partition` gives each leaf the transformation of its label;
# None freezes.

# %%
plan = gradtx.partition(
    {"matrix": gradtx.adamw(3e-3, weight_decay=0.1), "vector": gradtx.sgd(0.1)},
    {
        "hidden": {"w": None, "b": "vector"},
        "out": {"w": "matrix", "b": "vector"},
    },
)
trained, state, _ = learn(plan)
moved = jax.tree.map(
    lambda a, b: float(jnp.sqrt(jnp.mean((a - b) ** 2))), trained, params
)
rows = {
    f"{layer} {leaf}": moved[layer][leaf] for layer in moved for leaf in moved[layer]
}
treated = {
    "hidden w": "frozen",
    "hidden b": "SGD",
    "out w": "AdamW",
    "out b": "SGD",
}
colours = {"frozen": BLACK, "SGD": ORANGE, "AdamW": BLUE}
figure, ax = plt.subplots(figsize=(9, 3.3))
bars = ax.barh(
    [f"{name}: {treated[name]}" for name in rows],
    list(rows.values()),
    color=[colours[treated[name]] for name in rows],
)
ax.bar_label(bars, fmt="%.3f", padding=4)
ax.invert_yaxis()
ax.set(xlabel="root mean square of the change after 200 steps", xlim=(0, 0.35))
ax.set_title("Each leaf has the optimizer of its label; without a label it is frozen")
figure.suptitle("How far each leaf has moved under a partition")
plt.show()

# %% tags=["measured"]
moments = sum(x.size for x in jax.tree.leaves(state) if x.ndim)
print(
    f"The frozen matrix changed by exactly {rows['hidden w']:.0f}; the state holds {moments} "
    f"numbers, Adam's two for each of the {params['out']['w'].size} weights of the matrix "
    "that AdamW trains, and none for the others."
)

# %% [markdown]
# ## Schedules on any hyperparameter
#
# Every number may be a schedule: here β₁ goes down, the decay up, and the learning rate
# through a warmup. `hyperparameters` reads the numbers of the next update from any state.

# %%
tx = gradtx.adamw(
    gradtx.warmup_cosine_decay_schedule(0.0, 1e-2, 40, 200),
    b1=gradtx.linear_schedule(0.95, 0.85, 200),
    weight_decay=gradtx.linear_schedule(0.0, 0.1, 200),
)
constant = gradtx.adamw(1e-2, b1=0.95, weight_decay=0.1)
state = tx.init(params)
assert jax.tree.structure(state) == jax.tree.structure(constant.init(params))


def read(state, _):
    _, next_state = tx.update(jax.tree.map(jnp.zeros_like, params), state, params)
    return next_state, gradtx.hyperparameters(tx, state)


_, logged = jax.lax.scan(read, state, length=200)
_, axes = plt.subplots(1, 3, figsize=(9.6, 3))
for ax, name, colour in zip(
    axes, ("learning_rate", "b1", "weight_decay"), (BLUE, RED, GREEN), strict=True
):
    ax.plot(logged[name], color=colour)
    ax.set(xlabel="updates so far", title=name)
axes[0].set_ylabel("value")
plt.suptitle("Three scheduled hyperparameters, as read from the state")
plt.show()

# %% tags=["measured"]
at = [
    ", ".join(
        f"{float(logged[n][i]):.3g}" for n in ("learning_rate", "b1", "weight_decay")
    )
    for i in (0, 40, 160)
]
print(
    "Learning rate, b1 and weight decay are read as "
    f"({at[0]}) before the first update, ({at[1]}) before the 41st and ({at[2]}) before the "
    "161st; the state has the structure that it has with constants."
)

# %% [markdown]
# ## Eight learning rates by `vmap`
#
# The array arguments of a call are its leaves as a pytree. A transformation that holds
# eight learning rates is, to `vmap`, eight transformations.

# %%
rates = jnp.logspace(-4, -0.5, 8)
traces = 0


@jax.jit
@jax.vmap
def sweep(tx):
    global traces
    traces += 1
    return learn(tx)[2]


losses = sweep(gradtx.adam(rates))
again = sweep(gradtx.adam(rates * 1.1))
figure, ax = plt.subplots()
for i, (rate, line) in enumerate(zip(rates, losses, strict=True)):
    smooth = np.convolve(line, np.ones(10) / 10, "valid")
    colour = plt.colormaps["cividis"](i / 7)
    ax.semilogy(np.arange(10, 201), smooth, color=colour, label=f"α = {rate:.0e}")
ax.set(xlabel="step", ylabel="cross-entropy (nats a digit)", xlim=(0, 200))
label_lines(ax)
ax.set_title("Training loss, the mean over the last 10 steps, at eight learning rates")
figure.suptitle("Adam on a small network that reads digits, over α")
plt.show()

# %% tags=["measured"]
final = losses[:, -50:].mean(1)
print(
    f"Sixteen runs, two sweeps of eight learning rates, were traced {traces} time; the best "
    f"of the first eight is α = {rates[final.argmin()]:.1e}, with a loss of {final.min():.3f} "
    f"over the last 50 steps, and the worst is {rates[final.argmax()]:.1e}, with {final.max():.2f}."
)

# %% [markdown]
# ## Differentiate through training
#
# `update` is a pure function, so the loss after training is a function of the learning
# rate that can be differentiated. The gradient is an SGD whose learning rate is the
# derivative; descending on $\log\alpha$ by it finds a good rate.

# %%
short = batches[:30]


@jax.jit
@jax.value_and_grad
def trained_loss(tx):
    """The mean loss over four batches after 30 steps, and its derivatives."""
    trained, _, _ = learn(tx, batches=short)
    return jnp.mean(jax.vmap(loss, (None, 0))(trained, batches[30:34]))


alpha = jnp.array(0.02)
value, slope = trained_loss(gradtx.sgd(alpha))
print(jax.tree.map(lambda x: jnp.round(x, 2), slope))

step = 1e-6
up, down = (trained_loss(gradtx.sgd(alpha + h))[0] for h in (step, -step))
derivative = jax.tree.leaves(slope)[0]
difference = (up - down) / (2 * step)

outer = gradtx.adam(0.3)
log_alpha, state = jnp.log(alpha), outer.init(jnp.log(alpha))
visited = []
for _ in range(12):
    value, slope = trained_loss(gradtx.sgd(jnp.exp(log_alpha)))
    visited.append((float(jnp.exp(log_alpha)), float(value)))
    on_log = jax.tree.leaves(slope)[0] * jnp.exp(log_alpha)
    update, state = outer.update(on_log, state)
    log_alpha = log_alpha + update

grid = jnp.logspace(-2.3, 0.1, 40)
curve = jax.vmap(lambda rate: trained_loss(gradtx.sgd(rate))[0])(grid)
_, ax = plt.subplots()
ax.semilogx(grid, curve, color="0.6", label="loss after 30 steps of SGD")
ax.semilogx(
    *zip(*visited, strict=True), "o-", color=RED, markersize=5, label="descent on log α"
)
ax.annotate("start", visited[0], (8, 4), textcoords="offset points")
ax.set(xlabel="learning rate α", ylabel="cross-entropy (nats a digit)")
ax.set_title("The loss after training, as a function of the learning rate")
ax.legend()
plt.show()

# %% tags=["measured"]
assert abs(derivative / difference - 1) < 1e-6
print(
    f"The derivative at α = {alpha:.2f} is {derivative:.2f}, and the difference quotient agrees "
    f"to a millionth; 11 steps along it take α to {visited[-1][0]:.2f} and the loss from "
    f"{visited[0][1]:.2f} to {visited[-1][1]:.2f}."
)

# %% [markdown]
# ## `describe`
#
# It tells the parts of a plan, its numbers, and the memory that its state takes. Shapes
# are enough, so a plan for more parameters than this machine holds can be read here.

# %%
layer = {
    "attention": jax.ShapeDtypeStruct((8192, 32_768), jnp.bfloat16),
    "mlp": jax.ShapeDtypeStruct((3, 8192, 24_576), jnp.bfloat16),
    "norm": jax.ShapeDtypeStruct((8192,), jnp.bfloat16),
}
plan = gradtx.chain(
    gradtx.clip_by_global_norm(1.0),
    gradtx.partition(
        {True: gradtx.adamw(1e-3), False: gradtx.sgd(1e-2)}, gradtx.matrices
    ),
)
print(gradtx.describe(plan, [layer] * 80))

# %%
candidates = {
    "SGD": gradtx.sgd(0.1),
    "momentum": gradtx.sgd(0.1, momentum=0.9),
    "AdamW": gradtx.adamw(1e-3),
    "AdamW, its mean in bfloat16": gradtx.adamw(1e-3, mu_dtype=jnp.bfloat16),
    "AdamW, 4 micro-batches": gradtx.accumulate(gradtx.adamw(1e-3), 4),
}


def bytes_each(tx):
    """The bytes of state for each parameter."""
    state = jax.eval_shape(tx.init, layer)
    held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    return held / sum(x.size for x in jax.tree.leaves(layer))


sizes = {name: bytes_each(tx) for name, tx in candidates.items()}
_, ax = plt.subplots(figsize=(9, 3))
bars = ax.barh(list(sizes), list(sizes.values()), color=SKY)
ax.bar_label(bars, fmt="%.1f", padding=4)
ax.invert_yaxis()
ax.set(xlabel="state (bytes a parameter)", xlim=(0, 14))
ax.set_title("What an optimizer's state takes beside bfloat16 parameters")
plt.show()

# %% tags=["measured"]
print(
    f"Beside bfloat16 parameters AdamW keeps {sizes['AdamW']:.0f} bytes a parameter, "
    f"{sizes['AdamW, its mean in bfloat16']:.0f} with its mean in bfloat16, and "
    f"{sizes['AdamW, 4 micro-batches']:.0f} while it accumulates micro-batches."
)
