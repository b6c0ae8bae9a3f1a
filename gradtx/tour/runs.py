"""What the tour compares, as the expressions that a user could write."""


def optimizers(steps: int) -> dict[str, str]:
    """Six optimizers, each at a learning rate that suits it."""
    warmup, end = max(1, steps // 10), max(2, steps)
    rate = f"warmup_cosine_decay_schedule(0.0, 0.01, {warmup}, {end})"
    return {
        "SGD": "sgd(0.1)",
        "momentum": "sgd(0.05, momentum=0.9)",
        "RMSProp": "rmsprop(2e-3)",
        "Adam": "adam(5e-3)",
        "Adam + L2": "chain(add_regularizer(l2(1e-4)), adam(5e-3))",
        "AdamW + warmup + cosine": f"adamw({rate}, weight_decay=0.05)",
    }


def regularizers(steps: int) -> dict[str, str]:
    """The same descent without a regularizer, with L2, and with L1 (proximal)."""
    rate = f"cosine_decay_schedule(0.4, {steps})"
    return {
        "none": f"sgd({rate})",
        "L2": f"chain(add_regularizer(l2(3e-3)), sgd({rate}))",
        "L1": f"chain(sgd({rate}), proximal(l1(1e-3), {rate}))",
    }
