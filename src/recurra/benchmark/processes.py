"""A process for each number of threads: some libraries fix theirs when they are loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recurra.benchmark.rows import Conditions, Row, from_line
from recurra.benchmark.workloads import WORKLOADS, Workload
from recurra.errors import ConfigError, RecurraError

REPEATS = 7


def bench(
    workloads: Sequence[Workload] = WORKLOADS,
    threads: Sequence[int] = (1,),
    repeats: int = REPEATS,
    backends: Sequence[str] | None = None,
) -> Iterator[Conditions | Row]:
    """Measure all workloads with each number of threads, in turn.

    Args:
        workloads: what to measure.
        threads: numbers of threads; workloads that take one thread run with one whatever this says.
        repeats: samples of each contender; the median counts.
        backends: of recurra, by name; the fastest available where None.

    Yields:
        For each number of threads the conditions and then the rows.

    Raises:
        ConfigError: for a number of threads that this machine does not have.
        RecurraError: for a backend that is unknown or not available; where measuring fails.
    """
    usable = len(usable_cpus())
    for number in threads:
        if not 1 <= number <= usable:
            raise ConfigError(f"threads: expected 1 to {usable}, the CPUs that this process may use, got {number}")
    for number in sorted({*threads, *(1 for one in workloads if one.one_thread)}):
        chosen = [one for one in workloads if (number == 1 if one.one_thread else number in threads)]
        if chosen:
            yield from _in_process(chosen, number, repeats, backends)


def usable_cpus() -> list[int]:
    """The CPUs that this process may use, one of each core before the second ones (hyperthreads) of any."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(os.cpu_count() or 1)]
    cores = [_core(cpu) for cpu in allowed]
    return sorted(allowed, key=lambda cpu: (cores[: allowed.index(cpu)].count(_core(cpu)), -cpu))


def _core(cpu: int) -> str:
    """What is the same for all CPUs of one core."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return siblings.read_text(encoding="ascii") if siblings.is_file() else str(cpu)


def _in_process(
    workloads: Sequence[Workload], threads: int, repeats: int, backends: Sequence[str] | None
) -> Iterator[Conditions | Row]:
    asked = {"workloads": [asdict(one) for one in workloads], "threads": threads, "repeats": repeats}
    command = [sys.executable, "-m", "recurra.benchmark", json.dumps({**asked, "backends": backends})]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "error" in (told := json.loads(line)):
                raise RecurraError(told["error"])
            yield from_line(line)
        if process.wait():
            raise RecurraError(f"bench: the process that measures ended with code {process.returncode}; see above")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def hold_to(threads: int) -> bool:
    """Hold this process to as many CPUs, and tell the libraries that it will load; whether the system allows it."""
    settings: dict[str, Any] = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "JAX_PLATFORMS": "cpu"}
    os.environ |= {name: str(value) for name, value in settings.items()}
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, usable_cpus()[:threads])
    return True
