# %% [markdown]
# # 4. Schedules
#
# A schedule is a function of the number of updates made so far. It may stand wherever a
# number may, most often as the learning rate $\alpha_t$. With $T$ steps in all and $W$ of
# warmup:
#
# | | $\alpha_t$ |
# |---|---|
# | step decay | $\alpha_0\, \gamma^{\lfloor t / s \rfloor}$ |
# | cosine | $\tfrac12 \alpha_0 (1 + \cos(\pi t / T))$, and with restarts again and again |
# | linear warmup | $\alpha_0\, t / W$ for $t < W$ |
# | warmup-stable-decay | warmup, then $\alpha_0$, then down over the last steps |

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradtx
from gradtx.tour import digits

jax.config.update("jax_enable_x64", True)
plt.style.use("lecture.mplstyle")
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = plt.rcParams["axes.prop_cycle"].by_key()[
    "color"
]

# %% [markdown]
# ## Every schedule, drawn
#
# Over 100 steps, from a learning rate of 1. A schedule is a value that prints as the call
# that made it.

# %%
half = gradtx.linear_schedule(1.0, 0.5, 100)
calls = {
    "constant_schedule": gradtx.constant_schedule(1.0),
    "linear_schedule": gradtx.linear_schedule(1.0, 0.1, 60, 20),
    "polynomial_schedule": gradtx.polynomial_schedule(1.0, 0.0, 2.0, 100),
    "piecewise_constant_schedule": gradtx.piecewise_constant_schedule(
        1.0, {30: 0.5, 60: 0.2}
    ),
    "piecewise_interpolate_schedule": gradtx.piecewise_interpolate_schedule(
        "cosine", 1.0, {30: 0.5, 60: 0.2}
    ),
    "step_decay_schedule": gradtx.step_decay_schedule(1.0, 25, 0.5),
    "exponential_decay": gradtx.exponential_decay(1.0, 25, 0.5),
    "rex_schedule": gradtx.rex_schedule(1.0, 100),
    "power_schedule": gradtx.power_schedule(1.0, 1.0, 1.0),
    "cosine_decay_schedule": gradtx.cosine_decay_schedule(1.0, 100),
    "cosine_restarts_schedule": gradtx.cosine_restarts_schedule(1.0, 15, 2),
    "sgdr_schedule": gradtx.sgdr_schedule(
        [
            {
                "init_value": 0.0,
                "peak_value": 1.0,
                "warmup_steps": 10,
                "decay_steps": 50,
            },
            {
                "init_value": 0.0,
                "peak_value": 0.5,
                "warmup_steps": 10,
                "decay_steps": 50,
            },
        ]
    ),
    "cyclic_schedule": gradtx.cyclic_schedule(0.1, 1.0, 15, mode="triangular2"),
    "linear_onecycle_schedule": gradtx.linear_onecycle_schedule(100, 1.0),
    "cosine_onecycle_schedule": gradtx.cosine_onecycle_schedule(100, 1.0),
    "warmup_constant_schedule": gradtx.warmup_constant_schedule(0.0, 1.0, 20),
    "warmup_cosine_decay_schedule": gradtx.warmup_cosine_decay_schedule(
        0.0, 1.0, 20, 100
    ),
    "warmup_exponential_decay_schedule": gradtx.warmup_exponential_decay_schedule(
        0.0, 1.0, 20, 25, 0.5
    ),
    "inverse_sqrt_schedule": gradtx.inverse_sqrt_schedule(0.0, 1.0, 20),
    "warmup_stable_decay_schedule": gradtx.warmup_stable_decay_schedule(
        0.0, 1.0, 20, 100, 30
    ),
    "linear_warmup": gradtx.linear_warmup(half, 20),
    "cooldown": gradtx.cooldown(half, 100, 30),
    "join_schedules": gradtx.join_schedules(
        [half, gradtx.constant_schedule(0.2)], [60]
    ),
    "multiply_schedules": gradtx.multiply_schedules(
        [half, gradtx.cosine_restarts_schedule(1.0, 25)]
    ),
    "asgd_schedule": gradtx.asgd_schedule(1.0, lambd=0.1),
    "corrected_decay_schedule": gradtx.corrected_decay_schedule(
        1.0, gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 20, 100), 1.0
    ),
    "half_life_schedule": gradtx.half_life_schedule(0.5, 0.99, 80),
    "increasing_decay_schedule": gradtx.increasing_decay_schedule(),
    "chebyshev_schedule": gradtx.chebyshev_schedule(1.0, 20.0, 32),
}

made_of_them = {"Schedule", "WrappedSchedule", "schedule"}  # two classes, a decorator
missing = set(gradtx.schedules.__all__) - made_of_them - set(calls)
assert not missing, f"add a call of {missing}"

columns = 4
figure, axes = plt.subplots(
    -(-len(calls) // columns), columns, figsize=(9.6, 12), sharex=True, sharey=True
)
for ax in axes.flat[len(calls) :]:
    ax.set_axis_off()
for ax, (name, schedule) in zip(axes.flat, calls.items(), strict=False):
    gradtx.plot_schedule(schedule, 100, ax=ax, color=BLUE)
    ax.set_title(name.removesuffix("_schedule"), fontsize=9)
    ax.set(xlabel="", ylabel="", ylim=(-0.05, 1.1))
figure.supxlabel("updates so far")
figure.supylabel("value")
figure.suptitle("Every schedule of gradtx over 100 updates")
plt.show()

# %%
for schedule in calls.values():
    print(schedule)

# %% [markdown]
# ## Step decay, cosine, restarts
#
# A linear classifier with a little L2, so that the loss has one finite minimum, trained
# by SGD on batches of 8. What is measured is how far the loss over all the training
# digits is above that minimum, in the mean over 4 orders of the digits.

# %%
train, held_out = digits.load()
images, labels = train.images.reshape(-1, 64), train.labels


def log_loss(scores, labels):
    log_p = jax.nn.log_softmax(scores)
    return -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()


def objective(w, images=images, labels=labels):
    return log_loss(images @ w, labels) + ridge(w)


ridge = gradtx.l2(1e-3)
STEPS = 1000


@jax.jit
def follow(tx, w, batches):
    """The weights after each step of a descent."""

    def step(carry, rows):
        w, state = carry
        grads = jax.grad(objective)(w, images[rows], labels[rows])
        updates, state = tx.update(grads, state, w)
        w = gradtx.apply_updates(w, updates)
        return (w, state), w

    return jax.lax.scan(step, (w, tx.init(w)), batches)[1]


@jax.jit
def minimize(tx, w):
    def step(_, carry):
        w, state = carry
        updates, state = tx.update(jax.grad(objective)(w), state, w)
        return gradtx.apply_updates(w, updates), state

    return objective(jax.lax.fori_loop(0, 2000, step, (w, tx.init(w)))[0])


zero = jnp.zeros((64, 10))
least = minimize(gradtx.sgd(0.3, momentum=0.95), zero)
rng = np.random.default_rng(0)
orders = jnp.asarray(rng.integers(0, len(labels), (4, STEPS, 8)))
EVERY = 5
steps = np.arange(EVERY, STEPS + 1, EVERY)


def excess(schedule):
    """The loss above the minimum every 5 steps, in the mean over the orders."""
    tx = gradtx.sgd(schedule)
    paths = jnp.stack([follow(tx, zero, order)[EVERY - 1 :: EVERY] for order in orders])
    losses = jax.lax.map(jax.vmap(objective), paths)
    return losses.mean(0) - least


def draw(schedules, title):
    """The learning rates and the losses, side by side."""
    figure, (left, right) = plt.subplots(1, 2)
    looks = ((BLACK, ":"), (RED, "-"), (BLUE, "--"), (GREEN, "-."))
    found = {}
    for (name, schedule), (colour, line) in zip(schedules.items(), looks, strict=False):
        found[name] = excess(schedule)
        style = {"color": colour, "linestyle": line, "label": name}
        gradtx.plot_schedule(schedule, STEPS, ax=left, **style)
        right.semilogy(steps, found[name], **style)
    left.set(xlabel="step", ylabel="learning rate", title="The schedules")
    right.set(xlabel="step", ylabel="loss above its minimum (nats a digit)")
    right.set_title(title)
    lines = right.get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=4)
    plt.show()
    return found


# %% [markdown]
# ### Step decay
#
# With a constant learning rate SGD comes as near to the minimum as the noise of its
# batches lets it. A lower rate lets it nearer, and would have been slow from the start.

# %%
found = draw(
    {
        "constant 0.5": gradtx.constant_schedule(0.5),
        "step decay": gradtx.step_decay_schedule(0.5, 400, 0.1),
        "constant 0.05": gradtx.constant_schedule(0.05),
    },
    "The loss falls where the rate drops",
)

# %% tags=["measured"]
at = {step: int(np.flatnonzero(steps == step)[0]) for step in (400, 450, 1000)}


def around(losses, step, width=10):
    """The mean over the 50 steps up to this one."""
    return losses[at[step] - width + 1 : at[step] + 1].mean()


dropped = found["step decay"]
print(
    f"In the 50 steps before the first drop the loss is {around(dropped, 400):.3f} above its "
    f"minimum, in the 50 after it {around(dropped, 450):.3f}; in the last 50 steps it is "
    f"{around(dropped, 1000):.3f}, against {around(found['constant 0.5'], 1000):.3f} with a "
    f"constant 0.5 and {around(found['constant 0.05'], 1000):.3f} with a constant 0.05."
)

# %% [markdown]
# ### Cosine, with and without restarts
#
# The cosine goes down smoothly. A restart throws the weights out of where they have
# settled; each cycle ends with weights that can be used.

# %%
found = draw(
    {
        "constant": gradtx.constant_schedule(0.5),
        "cosine": gradtx.cosine_decay_schedule(0.5, STEPS),
        "cosine with restarts": gradtx.cosine_restarts_schedule(0.5, 143, 2),
    },
    "Each cycle ends low",
)

# %% tags=["measured"]
restarts = found["cosine with restarts"]
ends = [restarts[np.searchsorted(steps, step) - 1] for step in (143, 429)]
after = restarts[(steps > 429) & (steps < 529)].max()
print(
    f"With restarts the loss is {ends[0]:.3f} above its minimum at the end of the first "
    f"cycle, {ends[1]:.3f} at the end of the second, up to {after:.3f} in the 100 steps after "
    f"that, and {restarts[-1]:.4f} at the end; one cosine ends at {found['cosine'][-1]:.4f}, "
    "so here restarts give usable weights on the way and no better ones at the end."
)

# %% [markdown]
# ### Warmup, stable, decay
#
# A cosine must know the length of the run. Warmup-stable-decay need not: from one trunk
# of constant rate a short cool-down can branch off at any time.

# %%
lengths = (250, 500, 1000)
plans = {
    "warmup-stable-decay": lambda n: gradtx.warmup_stable_decay_schedule(
        0.0, 0.5, 50, n, 0.2
    ),
    "cosine of that length": lambda n: gradtx.warmup_cosine_decay_schedule(
        0.0, 0.5, 50, n
    ),
}
_, (left, right) = plt.subplots(1, 2)
ended = {}
for (name, plan), colour, line in zip(
    plans.items(), (RED, BLUE), ("-", "--"), strict=True
):
    ended[name] = []
    for n in lengths:
        losses = excess(plan(n))[: n // EVERY]
        label = name if n == lengths[0] else None
        style = {"color": colour, "linestyle": line, "label": label}
        gradtx.plot_schedule(plan(n), n, ax=left, **style)
        right.semilogy(steps[: n // EVERY], losses, **style)
        right.plot(n, losses[-1], "o", color=colour)
        ended[name].append(float(losses[-1]))
left.set(
    xlabel="step", ylabel="learning rate", title="Runs of 250, 500 and 1,000 steps"
)
left.set_ylim(-0.02, 0.62)
left.legend(loc="upper right", fontsize=10)
right.set(xlabel="step", ylabel="loss above its minimum (nats a digit)")
right.set_title("Branches of one trunk, and a run for each length")
plt.show()

# %% tags=["measured"]
wsd, cosine = ([f"{x:.3f}" for x in ended[name]] for name in plans)
print(
    f"After 250, 500 and 1,000 steps warmup-stable-decay, whose runs share one trunk, is "
    f"{', '.join(wsd)} above the minimum, and a cosine made for each length "
    f"{', '.join(cosine)}."
)

# %% [markdown]
# ## Linear warmup steadies large batches
#
# Larger batches are used with larger learning rates (Goyal et al., arXiv:1706.02677).
# Adam's first update moves every weight by $\alpha$ in the direction of its sign, before
# the network has any shape: it is the longest of the run. A linear warmup makes it the
# shortest. Here is a deeper network, three batches of 479 for each pass over the digits,
# and 60 steps. Momentum is there to compare: where it is unstable, at α = 0.3, this warmup
# makes it worse, as the figure shows.

# %%
WIDTHS = (64, 48, 48, 48, 10)
held_images, held_labels = held_out.images.reshape(-1, 64), held_out.labels


def init(key, widths=WIDTHS):
    keys = jax.random.split(key, len(widths) - 1)
    return [
        {"w": np.sqrt(2 / n) * jax.random.normal(key, (n, m)), "b": jnp.zeros(m)}
        for key, n, m in zip(keys, widths, widths[1:], strict=False)
    ]


def network(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def network_loss(params, rows):
    return log_loss(network(params, images[rows]), labels[rows])


def learn(tx, params, batches):
    """The held-out accuracy in the end, and the norm of each update."""

    def step(carry, rows):
        params, state = carry
        updates, state = tx.update(jax.grad(network_loss)(params, rows), state, params)
        norm = gradtx.global_norm(updates)
        return (gradtx.apply_updates(params, updates), state), norm

    (params, _), norms = jax.lax.scan(step, (params, tx.init(params)), batches)
    right = network(params, held_images).argmax(1) == held_labels
    return right.mean(dtype=float), norms


def passes(size, number):
    """So many passes over the digits, in batches of this size."""
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(len(labels)) for _ in range(number)])
    steps = len(order) // size
    return jnp.asarray(order[: steps * size].reshape(steps, size))


large = passes(479, 20)
keys = jax.random.split(jax.random.key(0), 3)


@jax.jit
def sweep(txs):
    """Each transformation of a stack, from each beginning, on large batches."""

    def one(tx, key):
        return learn(tx, init(key), large)

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(txs, keys)


scales = {
    "Adam": (gradtx.adam, jnp.array([0.003, 0.01, 0.03, 0.1])),
    "momentum": (
        lambda rate: gradtx.sgd(rate, momentum=0.9),
        jnp.array([0.03, 0.1, 0.3, 1.0]),
    ),
}
results = {}
for name, (make, rates) in scales.items():
    for warmup in (0, 15):
        results[name, warmup] = sweep(
            make(gradtx.warmup_constant_schedule(0.0, rates, warmup))
            if warmup
            else make(rates)
        )

_, (left, right) = plt.subplots(1, 2)
for (name, warmup), (accuracy, norms) in results.items():
    colour = {"Adam": BLUE, "momentum": ORANGE}[name]
    style = {"color": colour, "linestyle": "-" if warmup else "--"}
    label = f"{name}, {'with' if warmup else 'no'} warmup"
    right.semilogx(
        scales[name][1],
        100 * accuracy.mean(1),
        marker="os"[not warmup],
        label=label,
        **style,
    )
    if name == "Adam":
        left.plot(np.arange(1, 61), norms[-1].mean(0), label=label, **style)
left.set(xlabel="step", ylabel="norm of the update", title="Adam's updates at α = 0.1")
left.legend()
right.set(xlabel="learning rate α", ylabel="held-out accuracy (%)", ylim=(0, 102))
right.set_title("20 passes in batches of 479")
right.legend(loc="lower left", fontsize=10)
plt.show()

# %% tags=["measured"]
first = {
    warmup: float(results["Adam", warmup][1][-1, :, 0].mean()) for warmup in (0, 15)
}
second = float(results["Adam", 15][1][-1, :, 1].mean())
accuracy = {key: 100 * value[0].mean(1) for key, value in results.items()}
print(
    f"At α = 0.1 Adam's first update has the norm {first[0]:.1f} without warmup, and its "
    f"second {second:.1f} with; the held-out accuracy is {accuracy['Adam', 0][3]:.0f}% without "
    f"and {accuracy['Adam', 15][3]:.0f}% with. At α = 0.01 it is {accuracy['Adam', 0][1]:.0f}% "
    f"and {accuracy['Adam', 15][1]:.0f}%. Momentum is not helped: {accuracy['momentum', 0][1]:.0f}% and "
    f"{accuracy['momentum', 15][1]:.0f}% at α = 0.1, {accuracy['momentum', 0][3]:.0f}% and {accuracy['momentum', 15][3]:.0f}% at α = 1."
)

# %% [markdown]
# ## AdamW with cosine is a robust default
#
# A default is good if it works without being tuned. Here is a smaller network, on batches
# of 32, at learning rates over four decades for each optimizer: how wide is the range in
# which the held-out accuracy is within one point of the best that any of them reaches?
#
# The counts are of two beginnings, and noisy. In the order of the legend, three
# beginnings gave 0, 0, 1, 1, 2, 5 within a point of the best of all and 3, 2, 3, 3, 3, 5
# of each one's own; with 300 steps in place of 400, 0, 0, 0, 0, 0, 3 and 2, 1, 3, 2, 3, 3.
# What stays in all three is that AdamW with cosine is near the best of all most often.
# That its own range is wider than the others' does not stay.

# %%
SMALL, LENGTH = (64, 32, 32, 10), 400
batches = passes(32, 9)[:LENGTH]
rates = jnp.logspace(-4, 0, 13)
cosine = gradtx.warmup_cosine_decay_schedule(0.0, rates, LENGTH // 10, LENGTH)
contenders = {
    "SGD": gradtx.sgd(rates),
    "momentum": gradtx.sgd(rates, momentum=0.9),
    "RMSProp": gradtx.rmsprop(rates),
    "Adam": gradtx.adam(rates),
    "AdamW": gradtx.adamw(rates, weight_decay=0.01),
    "AdamW, warmup and cosine": gradtx.adamw(cosine, weight_decay=0.01),
}


@jax.jit
def scores(txs):
    def one(tx, key):
        return learn(tx, init(key, SMALL), batches)[0]

    return 100 * jax.vmap(jax.vmap(one, (None, 0)), (0, None))(txs, keys[:2]).mean(1)


accuracies = {name: scores(tx) for name, tx in contenders.items()}
top = max(float(accuracy.max()) for accuracy in accuracies.values())
_, ax = plt.subplots()
looks = zip(
    (ORANGE, SKY, GREEN, BLACK, PINK, BLUE),
    (":", "--", "-.", "--", ":", "-"),
    "v^sDxo",
    strict=True,
)
for (name, accuracy), (colour, line, marker) in zip(
    accuracies.items(), looks, strict=True
):
    ax.semilogx(
        rates, accuracy, line, marker=marker, color=colour, label=name, markersize=5
    )
ax.axhspan(top - 1, top, color="0.9", zorder=0)
ax.set(
    xlabel="learning rate α (at the peak)",
    ylabel="held-out accuracy (%)",
    ylim=(80, 100),
)
ax.set_title(
    "Held-out accuracy over the learning rate (grey: within a point of the best)"
)
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% tags=["measured"]
within = {name: int((a >= top - 1).sum()) for name, a in accuracies.items()}
own = {name: int((a >= a.max() - 1).sum()) for name, a in accuracies.items()}
print(
    "Of 13 learning rates over four decades, those within a point of the best of all are "
    + ", ".join(f"{n} with {name}" for name, n in within.items())
    + f"; those within a point of each one's own best are {', '.join(map(str, own.values()))}."
)
