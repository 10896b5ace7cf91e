"""From workloads to rows, in this process: a function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch

import recurra
from recurra.backends import choose, explain
from recurra.benchmark import layers, memory, models, tagging
from recurra.benchmark.clock import Contender, alternate, summarise, timed
from recurra.benchmark.limit import limit, load, machine
from recurra.benchmark.networks import make_input, torch_layer
from recurra.benchmark.rows import Conditions, LeftOut, Row
from recurra.benchmark.workloads import Workload

Kind = Callable[[Workload, Sequence[str], int, int], Row]
PEERS = ("torch", "jax", "onnxruntime")


def measure(
    workloads: Iterable[Workload], threads: int, repeats: int, backends: Sequence[str] | None = None,
    *, pinned: bool = False,
) -> Iterator[Conditions | Row]:  # fmt: skip
    """The conditions, then a row for each workload, as they are measured.

    Args:
        workloads: what to measure.
        threads: for recurra and for every peer.
        repeats: samples of each contender.
        backends: of recurra, by name; the fastest available where None.
        pinned: whether the process is held to as many CPUs, for the record.

    Raises:
        BackendError: for a backend that is unknown or not available.
    """
    asked: list[str | None] = [*backends] if backends else [None]
    explained = [explain(name, "cpu") for name in asked]
    chosen = [choose(name, "cpu").name for name in asked]
    busy = load()
    set_threads(threads)
    versions = {"recurra": recurra.__version__, **{name: version(name) for name in PEERS if find_spec(name)}}
    yield Conditions(threads, pinned, *limit(threads), machine(), busy, versions, ", ".join(explained))
    for workload in workloads:
        yield KINDS[workload.kind](workload, chosen, threads, repeats)


def set_threads(threads: int) -> None:
    """For torch, and for recurra's own kernels where it has any."""
    torch.set_num_threads(threads)
    set_ours: Any = getattr(recurra, "set_num_threads", None)
    if set_ours is not None:
        set_ours(threads)


def _timed_row(
    entries: Callable[[Workload, Sequence[str], int], list[Contender | LeftOut]],
    w: Workload, backends: Sequence[str], threads: int, repeats: int,
) -> Row:  # fmt: skip
    results, left_out = timed(entries(w, backends, threads), repeats)
    return Row(w, threads, results, left_out, flops=w.flops, count=w.counted[0])


def _alternation_row(w: Workload, backends: Sequence[str], threads: int, repeats: int) -> Row:
    """A loop that alternates a torch operation and a layer, as a multiple of what its parts take alone.

    The operation is elementwise, on as many threads as torch has: its threads may still be spinning, waiting for more
    work, when those of the layer want to run.
    """
    peer = torch_layer(w)
    x = make_input(w)[0].detach()
    wide, out = torch.randn(512, 512), torch.empty(512, 512)
    results = []
    for name, layer in {**layers.ours(w, backends, peer.state_dict()), layers.peer_name(w): peer}.items():
        operation, forward = partial(torch.tanh, wide, out=out), layers.without_gradients(layer, x)
        parts = [Contender("operation", operation), Contender("layer", forward)]
        both = Contender("both", lambda operation=operation, forward=forward: (operation(), forward()))  # type: ignore[misc]
        times = zip(*alternate([both, *parts], repeats), strict=True)
        results.append(summarise(name, [together / (one + other) for together, one, other in times]))
    return Row(w, threads, results, unit="times")


def _memory_row(w: Workload, backends: Sequence[str], threads: int, repeats: int) -> Row:
    return Row(w, threads, *memory.measure(w, backends), unit="MB")


KINDS: dict[str, Kind] = {
    "train": partial(_timed_row, layers.train),
    "inference": partial(_timed_row, layers.inference),
    "ragged": partial(_timed_row, layers.ragged),
    "step": partial(_timed_row, layers.step),
    "model": partial(_timed_row, models.train),
    "generate": partial(_timed_row, models.write),
    "tagger": partial(_timed_row, tagging.train),
    "alternation": _alternation_row,
    "memory": _memory_row,
}
"""By the kind of a workload."""
