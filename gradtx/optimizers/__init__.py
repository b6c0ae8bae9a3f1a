"""The recipes: each is a docstring and a chain."""

from gradtx.optimizers.lecture import adam, adamw, rmsprop, sgd

__all__ = ["adam", "adamw", "rmsprop", "sgd"]
