"""The tests run stricter than users do: nothing promotes or broadcasts by itself."""

import os
import re

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxlib
import pytest
from hypothesis import settings

# Nearly all the time of the tests goes to XLA's compiling, of programs that run for
# microseconds; with these flags it takes a sixth. XLA ends a process that gives it a
# flag that it does not know, so they are for the versions that were tried.
QUICK = (
    " --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1"
)
# What is rounded to half precision on the way stays rounded, also inside a program.
FLAGS = "--xla_force_host_platform_device_count=2 --xla_allow_excess_precision=false"
KNOWN = jaxlib.__version__.startswith("0.10.")
os.environ.setdefault("XLA_FLAGS", FLAGS + QUICK * KNOWN)  # read at the first program

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


# `-m smoke`: these files, which say a little about everything, and of the tests that run
# over the catalogue those of each 24th row.
SMOKE = {"core", "laws", "regularizers", "rules", "schedules", "selection", "steps"}
EACH = 24


def is_smoke(path):
    return path.stem.removeprefix("test_") in SMOKE


def pytest_ignore_collect(collection_path, config):
    """The other files are not even imported, which takes longer than `-m smoke`."""
    is_test = collection_path.match("test_*.py")
    if config.option.markexpr == "smoke" and is_test and not is_smoke(collection_path):
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """With pytest-xdist, which need not be there, the groups below stay together."""
    if config.getoption("dist", None) == "no":
        config.option.dist = "loadgroup"


def pytest_collection_modifyitems(items):
    """The tests of a row of the catalogue follow each other, in one process."""
    files, rows = {}, {}

    def place(item):
        file = files.setdefault(item.path, len(files))
        row = item.callspec.params.get("row") if hasattr(item, "callspec") else None
        number = 0 if row is None else rows.setdefault(row, len(rows) + 1)
        if is_smoke(item.path) and number % EACH == 0:
            item.add_marker(pytest.mark.smoke)
        if row is None:
            return file, 0
        item.add_marker(pytest.mark.xdist_group(f"row{number}"))
        return file, number

    items.sort(key=place)
