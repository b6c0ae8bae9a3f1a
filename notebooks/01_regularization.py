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
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import lasso_path

import gradtx
from gradtx.tour import digits

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

_, (left, right) = plt.subplots(1, 2)
for (name, loss), colour in zip(losses.items(), (BLACK, ORANGE), strict=True):
    left.loglog(strengths, loss, label=name, color=colour)
left.set(xlabel="λ", ylabel="cross-entropy (nats a digit)")
left.set_title("λ trades the training loss for the held-out loss")
left.legend()
right.loglog(strengths, sizes, color=BLUE)
right.set(xlabel="λ", ylabel="R(W), the sum of squares")
right.set_title("The same λ makes the weights small")
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

figure, axes = plt.subplots(1, 2, figsize=(9, 4.8), sharey=True)
x, y = np.meshgrid(np.linspace(-1.4, 2.4, 200), np.linspace(-1.4, 2.4, 200))
z = jax.vmap(jax.vmap(bowl))(jnp.stack([x, y], -1))
angle = np.linspace(0, 2 * np.pi, 200)
r1, r2 = jnp.abs(by_l1).sum(), jnp.sqrt(jnp.sum(by_l2**2))
balls = {
    "L1: the contours meet a corner": (
        by_l1,
        r1 * np.array([[1, 0, -1, 0, 1], [0, 1, 0, -1, 0]]),
    ),
    "L2: they meet the circle anywhere": (
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


_, (left, right) = plt.subplots(1, 2)
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

_, ax = plt.subplots()
for i in np.argsort(-ours[-1]):
    style = {"color": f"C{i % 7}", "linestyle": ("-", "--")[i // 7]}
    ax.semilogx(alphas, ours[:, i], **style, label=diabetes.feature_names[i])
    ax.semilogx(alphas[::3], peers[i, ::3], ".", color=f"C{i % 7}")
ax.legend(title="input", loc="upper left", bbox_to_anchor=(1, 1.05))
ax.invert_xaxis()
ax.set(xlabel="λ (falling)", ylabel="weight")
ax.set_title("Lasso paths: gradtx (lines) and scikit-learn (dots)")
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
        "L2": gradtx.chain(gradtx.add_regularizer(gradtx.l2(0.5)), gradtx.sgd(0.2)),
        "L1": gradtx.chain(gradtx.sgd(0.2), gradtx.proximal(gradtx.l1(15.0), 0.2)),
    }.items()
}
_, ax = plt.subplots()
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
plt.show()

# %% tags=["measured"]
show = {name: ", ".join(f"{x:.1f}" for x in w) for name, w in found.items()}
print(
    f"Four copies of one input get the weights ({show['L2']}) under L2, "
    f"({show['no regularizer']}) without a regularizer and ({show['L1']}) under L1."
)

# %% [markdown]
# ## L2 smooths the loss, and descent is faster
#
# The Hessian of $L + \lambda \sum W^2$ is $H + 2\lambda I$: its condition number
# $\kappa = (h_{\max} + 2\lambda)/(h_{\min} + 2\lambda)$ falls, and descent with the step
# $2/(h_{\max} + h_{\min} + 4\lambda)$ shrinks the distance to the minimum by
# $(\kappa - 1)/(\kappa + 1)$ each time. The minimum that it comes to is another one: the
# speed is bought with a bias.

# %%
H = jax.hessian(half_mean_square)(jnp.zeros(10))
h = jnp.linalg.eigvalsh(H)
strengths = jnp.logspace(-4, 1, 11)
kappa = (h[-1] + 2 * strengths) / (h[0] + 2 * strengths)
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


rates = 2 / (h[-1] + h[0] + 4 * strengths)
steps = steps_needed(
    gradtx.chain(gradtx.add_regularizer(gradtx.l2(strengths)), gradtx.sgd(rates)),
    minima,
)

_, ax = plt.subplots()
ax.loglog(strengths, kappa, "s--", color=ORANGE, label="condition number κ")
ax.loglog(
    strengths, steps, "o-", color=BLUE, label="steps to a millionth of the distance"
)
ax.set(xlabel="λ", ylabel="κ, and steps (number)")
ax.set_title("L2 lowers the condition number, and descent takes fewer steps")
ax.legend()
plt.show()

# %% tags=["measured"]
i, j = 0, 6
print(
    f"From λ = {strengths[i]:.0e} to λ = {strengths[j]:.0e} the condition number falls from "
    f"{kappa[i]:.0f} to {kappa[j]:.1f}, and the steps that descent needs from {steps[i]} "
    f"to {steps[j]}."
)
