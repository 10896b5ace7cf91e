"""The workloads at sizes that take no time."""

from dataclasses import replace

from recurra.benchmark import WORKLOADS, Workload

SMALL: dict[str, Workload] = {
    one.name: replace(one, steps=min(one.steps, 7), batch=min(one.batch, 3), size=5, vocabulary=min(one.vocabulary, 11))
    for one in WORKLOADS
}
"""One of each name; stacks of two layers where the last of that name has two."""
SMALL["lstm-train"] = replace(SMALL["lstm-train"], layers=2)
SMALL["lstm-inference"] = replace(SMALL["lstm-inference"], layers=2)
