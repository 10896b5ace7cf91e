"""Runs of the native backend, with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.backends import reference
from recurra.backends.call import Call, Job, Layout
from recurra.backends.native import operators  # noqa: F401  (defines torch.ops.recurra)
from recurra.backends.native.compiled import specification, specify


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
    together = [t.contiguous() for _, given in jobs for t in given]
    calls = tuple(call for call, _ in jobs)
    if torch.is_grad_enabled() and any(t.requires_grad for t in together):
        outputs = _Scan.apply(calls, *together)
    else:
        outputs = _forward(calls, together, [None] * len(calls))
    return _by_job(calls, outputs)


def _forward(calls: Sequence[Call], tensors: Sequence[Tensor], wanted: Sequence[frozenset[str] | None]) -> list[Tensor]:
    numbers = [specify(c.cell, c.form, c.names, c.reverse, w) for c, w in zip(calls, wanted, strict=True)]
    layout: Layout = calls[0].layout
    made: list[Tensor] = torch.ops.recurra.scan(tensors, numbers, layout.active, layout.batch)
    return made


def _by_job(calls: Sequence[Call], outputs: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    found, place = [], 0
    for call in calls:
        count = 1 + len(call.cell.states)
        found.append(tuple(outputs[place : place + count]))
        place += count
    return found


class _Scan(torch.autograd.Function):
    """Forward by the plan that keeps values, backward by the derived plan."""

    @staticmethod
    def forward(ctx: Any, calls: Sequence[Call], *tensors: Tensor) -> tuple[Tensor, ...]:
        needed = iter(ctx.needs_input_grad[1:])
        wanted = [frozenset([name for kind, name in c.names if next(needed) and kind != "state"]) for c in calls]
        ctx.calls = calls
        ctx.numbers = [specify(c.cell, c.form, c.names, c.reverse, w) for c, w in zip(calls, wanted, strict=True)]
        made = _forward(calls, tensors, wanted)
        ctx.save_for_backward(*tensors, *made)
        place, outputs = 0, []
        for call, number in zip(calls, ctx.numbers, strict=True):
            named = dict(zip([n for n, _, _ in specification(number).forward.made], made[place:], strict=False))
            outputs += [named["output",], *(named["final", state] for state in call.cell.states)]
            place += len(named)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        calls: Sequence[Call] = ctx.calls
        count = sum(len(call.names) for call in calls)
        held = ctx.saved_tensors  # once: what computes it again (checkpointing) allows no more
        tensors, saved = held[:count], held[count:]
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return (None, *_differentiable(calls, tensors, gradients, needed))
        layout = calls[0].layout
        together = [g.contiguous() for g in gradients]
        made = torch.ops.recurra.scan_gradient(tensors, saved, together, ctx.numbers, layout.active, layout.batch)
        return (None, *_in_order(calls, ctx.numbers, made, needed))


def _in_order(
    calls: Sequence[Call], numbers: Sequence[int], made: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients in the order of the tensors; None where none is needed, or nothing reads the tensor."""
    found: list[Tensor | None] = []
    place = 0
    for call, number in zip(calls, numbers, strict=True):
        gradient = specification(number).gradient
        assert gradient is not None
        named = dict(zip([n for n, _, _ in gradient.made], made[place:], strict=False))
        for kind, name in call.names:
            key = ("final", name) if kind == "state" else ("gradient", kind, name)
            found.append(named.get(key) if needed[len(found)] else None)
        place += len(named)
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
