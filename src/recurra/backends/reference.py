"""The reference backend: a plan walked in plain PyTorch, on any device and in any dtype. The definition of correct.

Sequences are packed: rows sorted by length, longest first, and the valid rows of each step one after the other, so
that padding is never computed. `run` gives gradients both ways: by the derived gradient graph (`gradient="derived"`)
or by autograd through the loop (`gradient="autograd"`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from recurra.backends.call import Call, Layout
from recurra.equations.graph import Block, Node, Product, Rate
from recurra.equations.plan import Plan
from recurra.equations.plans import TrainingPlans, differentiable_plan, forward_plan, training_plans

aten = torch.ops.aten

OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "exp": torch.exp,
    "log": torch.log,
    "logsigmoid": torch.nn.functional.logsigmoid,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "max": torch.maximum,
    "min": torch.minimum,
    "fma": lambda a, b, c: torch.addcmul(c, a, b),
    "fnma": lambda a, b, c: torch.addcmul(c, a, b, value=-1),
    "stop": torch.detach,
    "dtanh": aten.tanh_backward,
    "dsigmoid": aten.sigmoid_backward,
    "drelu": lambda g, y: aten.threshold_backward(g, y, 0),
    "pick": lambda g, a, b: g * ((a > b).to(g.dtype) + 0.5 * (a == b).to(g.dtype)),
    "sum": lambda a: a.sum(-1, keepdim=True),
    "normalise": lambda a, s: (a - a.mean(-1, keepdim=True)) * s,
    "dnormalise": lambda g, y, s: s * (g - g.mean(-1, keepdim=True) - y * (g * y).mean(-1, keepdim=True)),
}


class Steps:
    """A value of every step: as a list over time [n_t, W], as packed rows [N, W], or both, each made when asked for."""

    def __init__(self, layout: Layout, *, packed: Tensor | None = None, steps: Sequence[Tensor] | None = None) -> None:
        self.layout = layout
        self._packed = packed
        self._steps = steps

    @classmethod
    def of_parts(cls, layout: Layout, parts: Sequence[Tensor]) -> Steps:
        return cls(layout, steps=parts) if len(parts) == layout.length else cls(layout, packed=parts[0])

    def parts(self) -> Sequence[Tensor]:
        """The tensors it is held in: one for each step, or the packed one."""
        return [self._packed] if self._packed is not None else self.steps

    @property
    def packed(self) -> Tensor:
        if self._packed is None:
            assert self._steps is not None
            self._packed = torch.cat(list(self._steps))
        return self._packed

    @property
    def steps(self) -> Sequence[Tensor]:
        if self._steps is None:
            assert self._packed is not None
            self._steps = self._packed.split(self.layout.active)
        return self._steps


Value = Tensor | Steps
Instruction = tuple[Callable[..., Tensor], tuple[int, ...], int]


def run(call: Call, tensors: Sequence[Tensor], gradient: str = "derived") -> tuple[Tensor, ...]:
    """The output [N, W] and the final states [B, W] of one cell over a packed batch.

    Args:
        call: cell, form, layout, and what `tensors` are.
        tensors: inputs, initial states and weights, in the order of `call.names`.
        gradient: "derived" or "autograd".
    """
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors) or gradient == "autograd":
        return _forward(call, tensors)
    return _Scan.apply(call, *tensors)  # type: ignore[no-untyped-call]


def _forward(call: Call, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    make = differentiable_plan if torch.is_grad_enabled() else forward_plan
    execution = _Execution(make(call.cell, call.form), call, call.named(tensors))
    finals = execution.run()
    return (execution.result("output"), *finals)


class _Scan(torch.autograd.Function):
    """Forward by the plan that keeps values, backward by the derived plan."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        names = [name for name, needed in zip(call.names, ctx.needs_input_grad[1:], strict=True) if needed]
        plans = training_plans(call.cell, call.form, frozenset(n for kind, n in names if kind != "state"))
        execution = _Execution(plans.forward, call, call.named(tensors))
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
            return (None, *_differentiable(call, saved[:count], gradients, ctx.needs_input_grad[1:]))
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


def _differentiable(
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
    execution = _Execution(plans.gradient, call, values, inputs, against=True)
    carried = zip(call.cell.states, execution.run(), strict=True)
    found = {("state", name): gradient for name, gradient in carried}
    for (kind, name), tensor in named.items():
        if kind == "input" and ("input", name) in execution.plan.graph.results:
            found[kind, name] = execution.result(("input", name)).expand_as(tensor)
        elif kind == "weight":
            found[kind, name] = torch.zeros_like(tensor)
    for key in execution.plan.graph.results:
        _add_weight_gradient(found, key, execution)
    return found


def _add_weight_gradient(found: dict[tuple[str, str], Tensor], key: Any, execution: _Execution) -> None:
    """Put a result of the gradient plan where it belongs in its weight."""
    if key[0] == "vector":
        _, name, first, size = key
        found["weight", name][first : first + size] += execution.result(key)
    elif key[0] == "scalar":
        found["weight", key[1]] += execution.result(key).reshape(())
    elif key[0] == "matrix":
        value, offset = execution.result(key), 0
        for block in key[1]:
            target = found["weight", block.weight]
            part = value[offset : offset + block.rows]
            target[block.row : block.row + block.rows, block.column : block.column + block.columns] += part
            offset += block.rows


class _Execution:
    """One run of a plan: values by node, outside the loop on packed rows, inside it step by step."""

    def __init__(
        self,
        plan: Plan,
        call: Call,
        named: Mapping[tuple[str, str], Tensor],
        inputs: Mapping[Hashable, Value] | None = None,
        against: bool = False,
    ) -> None:
        self.plan, self.call, self.layout, self.named = plan, call, call.layout, named
        self.inputs = inputs or {}
        self.reverse = call.reverse ^ against
        self.values: dict[Node, Value] = {}
        like = next(t for (kind, _), t in named.items() if kind == "state")
        self.dtype, self.device = like.dtype, like.device

    def run(self) -> list[Tensor]:
        """Run the whole plan; the final states [B, W] in the cell's order."""
        for stage in self.plan.before:
            for node in stage.nodes:
                self.values[node] = self._make(node)
        finals = self._loop()
        for stage in self.plan.after:
            for node in stage.nodes:
                self.values[node] = self._make(node)
        return finals

    def result(self, key: Hashable) -> Tensor:
        """A result of a run as one tensor: packed rows [N, W], [B, W] where made per sequence, [W] where made once."""
        node = self.plan.graph.results[key]
        return self._spread(node, self.layout.rows) if key == "output" else self._tensor(node)

    def kept(self, key: Hashable) -> Value:
        return self._value(self.plan.graph.results[key])

    def _spread(self, node: Node, rows: int) -> Tensor:
        value = self._align(node, Rate.STEP)
        return value.expand(rows, value.shape[-1])

    def _value(self, node: Node) -> Value:
        if node not in self.values:
            self.values[node] = self._leaf(node)
        return self.values[node]

    def _leaf(self, node: Node) -> Value:
        if node.op == "const":
            return torch.tensor(node.data, dtype=self.dtype, device=self.device)
        if node.op == "vector":
            name, first, size = node.data
            return self.named["weight", name][first : first + size]
        if node.op == "scalar":
            return self.named["weight", str(node.data)].reshape(1)
        value = self.inputs.get(node.data)
        value = self.named["input", str(node.data)] if value is None else value
        return Steps(self.layout, packed=value) if isinstance(value, Tensor) and node.rate.per_step else value

    def _tensor(self, node: Node) -> Tensor:
        value = self._value(node)
        return value.packed if isinstance(value, Steps) else value

    def _align(self, node: Node, rate: Rate) -> Tensor:
        """The value of `node` for a reader of `rate`: what is made per sequence repeated for each of its steps."""
        value = self._tensor(node)
        if node.rate is Rate.SEQUENCE and rate.per_step:
            return value.index_select(0, self.layout.sequence_of(self.device))
        return value

    def _make(self, node: Node) -> Value:
        value = self._compute(node)
        return Steps(self.layout, packed=value) if node.rate.per_step and node.op != "outer" else value

    def _compute(self, node: Node) -> Tensor:
        if node.op == "total":
            return self._total(node)
        args = [self._align(a, node.rate) for a in node.args]
        if node.op == "outer":
            gradient, operand = args
            if node.rate is Rate.ONCE:
                return torch.outer(gradient, operand)
            rows = max(gradient.shape[0] if gradient.dim() > 1 else 1, operand.shape[0] if operand.dim() > 1 else 1)
            return gradient.expand(rows, gradient.shape[-1]).t() @ operand.expand(rows, operand.shape[-1])
        return _function(node, self._matrices(node))(*args)

    def _total(self, node: Node) -> Tensor:
        (arg,) = node.args
        value = self._tensor(arg)
        if node.rate is Rate.ONCE:
            return value.sum(0)
        zeros = torch.zeros(self.layout.batch, value.shape[-1], dtype=value.dtype, device=value.device)
        return zeros.index_add(0, self.layout.sequence_of(self.device), value)

    def _matrices(self, node: Node) -> list[Tensor]:
        """For each operand of a product the matrix it meets, transposed: operand [n, K] @ matrix [K, W]."""
        if not isinstance(node.data, Product):
            return []
        return [self._matrix(tuple(part[k] for part in node.data.blocks)) for k in range(len(node.operands))]

    def _matrix(self, blocks: tuple[Block, ...]) -> Tensor:
        first, last = blocks[0], blocks[-1]
        whole = first._replace(rows=last.row + last.rows - first.row)
        if not first.transposed and _tiles(blocks):
            return self._block(whole)
        return torch.cat([self._block(block) for block in blocks], dim=1)

    def _block(self, block: Block) -> Tensor:
        weight = self.named["weight", block.weight]
        part = weight[block.row : block.row + block.rows, block.column : block.column + block.columns]
        return part if block.transposed else part.t()

    def _loop(self) -> list[Tensor]:
        plan, layout = self.plan, self.layout
        leaves = [leaf for leaf, _ in plan.graph.states.values()]
        news = [new for _, new in plan.graph.states.values()]
        code = _code(plan)
        env: list[Any] = [None] * code.size
        for slot, node in code.once:
            env[slot] = self._tensor(node)
        program = [(_function(node, self._matrices(node)), args, slot) for node, args, slot in code.instructions]
        steps = [(slot, self._steps(node)) for slot, node in code.steps]
        sequences = [(slot, self._tensor(node)) for slot, node in code.sequences]
        records: dict[Node, list[Tensor]] = {node: [None] * layout.length for node in plan.recorded}  # type: ignore[list-item]
        recorded = [(records[node], code.slots[node]) for node in plan.recorded]
        entering = [code.slots[leaf] for leaf in leaves]
        leaving = [code.slots[new] for new in news]
        states = _States([self.named["state", str(leaf.data)] for leaf in leaves])
        for t in reversed(range(layout.length)) if self.reverse else range(layout.length):
            rows = layout.active[t]
            if states.resize(rows):
                for slot, value in sequences:
                    env[slot] = value[:rows]
            for slot, values in steps:
                env[slot] = values[t]
            for slot, value in zip(entering, states.current, strict=True):
                env[slot] = value
            for function, args, slot in program:
                env[slot] = function(*[env[a] for a in args])
            for record, slot in recorded:
                record[t] = env[slot]
            states.current = [_rows(env[slot], rows) for slot in leaving]
        for node, record in records.items():
            self.values[node] = Steps(layout, steps=record) if record else self._empty(node)
        return states.finish()

    def _steps(self, node: Node) -> Sequence[Tensor]:
        value = self._value(node)
        assert isinstance(value, Steps)
        return value.steps

    def _empty(self, node: Node) -> Steps:
        return Steps(self.layout, packed=torch.zeros(0, node.width or 1, dtype=self.dtype, device=self.device))


def _rows(value: Tensor, rows: int) -> Tensor:
    """A new state as rows of its own, where it was made once (a vector that every sequence shares)."""
    return value if value.dim() > 1 else value.expand(rows, value.shape[0])


class _States:
    """The carried states of the active rows. Rows that end leave their state behind; rows that begin bring theirs."""

    def __init__(self, initial: list[Tensor]) -> None:
        self.initial = initial
        self.current = initial
        self.ended: list[list[Tensor]] = []
        self.rows: int | None = None

    def resize(self, rows: int) -> bool:
        """Make `rows` the number of active rows; whether that changed."""
        if self.rows == rows:
            return False
        if self.rows is None:
            self.ended.append([value[rows:] for value in self.initial])
            self.current = [value[:rows] for value in self.initial]
        elif rows < self.rows:
            self.ended.append([value[rows:] for value in self.current])
            self.current = [value[:rows] for value in self.current]
        else:
            begin = [value[self.rows : rows] for value in self.initial]
            self.current = [torch.cat(pair) for pair in zip(self.current, begin, strict=True)]
            self.ended[0] = [value[rows:] for value in self.initial]
        self.rows = rows
        return True

    def finish(self) -> list[Tensor]:
        parts = [self.current, *reversed(self.ended)] if self.rows is not None else [self.current]
        return [torch.cat(group) if len(group) > 1 else group[0] for group in zip(*parts, strict=True)]


class _Code:
    """A plan's loop as instructions over numbered slots; made once for each plan."""

    def __init__(self, plan: Plan) -> None:
        self.slots: dict[Node, int] = {}
        self.once: list[tuple[int, Node]] = []
        self.sequences: list[tuple[int, Node]] = []
        self.steps: list[tuple[int, Node]] = []
        self.instructions: list[tuple[Node, tuple[int, ...], int]] = []
        states = [leaf for leaf, _ in plan.graph.states.values()]
        inside = [node for stage in plan.loop for node in stage.nodes]
        for node in (*states, *inside):
            self.slots[node] = len(self.slots)
        news = [new for _, new in plan.graph.states.values()]
        for node in (*(a for n in inside for a in n.args), *news, *plan.recorded):
            if node not in self.slots:
                self.slots[node] = len(self.slots)
                kind = {Rate.ONCE: self.once, Rate.SEQUENCE: self.sequences}.get(node.rate, self.steps)
                kind.append((self.slots[node], node))
        for node in inside:
            self.instructions.append((node, tuple(self.slots[a] for a in node.args), self.slots[node]))
        self.size = len(self.slots)


@lru_cache(maxsize=1024)
def _code(plan: Plan) -> _Code:
    return _Code(plan)


def _tiles(blocks: tuple[Block, ...]) -> bool:
    """Whether the blocks are rows of one matrix, one after the other."""
    return all(b == a._replace(row=a.row + a.rows, rows=b.rows) for a, b in zip(blocks, blocks[1:], strict=False))


def _function(node: Node, matrices: list[Tensor]) -> Callable[..., Tensor]:
    """The function that makes `node` from the tensors of its arguments."""
    if node.op == "product":
        return _product(matrices, node.start is not None)
    if node.op == "slice":
        first, width = node.data
        return lambda a: a.narrow(-1, first, width)
    if node.op == "concat":
        return _concat
    if node.op == "spread":
        width = node.data
        return lambda a: a.expand(*a.shape[:-1], width) if a.dim() else a.expand(width)
    if node.op == "inv_std":
        eps = node.data
        return lambda a: torch.rsqrt((a - a.mean(-1, keepdim=True)).square().mean(-1, keepdim=True) + eps)
    return OPERATIONS[node.op]


def _concat(*parts: Tensor) -> Tensor:
    rows = max((p.shape[0] for p in parts if p.dim() > 1), default=None)
    return torch.cat([p if rows is None or p.dim() > 1 else p.expand(rows, p.shape[0]) for p in parts], dim=-1)


def _product(matrices: list[Tensor], start: bool) -> Callable[..., Tensor]:
    (first, *rest) = matrices
    if start and not rest:
        return lambda a, s: torch.addmm(s, a, first) if a.dim() > 1 else s + a @ first
    if not rest:
        return lambda a: a @ first

    def product(*args: Tensor) -> Tensor:
        total = args[-1] + args[0] @ first if start else args[0] @ first
        for operand, matrix in zip(args[1:], rest, strict=False):
            total = total + operand @ matrix if operand.dim() < 2 else torch.addmm(total, operand, matrix)
        return total

    return product
