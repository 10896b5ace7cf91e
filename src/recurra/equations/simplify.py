"""Algebra while a graph is built: numbers are folded, signs move outwards, views of views become one view."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurra.equations.graph import Graph, Node


_FOLD: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "tanh": math.tanh,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "max": max,
    "min": min,
}


def simplify(graph: Graph, op: str, args: tuple[Node, ...], data: Any) -> Node | None:
    """A simpler node for `op` of `args`, where there is one."""
    if op in _FOLD and all(a.op == "const" for a in args):
        try:
            return graph.const(_FOLD[op](*(a.data for a in args)))
        except (ArithmeticError, ValueError):
            return None  # 1/0 or log(-1): left to the executor, which gives inf or nan as torch does
    rule = _RULES.get(op)
    return rule(graph, args, data) if rule else None


def _is(node: Node, value: float) -> bool:
    return node.op == "const" and node.data == value


def _simple_add(graph: Graph, args: tuple[Node, ...], data: Any) -> Node | None:
    a, b = args
    if _is(a, 0.0):
        return b
    if _is(b, 0.0):
        return a
    if b.op == "neg":
        return graph.make("sub", a, b.args[0])
    if a.op == "neg":
        return graph.make("sub", b, a.args[0])
    return None


def _simple_sub(graph: Graph, args: tuple[Node, ...], data: Any) -> Node | None:
    a, b = args
    if _is(b, 0.0):
        return a
    if _is(a, 0.0):
        return graph.make("neg", b)
    return graph.make("add", a, b.args[0]) if b.op == "neg" else None


def _simple_mul(graph: Graph, args: tuple[Node, ...], data: Any) -> Node | None:
    a, b = args
    if a.op == "const":
        a, b = b, a
    if _is(b, 1.0):
        return a
    if _is(b, -1.0):
        return graph.make("neg", a)
    if a.op == "neg":
        return graph.make("neg", graph.make("mul", a.args[0], b))
    if b.op == "neg":
        return graph.make("neg", graph.make("mul", a, b.args[0]))
    return None


def _simple_div(graph: Graph, args: tuple[Node, ...], data: Any) -> Node | None:
    a, b = args
    if b.op == "const" and isinstance(b.data, float) and b.data != 0.0:
        return graph.make("mul", a, graph.const(1.0 / b.data))
    return graph.make("neg", graph.make("div", a.args[0], b)) if a.op == "neg" else None


def _simple_neg(graph: Graph, args: tuple[Node, ...], data: Any) -> Node | None:
    (a,) = args
    if a.op == "neg":
        return a.args[0]
    return graph.make("sub", a.args[1], a.args[0]) if a.op == "sub" else None


def _simple_slice(graph: Graph, args: tuple[Node, ...], data: Any) -> Node | None:
    (a,) = args
    start, width = data
    if width == a.width:
        return a
    if a.op == "slice":
        return graph.make("slice", a.args[0], data=(a.data[0] + start, width))
    if a.op == "spread":
        return graph.make("spread", a.args[0], data=width)
    if a.op == "concat":
        offset = 0
        for part in a.args:
            assert part.width is not None
            if offset <= start and start + width <= offset + part.width:
                return graph.make("slice", part, data=(start - offset, width))
            offset += part.width
    return None


def _simple_concat(graph: Graph, args: tuple[Node, ...], data: Any) -> Node | None:
    flat = [p for a in args for p in (a.args if a.op == "concat" else (a,))]
    joined: list[Node] = []
    for part in flat:
        both = _meet(graph, joined[-1], part) if joined else None
        if both is None:
            joined.append(part)
        else:
            joined[-1] = both
    if len(joined) == 1:
        return joined[0]
    return graph.make("concat", *joined) if len(joined) < len(args) or len(flat) > len(args) else None


def _meet(graph: Graph, left: Node, right: Node) -> Node | None:
    """Two neighbouring views of one row, or parts of one weight vector, as one."""
    width = (left.width or 0) + (right.width or 0)
    if left.op == right.op == "slice" and left.args == right.args:
        first, size = left.data
        if first + size == right.data[0]:
            return graph.make("slice", left.args[0], data=(first, width))
    if left.op == right.op == "vector":
        name, first, size = left.data
        if right.data[:2] == (name, first + size):
            return graph.leaf("vector", (name, first, width), width, left.rate)
    return None


def _simple_spread(graph: Graph, args: tuple[Node, ...], data: Any) -> Node | None:
    return args[0] if args[0].width is not None else None


_RULES: dict[str, Callable[[Graph, tuple[Node, ...], Any], Node | None]] = {
    "add": _simple_add,
    "sub": _simple_sub,
    "mul": _simple_mul,
    "div": _simple_div,
    "neg": _simple_neg,
    "slice": _simple_slice,
    "concat": _simple_concat,
    "spread": _simple_spread,
}
