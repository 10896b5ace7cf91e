"""The graph that a cell's equations become: values with a width and a rate, made once each.

One set of node kinds serves the forward pass and the gradient (`derive`), and one executor runs both.
A *row* is a vector per sequence (`width` numbers); a *number* is one value per sequence (`width` is None, so that
a hidden size of 1 stays a row). Its *rate* says how often a value is made.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from recurra.equations.simplify import simplify


class Rate(IntEnum):
    """How often a value is made: from weights alone, per sequence, per step, or inside the recurrence."""

    ONCE = 0
    SEQUENCE = 1
    STEP = 2
    LOOP = 3

    @property
    def per_step(self) -> bool:
        return self >= Rate.STEP


class Block(NamedTuple):
    """A rectangle of a weight matrix, possibly transposed."""

    weight: str
    row: int
    rows: int
    column: int
    columns: int
    transposed: bool = False

    @property
    def reads(self) -> int:
        return self.rows if self.transposed else self.columns

    @property
    def makes(self) -> int:
        return self.columns if self.transposed else self.rows

    @property
    def transpose(self) -> Block:
        return self._replace(transposed=not self.transposed)


class Product(NamedTuple):
    """What a product multiplies: `blocks[j][k]` makes the j-th part of the result from the k-th operand.

    The result is `start + sum_k blocks[:, k] @ operand_k`; `start` says whether the last argument is the start row.
    """

    blocks: tuple[tuple[Block, ...], ...]
    start: bool = False

    @property
    def width(self) -> int:
        return sum(part[0].makes for part in self.blocks)


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One value of the graph. `data` holds what the arguments do not say: a name, a number, blocks, a range."""

    op: str
    args: tuple[Node, ...]
    width: int | None
    rate: Rate
    data: Any = None  # hashable

    @property
    def operands(self) -> tuple[Node, ...]:
        """The operands of a product, without its start row."""
        return self.args[:-1] if self.start is not None else self.args

    @property
    def start(self) -> Node | None:
        return self.args[-1] if isinstance(self.data, Product) and self.data.start else None


LEAVES = frozenset({"input", "state", "vector", "scalar", "const"})


@dataclass
class Graph:
    """Values by name: what is carried from step to step, and what is asked for besides.

    `states` maps a name to (the value that enters a step, the value that leaves it); `results` maps a key to a
    value. Equal expressions are one node (common sub-expressions are found while building).
    """

    states: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    results: dict[Hashable, Node] = field(default_factory=dict)
    _nodes: dict[Hashable, Node] = field(default_factory=dict, repr=False)

    def leaf(self, op: str, name: Hashable, width: int | None, rate: Rate) -> Node:
        return self._node(op, (), width, rate, name)

    def const(self, value: float) -> Node:
        return self._node("const", (), None, Rate.ONCE, float(value))

    def zeros(self, width: int | None) -> Node:
        return self.const(0.0) if width is None else self.make("spread", self.const(0.0), data=width)

    def make(self, op: str, *args: Node, data: Any = None) -> Node:
        """The node for `op` of `args`, simplified; the same node for the same expression."""
        simple = simplify(self, op, args, data)
        if simple is not None:
            return simple
        rate = data if op == "total" else max(a.rate for a in args)
        assert isinstance(rate, Rate)
        return self._node(op, args, _width(op, args, data), rate, data)

    def product(
        self, blocks: tuple[tuple[Block, ...], ...], operands: Iterable[Node], start: Node | None = None
    ) -> Node:
        args = (*operands, *(() if start is None else (start,)))
        return self.make("product", *args, data=Product(blocks, start is not None))

    def total(self, value: Node, rate: Rate) -> Node:
        """`value` summed over all it is made for more often than `rate` says (steps, then sequences)."""
        lower = value.rate > rate and not (value.rate.per_step and rate.per_step)
        return self.make("total", value, data=rate) if lower else value

    def _node(self, op: str, args: tuple[Node, ...], width: int | None, rate: Rate, data: Any) -> Node:
        key = (op, tuple(map(id, args)), data, width, rate)
        return self._nodes.setdefault(key, Node(op, args, width, rate, data))

    def roots(self) -> list[Node]:
        return [*self.results.values(), *(new for _, new in self.states.values())]

    def nodes(self) -> list[Node]:
        """Every node that the roots need, arguments before what reads them."""
        return list(walk(self.roots()))


class HasArguments(Protocol):
    @property
    def args(self) -> tuple[Self, ...]: ...


Value = TypeVar("Value", bound=HasArguments)


def walk(roots: Iterable[Value]) -> Iterator[Value]:
    """All that `roots` need, arguments first; no recursion, so that long chains of operations are fine."""
    seen: set[Value] = set()
    for root in roots:
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                yield node
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((a, False) for a in reversed(node.args))


def unseen(root: Node, known: Container[Node]) -> list[Node]:
    """Nodes from `root` down to those known already, arguments first."""
    found: list[Node] = []
    stack = [root]
    while stack:
        node = stack[-1]
        missing = [a for a in node.args if a not in known and a not in found]
        if missing:
            stack.extend(missing)
        else:
            stack.pop()
            if node not in known and node not in found:
                found.append(node)
    return found


def rebuild(source: Graph, replace: Callable[[Graph, Node, tuple[Node, ...]], Node | None]) -> Graph:
    """A copy of `source` in which `replace(graph, node, new arguments)` may stand another node for each.

    Where it returns None the node is made again from its new arguments.
    """
    target = Graph()
    new: dict[Node, Node] = {}
    for node in walk([*source.roots(), *(leaf for leaf, _ in source.states.values())]):
        args = tuple(new[a] for a in node.args)
        new[node] = replace(target, node, args) or copy_node(target, node, args)
    target.states = {name: (new[leaf], new[value]) for name, (leaf, value) in source.states.items()}
    target.results = {key: new[node] for key, node in source.results.items()}
    return target


def copy_node(target: Graph, node: Node, args: tuple[Node, ...]) -> Node:
    if node.op in LEAVES:
        return target.leaf(node.op, node.data, node.width, node.rate)
    return target.make(node.op, *args, data=node.data)


def _width(op: str, args: tuple[Node, ...], data: Any) -> int | None:
    if isinstance(data, Product):
        return data.width
    if op == "slice":
        return data[1]
    if op == "concat":
        return sum(a.width or 0 for a in args)
    if op == "spread":
        return data
    if op in ("sum", "inv_std", "outer"):
        return None
    return next((a.width for a in args if a.width is not None), None)
