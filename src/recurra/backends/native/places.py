"""Where each value of a plan is, as spans of slots."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import prod

from recurra.backends.native.code import Code, Kind, Rows, Slot, Span
from recurra.backends.native.homes import Homes, Step
from recurra.backends.native.memory import ROWS_OF, Memory, cut, joined
from recurra.equations.graph import Node
from recurra.equations.plan import Plan

Shapes = Mapping[str, tuple[int, ...]]


class Places:
    """Spans by node: homes that were assigned, leaves, and views of either.

    Args:
        plan: the plan that is lowered, in `steps`.
        weights: shapes by name.
        forward: the code that kept what this plan reads, for a gradient plan.
    """

    def __init__(self, plan: Plan, steps: list[Step], weights: Shapes, forward: Code | None) -> None:
        self.plan, self.weights, self.forward = plan, weights, forward
        self.memory = Memory()
        self.homes = Homes(plan, steps, self.memory)
        self.of = self.homes.place
        self.entering: dict[str, int] = {}
        states = plan.graph.states
        for leaf, _ in states.values():
            self._open_state(leaf)
        for key, node in plan.graph.results.items():
            self._place_result(key, node)
        self.homes.assign({new: name for name, (_, new) in states.items()}, self.kept.values())

    @property
    def kept(self) -> dict[Hashable, Node]:
        """The results that a gradient plan will read, by key."""
        results = self.plan.graph.results
        return {key: node for key, node in results.items() if isinstance(key, tuple) and key[0] == "kept"}

    def _open_state(self, leaf: Node) -> None:
        """A state as it enters a step; what it follows is settled once the new state has its place."""
        width, name = leaf.width or 0, str(leaf.data)
        initial = self.memory.buffer(Rows.SEQUENCE, width, ("state", name))
        self.memory.slot_of(initial)
        self.entering[name] = self.memory.slot(Slot(Kind.ENTER, width, initial, self.memory.reserve(width)))
        self.of[leaf] = (Span(self.entering[name], 0, width),)

    def _place_result(self, key: Hashable, node: Node) -> None:
        """A result that an instruction, a product or a sum makes as often as it goes out is made where it goes."""
        target = self.target(key, node)
        if target is None or ROWS_OF[node.rate] is not self.rows(target):
            return
        if node.op == "total":
            self.of.setdefault(node, (target,))
        self.homes.claim(node, target)

    def target(self, key: Hashable, node: Node) -> Span | None:
        """The buffer that a result goes to, if it has one of its own."""
        if key == "output":
            return self.memory.span(Rows.STEP, node.width or 1, ("output",))
        if isinstance(key, tuple) and key[0] == "input":
            rows = self._given_rows(str(key[1]))
            return None if rows is None else self.memory.span(rows, node.width or 1, ("gradient", "input", key[1]))
        return None

    def _given_rows(self, name: str) -> Rows | None:
        assert self.forward is not None
        for buffer in self.forward.buffers:
            if buffer.name == ("input", name):
                return buffer.rows
        return None

    def kind(self, span: Span) -> Kind:
        """The kind of a span's slot; that of rows of one step for a register."""
        return Kind.LOCAL if span.register is not None else self.memory.slots[span.slot].kind

    def buffer(self, span: Span) -> int:
        """The number of the buffer that a span lies in."""
        return self.memory.slots[span.slot].buffer

    def rows(self, span: Span) -> Rows:
        """How many rows that buffer has."""
        return self.memory.buffers[self.buffer(span)].rows

    def spans(self, node: Node) -> tuple[Span, ...]:
        """Where a value is; views are found from what they show."""
        if node not in self.of:
            self.of[node] = self._find(node)
        return self.of[node]

    def _find(self, node: Node) -> tuple[Span, ...]:
        width = node.width or 1
        if node.op == "const":
            return (self.memory.constant(node.data, width),)
        if node.op == "vector":
            name, first, size = node.data
            return (self.weight(name).part(first, size),)
        if node.op == "scalar":
            return (Span(self.weight(str(node.data)).slot, 0, 1, True),)
        if node.op == "input":
            return (self._input(node),)
        if node.op == "slice":
            return cut(self.spans(node.args[0]), *node.data)
        if node.op == "concat":
            return joined([span for a in node.args for span in self.spans(a)])
        if node.op == "spread":
            (span,) = self.spans(node.args[0])
            return (Span(span.slot, span.column, width, True),)
        raise AssertionError(f"{node.op} has no place")

    def weight(self, name: str) -> Span:
        """All numbers of a weight as one row."""
        return self.memory.span(Rows.ONCE, prod(self.weights[name]), ("weight", name))

    def _input(self, node: Node) -> Span:
        number = node.width is None
        if isinstance(node.data, tuple) and node.data[0] == "kept":
            return self._kept_input(node.data, number)
        name = ("gradient", "output") if node.data == ("output",) else ("input", node.data)
        span = self.memory.span(ROWS_OF[node.rate], node.width or 1, name)
        return Span(span.slot, 0, span.width, number)

    def _kept_input(self, key: Hashable, number: bool) -> Span:
        assert self.forward is not None
        span = self.forward.kept[key]
        slot = self.forward.slots[span.slot]
        if slot.kind is not Kind.ENTER:
            return Span(self._same_buffer(slot.buffer), span.column, span.width, number)
        of, initial = self.forward.slots[slot.of], self.forward.buffers[slot.buffer]
        begin = self.memory.buffer(Rows.SEQUENCE, initial.width, ("before", initial.name))
        followed = self._same_buffer(of.buffer)
        for number_of, held in enumerate(self.memory.slots):
            if held.forward and (held.of, held.column, held.buffer) == (followed, slot.column, begin):
                return Span(number_of, span.column, span.width, number)
        local = self.memory.reserve(slot.width)
        entering = Slot(Kind.ENTER, slot.width, begin, local, followed, slot.column, forward=True)
        return Span(self.memory.slot(entering), span.column, span.width, number)

    def _same_buffer(self, index: int) -> int:
        assert self.forward is not None
        held = self.forward.buffers[index]
        return self.memory.slot_of(self.memory.buffer(held.rows, held.width, held.name))
