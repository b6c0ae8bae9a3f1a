"""The tests run stricter than users do: nothing promotes or broadcasts by itself."""

import os
import re

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from hypothesis import settings

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("gradtx", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("gradtx")


@pytest.fixture
def lenient():
    """For code of other libraries, which relies on promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def stable_id(x):
    """An id of a test that is the same in every process: without addresses."""
    return re.sub(r" at 0x\w+", "", str(x))
