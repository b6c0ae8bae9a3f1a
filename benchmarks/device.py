"""A GPU's own clock: how long it was busy, and with how many kernels."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import jax

from benchmarks.measure import Run

Span = tuple[float, float]  # start and end, in nanoseconds


class Profile(NamedTuple):
    """What the profiler saw of each unit of work."""

    seconds: float  # that the device was busy
    kernels: float


def is_gpu() -> bool:
    return jax.default_backend() == "gpu"


def busy(run: Run, n: int) -> float:
    """Seconds that the device was busy with n units of work."""
    return profile(run, n).seconds * n


def profile(run: Run, n: int) -> Profile:
    """What CUPTI saw of n units of work on the device, PyTorch's too."""
    options = jax.profiler.ProfileOptions()
    options.host_tracer_level = options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            run(n)
        (path,) = Path(folder).rglob("*.xplane.pb")
        spans = list(of_streams(jax.profiler.ProfileData.from_file(str(path))))
    if not spans:
        raise RuntimeError("The profiler saw no kernel: is CUPTI installed?")
    return Profile(union(spans) * 1e-9 / n, len(spans) / n)


def of_streams(data: jax.profiler.ProfileData) -> Iterable[Span]:
    """When each kernel, copy or fill ran."""
    for plane in data.planes:
        if plane.name.startswith("/device:GPU"):
            for line in plane.lines:
                if line.name.startswith("Stream"):
                    yield from ((e.start_ns, e.start_ns + e.duration_ns)
                                for e in line.events)  # fmt: skip


def union(spans: Iterable[Span]) -> float:
    """The length of the union of spans: what overlaps counts once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
