# %% [markdown]
# # 2. From SGD to Adam
#
# Five rules, each an answer to what the last one did badly. $g$ is the gradient, $\alpha$
# the learning rate.
#
# | | rule |
# |---|---|
# | SGD | $W \leftarrow W - \alpha g$ |
# | momentum | $v \leftarrow \rho v + g, \quad W \leftarrow W - \alpha v$ |
# | RMSProp | $r \leftarrow \gamma r + (1-\gamma) g^2, \quad W \leftarrow W - \alpha g / (\sqrt r + \varepsilon)$ |
# | Adam | $m \leftarrow \beta_1 m + (1-\beta_1) g, \quad r \leftarrow \beta_2 r + (1-\beta_2) g^2,$ $W \leftarrow W - \alpha \hat m / (\sqrt{\hat r} + \varepsilon)$ with $\hat m = m/(1-\beta_1^t),\ \hat r = r/(1-\beta_2^t)$ |
#
# The lecture's constants are $\rho = 0.9$, $\gamma = 0.99$, $\beta_1 = 0.9$,
# $\beta_2 = 0.999$ and $\varepsilon = 10^{-8}$.

# %%
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradtx
from gradtx.tour import digits
from gradtx.tour.labels import label_lines

jax.config.update("jax_enable_x64", True)
plt.style.use("lecture.mplstyle")
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = plt.rcParams["axes.prop_cycle"].by_key()[
    "color"
]

# %% [markdown]
# ## Minibatch gradients are unbiased, and noisy
#
# A batch of $B$ rows drawn at random gives $g_B$ with
# $\mathbb E\, g_B = \nabla L$ and $\mathbb E \lVert g_B - \nabla L\rVert^2 \propto 1/B$.
# Here are many batches at one point, a linear classifier of the digits; each of the
# gradient's entries is tested: does the 95% interval of its mean hold the true value?

# %%
train, held_out = digits.load()
rows = jnp.asarray(train.images.reshape(len(train.labels), -1))
W = 0.1 * jax.random.normal(jax.random.key(0), (64, 10))


def loss(w, x, labels):
    log_p = jax.nn.log_softmax(x @ w)
    return -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()


full = jax.grad(loss)(W, rows, train.labels)
each = jax.vmap(jax.grad(loss), (None, 0, 0))(W, rows[:, None], train.labels[:, None])


def batches(size, draws, seed):
    """The gradients of random batches: each is the mean of its rows' gradients."""
    rng = np.random.default_rng(seed)
    times = rng.multinomial(size, np.full(len(rows), 1 / len(rows)), draws)
    return jnp.tensordot(times / size, each, axes=1)


draws = 8192
gradients = batches(32, draws, seed=1)
mean, error = gradients.mean(0), gradients.std(0) / np.sqrt(draws)
alive = error > 0  # three pixels are blank in every image
inside = jnp.abs(mean - full)[alive] < 1.96 * error[alive]
noise = jnp.sqrt(jnp.mean(jnp.sum((gradients - full) ** 2, axis=(1, 2))))

sizes = 2 ** np.arange(0, 9)
variances = [
    float(jnp.mean(jnp.sum((batches(b, 1024, seed=2) - full) ** 2, axis=(1, 2))))
    for b in sizes
]

size = jnp.linalg.norm(full)
lengths = jnp.sqrt(jnp.sum((gradients - full) ** 2, axis=(1, 2))) / size
along = jnp.sum((gradients - full) * full, axis=(1, 2)) / size**2

figure, (left, right) = plt.subplots(1, 2)
left.hist(lengths, 60, color=SKY, label="its whole length")
left.hist(along, 60, histtype="step", color=ORANGE, label="its part along ∇L")
left.plot(
    2 * [noise / size],
    [0, 480],
    color=BLACK,
    linestyle=":",
    label=f"root mean square of the length: {noise / size:.0%}",
)
left.set(xlabel="the noise g_B − ∇L, in lengths of ∇L", ylabel="batches (number)")
left.set(xlim=(-0.8, 2.2), ylim=(0, 750))
left.set_title("8,192 gradients of batches of 32")
left.legend(loc="upper left", fontsize=10)
right.loglog(sizes, variances, "o", color=BLUE, label="measured")
right.loglog(sizes, variances[0] / sizes, "--", color=ORANGE, label="∝ 1 / B")
right.set(xlabel="batch size B", ylabel="E ‖g_B − ∇L‖²")
right.set_title("The variance falls as 1 / B")
right.legend()
figure.suptitle("The noise of minibatch gradients, at one point of a linear classifier")
plt.show()

# %% tags=["measured"]
print(
    f"A batch of 32 is off by {noise / jnp.linalg.norm(full):.0%} of the gradient's norm, "
    f"the mean of {draws:,} batches by "
    f"{jnp.linalg.norm(mean - full) / jnp.linalg.norm(full):.1%}, where chance alone gives "
    f"{noise / jnp.linalg.norm(full) / np.sqrt(draws):.1%}, and {inside.mean():.0%} of the "
    "entries' 95% intervals hold the true value."
)

# %% [markdown]
# ## The ravine
#
# $f(x, y) = \frac12 (x^2 + 50 y^2)$ is flat along $x$ and steep along $y$: its condition
# number is 50. Everything starts at $(-4, 1)$.

# %%
START = jnp.array([-4.0, 1.0])


def ravine(w):
    return 0.5 * (w[0] ** 2 + 50 * w[1] ** 2)


def walk(tx, steps=100, f=ravine, start=START):
    """The points that the transformation visits, the first among them."""

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(jax.grad(f)(w), state, w)
        w = gradtx.apply_updates(w, updates)
        return (w, state), w

    _, path = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    return jnp.concatenate([start[None], path])


def contours(ax, title):
    x, y = np.meshgrid(np.linspace(-4.6, 2.2, 200), np.linspace(-1.5, 1.5, 200))
    z = 0.5 * (x**2 + 50 * y**2)
    ax.contour(x, y, z, levels=[0.5, 2, 6, 14, 28, 50], colors="0.7", linewidths=0.8)
    ax.plot(0, 0, "+", color="0.2", markersize=12)
    ax.set(xlabel="x (flat)", ylabel="y (steep)", title=title)


# %% [markdown]
# ### SGD zigzags
#
# SGD is stable up to $\alpha = 2/50$. Just below, each step jumps over the valley's
# floor; a smaller step does not, and creeps along $x$ the slower.

# %%
paths = {
    "α = 0.038": walk(gradtx.sgd(0.038), 50),
    "α = 0.01": walk(gradtx.sgd(0.01), 50),
}
figure, ax = plt.subplots()
contours(ax, "SGD in the ravine, 50 steps: zigzag, or creep")
for (name, path), colour, line in zip(
    paths.items(), (RED, BLUE), ("-", "--"), strict=True
):
    ax.plot(
        *path.T, line, marker="o", markersize=4, color=colour, label=name, linewidth=1.3
    )
ax.legend(loc="upper right")
plt.show()

# %% tags=["measured"]
turns = {
    name: int(jnp.sum(path[1:, 1] * path[:-1, 1] < 0)) for name, path in paths.items()
}
print(
    f"In 50 steps SGD with α = 0.038 crosses the floor {turns['α = 0.038']} times and ends "
    f"{abs(paths['α = 0.038'][-1, 0]):.2f} from the minimum along x; with α = 0.01 it "
    f"crosses {turns['α = 0.01']} times and ends {abs(paths['α = 0.01'][-1, 0]):.2f} away."
)

# %% [markdown]
# ### SGD with noise
#
# Let the ravine be the mean of 64 ravines with other floors,
# $f_i(W) = \frac12 (W - c_i)^\top H (W - c_i)$ with $\sum c_i = 0$, and let a step see the
# mean of $B$ of them, drawn at random. The path then does not end in the minimum but
# wanders about it. Along an axis of curvature $h$, where the floors have the variance
# $s^2$, it settles to the variance
# $\alpha h s^2 / (B (2 - \alpha h))$: a smaller step or a larger batch comes nearer.

# %%
rng = np.random.default_rng(0)
floors = rng.normal(size=(64, 2)) * [2.0, 0.5]
floors = jnp.asarray(floors - floors.mean(0))


def noisy_walk(alpha, size, steps=4000):
    """As `walk`, with a gradient of so many of the ravines, drawn at random."""
    tx = gradtx.sgd(alpha)
    picks = jnp.asarray(np.random.default_rng(1).integers(0, 64, (steps, size)))

    def step(carry, pick):
        w, state = carry
        gradient = jax.vmap(lambda c: jax.grad(ravine)(w - c))(floors[pick]).mean(0)
        updates, state = tx.update(gradient, state, w)
        w = gradtx.apply_updates(w, updates)
        return (w, state), w

    _, path = jax.lax.scan(step, (START, tx.init(START)), picks)
    return jnp.concatenate([START[None], path])


def settled_loss(alpha, size):
    h, variance = jnp.array([1.0, 50.0]), jnp.mean(floors**2, axis=0) / size
    return float(jnp.sum(0.5 * h * alpha * h * variance / (2 - alpha * h)))


noisy = {
    (0.01, 1): noisy_walk(0.01, 1),
    (0.01, 16): noisy_walk(0.01, 16),
    (0.001, 1): noisy_walk(0.001, 1),
}
figure, (left, right) = plt.subplots(1, 2, width_ratios=(3, 2))
contours(left, "A noisy path of SGD: 300 steps at α = 0.01")
settled_at = {}
looks = ((RED, "-", 0.8), (BLUE, "-", 1.3), (ORANGE, "--", 1.3))
for ((alpha, size), path), (colour, line, width) in zip(
    noisy.items(), looks, strict=True
):
    style = {"color": colour, "linewidth": width, "linestyle": line}
    if alpha == 0.01:
        left.plot(*path[:301].T, marker="o", markersize=2, **style)
    above = jax.vmap(ravine)(path)
    settled_at[alpha, size] = float(above[2000:].mean())
    smooth = np.convolve(above, np.ones(100) / 100, "valid")
    label = f"α = {alpha}, B = {size}"
    right.semilogy(np.arange(100, len(above) + 1), smooth, **style, label=label)
    right.axhline(settled_loss(alpha, size), color=colour, linestyle=":", linewidth=1.2)
left.plot(*walk(gradtx.sgd(0.01), 300).T, color=BLACK, linewidth=1.3)
left.annotate(
    "without noise", (-2.6, 0.0), (-3.0, -1.1), arrowprops={"arrowstyle": "-"}
)
right.set(xlabel="step", ylabel="loss (mean of 100 steps)", ylim=(0.04, 60))
right.set_title("It settles where theory says (dotted)")
right.legend(fontsize=9, loc="upper right")
figure.suptitle("SGD in the ravine with the noise of batches of B")
plt.show()

# %% tags=["measured"]
expected = {key: settled_loss(*key) for key in noisy}
assert all(abs(settled_at[key] / expected[key] - 1) < 0.25 for key in noisy)
print(
    "With noise SGD settles above the minimum, in the mean of the last 2,000 of 4,000 steps "
    + ", ".join(
        f"by {settled_at[a, b]:.2f} at α = {a} and B = {b} (theory: {expected[a, b]:.2f})"
        for a, b in noisy
    )
    + "."
)

# %% [markdown]
# ### Momentum damps and accelerates
#
# The velocity $v = \rho v + g$ is a sum over past gradients: those along $y$ change sign
# and cancel, those along $x$ add up. SGD and momentum each have the best constants for
# this ravine, $\alpha = 2/(1 + 50)$ for SGD, $\alpha = (2/(1 + \sqrt{50}))^2$ and
# $\rho = ((\sqrt{50} - 1)/(\sqrt{50} + 1))^2$ for momentum (Polyak, 1964); beside them are
# a gentle momentum and the lecture's $\rho = 0.9$.

# %%
root = np.sqrt(50)
constants = {
    "SGD": (2 / 51, 0.0),
    "momentum": ((2 / (1 + root)) ** 2, ((root - 1) / (root + 1)) ** 2),
    "gentle momentum": (0.01, 0.75),
    "momentum of ρ = 0.9": (0.01, 0.9),
}
paths = {
    name: walk(gradtx.sgd(alpha, momentum=rho), 300)
    for name, (alpha, rho) in constants.items()
}
figure, axes = plt.subplot_mosaic(
    [["best", "distance"], ["others", "distance"]],
    figsize=(9.6, 5.6),
    width_ratios=(3, 2),
)
contours(axes["best"], "40 steps, each with its best constants")
contours(axes["others"], "40 steps at α = 0.01")
looks = zip(
    ("best", "best", "others", "others"), (RED, BLUE, BLACK, GREEN), "os^D", strict=True
)
for (name, path), (place, colour, marker) in zip(paths.items(), looks, strict=True):
    alpha, rho = constants[name]
    line = "--" if marker in "sD" else "-"
    label = f"α = {alpha:.3f}, ρ = {rho:.2f}" if rho else f"SGD, α = {alpha:.3f}"
    style = {"color": colour, "linestyle": line, "label": label}
    axes[place].plot(*path[:41].T, marker=marker, markersize=3, linewidth=1.2, **style)
    axes["distance"].semilogy(jnp.linalg.norm(path, axis=1), **style)
axes["distance"].set(xlabel="step", ylabel="distance to the minimum", ylim=(1e-9, 1e4))
axes["distance"].set_title("Momentum arrives first")
axes["distance"].legend(fontsize=10)
figure.suptitle("Momentum in the ravine: paths and distances for four α and ρ")
plt.show()


# %% tags=["measured"]
def crossed(path):
    return int(jnp.sum(path[1:41, 1] * path[:40, 1] < 0))


needed = {
    name: int(jnp.argmax(jnp.linalg.norm(path, axis=1) < 1e-3))
    for name, path in paths.items()
}
print(
    f"To come within 0.001 of the minimum takes SGD {needed['SGD']} steps and momentum "
    f"{needed['momentum']}, each with its best constants. That momentum does not damp the "
    f"swings at first: they grow from 1.0 to {jnp.abs(paths['momentum'][:, 1]).max():.1f}. A "
    f"gentle one, α = 0.01 and ρ = 0.75, crosses the floor {crossed(paths['gentle momentum'])} "
    f"times in 40 steps, and SGD {crossed(paths['SGD'])} times. With the lecture's ρ = 0.9, at "
    f"α = 0.01, it takes {needed['momentum of ρ = 0.9']} steps."
)

# %% [markdown]
# ### RMSProp adapts to each parameter
#
# Divided by the root of its own mean square, each parameter's gradient loses its scale:
# the step along $x$ is as long as that along $y$, however steep the ravine is. The
# lecture's RMSProp, with ε outside the root, is
# `rmsprop(α, decay=0.99, eps_in_sqrt=False)`.


# %%
def with_steepness(steepness):
    return lambda w: 0.5 * (w[0] ** 2 + steepness * w[1] ** 2)


steep = (1, 50, 2500)
tx = gradtx.rmsprop(0.02, decay=0.99, eps_in_sqrt=False)
paths = {s: walk(tx, 60, with_steepness(s)) for s in steep}
sgd_paths = {s: walk(gradtx.sgd(1 / s), 60, with_steepness(s)) for s in steep}

figure, axes = plt.subplots(1, 2, sharey=True)
looks = ((BLACK, "-", 5), (ORANGE, "--", 3), (BLUE, ":", 2))
for ax, title, each in (
    (axes[0], "RMSProp: one path for every steepness", paths),
    (axes[1], "SGD, α = 1 / steepness: as slow as it is steep", sgd_paths),
):
    for (s, path), (colour, line, width) in zip(each.items(), looks, strict=True):
        ax.plot(*path.T, line, color=colour, linewidth=width, label=f"{s:,}")
    ax.plot(0, 0, "+", color="0.2", markersize=12)
    ax.set(xlabel="x", title=title)
axes[0].set_ylabel("y")
axes[0].legend(title="steepness along y")
figure.suptitle(
    "60 steps in ravines of three steepnesses\n"
    "(RMSProp: α = 0.02, γ = 0.99, ε = 1e-8 outside the root)"
)
plt.show()

# %% tags=["measured"]
apart = max(float(jnp.abs(paths[s] - paths[1]).max()) for s in steep)
assert apart < 1e-6
print(
    "With the steepness 1, 50 and 2,500, RMSProp's paths differ by less than 1e-6; after "
    f"60 steps SGD is {abs(sgd_paths[1][-1, 0]):.2f}, {abs(sgd_paths[50][-1, 0]):.2f} and "
    f"{abs(sgd_paths[2500][-1, 0]):.2f} from the minimum along x."
)

# %% [markdown]
# ### Each weight's own rate
#
# RMSProp gives each weight the rate $\alpha / (\sqrt r + \varepsilon)$. Here it trains the
# linear classifier of the digits. Shown are the rates of five weights, all into the score
# of 1: the smaller a weight's gradients, the higher its rate. A pixel that is seldom lit
# has a gradient in few batches: the rate falls when it is, and rises by a factor of
# $\gamma^{-1/2}$ a step until it is again. All begin high, as $r$ begins at 0.

# %%
ALPHA, GAMMA, STEPS = 1e-3, 0.99, 600
rmsprop = gradtx.rmsprop(ALPHA, decay=GAMMA, eps_in_sqrt=False)
draws_of_rows = np.random.default_rng(0).integers(0, len(rows), (STEPS, 32))


def rates_step(carry, pick):
    w, state = carry
    g = jax.grad(loss)(w, rows[pick], train.labels[pick])
    updates, state = rmsprop.update(g, state, w)
    rate = ALPHA / (jnp.sqrt(state[0].nu) + 1e-8)
    return (gradtx.apply_updates(w, updates), state), rate[:, 1]


_, own_rates = jax.lax.scan(
    rates_step, (W, rmsprop.init(W)), jnp.asarray(draws_of_rows)
)
brightness = np.asarray(rows.mean(0))
by_brightness = np.argsort(brightness)
chosen = by_brightness[
    np.searchsorted(brightness[by_brightness], [1e-3, 5e-3, 0.02, 0.1, 0.5])
]
figure, ax = plt.subplots()
for pixel, colour in zip(chosen, (PINK, ORANGE, GREEN, BLUE, BLACK), strict=True):
    label = f"pixel {pixel // 8 + 1}, {pixel % 8 + 1}: {brightness[pixel]:.1%}"
    ax.semilogy(np.arange(1, STEPS + 1), own_rates[:, pixel], color=colour, label=label)
ax.axhline(ALPHA, color="0.5", linestyle=":", linewidth=1.2)
ax.annotate("α", (3, ALPHA * 1.2))
ax.set(xlabel="step", ylabel="rate α / (√r + ε)", xlim=(0, STEPS), ylim=(5e-4, 50))
label_lines(ax)
ax.set_title("The weights of five pixels: row, column and mean brightness")
figure.suptitle(
    "Each weight's own rate under RMSProp, in a linear classifier of digits\n"
    f"(α = {ALPHA}, γ = {GAMMA}, ε = 1e-8 outside the root)"
)
plt.show()

# %% tags=["measured"]
last = own_rates[-1, chosen]
print(
    f"After {STEPS} steps of RMSProp at α = {ALPHA} and γ = {GAMMA} the effective rates of five "
    f"weights are {', '.join(f'{x:.3f}' for x in last)}, for pixels of the mean brightness "
    f"{', '.join(f'{brightness[p]:.1%}' for p in chosen)}."
)

# %% [markdown]
# ### Four paths, and Adam's
#
# Adam is momentum's mean over RMSProp's root, both corrected for having begun at 0.

# %%
four = {
    "SGD": (gradtx.sgd(0.038), "α = 0.038"),
    "momentum": (gradtx.sgd(0.01, momentum=0.9), "α = 0.01, ρ = 0.9"),
    "RMSProp": (
        gradtx.rmsprop(0.06, decay=0.99, eps_in_sqrt=False),
        "α = 0.06, γ = 0.99",
    ),
    "Adam": (gradtx.adam(0.4, b2=0.99), "α = 0.4, β₁ = 0.9, β₂ = 0.99"),
}
paths = {name: walk(tx, 60) for name, (tx, _) in four.items()}
figure, axes = plt.subplots(2, 2, figsize=(9, 5.8), sharex=True, sharey=True)
for ax, (name, path), colour in zip(
    axes.flat, paths.items(), (RED, BLUE, GREEN, BLACK), strict=True
):
    contours(ax, f"{name}: {four[name][1]}")
    ax.plot(*path.T, marker="o", markersize=3, color=colour, linewidth=1.3)
    ax.label_outer()
figure.suptitle("Sixty steps of four methods in the ravine")
plt.show()

# %% tags=["measured"]
ends = {name: float(ravine(path[-1])) for name, path in paths.items()}
print(
    "After 60 steps the loss, 33 at the start, is "
    + ", ".join(f"{end:.1e} with {name}" for name, end in ends.items())
    + "."
)

# %% [markdown]
# ## Adam's bias correction matters early
#
# $m$ and $r$ begin at 0 and are too small at first: $m_1 = (1-\beta_1) g$ and
# $r_1 = (1-\beta_2) g^2$. Without the correction the first step is
# $(1-\beta_1)/\sqrt{1-\beta_2} = 3.16$ times too long, and it gets worse before it gets
# better. The rule without it, on one array:


# %%
class BiasedState(NamedTuple):
    count: gradtx.roles.Count
    mu: gradtx.roles.Mean
    nu: gradtx.roles.Square


@gradtx.transformation
def scale_by_biased_adam(
    b1: gradtx.Decay = 0.9, b2: gradtx.Decay = 0.999, eps: gradtx.NonNegative = 1e-8
) -> gradtx.Pair:
    """Adam without bias correction: m / (√r + ε)."""

    def update(g, s, *, b1, b2, eps):
        mu, nu = gradtx.lerp(s.mu, g, b1), gradtx.lerp(s.nu, g * g, b2)
        return mu / (jnp.sqrt(nu) + eps), s._replace(mu=mu, nu=nu)

    return gradtx.entrywise(gradtx.slots(BiasedState), update)


# %% [markdown]
# A network with a hidden layer of 32 learns the digits, for 100 steps, with and without,
# and at thirteen learning rates at once.


# %%
def network_loss(params, x, labels):
    return loss(params["out"], jax.nn.relu(x @ params["hidden"]), labels)


keys = jax.random.split(jax.random.key(3))
network = {
    "hidden": jax.random.normal(keys[0], (64, 32)) * np.sqrt(2 / 64),
    "out": jax.random.normal(keys[1], (32, 10)) * np.sqrt(2 / 32),
}
picks = np.random.default_rng(0).integers(0, len(rows), (100, 128))


@jax.jit
@jax.vmap
def train_network(tx):
    """Each step's loss on its batch of 128, and the size of its update."""

    def step(carry, i):
        params, state = carry
        value, g = jax.value_and_grad(network_loss)(params, rows[i], train.labels[i])
        updates, state = tx.update(g, state, params)
        size = jnp.sqrt(jnp.mean(updates["out"] ** 2))
        return (gradtx.apply_updates(params, updates), state), (value, size)

    return jax.lax.scan(step, (network, tx.init(network)), jnp.asarray(picks))[1]


rates = jnp.logspace(-4, 0, 13)
t = np.arange(1, 101)
theory = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
runs = {
    name: train_network(gradtx.chain(tx, gradtx.scale_by_learning_rate(rates)))
    for name, tx in (
        ("with", gradtx.scale_by_adam()),
        ("without", scale_by_biased_adam()),
    )
}

figure, (left, right) = plt.subplots(1, 2)
early = {}
for (name, (losses, size)), colour, line in zip(
    runs.items(), (BLUE, RED), ("-", "--"), strict=True
):
    style = {"color": colour, "linestyle": line, "label": name}
    left.loglog(t, size[6] / rates[6], **style)
    early[name] = losses[:, 10:20].mean(1)
    right.loglog(rates, early[name], marker="o", markersize=4, **style)
left.loglog(t, theory, color="0.4", linestyle=":", label="without, if g were constant")
left.axhline(1, color="0.7", linewidth=1)
left.set(xlabel="step", ylabel="root mean square of the update, in α", ylim=(0.05, 40))
left.set_title("Without correction the first steps are too long")
left.legend(loc="upper right", fontsize=10)
right.set(xlabel="learning rate α", ylabel="loss over steps 11 to 20 (nats a digit)")
right.set_title("So large α fail, and small α gain")
right.set_yticks([0.3, 0.5, 1, 2], ["0.3", "0.5", "1", "2"])
right.minorticks_off()
right.legend(title="bias correction", loc="lower left")
figure.suptitle(
    "Adam with and without bias correction, on a network that learns digits\n"
    f"(β₁ = 0.9, β₂ = 0.999; left: α = {rates[6]:.2f})"
)
plt.show()

# %% tags=["measured"]
sizes = {name: size[6] for name, (_, size) in runs.items()}
best = {name: int(losses.argmin()) for name, losses in early.items()}
print(
    f"Without bias correction the first update is {sizes['without'][0] / sizes['with'][0]:.2f} "
    f"times as long and the longest {(sizes['without'] / sizes['with']).max():.1f} times; the "
    f"loss over steps 11 to 20 is best at α = {rates[best['without']]:.0e} "
    f"({early['without'][best['without']]:.2f}) in place of {rates[best['with']]:.0e} "
    f"({early['with'][best['with']]:.2f}), and at α = {rates[9]:.0e} it is "
    f"{early['without'][9]:.2f} in place of {early['with'][9]:.2f}."
)

# %% [markdown]
# ## ε inside the root or outside
#
# Libraries disagree about where ε stands: $g/(\sqrt r + \varepsilon)$ or
# $g/\sqrt{r + \varepsilon}$. Inside, it acts on gradients smaller than
# $\sqrt\varepsilon$: for $\varepsilon = 10^{-8}$ that is $10^{-4}$, not $10^{-8}$.

# %%
sizes = jnp.logspace(-12, 0, 61)


def settled(tx):
    """The update after 2,000 equal gradients."""
    state = tx.init(sizes)
    state = jax.lax.fori_loop(0, 2000, lambda _, s: tx.update(sizes, s)[1], state)
    return tx.update(sizes, state)[0]


outside = settled(gradtx.scale_by_rms(decay=0.99, eps_in_sqrt=False))
inside = settled(gradtx.scale_by_rms(decay=0.99, eps_in_sqrt=True))
_, ax = plt.subplots()
ax.semilogx(sizes, outside, color=BLUE, label="outside: g / (√r + ε)")
ax.semilogx(sizes, inside, color=RED, linestyle="--", label="inside: g / √(r + ε)")
ax.axvline(1e-8, color="0.6", linewidth=1, linestyle=":")
ax.axvline(1e-4, color="0.6", linewidth=1, linestyle=":")
ax.annotate("ε", (1e-8, 1.03), ha="center")
ax.annotate("√ε", (1e-4, 1.03), ha="center")
ax.set(
    xlabel="size of a steady gradient (γ = 0.99)",
    ylabel="update, in α",
    ylim=(-0.03, 1.12),
)
ax.set_title(
    "RMSProp's update, ε = 1e-8: inside the root, ε silences gradients below √ε", pad=12
)
ax.legend(loc="center left")
plt.show()

# %% tags=["measured"]
at = int(jnp.argmin(jnp.abs(jnp.log10(sizes) + 6)))
print(
    f"For a steady gradient of {sizes[at]:.0e} and ε = 1e-08, the update is "
    f"{outside[at]:.3f} α with ε outside the root and {inside[at]:.3f} α with ε inside."
)
