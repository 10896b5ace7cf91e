"""Networks that are stepped: what the kernels are told of each layer, and the code of an output layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from recurra.backends.extension import extension
from recurra.backends.native.code import Code, Matrix, Multiply, Rows
from recurra.backends.native.compiled import Compiled, forward_only
from recurra.backends.native.memory import Memory
from recurra.equations.cell import Cell
from recurra.equations.graph import Rate
from recurra.equations.trace import Form

NARROW = {None: 0, "bf16": 1, "int8": 2}
"""What matrices may be held in, by the number that `native/step.h` gives it."""

Piece = tuple[int, int]
"""A value and its width; value 0 is the network's input, 1 + n the output of layer n."""


class Role(IntEnum):
    """What a buffer is, as in `native/network.h`."""

    OWN = 0
    INPUT = 1
    FURTHER = 2
    STATE = 3
    WEIGHT = 4
    OUTPUT = 5
    FINAL = 6


@dataclass(frozen=True)
class LayerPlan:
    """A layer of a network: its code, what its input is put together from, and its weights by name, in order."""

    code: Compiled
    input: tuple[Piece, ...]
    weights: tuple[str, ...]
    states: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    residual: bool = False
    dilation: int = 1

    def encode(self) -> tuple[Any, ...]:
        """What `native/stream_bindings.cpp` takes."""
        roles = [self._role(name) for name in self.code.names]
        return self.code.handle, roles, list(self.input), self.residual, self.dilation

    def _role(self, name: Any) -> tuple[int, int]:
        if name is None:
            return Role.OWN, 0
        kind, *rest = name
        if name in (("output",), ("input", "x")):
            return (Role.OUTPUT if kind == "output" else Role.INPUT), 0
        lists = {
            "input": (Role.FURTHER, self.further),
            "state": (Role.STATE, self.states),
            "final": (Role.FINAL, self.states),
            "weight": (Role.WEIGHT, self.weights),
        }
        role, names = lists[kind]
        return role, names.index(rest[0])


def cell_plan(cell: Cell, form: Form, weights: Sequence[str], pieces: Sequence[Piece], **how: Any) -> LayerPlan:
    """The plan of a recurrent layer."""
    return LayerPlan(
        forward_only(cell, form), tuple(pieces), tuple(weights), tuple(cell.states), tuple(cell.inputs), **how
    )


def output_plan(pieces: Sequence[Piece], outputs: int, bias: bool) -> LayerPlan:
    """The plan of an output layer: W [V, F] times the input, plus b [V]."""
    code = _linear(sum(width for _, width in pieces), outputs, bias)
    return LayerPlan(code, tuple(pieces), ("W", "b") if bias else ("W",))


@lru_cache(maxsize=64)
def _linear(inputs: int, outputs: int, bias: bool) -> Compiled:
    memory = Memory()
    x = memory.span(Rows.STEP, inputs, ("input", "x"))
    matrix = Matrix(memory.buffer(Rows.ONCE, inputs * outputs, ("weight", "W")), 0, 1, inputs, inputs, outputs)
    start = memory.span(Rows.ONCE, outputs, ("weight", "b")) if bias else None
    y = memory.span(Rows.STEP, outputs, ("output",))
    product = Multiply(Rate.STEP, (x,), ((matrix,),), y, start)
    code = Code(memory.buffers, memory.slots, [product], [], [], [], [], {}, frozenset())
    return Compiled(code, frozenset())


def open_network(
    plans: Sequence[LayerPlan],
    output: Sequence[Piece],
    *,
    doubles: bool,
    input_width: int,
    vocabulary: int = 0,
    narrow: str | None = None,
) -> Any:
    """A network of the extension, without sequences yet; `vocabulary` 0: it reads rows of numbers, not tokens."""
    encoded = [plan.encode() for plan in plans]
    return extension().Network(doubles, encoded, list(output), input_width, vocabulary, NARROW[narrow])
