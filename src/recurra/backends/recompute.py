"""Gradients through long sequences in little memory: values kept for the gradient are computed again, a piece of the
sequence at a time.

Only states at the borders of pieces are kept (Chen et al. 2016, arXiv:1604.06174). With pieces of sqrt(T) steps memory
grows with sqrt(T) and the forward pass runs twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from recurra.backends.call import Call, Job, Layout
from recurra.backends.choose import Backend


def run_in_pieces(backend: Backend, job: Job) -> tuple[Tensor, ...]:
    """The output and final states of a job, whose gradient computes each piece of about sqrt(T) steps again."""
    call, tensors = job
    layout = call.layout
    size = max(1, isqrt(layout.length))
    pieces = [layout.active[first : first + size] for first in range(0, layout.length, size)]
    if not pieces:
        return backend.run([job])[0]
    states = [tensor for (kind, _), tensor in zip(call.names, tensors, strict=True) if kind == "state"]
    cut = [
        _cut(call, name, tensor, [sum(active) for active in pieces])
        for name, tensor in zip(call.names, tensors, strict=True)
    ]
    outputs: list[Tensor] = []
    for active, given in _in_order(call, list(zip(pieces, zip(*cut, strict=True), strict=True))):
        entering = iter(states)
        filled = [
            next(entering) if kind == "state" else value for (kind, _), value in zip(call.names, given, strict=True)
        ]
        piece = replace(call, layout=Layout(active, layout.batch))
        output, *states = checkpoint(_run_piece, backend, piece, *filled, use_reentrant=False, preserve_rng_state=False)
        outputs.append(output)
    return (torch.cat(_in_order(call, outputs)), *states)


def _in_order(call: Call, pieces: list[Any]) -> list[Any]:
    """Pieces in the order in which they run, from their order in time; and back."""
    return pieces[::-1] if call.reverse else pieces


def _cut(call: Call, name: tuple[str, str], tensor: Tensor, rows: Sequence[int]) -> Sequence[Tensor]:
    """What each piece reads of a tensor: its rows of an input per step, all else as it is.

    All pieces by one operation, whose gradient is put together once: that of a view alone is as long as the whole.
    """
    kind, of = name
    return tensor.split(list(rows)) if kind == "input" and call.per_step(of) else [tensor] * len(rows)


def _run_piece(backend: Backend, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
    return backend.run([(call, tensors)])[0]
