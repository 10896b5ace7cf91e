"""One run of a plan in plain PyTorch: outside the loop on packed rows, inside it step by step."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from recurra.backends.call import Call, Layout
from recurra.backends.operations import function_of
from recurra.equations.graph import Block, Node, Product, Rate
from recurra.equations.plan import Plan


class Steps:
    """A value of every step: as a list over time [n_t, W], as packed rows [N, W], or both, each made when asked for."""

    def __init__(self, layout: Layout, *, packed: Tensor | None = None, steps: Sequence[Tensor] | None = None) -> None:
        self.layout = layout
        self._packed = packed
        self._steps = steps

    @classmethod
    def of_parts(cls, layout: Layout, parts: Sequence[Tensor]) -> Steps:
        """The inverse of `parts`."""
        return cls(layout, steps=parts) if len(parts) == layout.length else cls(layout, packed=parts[0])

    def parts(self) -> Sequence[Tensor]:
        """The tensors it is held in: one for each step, or the packed one."""
        return [self._packed] if self._packed is not None else self.steps

    @property
    def packed(self) -> Tensor:
        """The value as packed rows [N, W]."""
        if self._packed is None:
            assert self._steps is not None
            self._packed = torch.cat(list(self._steps))
        return self._packed

    @property
    def steps(self) -> Sequence[Tensor]:
        """The value as a list over time of [n_t, W]."""
        if self._steps is None:
            assert self._packed is not None
            self._steps = self._packed.split(self.layout.active)
        return self._steps


Value = Tensor | Steps


class Execution:
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
        """A result of a run as it is held, to be an input of the gradient plan."""
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
            return torch.outer(gradient, operand) if node.rate is Rate.ONCE else gradient.t() @ operand
        return function_of(node, self._matrices(node))(*args)

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
        program = [(function_of(node, self._matrices(node)), args, slot) for node, args, slot in code.instructions]
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
    return all(b == a._replace(row=a.row + a.rows, rows=b.rows) for a, b in pairwise(blocks))
