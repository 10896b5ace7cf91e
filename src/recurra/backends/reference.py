"""The reference backend: a plan walked in plain PyTorch, on any device and in any dtype. The definition of correct.

Sequences are packed: rows sorted by length, longest first, and the valid rows of each step one after the other, so
that padding is never computed. `run` gives gradients both ways: by the derived gradient graph (`gradient="derived"`)
or by autograd through the loop (`gradient="autograd"`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.backends.call import Call, Layout
from recurra.backends.execution import Execution, Steps, Value
from recurra.equations.plans import TrainingPlans, differentiable_plan, forward_plan, training_plans


def run(call: Call, tensors: Sequence[Tensor], gradient: str = "derived") -> tuple[Tensor, ...]:
    """The output [N, W] and the final states [B, W] of one cell over a packed batch.

    Args:
        call: cell, form, layout, and what `tensors` are.
        tensors: inputs, initial states and weights, in the order of `call.names`.
        gradient: "derived" or "autograd".
    """
    device = tensors[0].device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):  # as torch.nn's: all in its dtype
        dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return run(call, [tensor.to(dtype) for tensor in tensors], gradient)
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors) or gradient == "autograd":
        return _forward(call, tensors)
    return _Scan.apply(call, *tensors)


def _forward(call: Call, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    make = differentiable_plan if torch.is_grad_enabled() else forward_plan
    execution = Execution(make(call.cell, call.form), call, call.named(tensors))
    finals = execution.run()
    return (execution.result("output"), *finals)


class _Scan(torch.autograd.Function):
    """Forward by the plan that keeps values, backward by the derived plan."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        names = [name for name, needed in zip(call.names, ctx.needs_input_grad[1:], strict=True) if needed]
        plans = training_plans(call.cell, call.form, frozenset(n for kind, n in names if kind != "state"))
        execution = Execution(plans.forward, call, call.named(tensors))
        finals = execution.run()
        kept = [execution.kept(key) for key in plans.kept]
        flat = [k.parts() if isinstance(k, Steps) else [k] for k in kept]
        ctx.call, ctx.plans = call, plans
        ctx.counts = [len(group) if isinstance(k, Steps) else None for k, group in zip(kept, flat, strict=True)]
        ctx.save_for_backward(*tensors, *(t for group in flat for t in group))
        return (execution.result("output"), *finals)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        call, count = ctx.call, len(ctx.call.names)
        saved = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted: autograd through the loop has it
            return (None, *differentiable(call, saved[:count], gradients, ctx.needs_input_grad[1:]))
        found = _gradients(
            call, ctx.plans, saved[:count], _regrouped(call.layout, saved[count:], ctx.counts), gradients
        )
        return (
            None,
            *(
                found.get(name) if needed else None  # None: nothing reads it
                for name, needed in zip(call.names, ctx.needs_input_grad[1:], strict=True)
            ),
        )


def _regrouped(layout: Layout, flat: Sequence[Tensor], counts: Sequence[int | None]) -> list[Value]:
    kept: list[Value] = []
    position = 0
    for count in counts:
        if count is None:
            kept.append(flat[position])
        else:
            kept.append(Steps.of_parts(layout, flat[position : position + count]))
        position += 1 if count is None else count
    return kept


def differentiable(
    call: Call, tensors: Sequence[Tensor], gradients: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    outputs = _forward(call, tensors)
    wanted = [t for t, need in zip(tensors, needed, strict=True) if need]
    reached = [(o, g) for o, g in zip(outputs, gradients, strict=True) if o.requires_grad]
    found = iter(
        torch.autograd.grad(
            [o for o, _ in reached], wanted, [g for _, g in reached], create_graph=True, allow_unused=True
        )
    )
    return [next(found) if need else None for need in needed]


def _gradients(
    call: Call,
    plans: TrainingPlans,
    tensors: Sequence[Tensor],
    kept: Sequence[Value],
    gradients: Sequence[Tensor],
) -> dict[tuple[str, str], Tensor]:
    """Gradients by (kind, name), from the derived plan run against time."""
    named = call.named(tensors)
    inputs: dict[Hashable, Value] = dict(zip(plans.kept, kept, strict=True))
    inputs["output",] = gradients[0]
    back = {("state", name): g for name, g in zip(call.cell.states, gradients[1:], strict=True)}
    values = {**named, **back}
    execution = Execution(plans.gradient, call, values, inputs, against=True)
    carried = zip(call.cell.states, execution.run(), strict=True)
    found = {("state", name): gradient for name, gradient in carried}
    for (kind, name), tensor in named.items():
        if kind == "input" and ("input", name) in execution.plan.graph.results:
            found[kind, name] = execution.result(("input", name)).expand_as(tensor)
    for key in execution.plan.graph.results:
        for weight, place, part in _weight_gradient(key, execution):
            if ("weight", weight) not in found:
                found["weight", weight] = torch.zeros_like(named["weight", weight])
            found["weight", weight][place] += part
    return found


def _weight_gradient(key: Any, execution: Execution) -> Iterator[tuple[str, Any, Tensor]]:
    """A result of the gradient plan as parts of weights: name, place in the weight, gradient."""
    if key[0] == "vector":
        _, name, first, size = key
        yield name, slice(first, first + size), execution.result(key)
    elif key[0] == "scalar":
        yield key[1], (), execution.result(key).reshape(())
    elif key[0] == "matrix":
        parts = execution.result(key).split([block.rows for block in key[1]])
        for block, part in zip(key[1], parts, strict=True):
            rows, columns = slice(block.row, block.row + block.rows), slice(block.column, block.column + block.columns)
            yield block.weight, (rows, columns), part
