"""The gradient of a graph, as another graph of the same kinds.

The gradients carried from step to step are its states, the values kept by the forward pass are its inputs, and time
runs the other way. Each adjoint has exactly the shape of its node; a value used more often than it is made gets the
total of its gradient. With these two rules vectors, scalars, contexts and masks need no case of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from recurra.equations.graph import LEAVES, Graph, Node, Product, Rate, rebuild, walk
from recurra.equations.keep import choose_kept


@dataclass(frozen=True)
class Derivative:
    """The gradient graph and what it reads of the forward pass.

    The input ("output",) is the gradient of the output and each input ("kept", k) the forward value `kept[k]`;
    weights and the cell's inputs keep their names. Its states are the carried gradients, by state. Its results:
    ("input", name) for an input, ("vector", name, first, size), ("scalar", name) and ("matrix", blocks, number) for
    weights; a matrix result is a node "outer" of (gradient of the rows of all blocks, operand).
    """

    graph: Graph
    kept: dict[int, Node]


def derive(forward: Graph, wanted: frozenset[str]) -> Derivative:
    """The gradient of `forward` (result "output" and the states) for the inputs and weights named in `wanted`.

    Gradients of the initial states always come with it: they are what is carried.
    """
    order = list(walk([forward.results["output"], *(new for _, new in forward.states.values())]))
    leads = _leads_to(order, wanted)
    tape = _Tape(leads)
    graph = tape.graph
    if leads.get(forward.results["output"]):
        output = forward.results["output"]
        tape.add(output, graph.leaf("input", ("output",), output.width, Rate.STEP))
    carried = {name: graph.leaf("state", name, leaf.width, Rate.LOOP) for name, (leaf, _) in forward.states.items()}
    for name, (_, new) in forward.states.items():
        tape.add(new, carried[name])
    for node in reversed(order):
        tape.propagate(node)
    for name, (leaf, _) in forward.states.items():
        graph.states[name] = (carried[name], tape.gradient(leaf))
    for node in order:
        if node.op in LEAVES and leads.get(node) and node.op not in ("state", "const"):
            graph.results[_result_key(node)] = tape.gradient(node)
    graph.results |= tape.matrices(wanted)
    return _with_kept(forward, graph)


def _result_key(leaf: Node) -> tuple[object, ...]:
    data = leaf.data if isinstance(leaf.data, tuple) else (leaf.data,)
    return (leaf.op, *data)


def _name(leaf: Node) -> object:
    return leaf.data[0] if isinstance(leaf.data, tuple) else leaf.data


def _leads_to(order: list[Node], wanted: frozenset[str]) -> dict[Node, bool]:
    """For each node, whether a wanted leaf or a state lies below it, so that its gradient is needed."""
    leads: dict[Node, bool] = {}
    for node in order:
        own = node.op == "state" or (node.op in LEAVES and node.op != "const" and _name(node) in wanted)
        matrix = isinstance(node.data, Product) and any(b.weight in wanted for part in node.data.blocks for b in part)
        leads[node] = node.op != "stop" and (own or matrix or any(leads[a] for a in node.args))
    return leads


class _Tape:
    """Gradients gathered so far: for each forward node the contributions of those that read it."""

    def __init__(self, leads: dict[Node, bool]) -> None:
        self.graph = Graph()
        self.leads = leads
        self._contributions: dict[Node, list[Node]] = {}
        self._products: dict[Node, list[tuple[Product, Node]]] = {}
        self._slices: dict[Node, list[tuple[int, Node]]] = {}
        self._outer: list[tuple[Product, Node, Node]] = []

    def value(self, node: Node) -> Node:
        """The value of a forward node, for use in the gradient; which of these are kept is decided at the end."""
        rate = Rate.STEP if node.rate.per_step else node.rate
        return self.graph.const(node.data) if node.op == "const" else self.graph.leaf("forward", node, node.width, rate)

    def add(self, node: Node, gradient: Node) -> None:
        """Add to the gradient of `node`, in its shape: summed over a row that the reader spread it to."""
        if self.leads.get(node):
            if node.width is None and gradient.width is not None:
                gradient = self.graph.make("sum", gradient)
            elif node.width is not None:
                gradient = self.graph.make("spread", gradient, data=node.width)
            self._contributions.setdefault(node, []).append(gradient)

    def reached(self, node: Node) -> bool:
        """Whether any gradient came to `node`: behind `stop_gradient` none does."""
        return node in self._contributions or node in self._products or node in self._slices

    def gradient(self, node: Node) -> Node:
        """The finished gradient of `node`: contributions of each rate summed, then brought to the node's own rate."""
        graph, found = self.graph, list(self._contributions.get(node, ()))
        if node in self._products:
            found.append(self._transposed(self._products[node]))
        found += _placed(graph, node, self._slices.get(node, []))
        if not found:
            return graph.zeros(node.width)
        groups: dict[int, Node] = {}
        for item in found:
            rate = min(item.rate, Rate.STEP)
            groups[rate] = graph.make("add", groups[rate], item) if rate in groups else item
        total: Node | None = None
        for item in groups.values():
            lowered = graph.total(item, node.rate)
            total = lowered if total is None else graph.make("add", total, lowered)
        assert total is not None
        return total

    def propagate(self, node: Node) -> None:
        """Give the arguments of `node` their share of its gradient."""
        if node.op in LEAVES or not self.leads[node] or not self.reached(node):
            return
        gradient = self.gradient(node)
        if node.op == "product":
            (operand,) = node.args
            assert isinstance(node.data, Product)
            self._outer.append((node.data, gradient, operand))
            if self.leads[operand]:
                self._products.setdefault(operand, []).append((node.data, gradient))
        elif node.op == "slice":
            if self.leads[node.args[0]]:
                self._slices.setdefault(node.args[0], []).append((node.data[0], gradient))
        elif node.op == "concat":
            offset = 0
            for part in node.args:
                assert part.width is not None
                self.add(part, self.graph.make("slice", gradient, data=(offset, part.width)))
                offset += part.width
        else:
            args = [self.value(a) for a in node.args]
            for arg, share in zip(
                node.args, _ADJOINTS[node.op](self.graph, gradient, self.value(node), args), strict=True
            ):
                if share is not None:
                    self.add(arg, share)

    def matrices(self, wanted: frozenset[str]) -> dict[Hashable, Node]:
        """One outer product for each product of a wanted matrix."""
        found: dict[Hashable, Node] = {}
        for data, gradient, operand in self._outer:
            ((block,),) = data.blocks
            if block.weight in wanted:
                key = ("matrix", (block,), len(found))
                found[key] = self.graph.make("outer", gradient, self.value(operand))
        return found

    def _transposed(self, products: list[tuple[Product, Node]]) -> Node:
        """All products that read one value, as one product of the transposed blocks over a list of operands."""
        blocks = tuple(data.blocks[0][0].transpose for data, _ in products)
        return self.graph.product((blocks,), [gradient for _, gradient in products])


def _placed(graph: Graph, node: Node, slices: list[tuple[int, Node]]) -> list[Node]:
    """Gradients of slices as rows of the whole width; slices that do not overlap share one row."""
    rows: list[Node] = []
    left = sorted(slices, key=lambda item: item[0])
    while left:
        parts, rest, position = [], [], 0
        for start, gradient in left:
            if start < position:
                rest.append((start, gradient))
                continue
            if start > position:
                parts.append(graph.zeros(start - position))
            parts.append(gradient)
            position = start + (gradient.width or 0)
        if position < (node.width or 0):
            parts.append(graph.zeros((node.width or 0) - position))
        rows.append(graph.make("concat", *parts) if len(parts) > 1 else parts[0])
        left = rest
    return rows


Adjoint = Callable[[Graph, Node, Node, list[Node]], Iterable[Node | None]]


def _divide(graph: Graph, g: Node, y: Node, args: list[Node]) -> Iterable[Node | None]:
    quotient = graph.make("div", g, args[1])
    return quotient, graph.make("neg", graph.make("mul", quotient, y))


def _rsqrt(graph: Graph, g: Node, y: Node, args: list[Node]) -> Iterable[Node | None]:
    cubed = graph.make("mul", y, graph.make("mul", y, y))
    return (graph.make("mul", graph.make("mul", g, graph.const(-0.5)), cubed),)


def _logsigmoid(graph: Graph, g: Node, y: Node, args: list[Node]) -> Iterable[Node | None]:
    # From the input: 1 - exp(y) has no digits left where y is near 0.
    return (graph.make("mul", g, graph.make("sigmoid", graph.make("neg", args[0]))),)


# Adjoints of the arguments, given the gradient g and the output y: from the output wherever that is possible, because
# the output is what has to be kept anyway.
_ADJOINTS: dict[str, Adjoint] = {
    "add": lambda graph, g, y, a: (g, g),
    "sub": lambda graph, g, y, a: (g, graph.make("neg", g)),
    "mul": lambda graph, g, y, a: (graph.make("mul", g, a[1]), graph.make("mul", g, a[0])),
    "div": _divide,
    "neg": lambda graph, g, y, a: (graph.make("neg", g),),
    "tanh": lambda graph, g, y, a: (graph.make("dtanh", g, y),),
    "sigmoid": lambda graph, g, y, a: (graph.make("dsigmoid", g, y),),
    "relu": lambda graph, g, y, a: (graph.make("drelu", g, y),),
    "exp": lambda graph, g, y, a: (graph.make("mul", g, y),),
    "log": lambda graph, g, y, a: (graph.make("div", g, a[0]),),
    "logsigmoid": _logsigmoid,
    "sqrt": lambda graph, g, y, a: (graph.make("div", graph.make("mul", g, graph.const(0.5)), y),),
    "rsqrt": _rsqrt,
    "max": lambda graph, g, y, a: (graph.make("pick", g, a[0], a[1]), graph.make("pick", g, a[1], a[0])),
    "min": lambda graph, g, y, a: (graph.make("pick", g, a[1], a[0]), graph.make("pick", g, a[0], a[1])),
    "sum": lambda graph, g, y, a: (g,),
    "inv_std": lambda graph, g, y, a: (None,),
    "normalise": lambda graph, g, y, a: (graph.make("dnormalise", g, y, a[1]), None),
    "spread": lambda graph, g, y, a: (g,),
    "stop": lambda graph, g, y, a: (None,),
}


def _with_kept(forward: Graph, gradient: Graph) -> Derivative:
    """Replace the forward values that the gradient reads: by kept ones, or by what computes them from kept ones."""
    reads = [n.data for n in gradient.nodes() if n.op == "forward"]
    kept = choose_kept(forward, reads)
    places = {node: k for k, node in enumerate(kept)}
    stands: dict[Node, Node] = {}

    def replace(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op != "forward":
            return None
        for value in walk([node.data]):
            if value not in stands:
                stands[value] = _remake(graph, value, places, stands)
        return stands[node.data]

    graph = rebuild(gradient, replace)
    read = {n.data for n in graph.nodes() if n.op == "input"}
    return Derivative(graph, {k: node for node, k in places.items() if ("kept", k) in read})


def _remake(graph: Graph, node: Node, places: dict[Node, int], stands: dict[Node, Node]) -> Node:
    if node in places:
        return graph.leaf("input", ("kept", places[node]), node.width, Rate.STEP if node.rate.per_step else node.rate)
    if node.op == "stop":
        return stands[node.args[0]]
    if node.op in LEAVES:
        return graph.leaf(node.op, node.data, node.width, node.rate)
    return graph.make(node.op, *(stands[a] for a in node.args), data=node.data)
