"""Steps compiled for a GPU that is not there, to count their kernels."""

import re
from collections import Counter
from typing import Any

import jax
from jax.experimental import topologies

from benchmarks import trees
from benchmarks.device import is_gpu
from benchmarks.recipes import Recipe, compiled

# What XLA asks of a device to compile for it: here an H100 (SXM), by its data sheet.
H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 8 }
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132
  fpus_per_core: 128
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  memory_bandwidth: 3352320000000
  device_memory_size: 84978434048
}
"""
PLUGIN = "jax-cuda13-plugin jax-cuda13-pjrt nvidia-cuda-nvcc"
STARTED = ("fusion", "copy", "custom-call", "sort", "conditional", "while")


def device() -> Any:
    """The GPU that is there, or one to compile for."""
    if is_gpu():
        return jax.devices()[0]
    try:
        found = topologies.get_topology_desc(
            "h100", "cuda", topology="1x1x1", target_config=H100
        )
    except Exception as error:
        raise SystemExit(
            f"To compile for a GPU, without one: pip install {PLUGIN}, each of "
            f"jax's version where it has that, and JAX_PLATFORMS=cpu. ({error})"
        ) from None
    return found.devices[0]


def started(text: str) -> Counter[str]:
    """What a compiled program's entry starts, by kind; nearly each is one kernel."""
    entry = text[text.index("\nENTRY") :]
    found = re.findall(r"^ .*? = .*? ([\w-]+)\(", entry, flags=re.MULTILINE)
    return Counter(kind for kind in found if kind in STARTED)


def kernels(library: Any, recipe: Recipe, shapes: Any, device: Any) -> dict[str, float]:
    """The kernels, branches and temporary memory of a step."""
    where = jax.sharding.SingleDeviceSharding(device)
    made = compiled(library, recipe, shapes, where)
    kinds = started(made.as_text())
    branches = kinds.pop("conditional", 0) + kinds.pop("while", 0)
    temporary = made.memory_analysis().temp_size_in_bytes / trees.nbytes(shapes)
    return {"kernels": kinds.total(), "branches": branches, "temporary": temporary}
