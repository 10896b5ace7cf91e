"""The functions of the equations: what a cell may do to a value besides + - * / and @."""

from __future__ import annotations

from collections.abc import Callable

from recurra.equations.graph import Rate
from recurra.equations.sizes import Size, SizeError
from recurra.equations.symbols import Operand, Symbol, Weight, apply, symbol, tracer_of


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
    tracer_of(name, value)
    assert isinstance(value, Operand)
    return value


def _row(name: str, value: object) -> tuple[Symbol, Size]:
    tracer = tracer_of(name, value)
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
    if not isinstance(eps, (int, float)):
        tracer.fail(f"layer_norm with eps={eps!r}: expected a number")
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
    if isinstance(names, str) and len(set(labels)) < len(labels):
        row.tracer.fail(f"split into {names!r}: a name stands there twice")
    try:
        part = length.part(len(labels))
    except SizeError as error:
        row.tracer.fail(f"split: {error}")
    line = row.tracer.line()
    return tuple(
        Symbol(row.tracer, "split", (row,), part, line, (index, label), row.rate) for index, label in enumerate(labels)
    )


def concat(*values: object) -> Symbol:
    """Rows one after the other as one row; `p.W @ concat(a, b)` becomes two products."""
    rows = [_row("concat", value) for value in values]
    if len(rows) < 2:
        tracer_of("concat", *values).fail("concat of one row: expected at least two")
    tracer = rows[0][0].tracer
    sizes = [length.value for _, length in rows]
    if None in sizes:
        tracer.fail("concat of a row whose size is not known yet: state the rows, as in `p.W[h.size] @ x`")
    total = Size(sum(size for size in sizes if size is not None))
    args = tuple(row for row, _ in rows)
    return Symbol(tracer, "concat", args, total, tracer.line(), None, max(row.rate for row in args))


def scalar(weight: object) -> Symbol:
    """`p.name` as a weight that is one single number."""
    tracer = tracer_of("scalar", weight)
    if not isinstance(weight, Weight):
        tracer.fail("scalar(...): expected a weight, as in scalar(p.zeta)")
    weight.use("scalar")
    return Symbol(tracer, "scalar", (), None, tracer.line(), weight, Rate.ONCE)
