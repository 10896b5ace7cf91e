"""`recurra bench`: a table of milliseconds and ratios, ours beside peers."""

from __future__ import annotations

import math
from typing import Annotated, Any

from cyclopts import Parameter

from recurra.benchmark import WORKLOADS, Conditions, Result, Row, select, usable_cpus
from recurra.benchmark import bench as measure
from recurra.benchmark.processes import REPEATS
from recurra.cli.output import print_json, write

FEWEST = 3  # repeats with --quick: a median that one disturbed sample does not move
NAMES = list(dict.fromkeys(one.name for one in WORKLOADS))
WIDTH = 40  # characters of a contender's name
HEADING = "times recurra's (the first line's): above 1, recurra is the faster or the smaller"


def bench(
    *,
    only: Annotated[
        list[str] | None, Parameter(negative=(), consume_multiple=True, help=f"Workloads: {', '.join(NAMES)}.")
    ] = None,
    threads: Annotated[
        list[int] | None,
        Parameter(
            negative=(),
            consume_multiple=True,
            help="Numbers of threads, one table each; unset: 1 and, with two CPUs, 2.",
        ),
    ] = None,
    backends: Annotated[
        list[str] | None,
        Parameter(negative=(), consume_multiple=True, help="Backends of recurra; unset: the fastest available."),
    ] = None,
    quick: Annotated[
        bool, Parameter(negative=(), show_default=False, help=f"{FEWEST} samples of each instead of {REPEATS}.")
    ] = False,
    as_json: Annotated[
        bool, Parameter("--json", negative=(), show_default=False, help="Print a JSON object per line.")
    ] = False,
) -> None:
    """Measure speed and memory beside PyTorch, JAX and ONNX Runtime, as far as installed.

    Contenders take turns; the median counts. benchmarks/README.md says how to read the table.
    """
    numbers = threads or [1, 2][: len(usable_cpus())]
    told: set[tuple[str, str]] = set()
    conditions = None
    for event in measure(select(only), numbers, FEWEST if quick else REPEATS, backends):
        if isinstance(event, Conditions):
            conditions = event
        assert conditions is not None
        if as_json:
            print_json(_facts(event, conditions))
        else:
            write(_heading(event) if isinstance(event, Conditions) else _block(event, conditions, told))


def _facts(event: Conditions | Row, conditions: Conditions) -> dict[str, Any]:
    if isinstance(event, Conditions):
        return {"event": "conditions", **vars(event)}
    results = [
        {
            **vars(one),
            "ratio": event.ratio(one),
            "gflops": event.gflops(one),
            "of_limit": _share(event, one, conditions),
            "per_second": event.per_second(one),
        }
        for one in event.results
    ]
    left_out = [vars(one) for one in event.left_out]
    row = {"threads": event.threads, "unit": event.unit, "flops": event.flops}
    return {"event": "row", "workload": vars(event.workload), **row, "results": results, "left_out": left_out}


def _share(row: Row, result: Result, conditions: Conditions) -> float | None:
    rate = row.gflops(result)
    return None if rate is None else rate / conditions.limit


def _heading(conditions: Conditions) -> str:
    count = f"{conditions.threads} thread{'s' if conditions.threads > 1 else ''}"
    held = "" if conditions.pinned else " (the process is not held to as many CPUs)"
    versions = ", ".join(f"{name} {version}" for name, version in conditions.versions.items())
    lines = [
        f"{count}{held} on {conditions.machine}; {versions}; backend {conditions.backend}",
        f"{conditions.limit_name}: {conditions.limit:.0f} GFLOP/s (float32), just measured{_load(conditions)}",
        f"ratio: {HEADING}",
        "",
        f"{'':{WIDTH + 2}}{'median':>14}{'ratio':>8}{'GFLOP/s':>9}   share of {conditions.limit_name}",
    ]
    return "\n".join(lines) + "\n"


def _load(conditions: Conditions) -> str:
    return "" if conditions.load is None else f"; load of the machine just before: {conditions.load:.1f}"


def _block(row: Row, conditions: Conditions, told: set[tuple[str, str]]) -> str:
    """A workload: a line for each contender, and for each that is left out, if its reason is new."""
    lines = [f"{row.workload.name} {row.workload.describe()}"]
    lines += [f"  {_line(row, one, conditions)}" for one in row.results]
    for one in row.left_out:
        if (one.name, one.reason) not in told:
            lines.append(f"  {one.name}: left out, {one.reason}")
            told.add((one.name, one.reason))
    return "\n".join(lines) + "\n"


def _line(row: Row, result: Result, conditions: Conditions) -> str:
    rate, share, speed = row.gflops(result), _share(row, result, conditions), row.per_second(result)
    cells = [
        f"{result.name:{WIDTH}}{f'{_digits(result.median, 4)} {row.unit}':>14}",
        f"{_digits(row.ratio(result), 3):>8}",
        "" if rate is None else f"{rate:9.1f}",
        "" if share is None else f"{share:7.1%}",
        "" if speed is None else f"   {speed:,.0f} {row.workload.counted[1]}/s",
    ]
    return "".join(cells).rstrip()


def _digits(value: float, digits: int) -> str:
    """That many digits, more before the point, at most five after it: 1,234,567, 87.65, 0.01234"""
    after = digits - 1 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{min(max(after, 0), 5)}f}"
