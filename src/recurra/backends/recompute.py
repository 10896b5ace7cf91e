"""Gradients through long sequences in little memory: values kept for the gradient are computed again, a piece of the
sequence at a time.

Only states at the borders of pieces are kept (Chen et al. 2016, arXiv:1604.06174). With pieces of sqrt(T) steps memory
grows with sqrt(T) and the forward pass runs twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt

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
    borders = [*range(0, layout.length, size), layout.length]
    pieces = [(first, last) for first, last in zip(borders, borders[1:], strict=False) if first < last]
    states = [tensor for (kind, _), tensor in zip(call.names, tensors, strict=True) if kind == "state"]
    outputs: list[Tensor] = []
    for first, last in reversed(pieces) if call.reverse else pieces:
        piece = replace(call, layout=Layout(layout.active[first:last], layout.batch))
        given = _piece(call, tensors, states, first, last)
        output, *states = checkpoint(_run_piece, backend, piece, *given, use_reentrant=False, preserve_rng_state=False)
        outputs.append(output)
    if not pieces:
        return backend.run([job])[0]
    return (torch.cat(outputs[::-1] if call.reverse else outputs), *states)


def _run_piece(backend: Backend, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
    return backend.run([(call, tensors)])[0]


def _piece(call: Call, tensors: Sequence[Tensor], states: Sequence[Tensor], first: int, last: int) -> list[Tensor]:
    """What steps [first, last) read: their rows of inputs per step, the states that enter them, the rest as it is."""
    begin, rows = sum(call.layout.active[:first]), sum(call.layout.active[first:last])
    entering = iter(states)
    given = []
    for (kind, name), tensor in zip(call.names, tensors, strict=True):
        if kind == "state":
            given.append(next(entering))
        elif kind == "input" and call.per_step(name):
            given.append(tensor.narrow(0, begin, rows))
        else:
            given.append(tensor)
    return given
