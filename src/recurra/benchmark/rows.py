"""What measuring yields: the conditions once, then a row for each workload. They cross processes as JSON lines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from recurra.benchmark.workloads import Workload


@dataclass(frozen=True)
class Conditions:
    """Where and with what the rows that follow are measured.

    Attributes:
        threads: how many each library may use; the process is held to as many CPUs where the system allows that.
        pinned: whether it is.
        limit: GFLOP/s (float32) that the rows are compared with, measured just before them.
        limit_name: what that limit is.
        machine: the processor.
        load: processes that wanted a CPU in the minute before, on average; None where the system does not tell.
        versions: of the libraries, by name.
        backend: recurra's backends that are measured, the first in ours, and why.
    """

    threads: int
    pinned: bool
    limit: float
    limit_name: str
    machine: str
    load: float | None
    versions: dict[str, str]
    backend: str


@dataclass(frozen=True)
class Result:
    """One contender in a row: the median and the least of all samples, in the row's unit."""

    name: str
    median: float
    least: float
    samples: int


@dataclass(frozen=True)
class LeftOut:
    """A contender that was not measured, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Row:
    """A workload and what was measured: recurra first, then the peers.

    Attributes:
        unit: ms, MB, or times (the alternation: its time as a multiple of the sum of its parts' times).
        flops: of one run; 0 where a rate means nothing.
        count: of the things done in one run (characters, tokens), 0 where nothing is counted.
    """

    workload: Workload
    threads: int
    results: list[Result]
    left_out: list[LeftOut] = field(default_factory=list)
    unit: str = "ms"
    flops: int = 0
    count: int = 0

    def ratio(self, result: Result) -> float:
        """How many times ours (the first) the result is: above 1, ours is the faster or the smaller."""
        return result.median / self.results[0].median

    def gflops(self, result: Result) -> float | None:
        """GFLOP/s of a result, None where the row has no rate."""
        return self.flops / result.median / 1e6 if self.flops else None

    def per_second(self, result: Result) -> float | None:
        """Things done per second, None where the row counts none."""
        return 1e3 * self.count / result.median if self.count else None


def to_line(event: Conditions | Row) -> str:
    """One line of JSON."""
    return json.dumps({"event": type(event).__name__, **asdict(event)})


def from_line(line: str) -> Conditions | Row:
    """The inverse of `to_line`."""
    fields: dict[str, Any] = json.loads(line)
    if fields.pop("event") == "Conditions":
        return Conditions(**fields)
    fields["workload"] = Workload(**fields["workload"])
    fields["results"] = [Result(**one) for one in fields["results"]]
    fields["left_out"] = [LeftOut(**one) for one in fields["left_out"]]
    return Row(**fields)
