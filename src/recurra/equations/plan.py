"""From a graph to a plan: what runs before the loop over time, in it and after it, in stages.

The same passes serve the forward graph and its gradient: sums are regrouped by when their terms exist (so that loop
products start from what was made before the loop), products of one operand list become one, and every value is put
where it costs least. A backend only walks the stages.
"""

from __future__ import annotations

from dataclasses import dataclass

from recurra.equations.graph import Graph, Node, Rate, rebuild
from recurra.equations.phases import Phase, find_levels, find_phases
from recurra.equations.products import join, merge
from recurra.equations.sums import regroup


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
    graph = merge(join(regroup(graph)))
    order = graph.nodes()
    phases = find_phases(graph, order)
    levels = _late(graph, order, phases, find_levels(order))
    stages = {phase: _stages(phase, [n for n in order if phases.get(n) == phase], levels) for phase in Phase}
    return Plan(graph, stages[Phase.BEFORE], stages[Phase.LOOP], stages[Phase.AFTER], _recorded(graph, order, phases))


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
