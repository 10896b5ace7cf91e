"""From a plan to code for the native kernels: every value a place, every stage a list of numbers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import pairwise

from recurra.backends.native.code import (
    ROW_OPERATIONS,
    Code,
    Instruction,
    Kind,
    Matrix,
    Multiply,
    Outer,
    Program,
    Rows,
    Slot,
    Span,
    Stage,
    State,
    Total,
)
from recurra.backends.native.homes import VIEWS, Step, steps_of
from recurra.backends.native.memory import ROWS_OF, cut
from recurra.backends.native.places import Places, Shapes
from recurra.backends.native.registers import finish
from recurra.backends.native.weight_gradients import WeightGradients
from recurra.equations.graph import Block, Node, Product, Rate
from recurra.equations.phases import Phase
from recurra.equations.plan import Plan


def forward_code(plan: Plan, weights: Shapes) -> Code:
    """Code of a forward plan, with or without values kept. Buffers: ("input", name), ("state", name), ("weight", name)
    come in; ("output",), ("final", name) and ("saved", k) go out."""
    return _Lowering(plan, weights, None).lower()


def gradient_code(plan: Plan, weights: Shapes, forward: Code) -> Code:
    """Code of a gradient plan over what `forward` kept. Besides its buffers ("gradient", "output") comes in, and
    ("gradient", kind, name) goes out; ("state", name) and ("final", name) are the gradients of the final and of the
    initial state."""
    return _Lowering(plan, weights, forward).lower()


class _Lowering:
    def __init__(self, plan: Plan, weights: Shapes, forward: Code | None) -> None:
        self.plan = plan
        self.steps = steps_of(plan)
        self.places = Places(plan, self.steps, weights, forward)
        self.memory = self.places.memory
        self.weights = weights
        self.gradients = WeightGradients(self.places)
        self.stages: dict[Phase, list[Stage]] = {phase: [] for phase in Phase}
        self.program: Program | None = None

    def lower(self) -> Code:
        graph, states = self.plan.graph, []
        for phase in Phase:
            for step in (s for s in self.steps if s.phase is phase):
                self._lower_step(step)
            if phase is Phase.LOOP:
                states = [self._close_state(name, leaf, new) for name, (leaf, new) in graph.states.items()]
            self._close()
        for key, node in graph.results.items():
            self._finish_result(key, node)
        self._close()
        kept = {key: self._keep(node) for key, node in self.places.kept.items()}
        stages, memory = self.stages, self.memory
        return Code(
            memory.buffers, memory.slots, stages[Phase.BEFORE], stages[Phase.LOOP], stages[Phase.AFTER], states,
            memory.constants, kept, self.gradients.settle(),
        )  # fmt: skip

    def _close_state(self, name: str, leaf: Node, new: Node) -> State:
        """Make sure that the new state lies in one piece where the next step finds it."""
        width = leaf.width or 0
        spans = self.places.spans(new)
        kinds = {self.places.kind(span) for span in spans}
        if len(spans) > 1 or spans[0].number or kinds & {Kind.ENTER, Kind.LOCAL, Kind.ONCE}:
            rows = Rows.STEP if leaf in self.places.homes.recorded else Rows.CARRY
            to = self.memory.span(rows, width)
            self._open(Phase.LOOP, Rate.LOOP)
            self._copy(spans, (to,))
            spans = (to,)
        slot = self.places.entering[name]
        held = self.memory.slots[slot]
        self.memory.slots[slot] = Slot(
            Kind.ENTER, width, held.buffer, held.offset, spans[0].slot, spans[0].column, False
        )
        initial = self.memory.slot_of(held.buffer)
        final = self.memory.span(Rows.SEQUENCE, width, ("final", name)).slot
        return State(spans[0], initial, final)

    def _keep(self, node: Node) -> Span:
        """Where a kept value is, in a buffer that outlives the run."""
        spans = self.places.spans(node)
        assert len(spans) == 1
        self.memory.save(spans[0])
        return spans[0]

    def _open(self, phase: Phase, rate: Rate) -> Program:
        """The program that instructions go to; a new one where the last stage is another."""
        if self.program is None or self.program.rate != rate or self.stages[phase][-1] is not self.program:
            self._close()
            self.program = Program(int(rate))
            self.stages[phase].append(self.program)
        return self.program

    def _close(self) -> None:
        if self.program is not None:
            finish(self.program, self.memory.slots)
            self.program = None

    def _lower_step(self, step: Step) -> None:
        if step.kind == "program":
            for node in step.nodes:
                self._lower_node(step, node)
            return
        for node in step.nodes:
            if step.kind == "product":
                self._multiply(step, node)
            elif node.op == "outer":
                self._outer(step, node)
            else:
                self._total(step, node)

    def _lower_node(self, step: Step, node: Node) -> None:
        if node.op in VIEWS:
            self._record_view(step, node)
            return
        program = self._open(step.phase, step.rate)
        width = node.width or 1
        if node not in self.places.of:
            self.places.of[node] = (_register(program, width, node.width is None),)
        elif node.width is None:
            (home,) = self.places.of[node]
            self.places.of[node] = (Span(home.slot, home.column, 1, True),)
        number = node.data if node.op == "inv_std" else 0.0
        arguments = [self.places.spans(a) for a in node.args]
        width = max([width, *(a.width or 1 for a in node.args)])
        if node.op in ROW_OPERATIONS:
            whole = [self._whole_row(program, a, spans) for a, spans in zip(node.args, arguments, strict=True)]
            program.instructions.append(Instruction(node.op, width, self.places.of[node][0], tuple(whole), number))
        else:
            self._emit(program, node.op, self.places.of[node], arguments)

    def _emit(
        self, program: Program, operation: str, result: tuple[Span, ...], arguments: list[tuple[Span, ...]]
    ) -> None:
        """An elementwise instruction, or several where an operand lies in several pieces."""
        width = sum(span.width for span in result)
        edges = {0, width}
        for spans in (result, *arguments):
            position = 0
            for span in spans if not (len(spans) == 1 and spans[0].number) else ():
                position += span.width
                edges.add(position)
        for first, last in pairwise(sorted(edges)):
            pieces = [
                spans[0] if len(spans) == 1 and spans[0].number else cut(spans, first, last - first)[0]
                for spans in arguments
            ]
            (to,) = cut(result, first, last - first)
            program.instructions.append(Instruction(operation, last - first, to, tuple(pieces)))

    def _copy(self, source: tuple[Span, ...], result: tuple[Span, ...]) -> None:
        assert self.program is not None
        self._emit(self.program, "copy", result, [source])

    def _whole_row(self, program: Program, node: Node, spans: tuple[Span, ...]) -> Span:
        """A row in one piece, no number in its place; or a number."""
        if len(spans) == 1 and spans[0].number == (node.width is None):
            return spans[0]
        row = _register(program, node.width or 1)
        self._emit(program, "copy", (row,), [spans])
        return row

    def _record_view(self, step: Step, node: Node) -> None:
        """Copy a view of a value that lives for one step only, where it is needed for all of them."""
        if node not in self.places.homes.recorded or step.phase is not Phase.LOOP:
            return
        spans = self.places.spans(node)
        if all(self._lasts(span) for span in spans):
            return
        self._materialise(step.phase, step.rate, node, self.memory.span(Rows.STEP, node.width or 1))

    def _lasts(self, span: Span) -> bool:
        """Whether rows of every step are there after the loop."""
        if span.number or span.register is not None:
            return False
        entering = {self.places.entering[name]: leaf for name, (leaf, _) in self.plan.graph.states.items()}
        if span.slot in entering:
            return entering[span.slot] in self.places.homes.recorded
        return self.places.kind(span) in (Kind.STEP, Kind.ENTER)

    def _materialise(self, phase: Phase, rate: Rate, node: Node, to: Span) -> None:
        self._open(phase, rate)
        self._copy(self.places.spans(node), (to,))
        self.places.of[node] = (to,)

    def _operand(self, step: Step, node: Node, entering: bool = False) -> tuple[Span, ...]:
        """Spans that a product, or a sum over rows, of this step can read: rows of its own rate, no numbers; states as
        they enter a step where `entering`."""
        spans = self.places.spans(node)
        if step.phase is Phase.LOOP:
            if any(span.number for span in spans):
                self._materialise(
                    step.phase, step.rate, node, Span(self.memory.local(node.width or 1), 0, node.width or 1)
                )
            return self.places.spans(node)
        good = Kind(ROWS_OF[step.rate])
        reads = {good, Kind.ENTER} if entering else {good}
        if all(not span.number and self.places.kind(span) in reads for span in spans):
            return spans
        to = self.memory.span(ROWS_OF[step.rate], node.width or 1)
        self._open(step.phase, step.rate)
        self._copy(spans, (to,))
        if node.rate == step.rate:
            self.places.of[node] = (to,)
        return (to,)

    def _multiply(self, step: Step, node: Node) -> None:
        assert isinstance(node.data, Product)
        (result,) = self.places.of[node]
        spans = [self._operand(step, a) for a in node.operands]
        start = None if node.start is None else self._start(step, node.start, result)
        columns = [
            [self._matrix(block) for block in _merged([part[k] for part in node.data.blocks])]
            for k in range(len(spans))
        ]
        if len({tuple(m.columns for m in column) for column in columns}) > 1:  # what merges differs between operands
            columns = [[self._matrix(part[k]) for part in node.data.blocks] for k in range(len(spans))]
        operands, matrices = [], []
        for parts, column in zip(spans, columns, strict=True):
            first = 0
            for span in parts:
                operands.append(span)
                matrices.append([_deeper(m, first, span.width) for m in column])
                first += span.width
        rows = tuple(zip(*matrices, strict=True))
        self._close()
        self.stages[step.phase].append(Multiply(int(step.rate), tuple(operands), rows, result, start))

    def _start(self, step: Step, start: Node, result: Span) -> Span:
        """Where a product's start row is read: as it lies, or from the result, to which it is copied."""
        spans = self.places.spans(start)
        kinds = {self.places.kind(span) for span in spans}
        flat = step.phase is Phase.LOOP or kinds <= {Kind.ONCE, Kind(ROWS_OF[step.rate])}
        if len(spans) == 1 and not spans[0].number and flat:
            return spans[0]
        self._open(step.phase, step.rate)
        self._copy(spans, (result,))
        return result

    def _matrix(self, block: Block) -> Matrix:
        width = self.weights[block.weight][-1]
        buffer = self.places.buffer(self.places.weight(block.weight))
        offset = block.row * width + block.column
        strides = (width, 1) if block.transposed else (1, width)
        return Matrix(buffer, offset, *strides, block.reads, block.makes)

    def _outer(self, step: Step, node: Node) -> None:
        gradient = self._operand(step, node.args[0])
        operand = self._operand(step, node.args[1], entering=True)  # one of the two at most: its segments are followed
        self._close()
        keys = [key for key, result in self.plan.graph.results.items() if result is node]
        for key in keys:
            assert isinstance(key, tuple)
            row = 0
            for block in _merged(key[1]):
                for piece, first in _places(cut(gradient, row, block.rows)):
                    for part, column in _places(operand):
                        self._outer_block(step, piece, part, block, first, column)
                row += block.rows

    def _outer_block(self, step: Step, gradient: Span, operand: Span, block: Block, row: int, column: int) -> None:
        stride = self.weights[block.weight][-1]
        top, left = block.row + row, block.column + column
        buffer = self.gradients.buffer(block.weight)
        stage = Outer(int(step.rate), gradient, operand, buffer, top * stride + left, stride, True)
        self.gradients.note(block.weight, (top, top + gradient.width), (left, left + operand.width), stage)
        self.stages[step.phase].append(stage)

    def _total(self, step: Step, node: Node) -> None:
        spans = self._operand(step, node.args[0])
        self._close()
        weight, first = self._weight_of(node)
        width = node.width or 1
        if weight is not None:
            to = Span(self.memory.slot_of(self.gradients.buffer(weight)), first, width)
        else:
            (to,) = self.places.of.get(node, (self.memory.span(ROWS_OF[node.rate], width),))
        for span, position in _places(spans):
            stage = Total(int(step.rate), span, to.part(position, span.width), weight is not None)
            if weight is not None:
                begin = first + position
                self.gradients.note(weight, (begin, begin + span.width), (0, 1), stage)
            self.stages[step.phase].append(stage)
        self.places.of[node] = (Span(to.slot, to.column, width, node.width is None),)

    def _weight_of(self, node: Node) -> tuple[str | None, int]:
        """The weight, and where in it, that a total is the gradient of, if it is that alone."""
        keys = [key for key, result in self.plan.graph.results.items() if result is node]
        if len(keys) != 1 or self.places.homes.readers.get(node):
            return None, 0
        (key,) = keys
        assert isinstance(key, tuple)
        if key[0] == "vector":
            return key[1], key[2]
        return (key[1], 0) if key[0] == "scalar" else (None, 0)

    def _finish_result(self, key: Hashable, node: Node) -> None:
        """Bring a result to its buffer, unless it was made there."""
        if isinstance(key, tuple) and key[0] in ("kept", "matrix"):
            if key[0] == "kept":
                self._keep_together(node)
            return
        if isinstance(key, tuple) and key[0] in ("vector", "scalar"):
            if node.op == "total" and self._weight_of(node)[0] is not None:
                return
            first, width = (key[2], node.width or 1) if key[0] == "vector" else (0, 1)
            self.gradients.note(key[1], (first, first + width), (0, 1), None)
            to = Span(self.memory.slot_of(self.gradients.buffer(key[1])), first, width)
            self._emit(self._open(Phase.AFTER, Rate.ONCE), "add", (to,), [(to,), self.places.spans(node)])
            return
        to_span = self.places.target(key, node)
        if to_span is None:
            return
        (first, *rest) = self.places.spans(node)
        if rest or first.number != (node.width is None) or (first.slot, first.column) != (to_span.slot, 0):
            rate = {Rows.ONCE: Rate.ONCE, Rows.SEQUENCE: Rate.SEQUENCE, Rows.STEP: Rate.STEP}
            self._open(Phase.AFTER, rate[self.places.rows(to_span)])
            self._copy(self.places.spans(node), (to_span,))

    def _keep_together(self, node: Node) -> None:
        """A kept value in one piece; per step only, as views made in the loop were copied there."""
        spans = self.places.spans(node)
        if len(spans) > 1 or (spans[0].number and node.width is not None):
            rate = min(node.rate, Rate.STEP)
            self._materialise(Phase.AFTER, rate, node, self.memory.span(ROWS_OF[rate], node.width or 1))


def _merged(blocks: Iterable[Block]) -> list[Block]:
    """Blocks that are rows of one matrix, one after the other, as one."""
    found: list[Block] = []
    for block in blocks:
        last = found[-1] if found else None
        if last and not block.transposed and block == last._replace(row=last.row + last.rows, rows=block.rows):
            found[-1] = last._replace(rows=last.rows + block.rows)
        else:
            found.append(block)
    return found


def _register(program: Program, width: int, number: bool = False) -> Span:
    program.registers.append(width)
    return Span(-len(program.registers), 0, width, number)


def _deeper(matrix: Matrix, first: int, depth: int) -> Matrix:
    """The part of a matrix that meets numbers [first, first + depth) of its operand."""
    offset = matrix.offset + first * matrix.k_stride
    return Matrix(matrix.buffer, offset, matrix.k_stride, matrix.n_stride, depth, matrix.columns)


def _places(spans: tuple[Span, ...]) -> list[tuple[Span, int]]:
    """Spans with the column at which each begins."""
    found, position = [], 0
    for span in spans:
        found.append((span, position))
        position += span.width
    return found
