"""The tests run stricter than users do: nothing promotes or broadcasts by itself."""

import collections
import gc
import os
import re

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Of matrices of a few rows, threads of BLAS wait for each other longer than they work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jaxlib
import pytest
from hypothesis import settings

# Nearly all the time of the tests goes to XLA's compiling, of programs that run for
# microseconds; with these flags it takes a sixth. XLA ends a process that gives it a
# flag that it does not know, so they are for the versions that were tried.
MINOR = int(jaxlib.__version__.split(".")[1])
QUICK = (
    " --xla_backend_optimization_level=0"
    " --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_parallel_codegen_split_count=1"
) * (7 <= MINOR <= 12)
QUICK += " --xla_cpu_use_fusion_emitters=false" * (7 <= MINOR <= 10)
# What is rounded to half precision on the way stays rounded, also inside a program.
FLAGS = "--xla_force_host_platform_device_count=2 --xla_allow_excess_precision=false"
os.environ.setdefault("XLA_FLAGS", FLAGS + QUICK)  # read at the first program

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

if not hasattr(jax, "enable_x64"):  # as it was called up to JAX 0.7
    from jax.experimental import enable_x64

    jax.enable_x64 = enable_x64

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


def pytest_collection_finish():
    """The tests themselves, thousands of objects, are no garbage to look for in each.

    Tracing makes many objects that live on: to look through all of them as often as
    Python does by default is a seventh of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def stable_id(x):
    """An id of a test that is the same in every process: without addresses."""
    return re.sub(r" at 0x\w+", "", str(x))


# `-m smoke`: of these files, which say a little about everything, the first case of a
# test and each 48th, which of the tests over the catalogue is each 48th row.
SMOKE = {"core", "laws", "losses", "projections", "regularizers", "rules", "schedules"}
SMOKE |= {"steps", "tree"}
EACH = 48


def is_smoke(path):
    return path.stem.removeprefix("test_") in SMOKE


def pytest_ignore_collect(collection_path, config):
    """The other files are not even imported, which takes longer than `-m smoke`."""
    is_test = collection_path.match("test_*.py")
    if config.option.markexpr == "smoke" and is_test and not is_smoke(collection_path):
        return True
    return None


def pytest_configure(config):
    """With pytest-xdist, which need not be there, the groups below stay together."""
    if config.getoption("dist", None) == "load":
        config.option.dist = "loadgroup"
    if hasattr(config, "workerinput"):  # its processes are not told
        config.option.loadgroup = True


@pytest.hookimpl(wrapper=True)  # so before pytest-xdist reads the groups in its own
def pytest_collection_modifyitems(items):
    """The tests of a row of the catalogue follow each other, in one process, and so do
    the others of a file: what one has compiled, the next need not."""
    files, rows, cases = {}, {}, collections.Counter()

    def place(item):
        file = files.setdefault(item.path, len(files))
        row = item.callspec.params.get("row") if hasattr(item, "callspec") else None
        number = 0 if row is None else rows.setdefault(row, len(rows) + 1)
        group = f"row{number}" if number else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
        case = number or cases[item.path, item.originalname]
        cases[item.path, item.originalname] += 1
        if is_smoke(item.path) and case % EACH == 0:
            item.add_marker(pytest.mark.smoke)
        return file, number

    items.sort(key=place)
    return (yield)
