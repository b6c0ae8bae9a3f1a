# %% [markdown]
# # 1. Regularization
#
# A model that fits its training data is not yet a good one. A regularizer is a price on
# the weights, and the objective is the data's loss plus that price:
#
# $$ L(W) \;=\; \frac1N \sum_{i=1}^N L_i(W) \;+\; \lambda R(W), \qquad
#    R_{L2} = \sum W^2, \quad R_{L1} = \sum |W| . $$
#
# Each part below is a claim of the lecture, a figure, and a sentence that is measured
# here. The arithmetic is in float64, so that the sentences are the same on every machine.

# %%
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import lasso_path

import gradtx
from gradtx.tour import digits
from gradtx.tour.labels import label_lines

jax.config.update("jax_enable_x64", True)
plt.style.use("lecture.mplstyle")
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = plt.rcParams["axes.prop_cycle"].by_key()[
    "color"
]

# %% [markdown]
# Training is the same few lines for everything: a transformation `tx` turns gradients
# into updates. `tx` is a pytree, so `jax.vmap` takes one that holds an array of λ and
# trains with all of them at once.


# %%
def descend(tx, objective, w, steps):
    """The weights after some steps, and where they were before each."""

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(jax.grad(objective)(w), state, w)
        return (gradtx.apply_updates(w, updates), state), w

    (w, _), path = jax.lax.scan(step, (w, tx.init(w)), length=steps)
    return w, path


# %% [markdown]
# ## The objective is data loss plus λR
#
# A linear classifier reads 8 × 8 images of digits. To have something to overfit, it
# learns from 100 of them. `add_regularizer(l2(λ))` adds the gradient
# $2\lambda W$ to the data's; that is the gradient of the sum. Descent must be long enough
# to overfit: stopped early, it regularizes by itself (after 1,500 steps of plain SGD on 150
# digits, the smallest λ was the best).

# %%
train, held_out = digits.load()
few = digits.Digits(train.images[:100], train.labels[:100])


def data_loss(w, data):
    """The mean cross-entropy of softmax(xW), in nats a digit."""
    log_p = jax.nn.log_softmax(data.images.reshape(len(data.labels), -1) @ w)
    return -jnp.take_along_axis(log_p, data.labels[:, None], axis=1).mean()


def accuracy(w, data):
    guesses = (data.images.reshape(len(data.labels), -1) @ w).argmax(1)
    return (guesses == data.labels).mean()


start = 0.01 * jax.random.normal(jax.random.key(0), (64, 10))
ridge = gradtx.l2(1e-2)
gradients = jax.grad(data_loss)(start, few)
added, _ = gradtx.add_regularizer(ridge).update(
    gradients, gradtx.add_regularizer(ridge).init(start), start
)
of_sum = jax.grad(lambda w: data_loss(w, few) + ridge(w))(start)
print(f"the two gradients agree: {np.allclose(added, of_sum, rtol=1e-12)}")

# %%
strengths = jnp.logspace(-6, 0, 25)


@jax.jit
@jax.vmap
def trained(tx):
    return descend(tx, lambda w: data_loss(w, few), start, steps=2000)[0]


weights = trained(
    gradtx.chain(
        gradtx.add_regularizer(gradtx.l2(strengths)), gradtx.sgd(0.2, momentum=0.95)
    )
)
losses = {
    name: jax.vmap(lambda w, data=data: data_loss(w, data))(weights)
    for name, data in (("training loss", few), ("held-out loss", held_out))
}
sizes = jnp.sum(weights**2, axis=(1, 2))

figure, (left, right) = plt.subplots(1, 2)
for (name, loss), colour in zip(losses.items(), (BLACK, ORANGE), strict=True):
    left.loglog(strengths, loss, label=name, color=colour)
left.set(xlabel="λ", ylabel="cross-entropy (nats a digit)")
left.set_title("λ trades the training loss for the held-out loss")
left.legend()
right.loglog(strengths, sizes, color=BLUE)
right.set(xlabel="λ", ylabel="R(W), the sum of squares")
right.set_title("The same λ makes the weights small")
figure.suptitle(
    "A linear classifier of 100 digits under λΣW², over λ\n"
    "(2,000 steps of momentum, α = 0.2, ρ = 0.95)"
)
plt.show()

# %% tags=["measured"]
best = int(losses["held-out loss"].argmin())
print(
    f"The held-out loss is least at λ = {strengths[best]:.0e}: "
    f"{losses['held-out loss'][best]:.3f} nats a digit, against "
    f"{losses['held-out loss'][0]:.3f} at λ = {strengths[0]:.0e}, although the training "
    f"loss is {losses['training loss'][best] / losses['training loss'][0]:.1f} times as large."
)

# %% [markdown]
# ## The diamond and the circle
#
# Minimizing $L + \lambda R$ is minimizing $L$ among the weights with $R(W) \le r$, for
# some $r$. The balls of L1 have corners on the axes, and the loss's contours meet them
# there; those of L2 are round. L1 is applied by its proximal map,
# $\operatorname{sign}(W)\max(|W| - \alpha\lambda, 0)$, as the last link of the chain.

# %%
centre, curvature = jnp.array([0.7, 1.7]), jnp.array([[1.0, 0.3], [0.3, 1.6]])


def bowl(w):
    return 0.5 * (w - centre) @ curvature @ (w - centre)


def least(tx):
    return descend(tx, bowl, jnp.array([2.0, 2.0]), steps=2000)[0]


by_l1 = least(gradtx.chain(gradtx.sgd(0.1), gradtx.proximal(gradtx.l1(1.0), 0.1)))
by_l2 = least(gradtx.chain(gradtx.add_regularizer(gradtx.l2(0.5)), gradtx.sgd(0.1)))

figure, axes = plt.subplots(1, 2, figsize=(9, 5.8), sharey=True)
x, y = np.meshgrid(np.linspace(-1.4, 2.4, 200), np.linspace(-1.4, 2.4, 200))
z = jax.vmap(jax.vmap(bowl))(jnp.stack([x, y], -1))
angle = np.linspace(0, 2 * np.pi, 200)
r1, r2 = jnp.abs(by_l1).sum(), jnp.sqrt(jnp.sum(by_l2**2))
balls = {
    "L1: the contours meet a corner (λ = 1)": (
        by_l1,
        r1 * np.array([[1, 0, -1, 0, 1], [0, 1, 0, -1, 0]]),
    ),
    "L2: they meet the circle anywhere (λ = 0.5)": (
        by_l2,
        r2 * np.stack([np.cos(angle), np.sin(angle)]),
    ),
}
for ax, (title, (w, ball)) in zip(axes, balls.items(), strict=True):
    ax.contour(
        x,
        y,
        z,
        levels=sorted([float(bowl(w)), 0.1, 1, 2, 4]),
        colors="0.6",
        linewidths=1,
    )
    ax.fill(*ball, color=SKY, alpha=0.35, label="R(W) ≤ r")
    ax.plot(*centre, "+", color=BLACK, markersize=12, label="minimum of the loss")
    ax.plot(*w, "o", color=RED, markersize=9, label="minimum with the regularizer")
    ax.axhline(0, color="0.3", linewidth=0.8)
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set(title=title, xlabel="W₁", aspect="equal")
axes[0].set_ylabel("W₂")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
figure.suptitle("The contours of a loss of two weights, and the ball R(W) ≤ r")
plt.show()

# %% tags=["measured"]
print(
    f"On the same loss L1 ends at W = ({by_l1[0]:.3f}, {by_l1[1]:.3f}), of which "
    f"{int(jnp.sum(by_l1 == 0))} is exactly zero, and L2 at "
    f"({by_l2[0]:.3f}, {by_l2[1]:.3f}), of which {int(jnp.sum(by_l2 == 0))} are."
)

# %% [markdown]
# ## L1 gives exact zeros, if it is applied by its proximal map
#
# The classifier again, on all the training digits, with more and more λ. The subgradient
# of L1, $\lambda\operatorname{sign}(W)$, pushes a weight over zero and back; the proximal
# map stops it there.

# %%
strengths = jnp.logspace(-5, -1, 13)
ways = {
    "L1, proximal": gradtx.chain(
        gradtx.sgd(0.5), gradtx.proximal(gradtx.l1(strengths), 0.5)
    ),
    "L1, subgradient": gradtx.chain(
        gradtx.add_regularizer(gradtx.l1(strengths)), gradtx.sgd(0.5)
    ),
    "L2": gradtx.chain(gradtx.add_regularizer(gradtx.l2(strengths)), gradtx.sgd(0.5)),
}


@jax.jit
@jax.vmap
def trained(tx):
    return descend(tx, lambda w: data_loss(w, train), start, steps=600)[0]


figure, (left, right) = plt.subplots(1, 2)
zeros, right_guesses = {}, {}
styles = ((RED, "-", "o"), (ORANGE, "--", "s"), (BLUE, ":", "^"))
for (name, tx), (colour, line, marker) in zip(ways.items(), styles, strict=True):
    weights = trained(tx)
    zeros[name] = jnp.mean(weights == 0, axis=(1, 2))
    right_guesses[name] = jax.vmap(accuracy, (0, None))(weights, held_out)
    style = {"color": colour, "linestyle": line, "marker": marker, "label": name}
    left.semilogx(strengths, 100 * zeros[name], **style)
    right.semilogx(strengths, 100 * right_guesses[name], **style)
left.set(xlabel="λ", ylabel="weights that are exactly zero (%)", ylim=(-4, 104))
left.set_title("Only the proximal map makes zeros")
left.legend()
right.set(xlabel="λ", ylabel="held-out accuracy (%)", ylim=(0, 102))
right.set_title("Many weights can go before accuracy does")
figure.suptitle(
    f"A linear classifier of {len(train.labels):,} digits, over λ (600 steps of SGD, α = 0.5)"
)
plt.show()

# %% tags=["measured"]
at = 7
print(
    f"At λ = {strengths[at]:.0e}, {zeros['L1, proximal'][at]:.0%} of the weights are "
    f"exactly zero under L1 by its proximal map, {zeros['L1, subgradient'][at]:.0%} "
    f"under L1 by its subgradient and {zeros['L2'][at]:.0%} under L2; the first reads "
    f"{right_guesses['L1, proximal'][at]:.1%} of the held-out digits."
)

# %% [markdown]
# ### In a convolutional network
#
# The same chain, on two convolutions and a dense layer, in batches of 32. The step's
# length goes to zero with the learning rate, and so does the length of the proximal map:
# `proximal` takes the same schedule.

# %%
STEPS = 200
rng = np.random.default_rng(0)
batches = jnp.asarray(rng.integers(0, len(train.labels), (STEPS, 32)))
rate = gradtx.cosine_decay_schedule(0.3, STEPS)
network_strengths = jnp.array([0, 1e-3, 3e-3, 1e-2])
keys = jax.random.split(jax.random.key(0), 3)


@functools.partial(jax.jit, static_argnums=0)
def for_each(f, strengths, keys):
    """f(strength, key) for all of both; in turn, as that compiles faster than `vmap`."""
    return jax.lax.map(lambda s: jax.lax.map(lambda key: f(s, key), keys), strengths)


def train_network(strength, key):
    """The share of each layer's weights that are zero, and the held-out accuracy."""
    penalty = gradtx.l1(strength, mask=gradtx.matrices)
    tx = gradtx.chain(gradtx.sgd(rate), gradtx.proximal(penalty, rate))

    def step(carry, rows):
        params, state = carry
        batch = digits.Digits(train.images[rows], train.labels[rows])
        updates, state = tx.update(jax.grad(digits.loss)(params, batch), state, params)
        return (gradtx.apply_updates(params, updates), state), None

    params = digits.init(key)
    (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), batches)
    shares = {name: jnp.mean(layer["w"] == 0) for name, layer in params.items()}
    return shares, digits.accuracy(params, held_out)


shares, reads = jax.tree.map(
    np.asarray, for_each(train_network, network_strengths, keys)
)
figure, (left, right) = plt.subplots(1, 2)
layers = {"conv1": "first convolution", "conv2": "second", "dense": "dense layer"}
places = np.arange(len(network_strengths))
for k, (layer, name) in enumerate(layers.items()):
    share = 100 * shares[layer]
    left.bar(
        places + 0.27 * (k - 1),
        share.mean(1),
        0.25,
        yerr=[share.mean(1) - share.min(1), share.max(1) - share.mean(1)],
        color=(BLUE, SKY, ORANGE)[k],
        hatch=("", "//", "..")[k],
        edgecolor="white",
        label=name,
    )
left.set(xlabel="λ", ylabel="weights that are exactly zero (%)")
left.legend()
left.set_title("The layer with most weights loses most")
for seed in range(3):
    right.plot(places, 100 * reads[:, seed], "o", color=BLACK, markersize=5)
right.plot(places, 100 * reads.mean(1), "-", color=RED, label="mean of three")
right.set(xlabel="λ", ylabel="held-out accuracy (%)", ylim=(78, 100))
right.legend(loc="lower left")
right.set_title("Accuracy (a dot: one beginning)")
for ax in (left, right):
    ax.set_xticks(places, [f"{s:.0e}" if s else "0" for s in network_strengths])
figure.suptitle(
    "L1 by its proximal map in a convolutional network\n"
    "(200 steps of SGD, α from 0.3 to 0 by a cosine; bars: the range of three beginnings)"
)
plt.show()

# %% tags=["measured"]
at = 2
print(
    f"In a convolutional network λ = {network_strengths[at]:.0e} makes "
    + ", ".join(
        f"{shares[layer][at].mean():.0%} of the {name}'s"
        for layer, name in (
            ("conv1", "first convolution"),
            ("conv2", "second"),
            ("dense", "dense layer"),
        )
    )
    + f" weights exactly zero; it reads {reads[at].mean():.1%} of the held-out digits, and "
    f"{reads[0].mean():.1%} without (means of three beginnings)."
)

# %% [markdown]
# ### The lasso, beside scikit-learn's
#
# Least squares with L1 is the lasso. Here are ten inputs of the diabetes set, and one
# path of weights as λ falls, by `chain(sgd, proximal(l1))` for sixty λ at once, and by
# scikit-learn's coordinate descent.

# %%
diabetes = load_diabetes()
X = jnp.asarray(diabetes.data) * np.sqrt(len(diabetes.data))  # mean square 1
y = jnp.asarray(diabetes.target - diabetes.target.mean())


def half_mean_square(w):
    return 0.5 * jnp.mean((X @ w - y) ** 2)


alphas = jnp.logspace(1.6, -1.4, 60)
lasso = gradtx.chain(gradtx.sgd(0.2), gradtx.proximal(gradtx.l1(alphas), 0.2))
ours = jax.jit(
    jax.vmap(lambda tx: descend(tx, half_mean_square, jnp.zeros(10), 20_000)[0])
)(lasso)
_, peers, _ = lasso_path(
    np.asarray(X), np.asarray(y), alphas=np.asarray(alphas), tol=1e-12, max_iter=100_000
)

figure, ax = plt.subplots()
for i, name in enumerate(diabetes.feature_names):
    style = {"color": f"C{i % 7}", "linestyle": ("-", "--")[i // 7]}
    ax.semilogx(alphas, ours[:, i], **style, label=name)
    ax.semilogx(alphas[::3], peers[i, ::3], ".", color=f"C{i % 7}")
ax.set(xlabel="λ (falling)", ylabel="weight", xlim=(alphas[0], alphas[-1]))
label_lines(ax)
ax.set_title("Lasso paths: gradtx (lines) and scikit-learn (dots)")
figure.suptitle("The weights of the ten inputs of the diabetes set under L1, over λ")
plt.show()

# %% tags=["measured"]
assert jnp.abs(ours - peers.T).max() < 1e-6
assert jnp.all((ours == 0) == (peers.T == 0))
print(
    f"At all of {len(alphas)} λ, gradtx's lasso weights, which reach "
    f"{jnp.abs(ours).max():.0f}, are within 1e-6 of scikit-learn's, and exactly zero "
    "where those are."
)

# %% [markdown]
# ## L2 gives small weights, spread over correlated inputs
#
# For the input (1, 1, 1, 1), the weights (1, 0, 0, 0) and (¼, ¼, ¼, ¼) give the same
# score; $\sum W^2$ is 1 for the first and ¼ for the second. Here are four noisy copies of
# one real input, the body mass index. The noise, a tenth of the input, is chosen to be
# small: the smaller it is, the more the weights without a regularizer differ.

# %%
noise = jax.random.normal(jax.random.key(1), (len(y), 4))
copies = X[:, 2:3] + 0.1 * noise
copies = copies / jnp.sqrt(jnp.mean(copies**2, axis=0))


def of_copies(w):
    return 0.5 * jnp.mean((copies @ w - y) ** 2)


found = {
    name: descend(tx, of_copies, jnp.zeros(4), 20_000)[0]
    for name, tx in {
        "no regularizer": gradtx.sgd(0.2),
        "L2, λ = 0.5": gradtx.chain(
            gradtx.add_regularizer(gradtx.l2(0.5)), gradtx.sgd(0.2)
        ),
        "L1, λ = 15": gradtx.chain(
            gradtx.sgd(0.2), gradtx.proximal(gradtx.l1(15.0), 0.2)
        ),
    }.items()
}
figure, ax = plt.subplots()
hatches = ("", "//", "..")
for k, ((name, w), colour) in enumerate(
    zip(found.items(), (BLACK, BLUE, RED), strict=True)
):
    ax.bar(
        np.arange(4) + 0.27 * (k - 1),
        w,
        0.25,
        label=name,
        color=colour,
        hatch=hatches[k],
        edgecolor="white",
    )
ax.set_xticks(range(4), [f"copy {i + 1}" for i in range(4)])
ax.axhline(0, color="0.3", linewidth=0.8)
ax.set(ylabel="weight")
ax.set_title("Four noisy copies of one input: L2 shares the weight out")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
figure.suptitle("Least squares on four copies of the body mass index: the weights")
plt.show()

# %% tags=["measured"]
of_none, of_l2, of_l1 = (", ".join(f"{x:.1f}" for x in w) for w in found.values())
print(
    f"Four copies of one input get the weights ({of_l2}) under L2, ({of_none}) without a "
    f"regularizer and ({of_l1}) under L1."
)

# %% [markdown]
# ### Ten images of weights, and lost pixels
#
# The weights of a linear classifier are ten images: where a pixel is red it speaks for
# the digit, where it is blue against. Neighbouring pixels are correlated inputs. Without
# a regularizer a few of them carry large weights of both signs; L2 shares them out, and
# L1 picks some. Weights that are shared out should be robust: no pixel matters much.
# So pixels of the held-out images are set to black, each by chance, and the classifiers,
# which have never seen such images, read them.

# %%
LAMBDA = 1e-3
classifiers = {
    "none": gradtx.sgd(0.5, momentum=0.9),
    "L2": gradtx.chain(
        gradtx.add_regularizer(gradtx.l2(LAMBDA)), gradtx.sgd(0.5, momentum=0.9)
    ),
    "L1": gradtx.chain(gradtx.sgd(0.5), gradtx.proximal(gradtx.l1(LAMBDA), 0.5)),
}
seen = {
    name: jax.jit(
        lambda tx: descend(tx, lambda w: data_loss(w, train), start, steps=2000)[0]
    )(tx)
    for name, tx in classifiers.items()
}

figure, axes = plt.subplots(3, 10, figsize=(9, 3.6))
for row, (name, w) in zip(axes, seen.items(), strict=True):
    limit = float(jnp.abs(w).max())
    for digit, ax in enumerate(row):
        image = ax.imshow(
            w[:, digit].reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit
        )
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.colorbar(image, ax=row, aspect=6, ticks=[-limit, 0, limit], format="%.1f")
for digit, ax in enumerate(axes[0]):
    ax.set_title(f"{digit}")
figure.suptitle(
    "The weights of a linear classifier of digits, as ten images: no regularizer, L2, L1\n"
    "(2,000 steps, λ = 1e-3; each row has its own scale)"
)
plt.show()

# %%
lost = np.linspace(0, 0.9, 10)
chance = np.random.default_rng(0).random((20, len(held_out.labels), 8, 8, 1))


@jax.jit
def accuracy_without(w, share):
    """Of a share of the pixels, each set to black by chance, 20 times over."""
    return jax.vmap(
        lambda u: accuracy(w, held_out._replace(images=held_out.images * (u >= share)))
    )(jnp.asarray(chance))


robust = {
    name: 100 * np.stack([accuracy_without(w, share) for share in lost])
    for name, w in seen.items()
}
figure, ax = plt.subplots()
for (name, reads), colour, line in zip(
    robust.items(), (BLACK, BLUE, RED), ("-", "--", ":"), strict=True
):
    ax.plot(100 * lost, reads.mean(1), line, color=colour, label=name)
    ax.fill_between(
        100 * lost, reads.min(1), reads.max(1), color=colour, alpha=0.15, linewidth=0
    )
ax.set(xlabel="pixels lost (%)", ylabel="held-out accuracy (%)", ylim=(0, 100))
ax.legend(title="regularizer, λ = 1e-3")
ax.set_title("L2 loses the least, then L1, then none")
figure.suptitle(
    "Held-out accuracy as pixels are lost (mean and range of 20 draws of the pixels)"
)
plt.show()

# %% tags=["measured"]
at = 5
said = {
    name: f"{reads[at].mean():.1f}% ± {reads[at].std(ddof=1) / np.sqrt(20):.1f}"
    for name, reads in robust.items()
}
print(
    f"With {lost[at]:.0%} of the pixels lost L2 reads {said['L2']} of the held-out digits, no "
    f"regularizer {said['none']} and L1 {said['L1']} (± a standard error over 20 draws); with "
    f"all pixels there they read {robust['L2'][0].mean():.1f}%, "
    f"{robust['none'][0].mean():.1f}% and {robust['L1'][0].mean():.1f}%."
)

# %% [markdown]
# ## L2: smaller weights, better conditioned, smoother?
#
# It is said that L2 smooths the surface of the loss, so that gradients are steadier and
# descent is faster. That is three claims, and they do not fare alike.
#
# ### Better conditioned
#
# The Hessian of $L + \lambda \sum W^2$ is $H + 2\lambda I$. Every curvature *grows* by
# $2\lambda$, the largest too: the surface is no flatter anywhere. But the smallest grows by
# the most in proportion, so that the condition number
# $\kappa = (h_{\max} + 2\lambda)/(h_{\min} + 2\lambda)$ falls, and descent with the step
# $2/(h_{\max} + h_{\min} + 4\lambda)$ shrinks the distance to the minimum by
# $(\kappa - 1)/(\kappa + 1)$ each time. The minimum that it comes to is another one: the
# speed is bought with a bias.

# %%
H = jax.hessian(half_mean_square)(jnp.zeros(10))
h = jnp.linalg.eigvalsh(H)
strengths = jnp.logspace(-4, 1, 11)
largest, smallest = h[-1] + 2 * strengths, h[0] + 2 * strengths
kappa = largest / smallest
minima = jnp.stack(
    [jnp.linalg.solve(H + 2 * s * jnp.eye(10), X.T @ y / len(y)) for s in strengths]
)


@jax.jit
@jax.vmap
def steps_needed(tx, minimum):
    """Steps until the distance to the minimum is a millionth of what it was."""
    _, path = descend(tx, half_mean_square, jnp.zeros(10), steps=6000)
    distance = jnp.linalg.norm(path - minimum, axis=1)
    return jnp.argmax(distance < 1e-6 * distance[0])


steps = steps_needed(
    gradtx.chain(
        gradtx.add_regularizer(gradtx.l2(strengths)),
        gradtx.sgd(2 / (largest + smallest)),
    ),
    minima,
)

figure, (left, right) = plt.subplots(1, 2)
left.loglog(strengths, kappa, "s--", color=ORANGE, label="condition number κ")
left.loglog(
    strengths, steps, "o-", color=BLUE, label="steps to a millionth\nof the distance"
)
left.set(xlabel="λ", ylabel="κ, and steps (number)")
left.set_title("L2 lowers the condition number and the steps")
left.legend()
right.loglog(strengths, largest, "o-", color=RED, label="largest, $h_{max} + 2λ$")
right.loglog(strengths, smallest, "s--", color=BLACK, label="smallest, $h_{min} + 2λ$")
right.set(xlabel="λ", ylabel="curvature")
right.set_title("All curvatures grow, the smallest by the most")
right.legend()
figure.suptitle("Least squares on the diabetes set (a quadratic) under λΣW², over λ")
plt.show()

# %% tags=["measured"]
i, j = 0, 6
print(
    f"On a quadratic, from λ = {strengths[i]:.0e} to λ = {strengths[j]:.0e}, the condition "
    f"number falls from {kappa[i]:.0f} to {kappa[j]:.1f}, and the steps that descent needs "
    f"from {steps[i]} to {steps[j]}; the largest curvature grows from {largest[i]:.2f} to "
    f"{largest[j]:.2f}."
)

# %% [markdown]
# ### Smaller weights, and smoother?
#
# A network with a hidden layer of 16 learns 100 digits under cross-entropy, all at once
# in each of 500 steps, at five λ and from five beginnings. Along its path are measured
#
# - the largest curvature of the data's loss: the largest eigenvalue of its Hessian, by
#   `power_iteration` on the products of `second_order.hvp` (the objective's is this and
#   $2\lambda$);
# - how much the objective's gradient varies: the sum of $\lVert \nabla_{t+1} -
#   \nabla_t \rVert$ over the sum of $\lVert W_{t+1} - W_t \rVert$, in all of the path and
#   in its second half.

# %%
SEEDS, EVERY = 5, 25
inputs = few.images.reshape(len(few.labels), -1)


def scores(params, inputs):
    hidden = jnp.tanh(inputs @ params["hidden"]["w"] + params["hidden"]["b"])
    return hidden @ params["out"]["w"] + params["out"]["b"]


def cross_entropy(params, inputs, labels):
    log_p = jax.nn.log_softmax(scores(params, inputs))
    return -jnp.take_along_axis(log_p, labels[:, None], axis=1).mean()


def begin(key):
    first, second = jax.random.split(key)
    return {
        "hidden": {"w": jax.random.normal(first, (64, 16)) / 8, "b": jnp.zeros(16)},
        "out": {"w": jax.random.normal(second, (16, 10)) / 4, "b": jnp.zeros(10)},
    }


def differences(tree):
    """The norms of the differences of each tree of a stack and the next."""
    moves = jax.tree.map(lambda x: jnp.diff(x, axis=0), tree)
    return jax.vmap(gradtx.global_norm)(moves)


def measure(strength, key):
    def of_data(params):
        return cross_entropy(params, inputs, few.labels)

    ridge = gradtx.l2(strength)
    tx = gradtx.chain(gradtx.add_regularizer(ridge), gradtx.sgd(0.1, momentum=0.9))
    params = begin(key)
    _, path = descend(tx, of_data, params, steps=501)

    def curvature(at):
        def product(v):
            return gradtx.second_order.hvp(cross_entropy, v, at, inputs, few.labels)

        v0 = jax.tree.map(lambda p: jax.random.normal(key, p.shape), params)
        return gradtx.power_iteration(product, v0=v0, error_tolerance=1e-2)[0]

    gradients = jax.vmap(jax.grad(lambda p: of_data(p) + ridge(p)))(path)
    turned, moved = differences(gradients), differences(path)
    end = jax.tree.map(lambda x: x[-1], path)
    slopes = jax.vmap(jax.jacobian(lambda x: scores(end, x)))(
        held_out.images.reshape(-1, 64)
    )
    return {
        "curvature": jax.lax.map(curvature, jax.tree.map(lambda x: x[::EVERY], path)),
        "variation": turned.sum() / moved.sum(),
        "late variation": turned[250:].sum() / moved[250:].sum(),
        "size": jnp.square(gradtx.global_norm(end)),
        "slope": jnp.mean(jnp.sqrt(jnp.sum(slopes**2, axis=(1, 2)))),
    }


strengths = jnp.array([0, 1e-4, 1e-3, 3e-3, 1e-2])
keys = jax.random.split(jax.random.key(0), SEEDS)
of_network = jax.tree.map(np.asarray, for_each(measure, strengths, keys))

figure, axes = plt.subplots(1, 3, figsize=(9.6, 4))
left, middle, right = axes
names = [f"λ = {s:.0e}" if s else "λ = 0" for s in strengths]
for k, name in enumerate(names):
    found = of_network["curvature"][k]
    style = {"color": plt.colormaps["viridis"](k / 5)}
    seen_at = EVERY * np.arange(found.shape[1])
    left.semilogy(seen_at, found.mean(0), label=name, **style)
    left.fill_between(
        seen_at, found.min(0), found.max(0), alpha=0.2, linewidth=0, **style
    )
left.set_yticks([0.2, 0.5, 1, 2, 3], ["0.2", "0.5", "1", "2", "3"])
left.minorticks_off()
left.set(xlabel="step", ylabel="largest eigenvalue of the Hessian", xlim=(0, 500))
label_lines(left)
left.set_title("Largest curvature")
places = np.arange(len(strengths))


def dots(ax, name, colour, marker, label):
    found = of_network[name]
    for seed in range(SEEDS):
        ax.plot(places, found[:, seed], marker, color=colour, markersize=3)
    ax.semilogy(places, found.mean(1), "-", color=colour, label=label)


dots(middle, "variation", BLUE, "o", "all of the path")
dots(middle, "late variation", ORANGE, "s", "second half")
middle.set(ylabel="variation per length of path")
middle.set_title("Variation of the gradient")
middle.legend(fontsize=9)
dots(right, "size", BLACK, "o", "ΣW²")
dots(right, "slope", GREEN, "s", "‖∂scores/∂pixels‖")
right.set(ylabel="at the end (number)")
right.set_title("Weights, and the function")
right.legend(fontsize=9, loc="lower left")
for ax in (middle, right):
    ax.set_xticks(places, [f"{s:.0e}" if s else "0" for s in strengths], fontsize=9)
    ax.set(xlabel="λ")
figure.suptitle(
    "A network under cross-entropy + λΣW²: curvature, gradient and weights, over λ\n"
    "(100 digits, 500 steps of momentum, α = 0.1, ρ = 0.9; five beginnings)"
)
plt.show()

# %% tags=["measured"]
sizes = of_network["size"]
assert np.all(np.diff(sizes, axis=0) < 0)  # from each beginning, at each λ
print(
    f"In a network ΣW² at the end is {sizes[0].mean():.0f} without L2 and "
    + ", ".join(f"{s:.0f}" for s in sizes[1:].mean(1))
    + f" with λ = {', '.join(f'{s:.0e}' for s in strengths[1:])} (means of {SEEDS} beginnings, "
    f"whose standard deviations are at most {sizes.std(1, ddof=1).max():.0f})."
)

# %% tags=["measured"]
sharp, late = of_network["curvature"][:, :, -1], of_network["late variation"]
slope, variation = of_network["slope"], of_network["variation"]
assert np.all(np.diff(sharp, axis=0) > 0)  # from each beginning, at each λ
assert np.all(np.diff(slope, axis=0) < 0)


def means(rows, digits=2):
    each = [f"{row.mean():.{digits}f} ± {row.std(ddof=1):.{digits}f}" for row in rows]
    return ", ".join(each)


print(
    f"In a network, with λ = 0, {', '.join(f'{s:.0e}' for s in strengths[1:])}, the largest "
    f"curvature of the data's loss at the end is {means(sharp)} (± a standard deviation over "
    f"{SEEDS} beginnings), and the gradient's variation per length of path {means(variation)}, "
    f"in the second half {means(late, 4)}: the surface gets no smoother. The function does: "
    f"the scores' mean slope in the pixels is {means(slope, 1)}."
)

# %% [markdown]
# So the weights are smaller, a quadratic is better conditioned, and the surface is *not*
# smoother in the weights. Without L2 the network fits its data ever better by growing
# its weights; there the softmax saturates and the loss is flat. L2 holds the weights
# where the loss still curves. What becomes smoother is the function that the network
# computes, in its inputs.
