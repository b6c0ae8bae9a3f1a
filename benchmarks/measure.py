"""Times of peers side by side, what XLA made of a function, and on which machine."""

import contextlib
import gc
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

Run = Callable[[int], Any]  # does its work n times, and waits until it is done


@dataclass(frozen=True)
class Spread:
    """A median and its quartiles."""

    median: float
    low: float
    high: float
    samples: list[float]

    def __str__(self) -> str:
        return f"{figures(self.median)} ({figures(self.low)}–{figures(self.high)})"


@dataclass
class Result:
    """A table: what a row is about, and numbers or spreads of them."""

    title: str
    note: str
    shown: list[str]  # the columns that a figure shows
    rows: list[dict[str, Any]] = field(default_factory=list)


def figures(x: float) -> str:
    """Three significant figures."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def spread(samples: Sequence[float], unit: float = 1.0) -> Spread:
    """The median and quartiles of samples, in units of `unit`."""
    scaled = [x / unit for x in samples]
    if len(scaled) == 1:
        return Spread(scaled[0], scaled[0], scaled[0], scaled)
    low, middle, high = statistics.quantiles(scaled, n=4, method="inclusive")
    return Spread(middle, low, high, scaled)


def ratio(ours: Sequence[float], theirs: Sequence[float] | None) -> Spread | None:
    """The spread of the ratios of samples that were taken one after the other."""
    if theirs is None:
        return None
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def timed(run: Run, n: int) -> float:
    start = time.perf_counter()
    run(n)
    return time.perf_counter() - start


def steps(step: Callable[..., Any], carry: tuple[Any, ...], *args: Any) -> Run:
    """Steps that give away what they carry, and go on with what they return."""

    def run(n: int) -> None:
        nonlocal carry
        for _ in range(n):
            carry = step(*carry, *args)
        jax.block_until_ready(carry)

    return run


def interleaved(
    peers: Mapping[str, Run],
    repeats: int,
    seconds: float,
    clock: Callable[[Run, int], float] = timed,
) -> dict[str, list[float]]:
    """Seconds for each unit of work: `repeats` blocks of each peer, taken in turn.

    A block lasts `seconds` or longer. One unit outside the clock goes before each, so
    that no peer finds the caches, or the threads, as the last one left them.
    """
    counts = {}
    for name, run in peers.items():
        run(2)  # the first call compiles; the second finds what was given away
        counts[name] = 1
        while timed(run, counts[name]) < seconds:
            counts[name] *= 2
    samples: dict[str, list[float]] = {name: [] for name in peers}
    names = list(peers)
    with no_collection():
        for i in range(repeats):
            for name in names[i % len(names) :] + names[: i % len(names)]:
                peers[name](1)
                samples[name].append(clock(peers[name], counts[name]) / counts[name])
    return samples


def equations(jaxpr: Any) -> int:
    """The equations of a jaxpr, and of those that its equations call."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    inner = (
        v for eqn in jaxpr.eqns for v in jax.tree.leaves(list(eqn.params.values()))
    )
    called = (v for v in inner if hasattr(v, "eqns") or hasattr(v, "jaxpr"))
    return len(jaxpr.eqns) + sum(map(equations, called))


def instructions(compiled: Any) -> dict[str, int]:
    """How many instructions, fusions and copies XLA made."""
    text = compiled.as_text()
    return {
        "HLO": len(re.findall(r"^ .* = ", text, flags=re.MULTILINE)),
        "fusions": text.count(" fusion("),
        "copies": text.count(" copy("),
    }


def machine() -> dict[str, Any]:
    """Where the numbers were measured."""
    device = jax.devices()[0]
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {p: found for p in ("gradtx", "jax", "jaxlib", "optax", "torch")
                     if (found := installed(p))},
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }  # fmt: skip


def processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def installed(package: str) -> str | None:
    if package == "gradtx":  # perhaps not installed, but beside us
        import gradtx

        return gradtx.__version__
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return None
