"""A plan as the native kernels read it: buffers, slots, and stages of numbers. No torch here.

A *buffer* is memory for the whole batch: rows of every step [N, W], of every sequence [B, W], or one row. A *slot*
says where the rows of a step are found; a *span* is a range of columns of a slot. `Code.encode` gives the flat list of
numbers that `native/code.h` reads: the two are twins.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum

OPERATIONS = (
    "copy", "add", "sub", "mul", "div", "neg", "tanh", "sigmoid", "relu", "exp", "log", "logsigmoid", "sqrt", "rsqrt",
    "max", "min", "fma", "fnma", "dtanh", "dsigmoid", "drelu", "pick", "sum", "inv_std", "normalise", "dnormalise",
)  # fmt: skip
"""The instructions of a program, in the order of `native/code.h`."""

ROW_OPERATIONS = frozenset({"sum", "inv_std", "normalise", "dnormalise"})
"""Those that read a whole row before they give anything."""


class Rows(IntEnum):
    """How many rows a buffer has: one, one for each sequence, one for each sequence and step, a state twice."""

    ONCE = 0
    SEQUENCE = 1
    STEP = 2
    CARRY = 3


class Kind(IntEnum):
    """What a slot is."""

    ONCE = 0
    SEQUENCE = 1
    STEP = 2
    CARRY = 3  # the new state: two copies, taken in turn
    ENTER = 4  # what was in another slot one step before, the initial state before the first
    LOCAL = 5  # rows of this step only, each thread's own


@dataclass(frozen=True)
class Buffer:
    """Memory that a run is given under `name`, or that it makes for itself where `name` is None."""

    rows: Rows
    width: int
    name: Hashable | None


@dataclass(frozen=True)
class Slot:
    """See `Kind`. ENTER: `of` and `column` are what it follows, `buffer` the initial state; `forward`: in the order of
    time of the forward pass, else of this run."""

    kind: Kind
    width: int
    buffer: int = 0
    offset: int = 0
    of: int = 0
    column: int = 0
    forward: bool = False


@dataclass(frozen=True)
class Span:
    """Columns of a slot; slot -1 - k is register k of a program. A number stands for a row of any width."""

    slot: int
    column: int
    width: int
    number: bool = False

    def part(self, first: int, width: int) -> Span:
        if self.number:
            return Span(self.slot, self.column, width, True)
        return Span(self.slot, self.column + first, width)

    @property
    def register(self) -> int | None:
        """Which register it is in, if in one."""
        return -1 - self.slot if self.slot < 0 else None


@dataclass
class Instruction:
    """`result = operation(arguments)` over `width` columns; `number` is the operation's own constant."""

    operation: str
    width: int
    result: Span
    arguments: tuple[Span, ...]
    number: float = 0.0


@dataclass
class Program:
    """Instructions over the rows of a step. `registers` are offsets, in numbers, of the rows it keeps to itself."""

    rate: int  # 0 once, 1 per sequence, 2 per step, 3 in the loop
    instructions: list[Instruction] = field(default_factory=list)
    chunked: bool = False
    registers: list[int] = field(default_factory=list)
    size: int = 0
    flat: bool = False  # all rows of all steps may be treated as those of one


@dataclass(frozen=True)
class Matrix:
    """A rectangle of a weight: element (k, n) lies at `offset + k * k_stride + n * n_stride`."""

    buffer: int
    offset: int
    k_stride: int
    n_stride: int
    depth: int
    columns: int


@dataclass
class Multiply:
    """`result = start + sum of operands @ matrices`; `matrices[j][k]` meets operand k and makes the j-th columns."""

    rate: int
    operands: tuple[Span, ...]
    matrices: tuple[tuple[Matrix, ...], ...]
    result: Span
    start: Span | None


@dataclass
class Outer:
    """A weight's gradient: the sum over rows of gradient^T operand, to a rectangle of `buffer`, rows `stride` apart."""

    rate: int
    gradient: Span
    operand: Span
    buffer: int
    offset: int
    stride: int
    accumulate: bool


@dataclass
class Total:
    """The sum of rows: all of them (once), or those of each sequence."""

    rate: int  # of the source
    source: Span
    result: Span
    accumulate: bool


Stage = Program | Multiply | Outer | Total


@dataclass(frozen=True)
class State:
    """Where a state's new value is, and its first and last one."""

    new: Span
    initial: int  # slot
    final: int  # slot


@dataclass
class Code:
    """Everything of a plan that does not depend on the batch."""

    buffers: list[Buffer]
    slots: list[Slot]
    before: list[Stage]
    loop: list[Stage]
    after: list[Stage]
    states: list[State]
    constants: list[float]
    kept: dict[Hashable, Span]  # where values kept for the gradient lie
    zeroed: frozenset[Hashable]  # names of buffers that must be zeros before the run

    def encode(self) -> tuple[list[int], list[float]]:
        """Flat numbers for `native/code.h`: integers, and the real constants."""
        numbers = list(self.constants)
        flat = [len(self.buffers)]
        for buffer in self.buffers:
            flat += [buffer.rows, buffer.width, buffer.name is not None]
        flat.append(len(self.slots))
        for slot in self.slots:
            flat += [slot.kind, slot.width, slot.buffer, slot.offset, slot.of, slot.column, slot.forward]
        flat.append(len(self.constants))
        for stages in (self.before, self.loop, self.after):
            flat.append(len(stages))
            for stage in stages:
                flat += _stage(stage, numbers)
        flat.append(len(self.states))
        for state in self.states:
            flat += [*_span(state.new), state.initial, state.final]
        return flat, numbers


def _span(span: Span) -> list[int]:
    return [span.slot, span.column, span.width, span.number]


def _stage(stage: Stage, numbers: list[float]) -> list[int]:
    if isinstance(stage, Program):
        flat = [0, stage.rate, stage.chunked, stage.flat, stage.size, len(stage.instructions)]
        for each in stage.instructions:
            flat += [OPERATIONS.index(each.operation), each.width, len(numbers), *_place(stage, each.result)]
            numbers.append(each.number)
            flat.append(len(each.arguments))
            for argument in each.arguments:
                flat += _place(stage, argument)
        return flat
    if isinstance(stage, Multiply):
        flat = [1, stage.rate, *_span(stage.result), stage.start is not None]
        flat += _span(stage.start) if stage.start is not None else []
        flat.append(len(stage.operands))
        for operand in stage.operands:
            flat += _span(operand)
        flat.append(len(stage.matrices))
        for row in stage.matrices:
            for m in row:
                flat += [m.buffer, m.offset, m.k_stride, m.n_stride, m.depth, m.columns]
        return flat
    if isinstance(stage, Outer):
        return [
            2, stage.rate, *_span(stage.gradient), *_span(stage.operand), stage.buffer, stage.offset, stage.stride,
            stage.accumulate,
        ]  # fmt: skip
    return [3, stage.rate, *_span(stage.source), *_span(stage.result), stage.accumulate]


def _place(program: Program, span: Span) -> list[int]:
    if span.register is not None:
        return [-1, program.registers[span.register] + span.column, span.width, span.number]
    return _span(span)
