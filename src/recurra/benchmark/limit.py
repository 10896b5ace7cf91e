"""What the processor could do at most: the yardstick beside each rate."""

from __future__ import annotations

import os
import platform
import time
from importlib.util import find_spec
from pathlib import Path

import torch

SIZE = 1536
"""Rows and columns of the matrices multiplied as a stand-in: 27 MB, larger than a core's cache, and soon done."""


def limit(threads: int) -> tuple[float, str]:
    """GFLOP/s in float32 and what that is: the limit of the FMA units, or where it cannot be measured, a stand-in."""
    if find_spec("recurra._native") is not None:
        from recurra import _native

        if hasattr(_native, "fma_limit"):
            return float(_native.fma_limit(threads)), "FMA limit"
    return _best_product(), "torch's best matmul"


def _best_product(seconds: float = 0.5) -> float:
    """The fastest product within about `seconds`, after one that warms up."""
    a, b, out = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE), torch.empty(SIZE, SIZE)
    torch.mm(a, b, out=out)
    best, end = float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * SIZE**3 / best / 1e9


def load() -> float | None:
    """Processes that wanted a CPU in the last minute, on average: what others do here makes every time too long."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def machine() -> str:
    """The processor's name."""
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
