"""How a layer runs: the stages of its forward and gradient plans, what is kept between them, and what that takes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from recurra.backends.native.code import Code, Kind, Multiply, Outer, Program, Rows, Span, Stage
from recurra.backends.native.homes import VIEWS, steps_of
from recurra.backends.native.lowering import forward_code, gradient_code
from recurra.equations.graph import Node
from recurra.equations.phases import Phase
from recurra.equations.plan import Plan
from recurra.equations.plans import TrainingPlans, traced, training_plans
from recurra.inspection.names import Names
from recurra.layers.stack import Stack

BYTES = {"float32": 4, "float64": 8}
RATES = ("once", "sequence", "step", "loop")
"""How often a stage runs: once, per sequence, for the rows of all steps, in each step of the loop."""


def describe_plans(stack: Stack, *, input_gradient: bool = True) -> list[dict[str, Any]]:
    """For each layer how it is trained: plain data, for JSON or a page.

    Args:
        stack: the layers; both directions of a bidirectional one run by the same plan.
        input_gradient: whether anything below the first layer is trained.

    Returns:
        For each layer {"layer", "cell", "input_size", "output_size", "forward", "gradient", "kept", "memory",
        "recompute"}.
        "forward" and "gradient": {"stages": [{"when", "kind", "runs", "lines"}], "instructions", "products", "sums"
        (each a count before, in and after the loop), "flops": of the products per step and sequence}.
        "kept": [{"value", "width", "runs", "bytes", "memory"}], bytes per step (or sequence) by type.
        "memory": numbers per step and sequence, and bytes by type, that stay from forward to gradient.

    Example:
        >>> from recurra.layers.recurrent import Recurrent
        >>> (layer,) = describe_plans(Recurrent("rnn", 3, 5).stack)
        >>> layer["forward"]["stages"][0]["lines"], layer["memory"]["bytes"]["float32"]
        (['p1 = x @ W_ih^T + b'], 20)
    """
    return [_layer(stack, layer, input_gradient or layer > 0) for layer in range(stack.num_layers)]


def _layer(stack: Stack, layer: int, input_gradient: bool) -> dict[str, Any]:
    form = stack.form(layer, training=True)
    known = traced(stack.cell, form)
    wanted = frozenset([*known.weights, *(["x"] if input_gradient else [])])
    plans = training_plans(stack.cell, form, wanted)
    forward = forward_code(plans.forward, known.weights)
    gradient = gradient_code(plans.gradient, known.weights, forward)
    names = Names(known, plans.forward)
    kept = {key: names.of(plans.forward.graph.results[key]) for key in plans.kept}
    return {
        "layer": layer + 1,
        "cell": stack.cell.name,
        "input_size": form.input_size,
        "output_size": known.output.width,
        "forward": _pass(plans.forward, forward, names),
        "gradient": _pass(plans.gradient, gradient, Names(known, plans.gradient, kept)),
        "kept": _kept(plans, forward, names),
        "memory": _memory(forward),
        "recompute": stack.recompute,
    }


def _pass(plan: Plan, code: Code, names: Names) -> dict[str, Any]:
    """Stages as the native backend runs them; the reference makes the same values in the order of the plan."""
    stages: list[dict[str, Any]] = []
    for step in steps_of(plan):
        lines = [names.line(node) for node in step.nodes if node.op not in VIEWS or node.op == "concat"]
        stage = {"when": step.phase.name.lower(), "kind": step.kind, "runs": RATES[step.rate]}
        if lines:
            stages.append({**stage, "lines": lines})
    phases = {"before": code.before, "loop": code.loop, "after": code.after}
    every = [stage for each in phases.values() for stage in each]
    return {
        "stages": stages,
        "instructions": {when: sum(_instructions(s) for s in each) for when, each in phases.items()},
        "products": {when: sum(isinstance(s, Multiply) for s in each) for when, each in phases.items()},
        "sums": {when: sum(not isinstance(s, Multiply | Program) for s in each) for when, each in phases.items()},
        "flops": sum(_flops(stage) for stage in every),
    }


def _instructions(stage: Stage) -> int:
    return len(stage.instructions) if isinstance(stage, Program) else 0


def _flops(stage: Stage) -> int:
    """Two for each number of the weights, where every step of every sequence meets them."""
    if stage.rate < 2:
        return 0
    if isinstance(stage, Multiply):
        return sum(2 * matrix.depth * matrix.columns for row in stage.matrices for matrix in row)
    return 2 * stage.gradient.width * stage.operand.width if isinstance(stage, Outer) else 0


def _kept(plans: TrainingPlans, code: Code, names: Names) -> list[dict[str, Any]]:
    """Kept values; a state as it enters and as it leaves a step is one sequence, named by what leaves."""
    leaving = dict(plans.forward.graph.states.values())
    values: dict[tuple[int, int], tuple[Node, Span]] = {}
    for key in plans.kept:
        node = plans.forward.graph.results[key]
        span = _followed(code, code.kept[key])
        values[span.slot, span.column] = leaving.get(node, node), span
    made = [node for step in steps_of(plans.forward) for node in step.nodes]
    over = _hoisted(plans.forward, code, names)
    ordered = sorted(values.values(), key=lambda value: made.index(value[0]) if value[0] in made else -1)
    return [_row(code, span, names.of(node), over) for node, span in ordered]


def _row(code: Code, span: Span, name: str, over: dict[str, Span]) -> dict[str, Any]:
    buffer = code.buffers[code.slots[span.slot].buffer]
    shared = [f"over {product}" for product, place in over.items() if _meets(span, place)]
    memory = "the output" if buffer.name == ("output",) else (shared or ["its own"])[0]
    runs = "step" if buffer.rows is Rows.STEP else "sequence"
    return {"value": name, "width": span.width, "runs": runs, "bytes": _bytes(span.width), "memory": memory}


def _followed(code: Code, span: Span) -> Span:
    """Where rows lie: those of a state that enters a step are what left the step before."""
    slot = code.slots[span.slot]
    return Span(slot.of, slot.column + span.column, span.width) if slot.kind is Kind.ENTER else span


def _hoisted(plan: Plan, code: Code, names: Names) -> dict[str, Span]:
    """Where the products that run before the loop for all steps are, by name."""
    nodes = [n for s in steps_of(plan) if s.phase is Phase.BEFORE and s.kind == "product" for n in s.nodes]
    stages = [stage for stage in code.before if isinstance(stage, Multiply)]
    made = zip(nodes, stages, strict=True)
    return {names.of(node): stage.result for node, stage in made if stage.rate == 2}


def _meets(a: Span, b: Span) -> bool:
    return a.slot == b.slot and a.column < b.column + b.width and b.column < a.column + a.width


def _memory(code: Code) -> dict[str, Any]:
    """Buffers with rows for every step that outlive the forward pass."""
    numbers = sum(
        buffer.width
        for buffer in code.buffers
        if buffer.rows is Rows.STEP and _kind(buffer.name) in ("output", "saved")
    )
    return {"numbers": numbers, "bytes": _bytes(numbers)}


def _kind(name: Hashable) -> object:
    return name[0] if isinstance(name, tuple) else None


def _bytes(numbers: int) -> dict[str, int]:
    return {dtype: size * numbers for dtype, size in BYTES.items()}
