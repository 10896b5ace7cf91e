"""Runs of the native backend, with gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from recurra.backends import reference
from recurra.backends.call import Call, Job
from recurra.backends.native import operators
from recurra.backends.native.compiled import Specification, specification, specify
from recurra.backends.plain import apply, is_plain, laid_out

Value = TypeVar("Value")


def run(jobs: Sequence[Job]) -> list[tuple[Tensor, ...]]:
    """For each job the output [N, W] and the final states [B, W]; jobs of one layout run side by side.

    Types other than float32 and float64 are computed in float32; under autocast values are rounded to its type first.
    """
    (first, tensors), *rest = jobs
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            return run([(call, [t.to(dtype) for t in given]) for call, given in jobs])
    if any(call.layout.active != first.layout.active for call, _ in rest):
        return [made for job in jobs for made in run([job])]
    dtype = tensors[0].dtype
    if dtype not in (torch.float32, torch.float64):
        widened = run([(call, [t.float() for t in given]) for call, given in jobs])
        return [tuple(t.to(dtype) for t in made) for made in widened]
    together = [laid_out(t) for _, given in jobs for t in given]
    calls = tuple(call for call, _ in jobs)
    differentiable = torch.is_grad_enabled() and any(t.requires_grad for t in together)
    numbers = tuple(_specify(call, given if differentiable else None) for call, given in jobs)
    if differentiable:
        made = apply(_Scan, is_plain(together), calls, numbers, *together)
    else:
        made = operators.scan(together, numbers, first.layout.active, first.layout.batch)
    return [tuple(some[place] for place in spec.results) for spec, some in _by_job(numbers, made)]


def _specify(call: Call, tensors: Sequence[Tensor] | None) -> int:
    """The number of what is to be run: with gradients for those of `tensors` that require one, or without any."""
    wanted = None
    if tensors is not None:
        given = zip(call.names, tensors, strict=True)
        wanted = frozenset([name for (kind, name), tensor in given if tensor.requires_grad and kind != "state"])
    return specify(call.cell, call.form, call.names, call.reverse, wanted)


def _by_job(numbers: Sequence[int], made: Sequence[Value]) -> Iterator[tuple[Specification, Sequence[Value]]]:
    """What belongs to each thing that a forward run made, by job."""
    begin = 0
    for number in numbers:
        spec = specification(number)
        yield spec, made[begin : begin + len(spec.made)]
        begin += len(spec.made)


class _Scan(torch.autograd.Function):
    """Forward by the plan that keeps values, backward by the derived plan.

    What is kept goes out beside the outputs, so that torch.func can save it.
    """

    @staticmethod
    def forward(calls: Sequence[Call], numbers: Sequence[int], *tensors: Tensor) -> tuple[Tensor, ...]:
        layout = calls[0].layout
        return tuple(operators.scan(tensors, numbers, layout.active, layout.batch))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.calls, ctx.numbers, *tensors = inputs
        kept = [made[place] for spec, made in _by_job(ctx.numbers, output) for place in spec.kept]
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        calls: Sequence[Call] = ctx.calls
        count = sum(len(call.names) for call in calls)
        held = ctx.saved_tensors  # once: what computes it again (checkpointing) allows no more
        tensors, saved = held[:count], held[count:]
        together = [
            torch.zeros_like(value) if gradient is None else laid_out(gradient)
            for spec, made in _by_job(ctx.numbers, list(zip(saved, gradients, strict=True)))
            for value, gradient in [made[place] for place in spec.results]
        ]
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return (None, None, *_differentiable(calls, tensors, together, needed))
        layout = calls[0].layout
        found = operators.scan_gradient(tensors, saved, together, ctx.numbers, layout.active, layout.batch)
        return (None, None, *_in_order(ctx.numbers, found, needed))


def _in_order(numbers: Sequence[int], made: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    """Gradients in the order of the tensors; None where none is needed, or nothing reads the tensor."""
    found: list[Tensor | None] = []
    begin = 0
    for spec in map(specification, numbers):
        for place in spec.gradients:
            found.append(made[begin + place] if place is not None and needed[len(found)] else None)
        begin += len(spec.made_gradients)
    return found


def _differentiable(
    calls: Sequence[Call], tensors: Sequence[Tensor], gradients: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    found: list[Tensor | None] = []
    first = begin = 0
    for call in calls:
        last, end = first + len(call.names), begin + 1 + len(call.cell.states)
        found += reference.differentiable(call, tensors[first:last], gradients[begin:end], needed[first:last])
        first, begin = last, end
    return found
