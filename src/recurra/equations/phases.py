"""When each value of a graph is made: before, in or after the loop over time, and behind how many products."""

from __future__ import annotations

from enum import IntEnum

from recurra.equations.graph import LEAVES, Graph, Node, Rate


class Phase(IntEnum):
    """When a value is made: before the loop over time, in each of its steps, or after it."""

    BEFORE = 0
    LOOP = 1
    AFTER = 2


def find_phases(graph: Graph, order: list[Node]) -> dict[Node, Phase]:
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


def find_levels(order: list[Node]) -> dict[Node, int]:
    """For each value the number of products, of its own rate, on the longest way to it."""
    levels: dict[Node, int] = {}
    for node in order:
        levels[node] = level_above(node.op, node.rate, node.args, levels)
    return levels


def level_above(op: str, rate: Rate, args: tuple[Node, ...], levels: dict[Node, int]) -> int:
    """The level of `op` of `args`, given theirs."""
    below = max((levels[a] for a in args if a.rate == rate), default=0)
    return below + 1 if op == "product" else below
