"""From what was recorded to the graph: sizes settled, splits turned into slices of weights where they sink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recurra.equations.graph import Block, Graph, Node, Rate, walk
from recurra.equations.symbols import Symbol, Tracer, Weight
from recurra.errors import CellError


@dataclass(frozen=True)
class Lowered:
    """A graph, its inputs by name, the shapes of weights and the parts of them that `split` named (see `Traced`)."""

    graph: Graph
    inputs: dict[str, Node]
    weights: dict[str, tuple[int, ...]]
    parts: dict[str, tuple[str, int, int]]


def lower(
    tracer: Tracer, states: Mapping[str, Symbol], inputs: Mapping[str, Symbol], values: Mapping[str, Symbol]
) -> Lowered:
    """The graph of what was recorded; `values` are what the cell returned, its output first.

    Raises:
        CellError: if a size is left open.
    """
    graph = Graph()
    parts: dict[str, tuple[str, int, int]] = {}
    new: dict[Symbol, Node] = {}
    for item in walk([*inputs.values(), *states.values(), *values.values()]):
        new[item] = _lower_one(graph, tracer, item, [new[a] for a in item.args])
        if item.op == "split" and item.data[1] is not None:
            parts.update(_named_parts(new[item.args[0]], new[item].width or 0, *item.data))
    graph.states = {name: (new[leaf], new[values[name]]) for name, leaf in states.items()}
    graph.results["output"] = new[next(iter(values.values()))]
    shapes = {name: _shape(tracer, weight) for name, weight in tracer.weights.items() if weight.kind}
    leaves = {name: new[leaf] for name, leaf in inputs.items()}
    return Lowered(graph, leaves, shapes, parts)


def _lower_one(graph: Graph, tracer: Tracer, item: Symbol, args: list[Node]) -> Node:
    width = None if item.length is None else _settled(tracer, item)
    if item.op in ("input", "state"):
        return graph.leaf(item.op, item.data, width, item.rate)
    if item.op == "const":
        return graph.const(item.data)
    if item.op == "vector":
        return graph.leaf("vector", (item.data.name, 0, width), width, Rate.ONCE)
    if item.op == "scalar":
        return graph.leaf("scalar", item.data.name, None, Rate.ONCE)
    if item.op == "split":
        assert width is not None
        return _sink(graph, args[0], item.data[0] * width, width)
    if item.op == "product":
        assert width is not None
        return _multiply(graph, item.data.name, width, args[0])
    return graph.make(item.op, *args, data=item.data)


def _settled(tracer: Tracer, item: Symbol) -> int:
    value = item.length.value if item.length is not None else None
    if value is not None:
        return value
    for name, weight in tracer.weights.items():
        if weight.rows.value is None:
            tracer.fail(
                f"the equations leave the rows of p.{name} open; state them, as in `p.{name}[h.size] @ x`, "
                f"or in @cell(sizes={{'{name}': 'hidden_size'}})",
                weight.line,
            )
    raise CellError(f"cell '{tracer.cell}', {tracer.filename}:{item.line}: the size of {item.op} is left open")


def _shape(tracer: Tracer, weight: Weight) -> tuple[int, ...]:
    rows = weight.rows.value
    if weight.kind == "scalar":
        return ()
    if rows is None:
        tracer.fail(
            f"the equations leave the size of p.{weight.name} open; state it, as in `p.{weight.name}[h.size]`",
            weight.line,
        )
    if weight.kind == "vector":
        return (rows,)
    assert weight.columns.value is not None  # operands are lowered first, so their sizes are settled
    return rows, weight.columns.value


def _multiply(graph: Graph, name: str, rows: int, operand: Node) -> Node:
    """`W @ operand`; of a concatenation, the sum of one product for each of its parts."""
    pieces = operand.args if operand.op == "concat" else (operand,)
    column, total = 0, None
    for piece in pieces:
        assert piece.width is not None
        term = graph.product(((Block(name, 0, rows, column, piece.width),),), (piece,))
        total = term if total is None else graph.make("add", total, term)
        column += piece.width
    assert total is not None
    return total


def _sinks(node: Node) -> bool:
    """Whether a slice of `node` may become slices of weights: sums of products, vectors, inputs and numbers."""
    if node.op in ("add", "sub", "neg"):
        return all(_sinks(a) for a in node.args)
    return node.width is None or node.op in ("product", "vector", "input")


def _sink(graph: Graph, node: Node, start: int, width: int) -> Node:
    """Elements [start, start + width) of `node`: row blocks of weights where the slice sinks, a view elsewhere."""
    if not _sinks(node):
        return graph.make("slice", node, data=(start, width))
    if node.width is None:
        return node
    if node.op == "product":
        (block,) = node.data.blocks[0]
        return graph.product(((block._replace(row=block.row + start, rows=width),),), node.args)
    if node.op == "vector":
        name, first, _ = node.data
        return graph.leaf("vector", (name, first + start, width), width, Rate.ONCE)
    if node.op == "input":
        return graph.make("slice", node, data=(start, width))
    return graph.make(node.op, *(_sink(graph, a, start, width) for a in node.args))


def _named_parts(whole: Node, width: int, index: int, label: str) -> dict[str, tuple[str, int, int]]:
    """The rows of each weight in the sum `whole` that a named part of it reads."""
    found: dict[str, tuple[str, int, int]] = {}
    stack = [whole]
    while stack:
        node = stack.pop()
        if node.op in ("add", "sub", "neg"):
            stack.extend(node.args)
        elif node.op == "vector":
            found[f"{node.data[0]}.{label}"] = (node.data[0], node.data[1] + index * width, width)
        elif node.op == "product":
            (block,) = node.data.blocks[0]
            found[f"{block.weight}.{label}"] = (block.weight, block.row + index * width, width)
    return found
