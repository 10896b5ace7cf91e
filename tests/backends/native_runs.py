"""Runs of the native backend that are known to have run there, and what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from agreement import layout_of
from random_cells import Example
from torch import Tensor

from recurra.backends import Call, find_backend
from recurra.backends.extension import extension
from recurra.layers.recurrent import Recurrent

ROUNDING = torch.finfo(torch.float32).eps


@contextmanager
def counted() -> Iterator[list[int]]:
    """Counts the codes that the kernels run inside the block, each call by itself."""
    module = extension()
    run, counts = module.run, []

    def counting(doubles: bool, jobs: Any, *rest: Any) -> None:
        counts.append(len(jobs))
        run(doubles, jobs, *rest)

    module.run = counting
    try:
        yield counts
    finally:
        module.run = run


def run_native(example: Example, tensors: dict[tuple[str, str], Tensor]) -> tuple[Tensor, ...]:
    """Output and final states of an example, by the kernels."""
    call = Call(example.cell, example.form, layout_of(example.lengths), example.reverse, tuple(tensors))
    with counted() as counts:
        (results,) = find_backend("native").run([(call, list(tensors.values()))])
    assert counts == [1]
    return results


def random_state(model: Recurrent, batch: int) -> list[dict[str, Tensor]]:
    shapes = [model.stack.state_shapes(layer, batch) for layer, _ in model.stack.runs]
    like = next(model.parameters())
    return [{n: torch.randn(s, dtype=like.dtype, requires_grad=True) for n, s in named.items()} for named in shapes]


def everything(
    model: Recurrent, x: Tensor, state: Sequence[dict[str, Tensor]], lengths: Sequence[int] | None, backend: str
) -> list[Tensor]:
    """Output, final states, and the gradients of x, initial states and weights, drawn with the same masks each time."""
    model.stack.__dict__["backend"] = backend  # the stack is frozen; its weights are to stay the same
    leaves = [x, *(v for s in state for v in s.values()), *model.parameters()]
    torch.manual_seed(3)
    with counted() as counts:
        output, final = model(x, state, lengths)
        results = [output, *(value for states in final for value in states.values())]
        torch.manual_seed(4)
        loss = sum((torch.randn(r.shape, dtype=torch.float64).to(r.dtype) * r).sum() for r in results)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    runs = len(model.stack.runs)
    assert sum(counts) == (2 * runs if backend == "native" else 0)
    filled = [torch.zeros_like(t) if g is None else g for g, t in zip(gradients, leaves, strict=True)]
    return [*(r.detach() for r in results), *filled]


def evaluated(
    model: Recurrent, x: Tensor, state: Sequence[dict[str, Tensor]], lengths: Sequence[int] | None, backend: str
) -> list[Tensor]:
    """Output and final states by the plans that keep nothing."""
    model.stack.__dict__["backend"] = backend
    torch.manual_seed(3)
    with torch.no_grad(), counted() as counts:
        output, final = model(x, state, lengths)
    assert sum(counts) == (len(model.stack.runs) if backend == "native" else 0)
    return [output, *(value for states in final for value in states.values())]


def relative_errors(values: Sequence[Tensor], truth: Sequence[Tensor]) -> list[float]:
    """The largest error of each tensor, relative to its largest number, or to 0.1 where a sum has nearly cancelled."""
    found = []
    for value, expected in zip(values, truth, strict=True):
        assert value.shape == expected.shape
        if expected.numel():
            scale = expected.abs().max().clamp(min=0.1)
            error = ((value.double() - expected).abs().max() / scale).item()
            found.append(error if error == error else float("inf"))
        else:
            found.append(0.0)
    return found


def mean_error(values: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Root mean square of all errors, those of each tensor relative to its largest number, and each tensor alike."""
    squares = []
    for value, expected in zip(values, truth, strict=True):
        if expected.numel():
            scale = expected.abs().max().clamp(min=0.1)
            squares.append(((value.double() - expected) / scale).square().mean())
    return torch.stack(squares).mean().sqrt().item()
