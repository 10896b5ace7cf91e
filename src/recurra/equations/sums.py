"""Sums regrouped by when their terms exist, so that loop products start from what was made before the loop."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from recurra.equations.graph import Graph, Node, Rate, copy_node, rebuild, unseen
from recurra.equations.phases import level_above


def regroup(source: Graph) -> Graph:
    """Flatten sums and add their terms in the order in which they come to exist.

    Rates first (once, per sequence, per step, loop), then within a rate by level: so products of lower rate leave
    the loop and become what loop products start from.
    """
    readers = Counter(a for node in source.nodes() for a in node.args)
    readers.update(source.roots())
    inner = {
        a
        for node in source.nodes()
        if node.op in ("add", "sub")
        for a in node.args
        if a.op in ("add", "sub", "neg", "mul") and readers[a] == 1
    }
    levels: dict[Node, int] = {}

    def replace(graph: Graph, node: Node, args: tuple[Node, ...]) -> Node | None:
        new = None
        if node.op in ("add", "sub") and node not in inner:
            new = _sum(graph, _terms(source_terms, node, inner), levels)
        new = new or copy_node(graph, node, args)
        source_terms[node] = new
        for made in unseen(new, levels):
            levels[made] = level_above(made.op, made.rate, made.args, levels)
        return new

    source_terms: dict[Node, Node] = {}
    return rebuild(source, replace)


@dataclass(frozen=True)
class _Term:
    """One term of a sum: a value, or a product of two that is added as it is made (fma)."""

    factors: tuple[Node, ...]
    negative: bool

    @property
    def rate(self) -> Rate:
        return max(f.rate for f in self.factors)


def _terms(new: dict[Node, Node], root: Node, inner: set[Node]) -> list[_Term]:
    """The terms of a sum in the new graph, signs carried down through the inner sums."""
    terms: list[_Term] = []
    stack = [(a, root.op == "sub" and k == 1) for k, a in enumerate(root.args)]
    while stack:
        node, negative = stack.pop(0)
        if node in inner and node.op in ("add", "sub"):
            stack[:0] = [(a, negative ^ (node.op == "sub" and k == 1)) for k, a in enumerate(node.args)]
        elif node in inner and node.op == "neg":
            stack.insert(0, (node.args[0], not negative))
        elif node in inner and node.op == "mul" and node.width is not None:
            terms.append(_Term(tuple(new[a] for a in node.args), negative))
        else:
            terms.append(_Term((new[node],), negative))
    return terms


def _sum(graph: Graph, terms: list[_Term], levels: dict[Node, int]) -> Node:
    """Add `terms` in the order (rate, level, products, values, fma): each product starts from the sum so far."""

    def key(term: _Term) -> tuple[int, int, bool, int]:
        level = max((levels[f] for f in term.factors if f.rate == term.rate), default=0)
        return term.rate, level, not _starts(term), len(term.factors)

    ordered = sorted(terms, key=key)
    first = next((k for k, t in enumerate(ordered) if not t.negative), 0)
    if key(ordered[first])[:2] == key(ordered[0])[:2]:  # a sum best begins with a term that is added
        ordered.insert(0, ordered.pop(first))
    total: Node | None = None
    k = 0
    while k < len(ordered):
        term = ordered[k]
        k += 1
        if not _starts(term):
            total = _add(graph, total, term)
            continue
        group = [term]
        while k < len(ordered) and key(ordered[k]) == key(term):
            group.append(ordered[k])
            k += 1
        products = [t.factors[0] for t in group]
        blocks = tuple(b for p in products for b in p.data.blocks[0])
        start = (
            total if total is None or total.width is not None else graph.make("spread", total, data=products[0].width)
        )
        total = graph.product((blocks,), [a for p in products for a in p.operands], start)
    assert total is not None
    return total


def _starts(term: _Term) -> bool:
    """Whether the term is a product that may start from the sum so far."""
    (first, *rest) = term.factors
    return not rest and not term.negative and first.op == "product" and first.start is None


def _add(graph: Graph, total: Node | None, term: _Term) -> Node:
    if len(term.factors) == 2 and total is not None:
        if total.width is None:
            value = graph.make("mul", *term.factors)
            return graph.make("sub" if term.negative else "add", total, value)
        return graph.make("fnma" if term.negative else "fma", *term.factors, total)
    value = term.factors[0] if len(term.factors) == 1 else graph.make("mul", *term.factors)
    if total is None:
        return graph.make("neg", value) if term.negative else value
    return graph.make("sub" if term.negative else "add", total, value)
