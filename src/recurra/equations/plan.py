"""From a graph to a plan: what runs before the loop over time, in it and after it, in stages.

The same passes serve the forward graph and its gradient: sums are regrouped by when their terms exist (so that loop
products start from what was made before the loop), products of one operand list become one, and every value is put
where it costs least. A backend only walks the stages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum

from recurra.equations.graph import LEAVES, Graph, Node, Rate, copy_node, rebuild


class Phase(IntEnum):
    """When a value is made: before the loop over time, in each of its steps, or after it."""

    BEFORE = 0
    LOOP = 1
    AFTER = 2


@dataclass(frozen=True)
class Stage:
    """Values made together: one product, or a program of elementwise and row operations in order."""

    kind: str  # "product" or "program"
    nodes: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """The stages of each phase over `graph`, whose states and results say what comes out.

    `recorded` are the loop's values (states as they enter a step, too) that results and later stages need for all
    steps. Outside the loop, values per step are made for all steps at once, and only for valid ones (no padding).
    """

    graph: Graph
    before: tuple[Stage, ...]
    loop: tuple[Stage, ...]
    after: tuple[Stage, ...]
    recorded: tuple[Node, ...]


def plan(source: Graph, *, stops: bool = False) -> Plan:
    """The plan of a graph, forward or gradient. `stops` keeps what stops gradients: for autograd through the plan."""
    graph = source if stops else rebuild(source, lambda graph, node, args: args[0] if node.op == "stop" else None)
    graph = _merge(_join(_regroup(graph)))
    order = graph.nodes()
    phases = _phases(graph, order)
    levels = _late(graph, order, phases, _levels(order))
    stages = {phase: _stages(phase, [n for n in order if phases.get(n) == phase], levels) for phase in Phase}
    return Plan(graph, stages[Phase.BEFORE], stages[Phase.LOOP], stages[Phase.AFTER], _recorded(graph, order, phases))


def _levels(order: list[Node]) -> dict[Node, int]:
    """For each value the number of products, of its own rate, on the longest way to it."""
    levels: dict[Node, int] = {}
    for node in order:
        levels[node] = _level(node.op, node.rate, node.args, levels)
    return levels


def _level(op: str, rate: Rate, args: tuple[Node, ...], levels: dict[Node, int]) -> int:
    below = max((levels[a] for a in args if a.rate == rate), default=0)
    return below + 1 if op == "product" else below


def _regroup(source: Graph) -> Graph:
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
        for made in _new_nodes(new, levels):
            levels[made] = _level(made.op, made.rate, made.args, levels)
        return new

    source_terms: dict[Node, Node] = {}
    return rebuild(source, replace)


def _new_nodes(root: Node, levels: dict[Node, int]) -> list[Node]:
    """Nodes below `root` without a level yet, arguments first."""
    found: list[Node] = []
    stack = [root]
    while stack:
        node = stack[-1]
        missing = [a for a in node.args if a not in levels and a not in found]
        if missing:
            stack.extend(missing)
        else:
            stack.pop()
            if node not in levels and node not in found:
                found.append(node)
    return found


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
    """Add `terms` in the order (rate, level, products before the rest): each product starts from the sum so far."""

    def key(term: _Term) -> tuple[int, int, bool]:
        level = max((levels[f] for f in term.factors if f.rate == term.rate), default=0)
        return term.rate, level, not _starts(term)

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


def _join(source: Graph) -> Graph:
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


def _join_vectors(graph: Graph, results: dict[Hashable, Node]) -> dict[Hashable, Node]:
    """Totals that are gradients of adjacent parts of one vector, as the total of a concatenation."""
    joined: dict[Hashable, Node] = {}
    found = [key for key, node in results.items() if key[0] == "vector" and node.op == "total"]
    for key in sorted(found, key=lambda k: k[1:3]):
        _, name, first, size = key
        last = next(reversed(joined), None)
        value = results[key].args[0]
        if last is not None and last[1] == name and last[2] + last[3] == first and _alike(joined[last], value):
            parts = (joined.pop(last), value)
            joined["vector", name, last[2], last[3] + size] = graph.make("concat", *parts)
        else:
            joined[key] = value
    totals = {key: graph.total(value, Rate.ONCE) for key, value in joined.items()}
    return {key: node for key, node in results.items() if key not in found} | totals


def _alike(a: Node, b: Node) -> bool:
    return min(a.rate, Rate.STEP) == min(b.rate, Rate.STEP)


def _join_matrices(graph: Graph, results: dict[Hashable, Node]) -> dict[Hashable, Node]:
    """Outer products with one operand become one, over the gradients of all their rows."""
    groups: dict[Node, list[Hashable]] = {}
    for key, node in results.items():
        if node.op == "outer":
            groups.setdefault(node.args[1], []).append(key)
    joined: dict[Hashable, Node] = {key: node for key, node in results.items() if node.op != "outer"}
    for operand, keys in groups.items():
        keys.sort(key=lambda key: key[1])
        rows = [results[key].args[0] for key in keys]
        blocks = tuple(block for key in keys for block in key[1])
        gradient = graph.make("concat", *rows) if len(rows) > 1 else rows[0]
        joined["matrix", blocks, len(joined)] = graph.make("outer", gradient, operand)
    return joined


def _merge(source: Graph) -> Graph:
    """Products of one operand list and phase become one wide product and views of it, sorted by weight and row.

    Levels make this safe: a start exists as soon as the operands do, so no start of a group needs another of its
    products.
    """
    groups: dict[Hashable, list[Node]] = {}
    phases = _phases(source, source.nodes())
    for node, phase in phases.items():
        if node.op == "product":
            groups.setdefault((node.operands, phase), []).append(node)
    for group in groups.values():
        group.sort(key=lambda n: n.data.blocks)
    new: dict[Node, Node] = {}

    def made(graph: Graph, node: Node) -> Node:
        for value in _new_nodes(node, new):
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


def _phases(graph: Graph, order: list[Node]) -> dict[Node, Phase]:
    """Loop: what the next states need of what depends on a state. After: totals, and loop values nothing carries."""
    carried = set()
    stack = [new for _, new in graph.states.values()]
    while stack:
        node = stack.pop()
        if node not in carried:
            carried.add(node)
            stack.extend(node.args)
    phases: dict[Node, Phase] = {}
    for node in order:
        if node.op in LEAVES:
            continue
        if node.rate is Rate.LOOP:
            phases[node] = Phase.LOOP if node in carried else Phase.AFTER
        else:
            late = node.op == "total" or any(phases.get(a) is Phase.AFTER or a.rate is Rate.LOOP for a in node.args)
            phases[node] = Phase.AFTER if late else Phase.BEFORE
    return phases


def _late(graph: Graph, order: list[Node], phases: dict[Node, Phase], levels: dict[Node, int]) -> dict[Node, int]:
    """Results as early, everything else as late as possible: a value moves to the level of what first reads it."""
    results = set(graph.roots())
    latest: dict[Node, int] = {}
    for node in reversed(order):
        if node in results or node.op == "product" or phases.get(node) is not Phase.LOOP:
            latest[node] = levels[node]
        for arg in node.args:
            if phases.get(arg) == phases.get(node) and arg.rate == node.rate:
                need = _level_of(node, latest, levels) - (1 if node.op == "product" else 0)
                latest[arg] = min(latest.get(arg, need), need)
    return {node: _level_of(node, latest, levels) for node in order}


def _level_of(node: Node, latest: dict[Node, int], levels: dict[Node, int]) -> int:
    return max(latest.get(node, levels[node]), levels[node])


def _stages(phase: Phase, nodes: list[Node], levels: dict[Node, int]) -> tuple[Stage, ...]:
    """The nodes of one phase as stages: lower rates first, after the loop last (totals go down in rate)."""
    place = {node: k for k, node in enumerate(nodes)}
    sign = -1 if phase is Phase.AFTER else 1

    def key(node: Node) -> tuple[int, int, bool, int]:
        return sign * min(node.rate, Rate.STEP), levels[node], node.op != "product", place[node]

    stages: list[Stage] = []
    for node in sorted(nodes, key=key):
        kind = "product" if node.op == "product" else "program"
        if kind == "program" and stages and stages[-1].kind == "program":
            stages[-1] = Stage(kind, (*stages[-1].nodes, node))
        else:
            stages.append(Stage(kind, (node,)))
    return tuple(stages)


def _recorded(graph: Graph, order: list[Node], phases: dict[Node, Phase]) -> tuple[Node, ...]:
    """Loop values, and states as they enter a step, that results and later stages read for all steps."""
    read = set(graph.results.values())
    for node in order:
        if phases.get(node) is Phase.AFTER:
            read.update(node.args)
    return tuple(n for n in order if n in read and (phases.get(n) is Phase.LOOP or n.op == "state"))
