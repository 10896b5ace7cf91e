"""What a cell's function is called with while it is traced: symbols that record what is done to them.

Sizes are unknowns joined by unification: every use of a value says something about its size, and an operation
whose sizes disagree fails at the line of the cell where it stands.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from recurra.equations.graph import Rate
from recurra.errors import CellError


class Size:
    """The size of a row: known, or to be found. Joined sizes share one root; a whole has `count` equal parts."""

    def __init__(self, value: int | None = None) -> None:
        self._value = value
        self._parent: Size | None = None
        self._parts: list[tuple[int, Size]] = []
        self._wholes: list[tuple[int, Size]] = []

    def root(self) -> Size:
        size = self
        while size._parent is not None:
            size = size._parent
        return size

    @property
    def value(self) -> int | None:
        return self.root()._value

    def join(self, other: Size) -> bool:
        """Make both one size; False where they are known to differ."""
        a, b = self.root(), other.root()
        if a is b:
            return True
        if a._value is not None and b._value is not None and a._value != b._value:
            return False
        both_known = a._value is not None and b._value is not None
        known = a._value if a._value is not None else b._value
        b._parent = a
        a._parts += b._parts
        a._wholes += b._wholes
        return both_known or known is None or a._settle(known)

    def part(self, count: int) -> Size:
        """The size of one of `count` equal parts."""
        whole, part = self.root(), Size()
        whole._parts.append((count, part))
        part._wholes.append((count, whole))
        if whole._value is not None and not whole._settle(whole._value):
            raise ValueError(f"{whole._value} does not divide by {count}")
        return part

    def _settle(self, value: int) -> bool:
        self._value = value
        for count, part in self._parts:
            if value % count or not part.join(Size(value // count)):
                return False
        return all(whole.join(Size(value * count)) for count, whole in self._wholes)


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

    def fail(self, message: str, line: int | None = None) -> NoReturn:
        raise CellError(f"cell '{self.cell}', {self.filename}:{line or self.line()}: {message}")


class Operand:
    """Arithmetic that symbols and weights share."""

    tracer: Tracer

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
        if power == 2:
            return apply("mul", self, self)
        return self.tracer.fail(f"power {power!r}: only the square is known; write products, or exp and log")

    def __bool__(self) -> bool:
        self.tracer.fail(
            "a branch on a value: equations run for all sequences at once, so `if`, `and`, `not` cannot look at one; "
            "use maximum, minimum or a product with a gate"
        )

    def _compare(self, other: object) -> NoReturn:
        self.tracer.fail("comparison of a value: unknown operation; use maximum, minimum, relu or a gate")

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _compare  # type: ignore[assignment]
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

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __iter__(self) -> NoReturn:
        self.tracer.fail("a value cannot be iterated over; use split(value, 'i f g o')")


@dataclass(frozen=True, eq=False, slots=True)
class Symbol(Operand):
    """A value in a cell's equations. `length` is None for a number; the rest as in `graph.Node`."""

    tracer: Tracer
    op: str
    args: tuple[Symbol, ...]
    length: Size | None
    line: int
    data: Any = None
    rate: Rate = Rate.LOOP

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

    def use(self, kind: str) -> None:
        if self.kind not in (None, kind):
            self.tracer.fail(f"p.{self.name} is used as a {self.kind} in one place and as a {kind} here")
        self.kind = kind

    def __getitem__(self, rows: object) -> Weight:
        if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
            self.tracer.fail(f"p.{self.name}[{rows!r}]: expected the number of rows, a whole number from 1")
        if not self.rows.join(Size(rows)):
            self.tracer.fail(f"p.{self.name}[{rows}]: it has {self.rows.value} rows elsewhere")
        return self

    def __matmul__(self, other: object) -> Symbol:
        self.use("matrix")
        operand = symbol(self.tracer, other)
        if operand.length is None:
            self.tracer.fail(f"p.{self.name} @ a number: expected a row")
        if not self.columns.join(operand.length):
            self.tracer.fail(
                f"p.{self.name} @ a row of {operand.length.value}: p.{self.name} has {self.columns.value} columns elsewhere"
            )
        return Symbol(self.tracer, "product", (operand,), self.rows, self.tracer.line(), self, operand.rate)

    def vector(self) -> Symbol:
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
    tracer = _tracer(op, *operands)
    args = tuple(symbol(tracer, value) for value in operands)
    length: Size | None = None
    for arg in args:
        if arg.length is None:
            continue
        if length is not None and not length.join(arg.length):
            tracer.fail(f"{op} of a row of {length.value} and a row of {arg.length.value}: sizes do not agree")
        length = length or arg.length
    return Symbol(tracer, op, args, length, tracer.line(), None, max(a.rate for a in args))


def _tracer(op: str, *operands: object) -> Tracer:
    for value in operands:
        if isinstance(value, Operand):
            return value.tracer
    kinds = ", ".join(type(value).__name__ for value in operands)
    raise TypeError(f"{op}: expected a value of a cell's equations, got {kinds}")


def _unary(op: str, doc: str) -> Callable[[object], Symbol]:
    def function(value: object) -> Symbol:
        return apply(op, value)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = doc
    return function


tanh = _unary("tanh", "Hyperbolic tangent, element by element.")
sigmoid = _unary("sigmoid", "The logistic function 1 / (1 + exp(-v)), element by element.")
relu = _unary("relu", "max(v, 0), element by element; the gradient at 0 is 0, as in torch.")
exp = _unary("exp", "The exponential, element by element.")
log = _unary("log", "The natural logarithm, element by element.")
logsigmoid = _unary("logsigmoid", "log(sigmoid(v)), computed without overflow.")
sqrt = _unary("sqrt", "The square root, element by element.")
rsqrt = _unary("rsqrt", "1 / sqrt(v), element by element.")
stop_gradient = _unary("stop", "The value itself, through which no gradient flows.")


def maximum(a: object, b: object) -> Symbol:
    """The larger of both, element by element; on a tie each gets half of the gradient, as in torch."""
    return apply("max", a, b)


def minimum(a: object, b: object) -> Symbol:
    """The smaller of both, element by element; on a tie each gets half of the gradient, as in torch."""
    return apply("min", a, b)


def softplus(value: object) -> Symbol:
    """log(1 + exp(v)), computed without overflow."""
    return -logsigmoid(-_operand("softplus", value))


def silu(value: object) -> Symbol:
    """v * sigmoid(v) (also called swish), element by element."""
    return _operand("silu", value) * sigmoid(value)


def absolute(value: object) -> Symbol:
    """|v|, element by element."""
    return maximum(value, -_operand("absolute", value))


def _operand(name: str, value: object) -> Operand:
    _tracer(name, value)
    assert isinstance(value, Operand)
    return value


def _row(name: str, value: object) -> tuple[Symbol, Size]:
    tracer = _tracer(name, value)
    row = symbol(tracer, value)
    if row.length is None:
        tracer.fail(f"{name} of a number: expected a row")
    return row, row.length


def row_sum(value: object) -> Symbol:
    """The sum over a row: one number per sequence."""
    row, _ = _row("row_sum", value)
    return Symbol(row.tracer, "sum", (row,), None, row.tracer.line(), None, row.rate)


def layer_norm(value: object, gain: object = None, bias: object = None, *, eps: float = 1e-5) -> Symbol:
    """Layer normalisation of a row (Ba, Kiros & Hinton 2016): (v - mean) / sqrt(var + eps) * gain + bias."""
    row, length = _row("layer_norm", value)
    tracer, line = row.tracer, row.tracer.line()
    scale = Symbol(tracer, "inv_std", (row,), None, line, eps, row.rate)
    normal: Symbol = Symbol(tracer, "normalise", (row, scale), length, line, None, row.rate)
    if gain is not None:
        normal = apply("mul", normal, gain)
    return normal if bias is None else apply("add", normal, bias)


def split(value: object, names: str | int) -> tuple[Symbol, ...]:
    """Equal parts of a row, named (`split(v, "i f g o")`) or counted (`split(v, 3)`).

    The names also serve initial values (`init={"b.f": 1.0}`) and inspection.
    """
    row, length = _row("split", value)
    labels = names.split() if isinstance(names, str) else [None] * names
    if len(labels) < 2:
        row.tracer.fail(f"split into {names!r}: expected at least two parts")
    try:
        part = length.part(len(labels))
    except ValueError as error:
        row.tracer.fail(f"split of a row of {length.value} into {len(labels)} equal parts: {error}")
    line = row.tracer.line()
    return tuple(
        Symbol(row.tracer, "split", (row,), part, line, (index, label), row.rate) for index, label in enumerate(labels)
    )


def concat(*values: object) -> Symbol:
    """Rows one after the other as one row; `p.W @ concat(a, b)` becomes two products."""
    rows = [_row("concat", value) for value in values]
    if len(rows) < 2:
        _tracer("concat", *values).fail("concat of one row: expected at least two")
    tracer = rows[0][0].tracer
    sizes = [length.value for _, length in rows]
    if None in sizes:
        tracer.fail("concat of a row whose size is not known yet: state the rows, as in `p.W[h.size] @ x`")
    total = Size(sum(size for size in sizes if size is not None))
    args = tuple(row for row, _ in rows)
    return Symbol(tracer, "concat", args, total, tracer.line(), None, max(row.rate for row in args))


def scalar(weight: object) -> Symbol:
    """`p.name` as a weight that is one single number."""
    tracer = _tracer("scalar", weight)
    if not isinstance(weight, Weight):
        tracer.fail("scalar(...): expected a weight, as in scalar(p.zeta)")
    weight.use("scalar")
    return Symbol(tracer, "scalar", (), None, tracer.line(), weight, Rate.ONCE)
