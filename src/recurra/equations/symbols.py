"""What a cell's function is called with while it is traced: symbols that record what is done to them.

Every use of a value says something about its size, and an operation whose sizes disagree fails at the line of the
cell where it stands.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, NoReturn

from recurra.equations.graph import Rate
from recurra.equations.sizes import Size, SizeError
from recurra.errors import CellError


class Tracer:
    """The cell being traced: where to find the line of an error, and the weights met so far."""

    def __init__(self, cell: str, filename: str, first_line: int) -> None:
        self.cell = cell
        self.filename = filename
        self.first_line = first_line
        self.weights: dict[str, Weight] = {}
        self.stated: dict[str, int] = {}

    def line(self) -> int:
        """The line of the innermost frame that runs code of the cell's file."""
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self.filename:
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return self.first_line

    def agree(self, a: Size, b: Size) -> bool:
        """Join two sizes; False where they differ."""
        try:
            return a.join(b)
        except SizeError as error:
            self.fail(str(error))

    def fail(self, message: str, line: int | None = None) -> NoReturn:
        """Raise a CellError that names the cell and the line, that of the operation where none is given."""
        raise CellError(f"cell '{self.cell}', {self.filename}:{line or self.line()}: {message}")


class Operand:
    """Arithmetic that symbols and weights share."""

    tracer: Tracer
    __array_ufunc__ = None  # numpy leaves operators with its arrays to this class

    def __add__(self, other: object) -> Symbol:
        return apply("add", self, other)

    def __radd__(self, other: object) -> Symbol:
        return apply("add", other, self)

    def __sub__(self, other: object) -> Symbol:
        return apply("sub", self, other)

    def __rsub__(self, other: object) -> Symbol:
        return apply("sub", other, self)

    def __mul__(self, other: object) -> Symbol:
        return apply("mul", self, other)

    def __rmul__(self, other: object) -> Symbol:
        return apply("mul", other, self)

    def __truediv__(self, other: object) -> Symbol:
        return apply("div", self, other)

    def __rtruediv__(self, other: object) -> Symbol:
        return apply("div", other, self)

    def __neg__(self) -> Symbol:
        return apply("neg", self)

    def __pow__(self, power: object) -> Symbol:
        if isinstance(power, (int, float)) and power == 2:
            return apply("mul", self, self)
        return self.tracer.fail(f"power {power!r}: only the square is known; write products, or exp and log")

    def __bool__(self) -> bool:
        self.tracer.fail(
            "a branch on a value: equations run for all sequences at once, so `if`, `and`, `not` cannot look at one; "
            "use maximum, minimum or a product with a gate"
        )

    def _compare(self, other: object) -> NoReturn:
        self.tracer.fail("comparison of a value: unknown operation; use maximum, minimum, relu or a gate")

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _compare
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.tracer.fail(f".{name}: unknown operation; a value has .size and the operators + - * / @")

    def __matmul__(self, other: object) -> Symbol:
        return self.tracer.fail("@ with a value on the left: a product is `p.W @ value`, the weight matrix first")

    def __float__(self) -> float:
        self.tracer.fail(
            "float() or a function of `math` or `numpy` on a value: unknown operation; use recurra's functions"
        )

    __int__ = __index__ = __float__

    def __iter__(self) -> NoReturn:
        self.tracer.fail("a value cannot be iterated over; use split(value, 'i f g o')")


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Symbol(Operand):
    """A value in a cell's equations. `length` is None for a number; the rest as in `graph.Node`."""

    tracer: Tracer
    op: str
    args: tuple[Symbol, ...]
    length: Size | None
    line: int
    data: Any = None
    rate: Rate = Rate.LOOP

    def __repr__(self) -> str:
        shape = "a number" if self.length is None else f"a row of {self.length.value or 'open size'}"
        return f"<{self.op}: {shape}>"

    @property
    def size(self) -> int:
        """The number of elements of this row, where the equations so far settle it."""
        value = self.length.value if self.length is not None else 1
        if value is None:
            self.tracer.fail("the size of this value is not known yet: state the rows, as in `p.W[h.size] @ x`")
        return value

    def __getitem__(self, key: object) -> NoReturn:
        self.tracer.fail(f"[{key!r}] on a value: unknown operation; use split(value, 'i f g o')")


class Weight(Operand):
    """`p.name`: a matrix where it stands before `@`, a vector elsewhere, a scalar inside `scalar(...)`."""

    def __init__(self, tracer: Tracer, name: str) -> None:
        self.tracer = tracer
        self.name = name
        self.kind: str | None = None
        self.rows = Size(tracer.stated.get(name))
        self.columns = Size()
        self.line = tracer.line()

    def __repr__(self) -> str:
        return f"<weight p.{self.name}>"

    def use(self, kind: str) -> None:
        """Settle that this weight is a `kind`; a CellError where it is another elsewhere."""
        if self.kind not in (None, kind):
            self.tracer.fail(f"p.{self.name} is used as a {self.kind} in one place and as a {kind} here")
        self.kind = kind

    def __getitem__(self, rows: object) -> Weight:
        if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
            self.tracer.fail(f"p.{self.name}[{rows!r}]: expected the number of rows, a whole number from 1")
        if not self.tracer.agree(self.rows, Size(rows)):
            self.tracer.fail(f"p.{self.name}[{rows}]: it has {self.rows.value} rows elsewhere")
        return self

    def __matmul__(self, other: object) -> Symbol:
        self.use("matrix")
        operand = symbol(self.tracer, other)
        if operand.length is None:
            self.tracer.fail(f"p.{self.name} @ a number: expected a row")
        if not self.tracer.agree(self.columns, operand.length):
            self.tracer.fail(
                f"p.{self.name} @ a row of {operand.length.value}: "
                f"p.{self.name} has {self.columns.value} columns elsewhere"
            )
        return Symbol(self.tracer, "product", (operand,), self.rows, self.tracer.line(), self, operand.rate)

    def vector(self) -> Symbol:
        """This weight as a row, the same for all sequences."""
        self.use("vector")
        return Symbol(self.tracer, "vector", (), self.rows, self.tracer.line(), self, Rate.ONCE)

    @property
    def size(self) -> int:
        return self.vector().size


class Weights:
    """`p` in a cell's function: any attribute is a weight."""

    def __init__(self, tracer: Tracer) -> None:
        self.__tracer = tracer

    def __getattr__(self, name: str) -> Weight:
        if name.startswith("__"):
            raise AttributeError(name)
        weights = self.__tracer.weights
        if name not in weights:
            weights[name] = Weight(self.__tracer, name)
        return weights[name]


def symbol(tracer: Tracer, value: object) -> Symbol:
    """`value` as a symbol: a number becomes a constant, a weight a vector."""
    if isinstance(value, Symbol):
        return value
    if isinstance(value, Weight):
        return value.vector()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Symbol(tracer, "const", (), None, tracer.line(), float(value), Rate.ONCE)
    return tracer.fail(f"an operand of type {type(value).__name__}: expected a value, a weight or a number")


def apply(op: str, *operands: object) -> Symbol:
    """Record one elementwise operation; rows must agree in size, numbers go with any row."""
    tracer = tracer_of(op, *operands)
    args = tuple(symbol(tracer, value) for value in operands)
    length: Size | None = None
    for arg in args:
        if arg.length is None:
            continue
        if length is not None and not tracer.agree(length, arg.length):
            tracer.fail(f"{op} of a row of {length.value} and a row of {arg.length.value}: sizes do not agree")
        length = length or arg.length
    return Symbol(tracer, op, args, length, tracer.line(), None, max(a.rate for a in args))


def tracer_of(op: str, *operands: object) -> Tracer:
    """The tracing that operands belong to; a TypeError where none is a value or weight of a cell."""
    for value in operands:
        if isinstance(value, Operand):
            return value.tracer
    kinds = ", ".join(type(value).__name__ for value in operands)
    raise TypeError(f"{op}: expected a value of a cell's equations, got {kinds}")
