"""Products put together: operands of adjacent blocks as one row, products of one operand list as one product."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from recurra.equations.graph import Graph, Node, Rate, copy_node, rebuild, unseen
from recurra.equations.phases import find_phases


def join(source: Graph) -> Graph:
    """Operands that meet adjacent blocks of one matrix become one operand, a concatenation.

    The gradient has most of these: the gates' gradients against rows of one matrix. Results that are gradients of
    adjacent weights are joined the same way, so that one buffer serves the loop's product and the weights' gradients.
    """

    def replace(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op != "product" or len(node.data.blocks) > 1 or len(node.operands) == 1:
            return None
        pairs = sorted(zip(node.data.blocks[0], args, strict=False), key=lambda pair: pair[0])
        blocks, operands = [pairs[0][0]], [[pairs[0][1]]]
        for block, operand in pairs[1:]:
            last = blocks[-1]
            if block.transposed and block == last._replace(row=last.row + last.rows, rows=block.rows):
                blocks[-1] = last._replace(rows=last.rows + block.rows)
                operands[-1].append(operand)
            else:
                blocks.append(block)
                operands.append([operand])
        joined = [graph.make("concat", *group) if len(group) > 1 else group[0] for group in operands]
        return graph.product((tuple(blocks),), joined, args[-1] if node.start is not None else None)

    target = rebuild(source, replace)
    target.results = _join_matrices(target, _join_vectors(target, target.results))
    return target


def _join_vectors(graph: Graph, results: dict[Any, Node]) -> dict[Any, Node]:
    """Totals that are gradients of adjacent parts of one vector, as the total of a concatenation."""
    joined: dict[Any, Node] = {}
    found = [key for key, node in results.items() if key[0] == "vector" and node.op == "total"]
    for key in sorted(found, key=lambda k: k[1:3]):
        _, name, first, size = key
        last = next(reversed(joined), None)
        value = results[key].args[0]
        if last is not None and last[1] == name and last[2] + last[3] == first and _alike(joined[last], value):
            both = ("vector", name, last[2], last[3] + size)
            if both not in joined:  # parts of a vector may overlap
                joined[both] = graph.make("concat", joined.pop(last), value)
                continue
        joined[key] = value
    totals = {key: graph.total(value, Rate.ONCE) for key, value in joined.items()}
    return {key: node for key, node in results.items() if key not in found} | totals


def _alike(a: Node, b: Node) -> bool:
    return min(a.rate, Rate.STEP) == min(b.rate, Rate.STEP)


def _join_matrices(graph: Graph, results: dict[Any, Node]) -> dict[Any, Node]:
    """Outer products with one operand become one, over the gradients of all their rows."""
    groups: dict[Node, list[Any]] = {}
    for key, node in results.items():
        if node.op == "outer":
            groups.setdefault(node.args[1], []).append(key)
    joined: dict[Any, Node] = {key: node for key, node in results.items() if node.op != "outer"}
    for operand, keys in groups.items():
        keys.sort(key=lambda key: key[1])
        rows = [results[key].args[0] for key in keys]
        blocks = tuple(block for key in keys for block in key[1])
        gradient = graph.make("concat", *rows) if len(rows) > 1 else rows[0]
        joined["matrix", blocks, len(joined)] = graph.make("outer", gradient, operand)
    return joined


def merge(source: Graph) -> Graph:
    """Products of one operand list and phase become one wide product and views of it, sorted by weight and row.

    Levels make this safe: a start exists as soon as the operands do, so no start of a group needs another of its
    products.
    """
    groups: dict[Hashable, list[Node]] = {}
    phases = find_phases(source, source.nodes())
    for node, phase in phases.items():
        if node.op == "product":
            groups.setdefault((node.operands, phase), []).append(node)
    for group in groups.values():
        group.sort(key=lambda n: n.data.blocks)
    new: dict[Node, Node] = {}

    def made(graph: Graph, node: Node) -> Node:
        for value in unseen(node, new):
            if value not in new:
                new[value] = one(graph, value)
        return new[node]

    def one(graph: Graph, node: Node) -> Node:
        group = groups[node.operands, phases[node]] if node.op == "product" else [node]
        if len(group) == 1:
            return copy_node(graph, node, tuple(new[a] for a in node.args))
        starts = [None if n.start is None else made(graph, n.start) for n in group]
        blocks = tuple(part for n in group for part in n.data.blocks)
        wide = graph.product(blocks, [new[a] for a in node.operands], _joined(graph, group, starts))
        offset = sum(n.width or 0 for n in group[: group.index(node)])
        return graph.make("slice", wide, data=(offset, node.width))

    return rebuild(source, lambda graph, node, args: made(graph, node))


def _joined(graph: Graph, group: list[Node], starts: list[Node | None]) -> Node | None:
    """The start rows of a group of products as one row, zeros where a product has none."""
    if all(start is None for start in starts):
        return None
    return graph.make("concat", *(start or graph.zeros(n.width) for n, start in zip(group, starts, strict=True)))
