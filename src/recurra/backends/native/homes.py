"""Where the values of a plan live: in which order they are made, and which of them need memory of their own."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from recurra.backends.native.code import Rows, Span
from recurra.backends.native.memory import ROWS_OF, Memory
from recurra.equations.graph import LEAVES, Graph, Node, Rate
from recurra.equations.phases import Phase
from recurra.equations.plan import Plan

VIEWS = frozenset({"slice", "concat", "spread", "stop"})
SUMS = frozenset({"outer", "total"})


@dataclass(eq=False)
class Step:
    """Nodes made together, in one phase, at one rate: a product, sums over rows, or a program."""

    phase: Phase
    rate: Rate
    kind: str  # "product", "sums" or "program"
    nodes: list[Node] = field(default_factory=list)


def steps_of(plan: Plan) -> list[Step]:
    """A plan's stages, with what is elementwise and made for the loop alone moved into it, where rows are at hand."""
    steps = [
        step
        for phase, stages in ((Phase.BEFORE, plan.before), (Phase.LOOP, plan.loop), (Phase.AFTER, plan.after))
        for stage in stages
        for step in _split(phase, stage.nodes)
    ]
    _sink(plan.graph, steps)
    return [step for step in steps if step.nodes]


def _split(phase: Phase, nodes: Iterable[Node]) -> list[Step]:
    steps: list[Step] = []
    for node in nodes:
        kind = "product" if node.op == "product" else "sums" if node.op in SUMS else "program"
        rate = max(a.rate for a in node.args) if kind == "sums" else node.rate
        rate = rate if phase is Phase.LOOP else min(rate, Rate.STEP)
        if kind == "product" or not steps or (steps[-1].kind, steps[-1].rate) != (kind, rate):
            steps.append(Step(phase, rate, kind))
        steps[-1].nodes.append(node)
    return steps


def readers_of(steps: Iterable[Step]) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = {}
    for step in steps:
        for node in step.nodes:
            for arg in node.args:
                found.setdefault(arg, []).append(node)
    return found


def _sink(graph: Graph, steps: list[Step]) -> None:
    readers = readers_of(steps)
    roots = set(graph.roots())
    where = {node: step for step in steps for node in step.nodes}
    moved: dict[Step, list[Node]] = {}
    for step in reversed(steps):
        if step.phase is not Phase.BEFORE or step.kind != "program" or step.rate is not Rate.STEP:
            continue
        for node in reversed(step.nodes):
            found = readers.get(node, [])
            targets = [where[r] for r in found]
            if node not in roots and targets and all(t.phase is Phase.LOOP and t.kind == "program" for t in targets):
                target = min(targets, key=steps.index)
                step.nodes.remove(node)
                where[node] = target
                moved.setdefault(target, []).append(node)
    for step, nodes in moved.items():
        step.nodes[:0] = reversed(nodes)


class Homes:
    """Spans by node, for leaves and for values that need memory beyond the program that makes them."""

    def __init__(self, plan: Plan, steps: list[Step], memory: Memory) -> None:
        self.plan, self.steps, self.memory = plan, steps, memory
        self.place: dict[Node, tuple[Span, ...]] = {}
        self.where = {node: step for step in steps for node in step.nodes}
        self.readers = readers_of(steps)
        self.recorded = self._recorded()

    def _recorded(self) -> set[Node]:
        """Loop values needed for all steps, down through views to what makes them."""
        found: set[Node] = set()
        left = dict(self.plan.graph.states.values())  # what leaves a step, by what enters the next
        stack = [n for n in (*self.where, *left) if self._outlives_loop(n)]
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack.extend(a for a in node.args if node.op in VIEWS and node.op != "slice")
                stack.extend([left[node]] if node in left else [])
        return found

    def _outlives_loop(self, node: Node) -> bool:
        later = any(self.where[r].phase is Phase.AFTER for r in self.readers.get(node, ()))
        return (later or node in self._results) and (node.op == "state" or self.where[node].phase is Phase.LOOP)

    @property
    def _results(self) -> set[Node]:
        return set(self.plan.graph.results.values())

    def makes(self, node: Node) -> bool:
        """Whether the node is made by an instruction or a product: no leaf and no view."""
        return node.op not in LEAVES and node.op not in VIEWS and node.op not in SUMS

    def claim(self, node: Node, span: Span) -> bool:
        """Let `node` be made where `span` is, if it has no place yet and is made as often."""
        if node in self.place or not self.makes(node):
            return False
        self.place[node] = (span,)
        return True

    def assign(self, states: Mapping[Node, Hashable], kept: Iterable[Node]) -> None:
        """Memory for everything that needs it; leaves, and results that have buffers of their own, have theirs."""
        for node in states:
            if node not in self.recorded and node.width is not None and self._in_loop(node):
                self.claim(node, self.memory.span(Rows.CARRY, node.width))
        self._reuse(kept)
        for step in self.steps:
            for node in step.nodes:
                if node.op == "concat":
                    self._place_together(node)
        for step in self.steps:
            for node in step.nodes:
                if self.makes(node) and node not in self.place and (self._leaves_step(node) or step.kind == "product"):
                    self.place[node] = (self._home(node, node.width or 1),)

    def _in_loop(self, node: Node) -> bool:
        return node in self.where and self.where[node].phase is Phase.LOOP

    def _leaves_step(self, node: Node) -> bool:
        """Whether something outside the step that makes it reads a value, directly or through views."""
        step = self.where[node]
        if node in self.recorded or node in set(self.plan.graph.roots()):
            return True
        return any(
            self.where[reader] is not step or (reader.op in VIEWS and self._leaves_step(reader))
            for reader in self.readers.get(node, ())
        )

    def _home(self, node: Node, width: int) -> Span:
        if self._in_loop(node) and node not in self.recorded:
            return Span(self.memory.local(width), 0, width)
        return self.memory.span(ROWS_OF[node.rate], width)

    def _place_together(self, whole: Node) -> None:
        """Parts of a concatenation that have no place yet, side by side, so that it needs no copy."""
        step = self.where[whole]
        if not (whole in self.recorded or self._leaves_step(whole)):
            return
        parts = [a for a in dict.fromkeys(whole.args) if self.makes(a) and a not in self.place]
        parts = [a for a in parts if a.width is not None and a.rate == whole.rate and self._alike(a, step)]
        if len(parts) < 2:
            return
        width = sum(a.width or 0 for a in parts)
        keep = self._in_loop(parts[0]) and any(a in self.recorded for a in parts)
        if keep or not self._in_loop(parts[0]):
            base = self.memory.span(ROWS_OF[whole.rate], width)
        else:
            base = Span(self.memory.local(width), 0, width)
        offset = 0
        for part in parts:
            self.place[part] = (base.part(offset, part.width or 0),)
            offset += part.width or 0

    def _alike(self, part: Node, step: Step) -> bool:
        return self.where[part].phase is step.phase or (
            step.phase is Phase.AFTER and part in self.recorded and self._in_loop(part)
        )

    def _reuse(self, kept: Iterable[Node]) -> None:
        """Kept values in the memory of hoisted products that the loop has read by then."""
        hoisted = [
            node
            for step in self.steps
            if step.phase is Phase.BEFORE and step.kind == "product" and step.rate is Rate.STEP
            for node in step.nodes
            if node not in self.place
        ]
        order = {node: k for k, node in enumerate(self.where)}
        for product in hoisted:
            width = product.width or 0
            reads = list(self._reads(product, 0, width))
            self.place[product] = (self.memory.span(Rows.STEP, width),)
            free = [n for n in kept if n.width and n.rate.per_step and n in self.where and self.makes(n)]
            fitting: dict[tuple[int, int], list[Node]] = {}
            for node in free:
                size = node.width or 0
                for first in range(0, width - size + 1, size):
                    if all(self._over(order, node, first, size, read) for read in reads):
                        fitting.setdefault((first, size), []).append(node)
            self._share(product, fitting)

    def _share(self, product: Node, fitting: dict[tuple[int, int], list[Node]]) -> None:
        """Give columns (first, size) of a product to values that may be written over them: first those columns that
        the fewest may take."""
        taken: list[tuple[int, int]] = []
        for (first, size), nodes in sorted(fitting.items(), key=lambda item: (len(item[1]), item[0])):
            node = next((n for n in nodes if n not in self.place), None)
            if node is not None and all(first >= end or first + size <= begin for begin, end in taken):
                self.place[node] = (self.place[product][0].part(first, size),)
                taken.append((first, first + size))

    def _over(
        self, order: dict[Node, int], node: Node, first: int, size: int, read: tuple[int, int, Node | None]
    ) -> bool:
        """Whether `node` may be written over columns that `read` reads."""
        begin, end, reader = read
        if first >= end or first + size <= begin:
            return True
        if reader is None:
            return False
        step, other = self.where[node], self.where[reader]
        if step is other:
            return (begin, end) == (first, first + size) and order[reader] <= order[node]
        return self.steps.index(other) < self.steps.index(step)

    def _reads(self, node: Node, first: int, last: int) -> Iterable[tuple[int, int, Node | None]]:
        """Who reads columns [first, last) of a product, of which `node` is a view: (begin, end, reader).

        No reader where they are a result, or a state that the next step finds there.
        """
        if node in set(self.plan.graph.roots()):
            yield first, last, None
        for reader in self.readers.get(node, ()):
            if reader.op == "slice" and node.width == last - first:
                begin = first + reader.data[0]
                yield from self._reads(reader, begin, begin + reader.data[1])
            elif reader.op in VIEWS:
                yield from self._reads(reader, first, last)
            else:
                yield first, last, reader
