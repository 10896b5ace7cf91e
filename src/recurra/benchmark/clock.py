"""Timing contenders in turns, so that whatever else the machine does falls on all alike."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from recurra.benchmark.rows import LeftOut, Result

SAMPLE = 0.02
"""Seconds a sample lasts at least: a thousand times what the clock and the loop around the calls cost."""

Samples = list[float]


@dataclass(frozen=True)
class Contender:
    """Something to time. `run` returns what it computed, so that contenders can be compared."""

    name: str
    run: Callable[[], Any]


def alternate(contenders: Sequence[Contender], repeats: int) -> list[Samples]:
    """Seconds of one run, `repeats` samples for each contender, taken in turns; warming up is not counted.

    Before each sample comes a run that is not counted: the threads of the contender before may still be spinning, and
    the caches hold what was its own.
    """
    calls = [_calls(one) for one in contenders]
    samples: list[Samples] = [[] for _ in contenders]
    for _ in range(repeats):
        for one, count, collected in zip(contenders, calls, samples, strict=True):
            one.run()
            collected.append(_time(one, count) / count)
    return samples


def _calls(contender: Contender) -> int:
    """How many runs make a sample; found by runs that also warm up (compile, plan, fill caches)."""
    contender.run()
    calls = 1
    while (seconds := _time(contender, calls)) < SAMPLE:
        needed = math.ceil(1.1 * calls * SAMPLE / max(seconds, 1e-9))  # a tenth more, for samples that are faster
        calls = min(needed, 100 * calls) if needed > calls else 2 * calls
    return calls


def _time(contender: Contender, calls: int) -> float:
    """Seconds of `calls` runs, without Python's garbage collection, as timeit does."""
    run, collects = contender.run, gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - start
    finally:
        if collects:
            gc.enable()


def timed(entries: Sequence[Contender | LeftOut], repeats: int) -> tuple[list[Result], list[LeftOut]]:
    """Results in milliseconds of those that run, and those that do not."""
    contenders = [one for one in entries if isinstance(one, Contender)]
    left_out = [one for one in entries if isinstance(one, LeftOut)]
    samples = alternate(contenders, repeats)
    return [summarise(c.name, [1e3 * s for s in taken]) for c, taken in zip(contenders, samples, strict=True)], left_out


def summarise(name: str, samples: Samples) -> Result:
    return Result(name, median(samples), min(samples), len(samples))
